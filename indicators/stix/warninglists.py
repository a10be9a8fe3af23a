"""Is this value a cloud range, a VPN, a relay, a public name: the lists that warn of it.

A generated extract of MISP/misp-warninglists (CC0-1.0), found by bisection. Rebuilt by
`python -m indicators.stix.warninglists FOLDER` from a folder of its JSON lists.
"""

import gzip
import json
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

Network = IPv4Network | IPv6Network


def hits(value: str) -> tuple[str, ...]:
    """The names of the lists that an address, a range or a domain name is on, in part or whole."""
    ranges, names = _lists()
    network = _network(value)
    if network is None:
        domain = value.lower().rstrip(".")
        labels = domain.split(".")
        tails = {".".join(labels[start:]) for start in range(len(labels))}
        return tuple(name for name in _NAMES if not names[name].isdisjoint(tails))
    first, last = int(network.network_address), int(network.broadcast_address)
    found = (
        name for name in _RANGES if _overlaps(ranges[f"{name}/{network.version}"], first, last)
    )
    return tuple(found)


def _overlaps(spans: tuple[tuple[int, ...], tuple[int, ...]], first: int, last: int) -> bool:
    starts, ends = spans
    place = bisect_right(starts, last)
    return place > 0 and ends[place - 1] >= first


def _network(value: str) -> Network | None:
    try:
        return ip_network(value.strip(), strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=1)
def _lists() -> tuple[
    dict[str, tuple[tuple[int, ...], tuple[int, ...]]], dict[str, frozenset[str]]
]:
    with gzip.open(_FILE, "rt", encoding="utf-8") as stream:
        document = json.load(stream)
    ranges = {
        name: (tuple(starts), tuple(ends)) for name, (starts, ends) in document["ranges"].items()
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
