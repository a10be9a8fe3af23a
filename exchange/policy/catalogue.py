"""Which class a property path belongs to, and in what form alone it passes: unknown is none."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

from exchange.policy import coarsen

Part = str | int
Parts = tuple[Part, ...]
ANY = 0  # any list index, in the shape of a path; no key of an object can pose as one
# The entries by the parts of their paths, one below the other; an entry itself stands under None.
_Tree = dict[Any, Any]
_NOTHING: _Tree = {}

FIELDS: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("fields.toml").read_text(encoding="utf-8")
)
WORDS: dict[str, tuple[str, ...]] = {name: tuple(words) for name, words in FIELDS["words"].items()}
TLP: dict[str, str] = FIELDS["tlp"]
_TLP_IDS = {level: marking for marking, level in reversed(TLP.items())}
TLP_ORDER = ("clear", "green", "amber", "amber+strict", "red")
CONTEXT: str = FIELDS["context"]["id"]
CONTEXT_TYPES = frozenset(FIELDS["context"]["types"])
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Naming who made an object, or marking it, does not link what it says to another object.
_NO_LINKS = frozenset({"created_by_ref", "object_marking_refs", "marking_ref"})


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of one path."""

    field_class: str
    grammar: str
    operators: frozenset[str] = frozenset()
    # Whether a value is written in the form in which alone it passes.
    fits: Callable[[Any], bool] = field(default=bool, repr=False, compare=False)


class Leaf(NamedTuple):
    """One value of an object that holds no further ones: its place, and what is known of it."""

    parts: Parts
    path: str
    value: Any
    entry: Entry | None
    fits: bool


def tlp_id(level: str) -> str:
    """The published TLP 2.0 marking of a level."""
    return _TLP_IDS[level]


def stricter_tlp(*levels: str) -> str:
    """The narrowest of several TLP levels."""
    return max(levels, key=TLP_ORDER.index)


class _Place:
    """A place in objects of one type: its path in words, and what is known of it and below it.

    The places that the catalogue knows are made once; of lists the first ones, for their items. So
    an object with nothing odd in it is read without writing any path anew.
    """

    __slots__ = ("below", "entry", "is_link", "known", "parts", "path")

    def __init__(self, parts: Parts, path: str, known: _Tree) -> None:
        self.parts, self.path, self.known = parts, path, known
        self.entry: Entry | None = known.get(None)
        self.below: dict[Part, _Place] = {}
        name = next((part for part in reversed(parts) if isinstance(part, str)), "")
        self.is_link = name.endswith(("_ref", "_refs")) and name not in _NO_LINKS

    def at(self, key: str) -> "_Place":
        """The place of one property inside."""
        known = self.known.get(key)
        made = _Place((*self.parts, key), _step(self.path, key), known or _NOTHING)
        if known is not None:
            self.below[key] = made
        return made

    def item(self, index: int) -> "_Place":
        """The place of one item of the list here."""
        known = self.known.get(ANY)
        made = _Place((*self.parts, index), f"{self.path}[{index}]", known or _NOTHING)
        if known is not None and index < _KEPT_ITEMS:
            self.below[index] = made
        return made


def leaves(obj: Mapping[str, Any]) -> tuple[Leaf, ...]:
    """Every leaf of an object in its order; an empty list or object is a leaf too."""
    return read(obj)[0]


def read(obj: Mapping[str, Any]) -> tuple[tuple[Leaf, ...], tuple[str, ...]]:
    """Every leaf of an object, and the ids that it refers to."""
    found: list[Leaf] = []
    links: list[str] = []
    _properties(obj, _ROOTS.get(str(obj.get("type", ""))) or _NOWHERE, found, links)
    return tuple(found), tuple(links)


def _properties(obj: Mapping[str, Any], at: _Place, found: list[Leaf], links: list[str]) -> None:
    below = at.below
    for key, value in obj.items():
        place = below.get(key) or at.at(key)
        if type(value) is str:  # nearly all of them
            entry = place.entry
            fits = entry is not None and entry.fits(value)
            found.append(Leaf(place.parts, place.path, value, entry, fits))
            if place.is_link and "--" in value:
                links.append(value)
        else:
            _gather(value, place, found, links)


def _gather(
    value: Any,  # noqa: ANN401 - any JSON value
    place: _Place,
    found: list[Leaf],
    links: list[str],
) -> None:
    if value and isinstance(value, dict):
        _properties(value, place, found, links)
    elif value and isinstance(value, list):
        below = place.below
        for index, item in enumerate(value):
            _gather(item, below.get(index) or place.item(index), found, links)
    else:
        if place.is_link and isinstance(value, str) and "--" in value:
            links.append(value)
        entry = place.entry
        fits = entry is not None and entry.fits(value)
        found.append(Leaf(place.parts, place.path, value, entry, fits))


def _step(path: str, part: str) -> str:
    # An odd key stands in quotes, so it cannot pose as a path.
    key = part if part in _KNOWN_KEYS or _PLAIN_KEY.fullmatch(part) else json.dumps(part)
    return f"{path}.{key}" if path else key


def entry(stix_type: str, parts: Parts) -> Entry | None:
    """What the catalogue says of a path in objects of a type; none for what it does not know."""
    return _ENTRIES.get(stix_type, {}).get(_shape(parts))


def class_of(path: str) -> str | None:
    """The field class of a path written as `indicator.pattern` or `sighting.observed[]`."""
    stix_type, _, rest = path.partition(".")
    found = _ENTRIES.get(stix_type, {}).get(_shape_of_text(rest))
    return found.field_class if found else None


def property_of(stix_type: str, parts: Sequence[Part]) -> str:
    """A property as policies name it: `sighting.count`, `indicator.context.surfaces[]`."""
    names = tuple("[]" if isinstance(part, int) else part for part in parts)
    if names[:2] == ("extensions", CONTEXT):
        names = ("context", *names[2:])
    return ".".join((stix_type, *names)).replace(".[]", "[]")


def properties() -> Mapping[str, Entry]:
    """Every property that the catalogue knows, by the name that policies give it."""
    return {
        property_of(stix_type, parts): entry
        for stix_type, entries in _ENTRIES.items()
        for parts, entry in entries.items()
    }


def compared(object_type: str, path: tuple[str, ...]) -> Entry | None:
    """What the catalogue says of an object path in a pattern."""
    return _PATTERN.get(f"{object_type}:{'.'.join(path).replace('.[]', '[]')}")


def extension_of(stix_type: str) -> str | None:
    """The id of the fixed extension of one of our observables."""
    return _EXTENSIONS.get(stix_type)


def needs(stix_type: str) -> tuple[tuple[str, ...], ...]:
    """The properties without which no object of a type can leave: of each group, one."""
    return _NEEDS.get(stix_type, ())


def needed(stix_type: str) -> frozenset[str]:
    """The properties of all these groups."""
    return _NEEDED.get(stix_type, frozenset())


def refers(stix_type: str) -> bool:
    """Whether objects of a type may refer to others at all."""
    return stix_type in _REFERRING


def knows(stix_type: str) -> bool:
    """Whether the catalogue has a row for a type at all."""
    return stix_type in _ENTRIES


def is_observable(stix_type: str) -> bool:
    """Whether objects of a type are observables (SCOs), as far as the catalogue knows them."""
    return stix_type in _OBSERVABLES


def fits(grammar: str, value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Whether a value is written in the form in which alone it passes."""
    return _check_of(grammar)(value)


def is_closed(grammar: str) -> bool:
    """Whether a grammar is a closed list of words."""
    return grammar in WORDS


def _check_of(grammar: str) -> Callable[[Any], bool]:
    return _WORD_CHECKS.get(grammar) or GRAMMARS[grammar]


def _among(words: frozenset[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in words


_WORD_CHECKS = {name: _among(frozenset(words)) for name, words in WORDS.items()}


def _text(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TYPE = re.compile("[a-z0-9-]{1,250}")


def is_reference(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Whether a value has the form `type--UUID`; of most texts one look says that they have not."""
    if not isinstance(value, str) or value[-38:-36] != "--":
        return False
    end = len(value) - 38
    return bool(_UUID.fullmatch(value, end + 2) and _TYPE.fullmatch(value, 0, end))


def _number(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _network(version: int) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:  # noqa: ANN401 - any JSON value
        try:
            if not isinstance(value, str):
                return False
            if coarsen.PLAIN_IPV4.fullmatch(value):
                return version == 4
            return ip_network(value, strict=False).version == version
        except ValueError:
            return False

    return check


def _instant(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    try:
        coarsen.instant(value)
    except (TypeError, ValueError):
        return False
    return True


def _date(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, str) and len(value) == 10 and _instant(f"{value}T00:00:00Z")


def _share(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return type(value) in (int, float) and 0 <= value <= 1


_DOMAIN = r"(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
_STEMS = "model|pytorch_model|consolidated|adapter_model|tf_model|flax_model|weights"
GRAMMARS: dict[str, Callable[[Any], bool]] = {
    "any": lambda value: not isinstance(value, (dict, list)),
    "text": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "count": _number(0, 2**53),
    "percent": _number(0, 100),
    "small": _number(0, 32),
    "digit": _number(0, 9),
    "port": _number(0, 65_535),
    "as-number": _number(0, 2**32 - 1),
    "share": _share,
    "instant": _instant,
    "date": _date,
    "ref": is_reference,
    "tlp": lambda value: isinstance(value, str) and value in TLP,
    "ipv4": _network(4),
    "ipv6": _network(6),
    "address": lambda value: _network(4)(value) or _network(6)(value),
    "domain": _text(_DOMAIN),
    "url": lambda value: isinstance(value, str) and coarsen.page(value, 0) is not None,
    "cve": _text(r"CVE-\d{4}-\d{4,7}"),
    "country": _text("[A-Z]{2}"),
    "epoch": _text(r"none|\d{4}Q[1-4]"),
    "band": _text("[0-9a-f]{4,64}"),
    "ja4": _text(r"[tqd](?:1[0-3]|s[23]|d[123]|00)[di]\d{4}[0-9a-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}"),
    "shape-id": _text(r"rs-\d{4}-\d{4}"),
    "weights-file": _text(
        rf"(?:{_STEMS})(?:[-.]\d{{2,5}}(?:-of-\d{{5}})?)?\.(?:safetensors|bin|gguf|pth?|onnx|h5|msgpack)"
    ),
    "client-agent": lambda value: isinstance(value, str) and agent_family(value) is not None,
    **{f"hex{size}": _text(f"[0-9a-f]{{{size}}}") for size in (16, 32, 40, 64, 128)},
}


def agent_family(text: str) -> str | None:
    """The family of client in a User-Agent comparison, if it is one that everybody knows."""
    family = re.split(r"[/% ]", text, maxsplit=1)[0]
    return family if family in WORDS["client-families"] else None


def _entry(text: str) -> Entry:
    field_class, grammar, *operators = text.split(" ")
    return Entry(field_class, grammar, frozenset(operators), _check_of(grammar))


def _shape(parts: Parts) -> Parts:
    return tuple([ANY if isinstance(part, int) else part for part in parts])


def _shape_of_text(path: str) -> Parts:
    return tuple(ANY if part == "[]" else part for part in path.replace("[]", ".[]").split("."))


def _entries_of(stix_type: str, row: Mapping[str, Any]) -> dict[Parts, Entry]:
    fields: dict[str, str] = {**FIELDS[row["family"]], **row["fields"]}
    entries = {_shape_of_text(path): _entry(text) for path, text in fields.items()}
    if stix_type in CONTEXT_TYPES:
        for path, text in FIELDS["context"]["fields"].items():
            entries["extensions", CONTEXT, *_shape_of_text(path)] = _entry(text)
    if "extension" in row:
        entries["extensions", row["extension"], "extension_type"] = _entry("structure new-sco")
    return entries


def _tree(entries: Mapping[Parts, Entry]) -> _Tree:
    tree: _Tree = {}
    for shape, known in entries.items():
        node = tree
        for part in shape:
            node = node.setdefault(part, {})
        node[None] = known
    return tree


_ENTRIES = {name: _entries_of(name, row) for name, row in FIELDS["types"].items()}
_TREES = {name: _tree(entries) for name, entries in _ENTRIES.items()}
_KEPT_ITEMS = 32
_ROOTS = {name: _Place((), "", tree) for name, tree in _TREES.items()}
_NOWHERE = _Place((), "", _NOTHING)
_PATTERN = {path: _entry(text) for path, text in FIELDS["pattern"].items()}
_NEEDS = {
    name: tuple(tuple(group.split("|")) for group in row.get("needs", ()))
    for name, row in FIELDS["types"].items()
}
_NEEDED = {name: frozenset(sum(groups, ())) for name, groups in _NEEDS.items()}
_OBSERVABLES = frozenset(name for name, row in FIELDS["types"].items() if row["family"] == "sco")
_EXTENSIONS = {
    name: str(row["extension"]) for name, row in FIELDS["types"].items() if "extension" in row
}
_KNOWN_KEYS = frozenset(
    part for row in _ENTRIES.values() for shape in row for part in shape if isinstance(part, str)
)
_REFERRING = frozenset(
    name
    for name, entries in _ENTRIES.items()
    if any(known.field_class == "reference" for known in entries.values())
)
