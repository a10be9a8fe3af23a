"""Say why, in words that a person reads: each field with its rule, and the floor in short."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from exchange.policy.decide import Verdict
from exchange.policy.facts import read
from exchange.policy.terms import Floor


@dataclass(frozen=True, slots=True)
class Line:
    """One field of an original: what it said, what was done with it, why, and what was sent."""

    path: str
    value: str
    treatment: str
    field_class: str
    rule: str
    reason: str
    basis: str
    sent: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the floor in short sentences."""

    title: str
    sentences: tuple[str, ...]


def lens(
    obj: Mapping[str, Any], verdict: Verdict, rendition_body: bytes | None
) -> tuple[Line, ...]:
    """Every leaf of an original with its ruling, beside what the rendition says in its place."""
    originals = leaves(obj)
    sent: dict[str, Any] = {}
    if rendition_body is not None:
        rendition = read(json.loads(rendition_body))
        sent = {leaf.path: leaf.value for leaf in rendition.leaves}
    return tuple(
        Line(
            path=path,
            value=originals.get(path, ""),
            treatment=ruling.treatment.name.lower(),
            field_class=ruling.field_class,
            rule=ruling.rule,
            reason=ruling.reason,
            basis=ruling.basis,
            sent=_shown(sent[path]) if path in sent else None,
        )
        for path, ruling in verdict.rulings
    )


def leaves(obj: Mapping[str, Any]) -> dict[str, str]:
    """Every leaf of an object and every literal of its pattern, by path, fit to be shown."""
    subject = read(obj)
    found = {leaf.path: _shown(leaf.value) for leaf in subject.leaves}
    return found | {f"pattern[{lit.index}]": _shown(lit.value) for lit in subject.literals}


def beside(lines: Sequence[Line], rendition_body: bytes) -> tuple[Line, ...]:
    """The same rulings beside what other bytes say in the place of each field."""
    sent = {leaf.path: leaf.value for leaf in read(json.loads(rendition_body)).leaves}
    return tuple(
        replace(line, sent=_shown(sent[line.path]) if line.path in sent else None) for line in lines
    )


def floor_in_words(floor: Floor) -> tuple[Section, ...]:
    """The floor in short sections: what passes, what is held, when it leaves, and by which law."""
    document = floor.document
    types = document["types"]
    return (
        Section("What may leave", (f"Objects: {', '.join(types['pass'])}.",)),
        Section("What leaves as a token", (f"{', '.join(types['tokenised'])}.",)),
        Section("What a person judges first", tuple(_held(document))),
        Section("What stays", (f"{', '.join(types['withheld'])}.",)),
        Section("What is refused", (f"{', '.join(types['refused'])}; anything with a secret.",)),
        Section("What is done with each class of field", tuple(_classes(floor))),
        Section("When it leaves", (document["note"], "Ordinary revocations leave at 00:00 UTC.")),
        Section("Legal bases", tuple(_bases(document))),
    )


def _held(document: Mapping[str, Any]) -> list[str]:
    by_class: dict[str, list[str]] = {}
    for stix_type, hold_class in document["types"]["held"].items():
        by_class.setdefault(hold_class, []).append(stix_type)
    named = document["approvers"]
    return [
        f"{document['hold_classes'][name]}: {', '.join(sorted(stix_types))}; "
        f"judged by {' and '.join(named.get(name, named['default']))}."
        for name, stix_types in sorted(by_class.items())
    ]


def _classes(floor: Floor) -> list[str]:
    lines = []
    for name, ruling in floor.rulings.items():
        at_s3 = floor.rulings_s3[name]
        more = "" if at_s3 == ruling else f" At S3: {at_s3.treatment.name.lower()}. {at_s3.reason}"
        lines.append(f"{name}: {ruling.treatment.name.lower()}. {ruling.reason}{more}")
    return lines


def _bases(document: Mapping[str, Any]) -> list[str]:
    return [
        f"{basis['title']}: in force from {basis['from']}"
        + (f" until {basis['until']}." if basis["until"] else ".")
        for basis in document["legal_bases"]
    ]


def _shown(value: object) -> str:
    # Bidirectional and other control characters must not dress a value up on a page.
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
