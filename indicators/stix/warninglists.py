"""Is this value a cloud range, a VPN, a relay, a public name: the lists that warn of it.

A generated extract of MISP/misp-warninglists (CC0-1.0), found by bisection. Rebuilt by
`python -m indicators.stix.warninglists FOLDER` from a folder of its JSON lists.
"""

import gzip
import json
import re
import sys
from bisect import bisect_right
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path

_FILE = Path(__file__).with_name("data") / "warninglists.json.gz"
_RANGES = (
    "amazon-aws", "cloudflare", "google-gcp", "icloud-private-relay", "microsoft-azure",
    "openai-gptbot", "oracle-oci", "ovh-cluster", "rfc1918", "rfc5735", "rfc6598", "vpn-ipv4",
)  # fmt: skip
_NAMES = (
    "bank-website", "disposable-email", "public-ipfs-gateways", "university_domains",
    "url-shortener",
)  # fmt: skip

# An address or range as nearly everybody writes it; other spellings take a longer way.
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?:/([12]?[0-9]|3[0-2]))?")
Network = IPv4Network | IPv6Network


def hits(value: str) -> tuple[str, ...]:
    """The names of the lists that an address, a range or a domain name is on, in part or whole."""
    ranges, names = _lists()
    span = _span(value)
    if span is None:
        domain = value.lower().rstrip(".")
        labels = domain.split(".")
        tails = {".".join(labels[start:]) for start in range(len(labels))}
        return tuple(name for name in _NAMES if not names[name].isdisjoint(tails))
    version, first, last = span
    found = []
    for name, starts, ends in ranges[version]:
        place = bisect_right(starts, last)
        if place > 0 and ends[place - 1] >= first:
            found.append(name)
    return tuple(found)


def _span(value: str) -> tuple[int, int, int] | None:
    """The version of an address or range, and its first and last address as numbers."""
    plain = _PLAIN.fullmatch(value)
    if plain is not None:
        *octets, prefix = plain.groups()
        address = int.from_bytes(map(int, octets))
        rest = (1 << 32 - int(prefix or 32)) - 1
        return 4, address & ~rest, address | rest
    network = _network(value)
    if network is None:
        return None
    return network.version, int(network.network_address), int(network.broadcast_address)


def _network(value: str) -> Network | None:
    try:
        return ip_network(value.strip(), strict=False)
    except ValueError:
        return None


_Ranges = tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]


@lru_cache(maxsize=1)
def _lists() -> tuple[dict[int, _Ranges], dict[str, frozenset[str]]]:
    """The ranges of each version of the protocol, and the names."""
    with gzip.open(_FILE, "rt", encoding="utf-8") as stream:
        document = json.load(stream)
    ranges = {
        version: tuple(
            (name, tuple(starts), tuple(ends))
            for name in _RANGES
            for starts, ends in (document["ranges"][f"{name}/{version}"],)
        )
        for version in (4, 6)
    }
    return ranges, {name: frozenset(document["names"][name]) for name in _NAMES}


def _spans(texts: list[str], version: int) -> tuple[list[int], list[int]]:
    """First and last addresses as numbers, overlaps joined: read back without any parsing."""
    networks = [one for one in map(_network, texts) if one is not None and one.version == version]
    joined: list[Network] = (
        list(collapse_addresses(n for n in networks if isinstance(n, IPv4Network)))
        if version == 4
        else list(collapse_addresses(n for n in networks if isinstance(n, IPv6Network)))
    )
    starts = [int(one.network_address) for one in joined]
    return starts, [int(one.broadcast_address) for one in joined]


def rebuild(folder: Path) -> None:
    """Write the extract from a folder of published lists."""
    lists = {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["list"]
        for name in (*_RANGES, *_NAMES)
    }
    document = {
        "source": "MISP/misp-warninglists",
        "licence": "CC0-1.0",
        "ranges": {
            f"{name}/{version}": _spans(lists[name], version)
            for name in _RANGES
            for version in (4, 6)
        },
        "names": {
            name: sorted(text.lower().lstrip(".") for text in lists[name]) for name in _NAMES
        },
    }
    text = json.dumps(document, separators=(",", ":"))
    _FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    rebuild(Path(sys.argv[1]))
