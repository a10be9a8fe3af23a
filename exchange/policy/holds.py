"""Why a person must judge an object before it goes to anyone: each reason, never a bare yes."""

from collections.abc import Iterator
from dataclasses import dataclass

from exchange.policy import catalogue, coarsen, detectors, facts
from exchange.policy.catalogue import TLP
from exchange.policy.facts import Facts, Literal
from exchange.policy.outcomes import Context, HoldReason
from exchange.policy.terms import Floor
from indicators.stix import warninglists

# Classes whose values are formal, whatever they say. A personal value is one too: it is tokenised.
_TYPED = frozenset({"structure", "marking", "reference", "linkage", "timing", "personal"})
# The rules that need no table of the floor to apply; each has its sentence there.
ALWAYS = frozenset(
    ("terms-of-service-only", "unannounced-capability", "foreign-marking", "restricted-source")
    + ("over-cap", "shared-list", "few-prompts", "no-base-rate")
)
_ODD = "an unknown property"
_UNREAD = frozenset({"type", "id", "spec_version", "created", "modified", "pattern"})


@dataclass(frozen=True, slots=True)
class Linked:
    """What the rest of the contribution says about an object, as far as holds depend on it."""

    has_base_rate: bool = False
    is_shared_checked: bool = False
    few_prompts: bool = False


def of(
    subject: Facts, *, kind: str | None, linked: Linked, context: Context, floor: Floor
) -> tuple[HoldReason, ...]:
    """The reasons to hold an object, each once, in a fixed order."""
    names = [
        *_by_type(subject, floor),
        *_by_basis(subject, context, floor),
        *_by_declaration(subject, floor),
        *_by_marking(subject, context, floor),
        *_by_range(subject, linked, floor),
        *_by_evidence(subject, kind, linked, floor),
    ]
    places: dict[str, tuple[str, ...]] = dict.fromkeys(names, ())
    places |= _by_text(subject, context, floor)
    reasons = (_reason(floor, name, where) for name, where in places.items())
    return tuple(sorted(reasons, key=lambda one: one.rule))


def _reason(floor: Floor, name: str, places: tuple[str, ...]) -> HoldReason:
    """Class, sentence and basis stand in the floor under the name of the rule."""
    row = floor.document["holds"][name]
    hold_class = row["class"]
    rule = f"floor/{floor.version}/hold/{hold_class}/{name}"
    approvers = floor.approvers(hold_class)
    return HoldReason(hold_class, rule, row["reason"], row["basis"], approvers, places)


def _by_type(subject: Facts, floor: Floor) -> Iterator[str]:
    if subject.stix_type in floor.document["types"]["held"]:
        yield f"type-{subject.stix_type}"
    relationship = str(subject.obj.get("relationship_type", ""))
    is_held = relationship in floor.document["relationships"]["held"]
    if subject.stix_type == "relationship" and is_held:
        yield f"relationship-{relationship}"


def _by_basis(subject: Facts, context: Context, floor: Floor) -> Iterator[str]:
    rule = floor.document["threat_basis"]
    bases = subject.context.get("threat_basis") or context.default_basis
    alone = set(bases) <= set(rule["not_enough_alone"])
    if subject.stix_type in rule["asked_of"] and bases and alone:
        yield "terms-of-service-only"


def _by_declaration(subject: Facts, floor: Floor) -> Iterator[str]:
    declared = subject.context.get("hold_reason")
    if declared in floor.document["declared_holds"]:
        yield f"declared-{declared}"
    announced = set(floor.document["announced_capabilities"])
    if set(subject.context.get("capability_targets", ())) - announced:
        yield "unannounced-capability"


def _by_marking(subject: Facts, context: Context, floor: Floor) -> Iterator[str]:
    refs = {*facts.marking_refs(subject.obj), *(ref for _, ref in facts.granular(subject.obj))}
    if refs - set(TLP) - context.constants:
        yield "foreign-marking"
    sources = subject.obj.get("external_references")
    named = {
        str(source.get("source_name"))
        for source in (sources if isinstance(sources, list) else ())
        if isinstance(source, dict)
    }
    if named & set(floor.document["restricted_sources"]):
        yield "restricted-source"


def _by_range(subject: Facts, linked: Linked, floor: Floor) -> Iterator[str]:
    check = subject.context.get("shared_infrastructure_check", {})
    is_shared = check.get("verdict") == "shared" or linked.is_shared_checked
    lists = set(floor.document["shared_lists"])
    for value in _addresses(subject):
        if not facts.is_range(value):
            continue
        version, prefix = coarsen.width(value)
        if prefix < floor.document["ranges"][f"ipv{version}_prefix"]:
            yield "over-cap"
        if not is_shared and lists & set(warninglists.hits(value)):
            yield "shared-list"


def _addresses(subject: Facts) -> Iterator[str]:
    for literal in subject.literals:
        if literal.entry is not None and literal.entry.field_class == "address":
            yield str(literal.value)
    if subject.stix_type in ("ipv4-addr", "ipv6-addr"):
        yield str(subject.obj.get("value", ""))


def _by_evidence(subject: Facts, kind: str | None, linked: Linked, floor: Floor) -> Iterator[str]:
    if "held" in floor.document["kinds"].get(kind, {}):
        yield f"kind-{kind}"
    if linked.few_prompts:
        yield "few-prompts"
    fingerprint = kind in floor.document["fingerprint_kinds"]
    if subject.stix_type == "api-client-fingerprint" or fingerprint:
        rate = subject.context.get("base_rate_bucket")
        known = rate is not None and rate not in floor.document["no_base_rate"]
        if not known and not linked.has_base_rate:
            yield "no-base-rate"


def _by_text(
    subject: Facts, context: Context, floor: Floor
) -> Iterator[tuple[str, tuple[str, ...]]]:
    named = floor.document["watched_names"]
    watch = context.watch.union(named) if named else context.watch
    for found in _found(subject, context, watch):
        tripwire = floor.document["tripwires"].get(found.detector.id)
        if tripwire and tripwire["hold"]:
            yield found.detector.id, found.places


def _found(subject: Facts, context: Context, watch: frozenset[str]) -> tuple[detectors.Found, ...]:
    kept = None if context.found is None else context.found.get(id(subject))
    if kept is not None and kept[0] == (subject, watch):
        found: tuple[detectors.Found, ...] = kept[1]
        return found
    texts = tuple(texts_of(subject))
    found = detectors.found_at(texts, watch=watch) if texts else ()
    if context.found is not None:
        context.found[id(subject)] = ((subject, watch), found)
    return found


def texts_of(subject: Facts) -> Iterator[tuple[str, str]]:
    """The strings of an object that do not pass, each with its place: a detector reads them.

    A place is a property that the catalogue knows: the name of any other is the contributor's text.
    """
    for leaf in subject.leaves:
        if leaf.parts[0] in _UNREAD:
            continue
        entry = leaf.entry
        if entry is None:  # the name of an unknown property is the contributor's text too
            yield from ((_ODD, str(part)) for part in leaf.parts if _is_odd(part))
        if isinstance(leaf.value, str) and not _is_formal(entry, leaf.value, fits=leaf.fits):
            yield str(leaf.parts[0]) if entry is not None else _ODD, leaf.value
    for literal in subject.literals:
        if isinstance(literal.value, str) and not _passes(literal):
            yield "pattern", literal.value
    if subject.stix_type == "indicator" and subject.pattern is None:
        yield "pattern", str(subject.obj.get("pattern", ""))


def _is_formal(entry: catalogue.Entry | None, value: str, *, fits: bool) -> bool:
    if entry is None:
        return False
    if entry.field_class in _TYPED or (fits and entry.grammar != "text"):
        return True
    return catalogue.is_reference(value)


def _is_odd(part: str | int) -> bool:
    return isinstance(part, str) and not part.startswith("extension")


def _passes(literal: Literal) -> bool:
    entry = literal.entry
    fits = entry is not None and entry.fits(literal.value)
    return _is_formal(entry, str(literal.value), fits=fits)
