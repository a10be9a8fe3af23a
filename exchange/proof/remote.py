"""Ask an exchange over HTTPS as one of its members: bounded, patient, and never redirected."""

import http.client
import ipaddress
import os
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from exchange.proof import entry, jcs, merkle
from exchange.proof.entry import Opening
from exchange.proof.keys import unb64
from exchange.proof.refused import Refused

CREDENTIAL = "WEIR_CREDENTIAL"
UNREACHED = "exchange.unreached"
TAXII = "application/taxii+json;version=2.1"
_SECONDS = 60
_LARGEST = 64 * 1024 * 1024  # of one answer
_PAUSES = (1, 2, 4, 8, 16)
_AWAY = (429, 502, 503, 504)
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the exchange is, and as whom it is asked."""

    url: str
    credential: str
    ca_file: str | None = None
    pause: Callable[[float], None] = time.sleep

    def get(self, path: str, *, accept: str = "*/*") -> bytes:
        """The answer to a GET; refused unless it is 200."""
        return self._ask("GET", path, None, accept)

    def post(self, path: str, body: bytes, *, media: str = "") -> bytes:
        """The answer to a POST; refused unless it was taken (200 or 202)."""
        return self._ask("POST", path, body, "*/*", media=media)

    def text(self, path: str) -> str:
        """The same as text."""
        try:
            return self.get(path).decode()
        except UnicodeDecodeError:
            raise Refused("exchange.answer", "The exchange answered no text.", path) from None

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """The path from one size of the log to a later one."""
        lines = self.text(f"/ledger/consistency?from={old}&to={size}").split()
        return tuple(map(unb64, lines))

    def tile(self, level: int, n: int, size: int) -> bytes:
        """A tile, as far as it goes in the tree of that size."""
        width = min(merkle.WIDTH, (size >> merkle.HEIGHT * level) - n * merkle.WIDTH)
        data = self.get(f"/ledger/{merkle.tile_path(level, n, width)}")
        if len(data) != width * merkle.HASH:
            raise Refused("merkle.tile", f"Tile {level}/{n} is not as long as its name says.")
        return data

    def leaves(self, n: int, size: int) -> tuple[bytes, ...]:
        """The entries of a bundle of up to 256, each 32 bytes."""
        width = min(merkle.WIDTH, size - n * merkle.WIDTH)
        data = self.get(f"/ledger/{merkle.tile_path('entries', n, width)}")
        found = tuple(data[at + 2 : at + 34] for at in range(0, len(data), 34))
        if data != merkle.entry_bundle(found) or len(found) != width:
            raise Refused("merkle.entries", f"The entries of bundle {n} are not in their form.")
        return found

    def openings(self, slot: str, after: int) -> Iterator[Opening]:
        """One's own openings in a slot, in their order; nothing of them is checked yet."""
        while True:
            start = f"&after={after}" if after >= 0 else ""  # what all are shown begins at 0
            path = f"/ledger/openings?slot={slot}{start}&limit={_PAGE}"
            page = _opened(self.get(path))
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1]
            fields = jcs.decode(last.value.encode())
            seq = fields.get("seq") if isinstance(fields, dict) else None
            number = last.index if slot == "all" else seq
            if type(number) is not int or number <= after:
                raise Refused("exchange.answer", "The openings do not go on.", path)
            after = number

    def objects(self, collection: str) -> Iterator[dict[str, object]]:
        """Every version of every object of a TAXII collection."""
        query = {"match[version]": "all", "limit": "500"}
        while True:
            path = f"/taxii2/forum/collections/{quote(collection)}/objects/?{urlencode(query)}"
            page = jcs.decode(self.get(path, accept=TAXII))
            objects = page.get("objects", []) if isinstance(page, dict) else None
            if not isinstance(objects, list) or not isinstance(page, dict):
                raise Refused("exchange.answer", "The exchange answered no page.", path)
            yield from (obj for obj in objects if isinstance(obj, dict))
            if page.get("more") is not True:
                return
            query["next"] = str(page.get("next", ""))

    def _ask(
        self, method: str, path: str, body: bytes | None, accept: str, *, media: str = ""
    ) -> bytes:
        status, answer = 0, b""
        for pause in (*_PAUSES, None):
            try:
                status, answer = self._once(method, path, body, accept, media=media)
            except ssl.SSLError as error:
                raise Refused("exchange.tls", f"No trust: {type(error).__name__}.") from None
            except (OSError, http.client.HTTPException) as error:
                status, answer = 0, type(error).__name__.encode()
            if pause is None or status not in (0, *_AWAY):
                break
            self.pause(pause)
        if status in (http.HTTPStatus.OK, http.HTTPStatus.ACCEPTED):
            return answer
        if status in (0, *_AWAY):
            what = answer.decode() if status == 0 else str(status)
            raise Refused(UNREACHED, f"The exchange does not answer: {what}.", path)
        raise _refusal(status, answer, path)

    def _once(
        self, method: str, path: str, body: bytes | None, accept: str, *, media: str
    ) -> tuple[int, bytes]:
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self.credential}", "Accept": accept}
        if media:
            headers["Content-Type"] = media
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()  # a redirect is not followed
            data = answer.read(_LARGEST + 1)
        finally:
            connection.close()
        if len(data) > _LARGEST:
            raise Refused("exchange.answer", "The exchange answers more than it may.", path)
        return answer.status, data

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=_SECONDS)
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return http.client.HTTPSConnection(host, parts.port, timeout=_SECONDS, context=context)


def remote(url: str, credential_file: Path | None, ca_file: str | None) -> Remote:
    """Where to ask; refused for a URL that would show the credential, and where there is none."""
    try:
        parts = urlsplit(url)
        is_bare = not (parts.path.strip("/") or parts.query or parts.username)
        is_safe = parts.scheme == "https" or _is_loopback(parts.hostname)
        if not (is_bare and is_safe and parts.scheme in ("https", "http") and parts.hostname):
            raise ValueError
        if parts.port == 0:  # a port that is no number raises here
            raise ValueError
    except ValueError:
        raise Refused("usage.url", "Say https://name without a path.") from None
    try:
        secret = (
            credential_file.read_text("utf-8") if credential_file else os.environ.get(CREDENTIAL)
        )
    except (OSError, UnicodeDecodeError):
        raise Refused("usage.credential", "The credential's file cannot be read.") from None
    secret = (secret or "").strip()
    if not secret or not (secret.isascii() and secret.isprintable()):
        raise Refused("usage.credential", f"Set {CREDENTIAL}, or name a file that holds it.")
    return Remote(url.rstrip("/"), secret, ca_file)


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _opened(data: bytes) -> list[Opening]:
    rows = jcs.decode(data)
    if not isinstance(rows, list):
        raise Refused("exchange.answer", "The exchange answered no openings.")
    return [entry.parse_opening(jcs.encode(row).decode()) for row in rows]


def _refusal(status: int, answer: bytes, path: str) -> Refused:
    """What the exchange said, as far as it can be shown."""
    try:
        said = jcs.decode(answer)
    except Refused:
        said = None
    text = str(said.get("sentence", "")) if isinstance(said, dict) else ""
    shown = "".join(char for char in text[:300] if char.isprintable())
    return Refused(f"exchange.{status}", f"The exchange answered {status}: {shown}", path)
