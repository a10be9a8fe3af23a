"""Policies as documents: one YAML form, read safely, judged by a published schema, fault by fault.

The form is a plain subset of YAML: no anchors or aliases, no tags, no key twice, no dates or
floats; what is not quoted is a string, a whole number, true, false or null. So a document means
the same to every reader, and its digest is that of its JSON form (RFC 8785).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs
import yaml

from exchange.policy import catalogue, holds, terms
from exchange.proof import jcs
from exchange.proof.refused import Refused
from indicators.stix import plain

Kind = Literal["floor", "member"]
KINDS: tuple[Kind, ...] = ("floor", "member")
MOST_OCTETS = 131_072
MOST_VALUES = 20_000
MOST_FAULTS = 40
_LIMITS = plain.Limits(MOST_OCTETS, MOST_VALUES, deepest=8, noun="A policy")
BOTH_COUNSELS = frozenset({"forum-counsel", "contributor-counsel"})
_SCHEMAS = Path(__file__).with_name("schemas")
_FILES: Mapping[Kind, str] = {
    "floor": "floor.schema.json",
    "member": "member-policy.schema.json",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, in a sentence, and where: the path, and the line where there is a text."""

    path: str
    line: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A text that was read: the document if it has no fault, else every fault that was found."""

    document: Mapping[str, Any] | None
    faults: tuple[Fault, ...]


def schema(kind: Kind, *, address: str = "") -> dict[str, Any]:
    """The published schema of a kind of document; `address` is where it is served."""
    found: dict[str, Any] = json.loads((_SCHEMAS / _FILES[kind]).read_text(encoding="utf-8"))
    return {**found, "$id": address or found["$id"]}


def check(text: str, kind: Kind) -> Checked:
    """Read a text and judge it; the faults in the order of their lines."""
    try:
        document, lines = plain.read(text, _LIMITS)
    except plain.Unreadable as fault:
        return Checked(None, (Fault(fault.path, fault.line, fault.sentence),))
    faults = [
        Fault(fault.path, plain.line_of(lines, fault.path), fault.sentence)
        for fault in faults_of(document, kind)
    ]
    if faults:
        return Checked(None, tuple(sorted(faults, key=lambda one: one.line or 0)))
    return Checked(document, ())


def read(text: str, kind: Kind) -> Mapping[str, Any]:
    """The document that a text states; Refused names its first fault with place and line."""
    checked = check(text, kind)
    if checked.document is None:
        first = checked.faults[0]
        place = f"line {first.line}: {first.path}" if first.line else first.path
        raise Refused("policy.document", first.sentence, place)
    return checked.document


def faults_of(document: object, kind: Kind) -> tuple[Fault, ...]:
    """Everything that keeps a value from being a policy of this kind."""
    by_form = tuple(_by_schema(document, kind))
    if by_form or not isinstance(document, Mapping):
        return by_form[:MOST_FAULTS]
    by_sense = _FLOOR_SENSE if kind == "floor" else _MEMBER_SENSE
    found = tuple(fault for rule in by_sense for fault in rule(document))
    return found[:MOST_FAULTS] or tuple(_by_parser(document, kind))


def digest(document: Mapping[str, Any]) -> bytes:
    """The SHA-256 of the document's canonical JSON."""
    return sha256(jcs.encode(document)).digest()


def write(document: Mapping[str, Any]) -> str:
    """A document as YAML, in its own order; what is read back is equal to it."""
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )


class _Dumper(yaml.SafeDumper):
    """Writes out what occurs twice, and quotes what other readers would take for a date."""

    def ignore_aliases(self, data: object) -> bool:
        return True


# --- by form -------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _validator(kind: Kind) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema(kind))


def _by_schema(document: object, kind: Kind) -> Iterator[Fault]:
    try:
        errors = list(_validator(kind).iter_errors(document))
    except (TypeError, ValueError):
        yield Fault("", None, "It is not made of names, texts, whole numbers, lists and tables.")
        return
    for error in errors:
        path = ""
        for part in error.instance_path:
            path = f"{path}[{part}]" if isinstance(part, int) else plain.step(path, part)
        # What it says is the author's own text, shown to the author alone.
        sentence = str(error.message).rstrip(".")
        yield Fault(path, None, f"{sentence[:1].upper()}{sentence[1:300]}.")


# --- by sense ------------------------------------------------------------------------------------


def _by_parser(document: Mapping[str, Any], kind: Kind) -> Iterator[Fault]:
    try:
        if kind == "floor":
            terms.Floor.parse(document)
        else:
            terms.MemberPolicy.parse(document)
    except Refused as refused:
        yield Fault(refused.path, None, refused.sentence)


def _rules_are_there(document: Mapping[str, Any]) -> Iterator[Fault]:
    # The engine names these rules; one that is missing could not say why something was removed.
    for name in sorted(set(terms.shipped_floor()["rules"]) - set(document["rules"])):
        yield Fault("rules", None, f"The rule {name} is missing.")


def _holds_agree(document: Mapping[str, Any]) -> Iterator[Fault]:
    rules, named = document["holds"], document["hold_classes"]
    for place, rule, hold_class in _held_by(document):
        if rule not in rules:
            yield Fault(place, None, f"There is no hold rule {rule} that says why.")
        elif rules[rule]["class"] != hold_class:
            yield Fault(place, None, f"The hold rule {rule} names another class.")
    for rule, row in rules.items():
        if row["class"] not in named:
            yield Fault(f"holds.{rule}", None, f"hold_classes does not name {row['class']}.")
    for rule in sorted(holds.ALWAYS - set(rules)):
        yield Fault("holds", None, f"The hold rule {rule} is missing.")


def _held_by(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each section that holds something: the place, the rule that must say why, the class."""
    for name, hold_class in document["types"]["held"].items():
        yield f"types.held.{name}", f"type-{name}", hold_class
    for name, hold_class in document["relationships"]["held"].items():
        yield f"relationships.held.{name}", f"relationship-{name}", hold_class
    for name, row in document["kinds"].items():
        if "held" in row:
            yield f"kinds.{name}.held", f"kind-{name}", row["held"]
    for name, hold_class in document["declared_holds"].items():
        yield f"declared_holds.{name}", f"declared-{name}", hold_class
    for name, row in document["tripwires"].items():
        yield f"tripwires.{name}", name, row["class"]


def _catalogue_is_covered(document: Mapping[str, Any]) -> Iterator[Fault]:
    known = {*document["rules"], *document["holds"]}
    for name, row in document["catalogue"].items():
        for rule in row["rules"]:
            if rule not in known:
                yield Fault(f"catalogue.{name}.rules", None, f"There is no rule {rule}.")


def _approvers_are_two(document: Mapping[str, Any]) -> Iterator[Fault]:
    named = document["approvers"]
    for name in ("C13", "C16"):
        if set(named.get(name, named["default"])) != BOTH_COUNSELS:
            sentence = "The forum's counsel and the contributor's decide these together."
            yield Fault(f"approvers.{name}", None, sentence)
    for name, people in named.items():
        if "forum-counsel" not in people:
            yield Fault(f"approvers.{name}", None, "The forum's counsel is always asked.")
        if name not in (*document["hold_classes"], "default"):
            yield Fault(f"approvers.{name}", None, f"hold_classes does not name {name}.")


def _types_are_parted(document: Mapping[str, Any]) -> Iterator[Fault]:
    types = document["types"]
    for one in ("tokenised", "withheld", "refused"):
        for other in ("pass", "tokenised", "held", "withheld", "refused"):
            for name in sorted(set(types[one]) & set(types[other])) if one != other else ():
                yield Fault(f"types.{one}", None, f"{name} stands in {other} too.")


def _dates_are_in_order(document: Mapping[str, Any]) -> Iterator[Fault]:
    ids: set[str] = set()
    for place, basis in enumerate(document["legal_bases"]):
        if basis["until"] is not None and basis["until"] < basis["from"]:
            yield Fault(f"legal_bases[{place}].until", None, "It ends before it begins.")
        if basis["id"] in ids:
            yield Fault(f"legal_bases[{place}].id", None, "Another basis has this id.")
        ids.add(basis["id"])


def _kinds_are_known(document: Mapping[str, Any]) -> Iterator[Fault]:
    kinds = document["kinds"]
    for section in ("kind_of_type", "kind_of_observable"):
        for name, kind in document[section].items():
            if kind not in kinds:
                yield Fault(f"{section}.{name}", None, f"There is no kind {kind}.")
    if document["kind_of_api_key"] not in kinds:
        yield Fault("kind_of_api_key", None, "There is no such kind.")
    for section in ("default_days", "address_days"):
        if document[section] > document["days_at_most"]:
            yield Fault(section, None, "This is more than days_at_most.")


def _recipients_are_named_once(document: Mapping[str, Any]) -> Iterator[Fault]:
    both = set(document.get("deny_recipients", ())) & set(document.get("allow_recipients", ()))
    if both:
        yield Fault("allow_recipients", None, "One of these is in deny_recipients too.")


def _names_are_known(document: Mapping[str, Any]) -> Iterator[Fault]:
    shipped = terms.shipped_floor()
    classes, kinds = set(shipped["classes"]), set(shipped["kinds"])
    for place, name in enumerate(document.get("drop_classes", ())):
        if name not in classes:
            yield Fault(f"drop_classes[{place}]", None, "There is no such class of fields.")
    listed = {"drop_kinds": document.get("drop_kinds", ())}
    listed |= {f"deny_kinds.{who}": some for who, some in document.get("deny_kinds", {}).items()}
    for circle, row in document.get("in_circles", {}).items():
        listed[f"in_circles.{circle}.drop_kinds"] = row.get("drop_kinds", ())
    for section, names in listed.items():
        for place, name in enumerate(names):
            if name not in kinds:
                yield Fault(f"{section}[{place}]", None, "There is no such kind of indicator.")


def _reasons_have_their_setting(document: Mapping[str, Any]) -> Iterator[Fault]:
    for name in document.get("reasons", {}):
        if name not in document:
            yield Fault(f"reasons.{name}", None, "This setting is not in the policy.")
    circles = document.get("in_circles", {})
    named = {*circles, *document.get("deny_circles", ()), *document.get("deny_kinds", {})}
    for row in (document, *circles.values()):
        named |= {*row.get("deny_recipients", ()), *row.get("allow_recipients", ())}
    for name in set(document.get("because", {})) - named:
        yield Fault(f"because.{name}", None, "The policy does not name this one.")


# What the exchange writes whatever came in.
_OURS = ("structure", "marking", "issued-anew")
_STATED = (
    *("indicator.valid_until", ".context.indicator_kind", ".context.sensitivity"),
    ".context.threat_basis[]",
)


def _properties_are_known(document: Mapping[str, Any]) -> Iterator[Fault]:
    known = catalogue.properties()
    for place, name in enumerate(document.get("drop_properties", ())):
        if name not in known:
            yield Fault(f"drop_properties[{place}]", None, "The catalogue has no such property.")
        elif known[name].field_class in _OURS or name.endswith(_STATED):
            sentence = "The exchange states this itself: without it there is no object."
            yield Fault(f"drop_properties[{place}]", None, sentence)


_FLOOR_SENSE = (
    _rules_are_there,
    _holds_agree,
    _catalogue_is_covered,
    _approvers_are_two,
    _types_are_parted,
    _dates_are_in_order,
    _kinds_are_known,
    _properties_are_known,
)
_MEMBER_SENSE = (
    _recipients_are_named_once,
    _names_are_known,
    _reasons_have_their_setting,
    _properties_are_known,
)
