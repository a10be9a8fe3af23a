"""Which values stand in a rendition, and what value somebody asks for: one spelling for both.

Pure. A value of a kind that leaves as a keyed token is never read here: who asks for one brings
the token, for search must not tell in the clear what no recipient may see in the clear.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_network
from typing import Any

from exchange.policy import catalogue, coarsen
from exchange.proof.refused import Refused
from indicators.stix import patterns

LONGEST = 2_048
WORD = 64
# A range as wide as a name for half of the net asks for everything, not for a value.
_WIDEST = {4: 16, 6: 32}
_DEEPEST_PAGE = 10
_HEX = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128}")
_AS = re.compile(r"as ?([0-9]{1,10})|([0-9]{1,6})")
_STIX_ID = re.compile(
    r"[a-z0-9-]{1,250}--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_PHONE = re.compile(r"\+?[0-9(][0-9 ().-]{5,24}[0-9]")
_NO_PHONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]+(?:\.[0-9]+){3}")
_TECHNIQUE = re.compile(r"aml\.ta?[0-9.]+")
_SPLIT = re.compile(r"[^\w.-]+")
_COMMAND = "weir-tokenise"
_BY_PLACE = {
    "ipv4-addr:value": "net",
    "ipv6-addr:value": "net",
    "network-traffic:src_ref.value": "net",
    "network-traffic:dst_ref.value": "net",
    "domain-name:value": "domain",
    "url:value": "url",
    "autonomous-system:number": "as",
    "file:name": "file",
    "account-cluster:cluster_token": "hex",
    "keyed-token:value": "hex",
    "prompt-template-fingerprint:value": "hex",
    "api-client-fingerprint:header_order_hash": "hex",
    "api-client-fingerprint:ja4": "ja4",
}
_EQUALS = ("=", "IN")
_RANGES = ("ISSUBSET", "ISSUPERSET")
_PROPERTIES = {
    "ipv4-addr": {"value": "net"},
    "ipv6-addr": {"value": "net"},
    "domain-name": {"value": "domain"},
    "url": {"value": "url"},
    "autonomous-system": {"number": "as"},
    "file": {"name": "file"},
    "account-cluster": {"cluster_token": "hex"},
    "keyed-token": {"value": "hex"},
    "api-client-fingerprint": {"ja4": "ja4", "header_order_hash": "hex"},
    "prompt-template-fingerprint": {"value": "hex"},
    "rate-shape": {"shape_id": "shape"},
    "model-provenance-evidence": {"evidence_token": "hex"},
    "vulnerability": {"name": "cve"},
}
_HASHES = {"file": "hashes", "model-provenance-evidence": "artifact_hashes"}


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """One value in its one spelling, within a space in which spellings are compared."""

    space: str
    text: str

    @property
    def digest(self) -> bytes:
        """By what it is found."""
        return sha256(f"{self.space}\x00{self.text}".encode()).digest()

    @property
    def network(self) -> str | None:
        """The address or range, where it is one."""
        return self.text if self.space == "net" else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for: any of these values, or one object by its id."""

    kind: str
    values: tuple[Value, ...]
    stix_id: str = ""

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The values that are found by their spelling; ranges are found by what they hold."""
        return tuple(value.digest for value in self.values if value.network is None)

    @property
    def network(self) -> str | None:
        """The address or range that is asked for."""
        return next((value.text for value in self.values if value.network is not None), None)


# --- what stands in a rendition ------------------------------------------------------------------


def of(obj: Mapping[str, Any]) -> tuple[Value, ...]:
    """The values that a rendition says; what it says must not be is none of them."""
    stix_type = str(obj.get("type", ""))
    if stix_type == "indicator":
        return tuple(dict.fromkeys(_of_pattern(str(obj.get("pattern", "")))))
    return tuple(dict.fromkeys(_of_properties(stix_type, obj)))


def words(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of an object's name, and the published id of a technique."""
    names = [str(obj.get("name", ""))]
    if obj.get("type") == "attack-pattern":
        names += [str(one.get("external_id", "")) for one in obj.get("external_references", ())]
    return tuple(dict.fromkeys(word for name in names for word in _words(name)))


def asked_words(text: str) -> tuple[str, ...]:
    """The words that somebody asks for, as they would stand in a name."""
    return tuple(dict.fromkeys(word.strip(".-_") for word in _SPLIT.split(_folded(text)) if word))


def phases(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """The forum's own phases that an object names, each once; techniques have others'."""
    context = obj.get("extensions", {}).get(catalogue.CONTEXT, {})
    named = [str(one.get("phase_name", "")) for one in obj.get("kill_chain_phases", ())]
    known = catalogue.WORDS["phases"]
    found = dict.fromkeys([*named, *map(str, context.get("phases_observed", ()))])
    return tuple(phase for phase in found if phase in known)


def _words(text: str) -> Iterator[str]:
    for word in asked_words(text):
        yield word
        if "-" in word:
            yield from word.split("-")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _of_pattern(text: str) -> Iterator[Value]:
    try:
        comparisons = list(patterns.parse(text).comparisons())
    except Refused:
        return
    for one in comparisons:
        if not one.is_negative:
            yield from _of_comparison(one)


def _of_comparison(one: patterns.Comparison) -> Iterator[Value]:
    place = f"{one.object_type}:{'.'.join(map(str, one.path))}"
    space = _BY_PLACE.get(place)
    if place.startswith("file:hashes.") or place == "prompt-template-fingerprint:bands.*":
        space = "hex"
    if space is None:
        return
    is_head = space == "url" and one.operator == "LIKE"
    if is_head or one.operator in _EQUALS or (space == "net" and one.operator in _RANGES):
        for value in one.values:
            yield from _spelled("url-head" if is_head else space, value)


def _of_properties(stix_type: str, obj: Mapping[str, Any]) -> Iterator[Value]:
    for name, space in _PROPERTIES.get(stix_type, {}).items():
        if name in obj:
            yield from _spelled(space, obj[name])
    for value in obj.get(_HASHES.get(stix_type, ""), {}).values():
        yield from _spelled("hex", value)
    if stix_type == "prompt-template-fingerprint":
        for band in obj.get("bands", ()):
            yield from _spelled("hex", band)


def _spelled(space: str, value: object) -> Iterator[Value]:
    text = str(value)
    if space == "net":
        try:
            text = str(ip_network(text, strict=False))
        except ValueError:
            return
    elif space == "url-head":
        text = text.removesuffix("%")
    elif space in ("hex", "domain"):
        text = text.lower()
    yield Value(space, text)


# --- what is asked for ---------------------------------------------------------------------------


def asked(text: str) -> Asked | None:
    """What a written value asks for, none where it is no value of a kind that is known here.

    Refused for what leaves as a token only, and for what is too long or too wide to be a value.
    """
    given = _refanged(text)
    if len(given) > LONGEST:
        raise Refused("value.long", f"A value has at most {LONGEST:,} characters.")
    if not given.isascii() or not given.isprintable():  # look-alikes are never what they look like
        return None
    found = _by_form(given) or _network(given)
    if found is None:
        _refuse_personal(given)
        found = _named(given)
    return found


def _by_form(given: str) -> Asked | None:
    lower = given.lower()
    if _STIX_ID.fullmatch(lower):
        return Asked("id", (), lower)
    if _HEX.fullmatch(lower) and not _is_card(lower):
        return Asked("hash or token", (Value("hex", lower),))
    for kind, space, grammar in (("JA4", "ja4", "ja4"), ("rate shape", "shape", "shape-id")):
        if catalogue.fits(grammar, lower):
            return Asked(kind, (Value(space, lower),))
    if catalogue.fits("cve", given.upper()):
        return Asked("CVE", (Value("cve", given.upper()),))
    number = _AS.fullmatch(lower)
    if number is not None:
        return Asked("network (AS)", (Value("as", str(int(number[1] or number[2]))),))
    return None


def _network(given: str) -> Asked | None:
    try:
        network = ip_network(given, strict=False)
    except ValueError:
        return None
    first = network.network_address
    is_single = network.num_addresses == 1
    if is_single and isinstance(first, IPv6Address) and first.ipv4_mapped is not None:
        network = ip_network(first.ipv4_mapped)
    if network.prefixlen < _WIDEST[network.version]:
        raise Refused(
            "value.wide", f"A range is asked for up to /{_WIDEST[network.version]} at most."
        )
    return Asked("address" if is_single else "address range", (Value("net", str(network)),))


def _named(given: str) -> Asked | None:
    if "://" in given:
        return _page(given)
    if catalogue.fits("weights-file", given):
        return Asked("file name", (Value("file", given),))
    host = given.rstrip(".").lower()
    if catalogue.fits("domain", host) and not _TECHNIQUE.fullmatch(host):
        return Asked("domain name", (Value("domain", host),))
    return None


def _page(given: str) -> Asked | None:
    whole = coarsen.page(given.split("?", 1)[0].split("#", 1)[0], _DEEPEST_PAGE)
    if whole is None:
        return None
    # A pattern that was cut says how an address begins: each beginning of this one may be it.
    heads: list[str] = []
    while not heads or heads[-1].rstrip("/") != whole.rstrip("/"):
        heads.append(coarsen.page(whole, len(heads)) or whole)
    ends = [head.rstrip("/") + slash for head in heads for slash in ("", "/")]
    begins = dict.fromkeys(Value("url-head", one) for one in [*heads, *ends])
    return Asked("URL", (Value("url", whole), *begins))


def _refanged(text: str) -> str:
    """Written harmless for mail (hxxp, [.]), meant as it was."""
    given = text.strip().strip("\"'<>`")
    for harmless, meant in (("[.]", "."), ("(.)", "."), ("[:]", ":"), ("[@]", "@")):
        given = given.replace(harmless, meant)
    return re.sub(r"^hxxp(s?)://", r"http\1://", given, flags=re.IGNORECASE)


def _refuse_personal(given: str) -> None:
    is_mail = ("@" in given and "://" not in given) or given.lower().startswith("mailto:")
    is_phone = _PHONE.fullmatch(given) is not None and not _NO_PHONE.fullmatch(given)
    if is_mail or is_phone or given.lower().startswith("tel:"):
        raise Refused(
            "value.personal",
            "Addresses of mail, telephone numbers, accounts and the like are held as tokens only. "
            f"Make tokens of them with {_COMMAND} on your own machine, and ask for those.",
        )


def _is_card(text: str) -> bool:
    """Sixteen digits whose check digit fits are a payment card, not the half of a hash."""
    if not text.isdigit() or len(text) != 16:
        return False
    doubled = [int(digit) * (2 - n % 2) for n, digit in enumerate(text)]
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0
