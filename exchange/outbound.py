"""The only HTTP client: it posts to members' endpoints and refuses every private address.

1. the URL has the form that may be registered     2. the name is resolved once
3. all answers are public unicast                  4. the socket goes to that very address
5. TLS name and Host stay those of the URL         6. no redirect, no proxy, bounded answer and time
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import SplitResult, urlsplit

from exchange.proof.refused import Refused

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
ANSWER_OCTETS = 16_384
PORTS = (443, 8443)

_REFUSED = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 "
        "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 "
        "198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 "
        "64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/32 2001:db8::/32 2002::/16 "
        "fc00::/7 fe80::/10 fec0::/10 ff00::/8"
    ).split()
)

Resolve = Callable[[str, int], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to post: the exact URL as registered, and the CA of an exempt receiver."""

    url: str
    exempt: Mapping[str, str]

    @property
    def parts(self) -> SplitResult:
        """The URL taken apart."""
        return urlsplit(self.url)

    @property
    def ca_file(self) -> str | None:
        """Named by the operator for exactly this host and port, or none."""
        return self.exempt.get(f"{self.parts.hostname}:{self.parts.port or 443}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one post; `error_class` is empty when an answer was read."""

    status: int | None
    error_class: str
    remote_address: str
    body: bytes = b""
    retry_after: str = ""

    @property
    def digest(self) -> bytes:
        """SHA-256 of what was read of the answer."""
        return sha256(self.body).digest()


def check_url(url: str, *, domains: Iterable[str], exempt: Mapping[str, str]) -> None:
    """Refuse an endpoint that may not be registered (signing-and-ledger 7.5)."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        raise Refused("endpoint.url", "This is not a URL.", "url") from None
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or not host:
        raise Refused("endpoint.https", "An endpoint is an https URL.", "url")
    if parts.username or parts.password or parts.fragment:
        raise Refused("endpoint.url", "An endpoint has no user and no fragment.", "url")
    if f"{host}:{port}" in exempt:
        return
    if _is_literal(host):
        raise Refused("endpoint.address", "Name a host, not an address.", "url")
    if port not in PORTS:
        raise Refused("endpoint.port", "Only ports 443 and 8443 are called.", "url")
    if not any(host == domain or host.endswith("." + domain) for domain in domains):
        raise Refused(
            "endpoint.domain", "The host lies outside your member's verified domains.", "url"
        )


def is_public(address: str) -> bool:
    """Whether an address is public unicast, in IPv4, IPv6 and IPv4-in-IPv6 forms."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    one = mapped or parsed
    if any(one.version == net.version and one in net for net in _REFUSED):
        return False
    return one.is_global and not one.is_multicast


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the system resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def post(
    endpoint: Endpoint, body: bytes, headers: Mapping[str, str], *, resolver: Resolve = resolve
) -> Answer:
    """One attempt; every failure is an answer with an error class, nothing is raised."""
    return _reach(endpoint, body, headers, resolver)


def fetch(endpoint: Endpoint, *, resolver: Resolve = resolve) -> Answer:
    """One GET under the same rules: what a witness of the log shows to everyone."""
    return _reach(endpoint, None, {"Accept": "text/plain"}, resolver)


def _reach(
    endpoint: Endpoint, body: bytes | None, headers: Mapping[str, str], resolver: Resolve
) -> Answer:
    host, port = endpoint.parts.hostname or "", endpoint.parts.port or 443
    try:
        addresses = list(resolver(host, port))  # 2
    except OSError:
        return Answer(None, "dns", "")
    if not addresses:
        return Answer(None, "dns", "")
    is_exempt = endpoint.ca_file is not None
    if not is_exempt and not all(is_public(address) for address in addresses):  # 3
        return Answer(None, "address-refused", "")
    address = addresses[0]
    connection = _Pinned(host, port, address=address, context=_context(endpoint.ca_file))
    watchdog = threading.Timer(TOTAL_SECONDS, connection.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        return _exchange(connection, endpoint, body, headers)
    except TimeoutError:
        return Answer(None, "timeout", address)
    except ssl.SSLError:
        return Answer(None, "timeout" if connection.is_cut else "tls", address)
    except (OSError, http.client.HTTPException, ValueError):
        return Answer(None, "timeout" if connection.is_cut else "connect", address)
    finally:
        watchdog.cancel()
        connection.close()


def _exchange(
    connection: "_Pinned", endpoint: Endpoint, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    parts = endpoint.parts
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    method = "GET" if body is None else "POST"
    connection.request(method, target, body=body, headers=dict(headers))
    answer = connection.getresponse()
    return Answer(
        answer.status,
        "",
        connection.address,
        answer.read(ANSWER_OCTETS),
        answer.getheader("Retry-After", "") or "",
    )


class _Pinned(http.client.HTTPSConnection):
    """A connection to one resolved address; TLS name and Host are those of the URL."""

    def __init__(self, host: str, port: int, *, address: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TOTAL_SECONDS, context=context)
        self.address = address
        self.is_cut = False
        self._tls = context

    def connect(self) -> None:
        """Go to the address that was checked: a name that changes meanwhile gains nothing."""
        plain = socket.create_connection((self.address, self.port), timeout=CONNECT_SECONDS)
        plain.settimeout(TOTAL_SECONDS)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)

    def cut(self) -> None:
        """End it at the total time, however slowly the other side trickles."""
        self.is_cut = True
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


def _context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.replace(".", "").isdigit()
    return True
