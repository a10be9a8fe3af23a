"""What an object says about itself, read once: leaves, pattern, values, marks and references."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from exchange.policy import catalogue
from exchange.policy.catalogue import CONTEXT, CONTEXT_TYPES, TLP, Entry, Leaf
from exchange.policy.coarsen import PLAIN_IPV4, canonical_address
from exchange.proof.refused import Refused
from indicators.stix import patterns

_PLAIN_STEP = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Literal:
    """One value in a pattern, where it stands, and what the catalogue says of the place."""

    index: int
    object_type: str
    place: str
    entry: Entry | None
    operator: str
    value: Any
    fits: bool  # whether operator and value have the form in which alone they pass
    is_negative: bool  # said of what must not be


@dataclass(frozen=True, slots=True)
class Facts:
    """One contributed object with what the policy needs to know of it, read once."""

    obj: Mapping[str, Any] = field(repr=False)
    stix_type: str
    stix_id: str
    # The model-extraction context; empty if it has none.
    context: Mapping[str, Any] = field(repr=False)
    leaves: tuple[Leaf, ...] = field(repr=False)
    # The ids that it refers to, who made it and how it is marked apart.
    references: tuple[str, ...] = field(repr=False)
    pattern: patterns.Pattern | None = field(repr=False)
    literals: tuple[Literal, ...] = field(repr=False)


def read(obj: "Mapping[str, Any] | Facts") -> Facts:
    """The facts of one object; a pattern that does not parse is no pattern, so it does not pass."""
    if isinstance(obj, Facts):
        return obj
    pattern = None
    stix_type = str(obj.get("type", ""))
    if stix_type == "indicator" and obj.get("pattern_type") == "stix":
        try:
            pattern = patterns.parse(str(obj.get("pattern", "")))
        except Refused:
            pattern = None
    leaves, references = catalogue.read(obj)
    return Facts(
        obj=obj,
        stix_type=stix_type,
        stix_id=str(obj.get("id", "")),
        context=_context(obj) if stix_type in CONTEXT_TYPES else {},
        leaves=leaves,
        references=references,
        pattern=pattern,
        literals=tuple(_literals(pattern)) if pattern is not None else (),
    )


def _context(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    extensions = obj.get("extensions")
    context = extensions.get(CONTEXT) if isinstance(extensions, Mapping) else None
    return context if isinstance(context, Mapping) else {}


def values_of(comparison: patterns.Comparison) -> tuple[Any, ...]:
    """The values that one comparison names, in their order; of EXISTS an empty one.

    So every comparison has a ruling of its own, also one that compares nothing.
    """
    return tuple(comparison.values) or ("",)


def qualifiers(node: patterns.Node) -> Iterator[str]:
    """The qualifiers of observations in a pattern, such as `WITHIN 300 SECONDS`."""
    if isinstance(node, patterns.Joined):
        for part in node.parts:
            yield from qualifiers(part)
    elif isinstance(node, patterns.Qualified):
        yield node.qualifier
        yield from qualifiers(node.inside)


def _literals(pattern: patterns.Pattern) -> Iterator[Literal]:
    index = 0
    for comparison in pattern.comparisons():
        place, entry = _known_place(comparison.object_type, comparison.path)
        for value in values_of(comparison):
            fits = entry is not None and _fits(entry, comparison.operator, value)
            yield Literal(
                index=index,
                object_type=comparison.object_type,
                place=place,
                entry=entry,
                operator=comparison.operator,
                value=value,
                fits=fits,
                is_negative=comparison.is_negative,
            )
            index += 1


def _fits(entry: Entry, operator: str, value: Any) -> bool:  # noqa: ANN401 - any literal
    if operator == "LIKE" and entry.field_class == "url":
        value = str(value).removesuffix("%")
    return operator in entry.operators and entry.fits(value)


def place_in_words(comparison: patterns.Comparison) -> str:
    """The object path of a comparison with its type before it: `file:hashes.MD5`."""
    return _known_place(comparison.object_type, comparison.path)[0]


@lru_cache(maxsize=1_024)
def _known_place(object_type: str, path: tuple[str | int, ...]) -> tuple[str, Entry | None]:
    """A place such as `file:hashes.MD5` in words, and what the catalogue says of it.

    An odd step stays unknown.
    """
    steps = tuple("[]" if isinstance(step, int) or step == "*" else _step(step) for step in path)
    return f"{object_type}:{'.'.join(steps)}", catalogue.compared(object_type, steps)


def _step(step: str) -> str:
    return step if _PLAIN_STEP.fullmatch(step) else repr(step)


def shared_values(facts: Facts) -> Iterator[tuple[str, str]]:
    """The observable values that an object states, alone or in its pattern."""
    for literal in facts.literals:
        if literal.entry is not None:
            yield _kind_of_value(literal.place, literal.entry), _comparable(literal.value)
    if not catalogue.is_observable(facts.stix_type):
        return
    for leaf in facts.leaves:
        path = tuple("[]" if isinstance(part, int) else part for part in leaf.parts)
        entry = catalogue.compared(facts.stix_type, path)
        if entry is not None and leaf.parts[0] != "kind":
            place = f"{facts.stix_type}:{'.'.join(path)}"
            yield _kind_of_value(place, entry), _comparable(leaf.value)


def _kind_of_value(place: str, entry: Entry) -> str:
    # An address is the same one at whichever end of a connection it stands.
    return entry.field_class if entry.field_class == "address" else place


def _comparable(value: Any) -> str:  # noqa: ANN401 - any literal
    """One spelling: a member may write an address as it likes, it links all the same."""
    text = str(value).lower()
    if "/" in text or ":" in text:
        return canonical_address(text)
    return text


def marks(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """The TLP levels that an object is marked with as a whole."""
    return tuple(TLP[ref] for ref in marking_refs(obj) if ref in TLP)


def marking_refs(obj: Mapping[str, Any]) -> Sequence[str]:
    """The marking ids of the whole object."""
    refs = obj.get("object_marking_refs")
    return [ref for ref in refs if isinstance(ref, str)] if isinstance(refs, list) else []


def granular(obj: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each selector of a granular marking in our way of writing paths, with the marking's id."""
    markings = obj.get("granular_markings")
    for marking in markings if isinstance(markings, list) else ():
        if isinstance(marking, Mapping) and isinstance(marking.get("marking_ref"), str):
            for selector in marking.get("selectors", ()):
                yield str(selector).replace(".[", "["), marking["marking_ref"]


def under(path: str, selector: str) -> bool:
    """Whether a path is what a selector names, or lies below it."""
    return path == selector or path.startswith((f"{selector}.", f"{selector}["))


def is_range(value: object) -> bool:
    """Whether an address stands for more than one."""
    text = str(value)
    if "/" not in text:
        return False
    if PLAIN_IPV4.fullmatch(text):
        return not text.endswith("/32")
    try:
        return ip_network(text, strict=False).num_addresses > 1
    except ValueError:
        return False
