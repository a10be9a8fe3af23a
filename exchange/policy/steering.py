"""How much a contributor can say by its choices in what leaves: an upper bound, in bits.

A member that wants to tell a rival something can choose among the words, numbers and days that
pass. The bound counts every choice as free, so a real channel is narrower. What stands in a
pattern or an observable (`technical`) is the fact that is shared and has the size of its values;
what describes it (`descriptive`) is bounded by the catalogue, whatever was contributed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

from exchange.policy import catalogue
from exchange.policy.catalogue import WORDS, Leaf
from exchange.policy.decide import Verdict
from exchange.policy.facts import Facts
from exchange.policy.lattice import Treatment

DAYS = log2(3_652_059)  # from year 1 to 9999
OBJECTS = 32.0  # a reference is one of so many objects that the recipient holds
# Grammars with a fixed number of values; the rest is as long as it is.
_BITS: Mapping[str, float] = {
    "flag": 1.0,
    "count": log2(11),
    "percent": log2(19),
    "small": log2(33),
    "digit": log2(10),
    "port": 16.0,
    "as-number": 32.0,
    "share": log2(101),
    "instant": DAYS,
    "date": DAYS,
    "country": log2(26**2),
    "cve": log2(10_000 * 10**7),
    "epoch": log2(10_000 * 4 + 1),
    "shape-id": log2(10**8),
    "ref": OBJECTS,
    "band": 64.0,
    "hex16": 64.0,
    "hex32": 128.0,
    "hex40": 160.0,
    "hex64": 256.0,
    "hex128": 512.0,
    "ipv4": log2(33) + 32,
    "ipv6": log2(129) + 128,
    "address": log2(129) + 129,
    "client-agent": log2(len(WORDS["client-families"])),
}
_WORD_BITS = {name: log2(len(words) + 1) for name, words in WORDS.items()}
_CHARACTER = log2(66)  # letters, digits and what else stands in names and pages
# Said anew by the exchange, or the same in every object.
_SAID_ANEW = frozenset({"structure", "issued-anew", "marking", "marking-detail"})
_TECHNICAL = frozenset(
    ("address", "domain", "url", "as-number", "hash", "file-name", "token", "rekey", "personal")
    + ("fingerprint", "reference")
)


@dataclass(frozen=True, slots=True)
class Steering:
    """An upper bound on what was chosen, in whole bits."""

    descriptive: int
    technical: int


def of(subject: Facts, verdict: Verdict) -> Steering:
    """The bound for one object as one audience gets it."""
    if verdict.withheld is not None:
        return Steering(0, 0)
    rulings = verdict.by_path
    technical, described = 0.0, []
    for leaf in subject.leaves:
        ruling = rulings.get(leaf.path)
        if leaf.entry is None or ruling is None or ruling.treatment is Treatment.DROP:
            continue
        field_class = leaf.entry.field_class
        if field_class in _TECHNICAL and leaf.parts[0] != "pattern":
            technical += _bits(leaf)
        elif field_class not in _SAID_ANEW and leaf.parts[0] != "pattern":
            described.append(leaf)
    for literal in subject.literals:
        ruling = rulings.get(f"pattern[{literal.index}]")
        if ruling is not None and ruling.treatment is not Treatment.DROP and literal.entry:
            # Place, operator and joining of a comparison are choices too.
            technical += 8 + _size(literal.entry.grammar, literal.value)
    return Steering(ceil(_described(described)), ceil(technical))


def ceiling(stix_type: str) -> int:
    """The most that can be described of any object of a type, whatever its contributor writes."""
    shapes: dict[tuple[Any, ...], float] = {}
    for name, entry in catalogue.properties().items():
        kind, _, rest = name.partition(".")
        if kind != stix_type or entry.field_class in _SAID_ANEW | _TECHNICAL:
            continue
        words = WORDS.get(entry.grammar)
        if words is not None:
            is_list = rest.endswith("[]") or "[]." in rest
            shapes[(rest,)] = float(len(words)) if is_list else log2(len(words) + 1)
        elif entry.grammar in _BITS:
            shapes[(rest,)] = _BITS[entry.grammar] + 1  # one more for whether it is there
    return ceil(sum(shapes.values()) + OBJECTS)  # and the name that follows from them


def _described(leaves: Iterable[Leaf]) -> float:
    """Of a list of words its length counts, for each may be there or not, once and in one order."""
    lists: dict[tuple[Any, ...], float] = {}
    total = 0.0
    for leaf in leaves:
        if leaf.entry is None:
            continue
        words = WORDS.get(leaf.entry.grammar)
        if words is not None:
            inside = tuple(part for part in leaf.parts if not isinstance(part, int))
            if len(inside) < len(leaf.parts):
                lists[inside] = float(len(words))
                continue
        total += _bits(leaf) + 1
    return total + sum(lists.values())


def _bits(leaf: Leaf) -> float:
    return _size(leaf.entry.grammar, leaf.value) if leaf.entry is not None else 0.0


def _size(grammar: str, value: object) -> float:
    if grammar in WORDS:
        return _WORD_BITS[grammar]
    return _BITS.get(grammar, len(str(value)) * _CHARACTER)
