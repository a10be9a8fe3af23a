"""Make a value say less: numbers to decades, times to days, addresses of pages to their head."""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import takewhile
from urllib.parse import urlsplit

DECADES = (
    (1, "1"),
    (2, "2-9"),
    (10, "10-99"),
    (100, "100-999"),
    (1_000, "1k-9k"),
    (10_000, "10k-99k"),
    (100_000, "100k-999k"),
    (1_000_000, "1M-9M"),
    (10_000_000, "10M-99M"),
    (100_000_000, "100M-up"),
)
DAY, MONTH = 1, 2
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z")
# An IPv4 address or range as nearly everybody writes it; other spellings take a longer way.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
PLAIN_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}(?:/(?:[12]?[0-9]|3[0-2]))?")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]{1,40}")
_PAGE_SCHEMES = ("http", "https")


def width(network: str) -> tuple[int, int]:
    """The version of an address or range, and how many of its bits are fixed."""
    if PLAIN_IPV4.fullmatch(network):
        return 4, int(network.partition("/")[2] or 32)
    read = ip_network(network, strict=False)
    return read.version, read.prefixlen


def decade_floor(count: int) -> int:
    """The lower edge of the decade that a count lies in; nothing stays nothing."""
    return max((floor for floor, _ in DECADES if floor <= count), default=0)


def decade_label(count: int) -> str | None:
    """The name of the decade that a count lies in; none for zero."""
    return next((label for floor, label in reversed(DECADES) if floor <= count), None)


def instant(text: str) -> datetime:
    """The moment that a STIX timestamp names, whatever the number of its digits."""
    if _STAMP.fullmatch(text) is None:
        raise ValueError("not a STIX timestamp")
    return datetime.fromisoformat(text)


def stamp(moment: datetime) -> str:
    """A moment as a STIX timestamp with milliseconds."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def day_down(moment: datetime, step: int = DAY) -> datetime:
    """The start of the day, or of the month for a step of two."""
    start = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return start.replace(day=1) if step >= MONTH else start


def day_up(moment: datetime, step: int = DAY) -> datetime:
    """The first start of a day (or month) that is not before the moment."""
    start = day_down(moment, step)
    if start == moment:
        return start
    return day_down(start + timedelta(days=32 if step >= MONTH else 1), step)


def confidence(value: int, step: int, cap: int) -> int:
    """A confidence in whole steps, never above the cap."""
    return min(value // step * step, cap)


def page(text: str, depth: int) -> str | None:
    """Scheme, host and the first path segments of a URL; none if it is not plainly one."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").lower()
    if parts.scheme not in _PAGE_SCHEMES or _HOST.fullmatch(host) is None or "@" in parts.netloc:
        return None
    given = [segment for segment in parts.path.split("/") if segment]
    segments = list(takewhile(_SEGMENT.fullmatch, given[:depth]))
    slash = "/" if segments == given and given and parts.path.endswith("/") else ""
    where = f"{host}:{port}" if port else host
    return f"{parts.scheme}://{where}/" + "/".join(segments) + slash


def canonical_address(text: str) -> str:
    """One spelling of an address or range, host bits cleared; what is neither stays as it is."""
    if PLAIN_IPV4.fullmatch(text):
        return _plain_range(text)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return text
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _plain_range(text: str) -> str:
    address, _, size = text.partition("/")
    if size in ("", "32"):
        return address
    bits = 32 - int(size)
    first, second, third, fourth = map(int, address.split("."))
    value = (first << 24 | second << 16 | third << 8 | fourth) >> bits << bits
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}/{size}"


def holds(outer: str, inner: str) -> bool:
    """Whether one range of addresses lies in another."""
    one, other = ip_network(outer), ip_network(inner)
    if one.version != other.version:
        return False
    starts = int(one.network_address) <= int(other.network_address)
    return starts and int(other.broadcast_address) <= int(one.broadcast_address)


def two_decimals(value: float) -> float:
    """A share or similarity with two decimals."""
    return round(value, 2)
