"""Decide: what becomes of an object for all alike, and each field's ruling for one audience."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any

from exchange.policy import catalogue, comparisons, facts, fill, holds, links, tokens, vouched
from exchange.policy.catalogue import CONTEXT, TLP, WORDS, Leaf
from exchange.policy.facts import Facts
from exchange.policy.holds import Linked
from exchange.policy.lattice import Ruling, Treatment
from exchange.policy.outcomes import (
    ACCEPTED,
    HELD,
    INCOMPLETE,
    WITHHELD,
    Context,
    Contributed,
    HoldReason,
    Standing,
    cleared,
)
from exchange.policy.terms import OWN_POLICY, Floor, Terms, sensitivity_order
from exchange.proof import jcs

__all__ = ["Context", "Contributed", "HoldReason", "Standing", "Verdict", "cleared", "standing"]
__all__ += ["read", "verdict"]

read = facts.read
FILLED = frozenset({"indicator_kind", "sensitivity", "threat_basis", "count_bucket"})


@dataclass(frozen=True)
class Verdict:
    """All rulings on one object for one audience: what its rendition is made from."""

    withheld: Ruling | None
    rulings: tuple[tuple[str, Ruling], ...]
    tlp: str
    confidence_cap: int
    references: tuple[str, ...] = ()
    required: tuple[tuple[str, ...], ...] = ()  # of each group, one must be resolvable
    # What the exchange would fill into the context, and may not say either.
    unsaid: frozenset[str] = frozenset()

    @cached_property
    def by_path(self) -> Mapping[str, Ruling]:
        """The rulings by the path that they are on."""
        return dict(self.rulings)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the canonical verdict: equal for recipients of one audience.

        Written from parts, for rulings are few and paths are many; the same as of `document`.
        """
        lines = []
        for path, ruling in self.rulings:
            _, before, after = _around(ruling)
            lines.append(before + _written(path) + after)
        rest = _rest(self.tlp, self.withheld)
        return sha256(b'{"rulings":[' + b",".join(lines) + b"]," + rest[1:]).hexdigest()

    def document(self) -> dict[str, Any]:
        """The verdict as plain data, for the record."""
        rulings = [{"path": path, **_plain(ruling)} for path, ruling in self.rulings]
        withheld = _plain(self.withheld) if self.withheld else None
        return {"tlp": self.tlp, "withheld": withheld, "rulings": rulings}

    def missing(self, resolvable: Container[str]) -> tuple[str, ...]:
        """The ends that the object waits for: those of groups of which none is resolvable."""
        groups = [group for group in self.required if not any(end in resolvable for end in group)]
        return tuple(sorted({end for group in groups for end in group}))


def _plain(ruling: Ruling) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "treatment": ruling.treatment.name.lower(),
        "class": ruling.field_class,
        "rule": ruling.rule,
        "reason": ruling.reason,
        "basis": ruling.basis,
    }
    if ruling.parameter is not None:
        plain["parameter"] = {"scale": ruling.parameter.scale, "step": ruling.parameter.step}
    return plain


@lru_cache(maxsize=64)
def _rest(tlp: str, withheld: Ruling | None) -> bytes:
    """What stands behind the rulings of a verdict, as canonical JSON."""
    return jcs.encode({"tlp": tlp, "withheld": _plain(withheld) if withheld else None})


@lru_cache(maxsize=4_096)
def _written(path: str) -> bytes:
    """A path as canonical JSON: the same few hundred stand in nearly all objects."""
    return jcs.encode(path)


# By identity, for to hash a ruling costs more than to write it; kept, so none takes its place.
_LINES: dict[int, tuple[Ruling, bytes, bytes]] = {}
_MOST_LINES = 4_096


def _around(ruling: Ruling) -> tuple[Ruling, bytes, bytes]:
    """A ruling, and its canonical line before and after its path."""
    kept = _LINES.get(id(ruling))
    if kept is None:
        if len(_LINES) >= _MOST_LINES:
            _LINES.clear()
        kept = _LINES[id(ruling)] = (ruling, *_line(ruling))
    return kept


@lru_cache(maxsize=_MOST_LINES)
def _line(ruling: Ruling) -> tuple[bytes, bytes]:
    before, _, after = jcs.encode({**_plain(ruling), "path": ""}).partition(b'"path":""')
    return before + b'"path":', after


# --- once for all recipients ---------------------------------------------------------------------


def standing(
    objects: Sequence[Mapping[str, Any] | Contributed | Facts], context: Context, floor: Floor
) -> tuple[Standing, ...]:
    """What holds of each object of a contribution for all recipients, in the objects' order."""
    subjects = [facts.read(obj.obj if isinstance(obj, Contributed) else obj) for obj in objects]
    kinds = [fill.kind_of(subject, floor) for subject in subjects]
    own = [
        fill.own_sensitivity(subject, kind, floor)
        for subject, kind in zip(subjects, kinds, strict=True)
    ]
    groups = links.by_value(subjects)
    effective = links.inherited(own, links.neighbours(subjects), groups, floor)
    known = links.known_of(subjects, groups, floor)
    keyed = vouched.values(subjects, now=context.now)
    return tuple(
        _stand(
            subjects[i],
            context,
            floor,
            linked=known[i],
            given=(kinds[i], own[i], effective[i]),
            doubtful=vouched.doubtful(subjects[i], keyed, now=context.now),
        )
        for i in range(len(subjects))
    )


def _stand(
    subject: Facts,
    context: Context,
    floor: Floor,
    *,
    linked: Linked,
    given: tuple[str | None, str, str],
    doubtful: frozenset[int],
) -> Standing:
    kind, own, effective = given
    reasons = holds.of(subject, kind=kind, linked=linked, context=context, floor=floor)
    stated = subject.context.get("threat_basis", ())
    basis = tuple(word for word in stated if word in WORDS["bases"]) or context.default_basis
    tlp = _mark(subject, own, floor)
    least = floor.document["reach"]["at_least"].get(min(effective, "S3", key=sensitivity_order))
    unfit, judged = _unfit(subject, context, floor, own=own, tlp=tlp, doubtful=doubtful)
    if unfit is None or judged:
        rejected = _rejected(reasons, context)
        unfit, judged = (rejected, False) if rejected else (unfit, judged)
    asked = subject.stix_type in floor.document["threat_basis"]["asked_of"]
    outcome = ACCEPTED
    if unfit is not None and not (judged and reasons):
        outcome = WITHHELD
    elif asked and not basis:
        outcome = INCOMPLETE
    elif reasons:
        outcome = HELD
    return Standing(
        outcome=outcome,
        holds=reasons if outcome == HELD else (),  # incomplete is never work for counsel
        own_sensitivity=own,
        sensitivity=effective,
        kind=kind,
        threat_basis=basis,
        valid_until=fill.valid_until(subject, kind, floor, most=context.policy.days_at_most),
        tlp=tlp,
        reach=catalogue.stricter_tlp(tlp, least or "clear"),
        sentence=_sentence(outcome, reasons, unfit, floor),
        withheld=unfit if outcome in (WITHHELD, HELD) else None,
        doubtful=doubtful,
    )


def _rejected(reasons: tuple[HoldReason, ...], context: Context) -> Ruling | None:
    """What hits a class that the contributor never sends is not even counsel's work."""
    for reason in reasons:
        if reason.field_class in context.policy.reject_classes:
            text = "The contributor's own policy withholds what hits this class."
            return context.policy.rule(f"reject-{reason.field_class}", "reject_classes", text)
    return None


def _sentence(
    outcome: str, reasons: tuple[HoldReason, ...], unfit: Ruling | None, floor: Floor
) -> str:
    if outcome == WITHHELD and unfit is not None:
        return f"Withheld: {unfit.reason}"
    if outcome == INCOMPLETE:
        return "Incomplete: please add the threat basis; until then it goes to nobody."
    if outcome == HELD:
        why = " ".join(dict.fromkeys(reason.reason for reason in reasons))
        return f"Held for {_people(reasons)}: {why}"
    return "Accepted: what may pass leaves in its window."


def _people(reasons: tuple[HoldReason, ...]) -> str:
    people = {person for reason in reasons for person in reason.approvers}
    if "contributor-counsel" in people:
        return "the forum's counsel and your own"
    return "the forum's counsel"


def _mark(subject: Facts, own: str, floor: Floor) -> str:
    reach = floor.document["reach"]
    levels = list(facts.marks(subject.obj)) or [reach["default"]]
    levels += _granular_on_needed(subject)
    least = reach["at_least"].get(min(own, "S3", key=sensitivity_order))
    return catalogue.stricter_tlp(*levels, least or "clear")


def _granular_on_needed(subject: Facts) -> Iterator[str]:
    # A narrower mark on a part that may be left out removes the part; on one without which there
    # is no object it narrows the whole object.
    needed = catalogue.needed(subject.stix_type)
    for selector, marking in facts.granular(subject.obj):
        if marking in TLP and selector.split(".")[0].split("[")[0] in needed:
            yield TLP[marking]


def _unfit(
    subject: Facts,
    context: Context,
    floor: Floor,
    *,
    own: str,
    tlp: str,
    doubtful: frozenset[int],
) -> tuple[Ruling | None, bool]:
    """Why nothing of an object may pass, if so; and whether a held object is still judged."""
    types = floor.document["types"]
    if subject.stix_id in context.constants:
        return floor.rule("constant"), False
    listed = any(subject.stix_type in types[name] for name in ("pass", "tokenised", "held"))
    if not listed or not catalogue.knows(subject.stix_type):
        return floor.rule("withheld-type"), False
    if own == "S4":
        return floor.rule("s4"), False
    if tlp in floor.document["reach"]["withheld"]:
        return floor.rule("tlp-red"), False
    if not tokens.may_pass(subject.obj, now=context.now):
        return floor.rule("token-scope"), False
    if subject.obj.get("revoked"):
        return floor.rule("revoked"), False
    needed = catalogue.needed(subject.stix_type)
    rulings = _rulings(subject, _bare(floor), own, only=needed, doubtful=doubtful)
    return _lacking(subject, rulings, floor), subject.stix_type in types["held"]


@lru_cache(maxsize=32)
def _bare(floor: Floor) -> Terms:
    """The floor alone, for a recipient that may receive everything."""
    return Terms(
        floor=floor,
        withhold_all=None,
        tlp_ceiling="red",
        tlp_at_least="clear",
        drop_types=frozenset(),
        drop_kinds=frozenset(),
        policy_version=0,
        tightened=(),
        delay_seconds=(),
        legal_basis=None,
    )


# --- for one audience ----------------------------------------------------------------------------


def verdict(obj: Mapping[str, Any] | Facts, standing: Standing, terms: Terms) -> Verdict:
    """A ruling on every field of an object for the audience with these terms."""
    subject = facts.read(obj)
    rulings = _rulings(subject, terms, standing.own_sensitivity, doubtful=standing.doubtful)
    observable = catalogue.is_observable(subject.stix_type)
    reach = catalogue.stricter_tlp(standing.reach, terms.tlp_at_least)
    stamped = catalogue.stricter_tlp(standing.tlp, terms.tlp_at_least)
    withheld = _withheld(subject, standing, terms, reach)
    if withheld is None:
        withheld = _lacking(subject, rulings, terms.floor)
    references = _references(subject, rulings)
    return Verdict(
        withheld=withheld,
        rulings=tuple(rulings.items()),
        tlp=terms.floor.document["reach"]["observables"] if observable else stamped,
        confidence_cap=terms.floor.document["confidence_cap"],
        references=tuple(dict.fromkeys(references.values())),
        required=_required(subject, references),
        unsaid=_unsaid(subject, rulings, terms, standing.own_sensitivity),
    )


def beside(
    verdict: Verdict, obj: Mapping[str, Any] | Facts, standing: Standing, terms: Terms
) -> Verdict:
    """The verdict for these terms, from that for terms that differ only in what they withhold.

    `verdict` is for `terms.open()`: the fields are treated alike, so they need no second ruling.
    """
    subject = facts.read(obj)
    reach = catalogue.stricter_tlp(standing.reach, terms.tlp_at_least)
    withheld = _withheld(subject, standing, terms, reach)
    return verdict if withheld is None else replace(verdict, withheld=withheld)


def _withheld(subject: Facts, standing: Standing, terms: Terms, reach: str) -> Ruling | None:
    if terms.withhold_all is not None:
        return terms.withhold_all
    reasons = {WITHHELD: "withheld-type", HELD: "hold", INCOMPLETE: "incomplete"}
    if standing.outcome != ACCEPTED:
        return standing.withheld or terms.floor.rule(reasons[standing.outcome])
    order = catalogue.TLP_ORDER.index
    if order(reach) > order(terms.tlp_ceiling):
        return terms.floor.rule("above-ceiling")
    rule = f"member/{terms.policy_version}"
    if subject.stix_type in terms.drop_types:
        text = "The contributor's own policy sends no objects of this type."
        return Ruling(Treatment.DROP, "object", f"{rule}/drop-type", text, OWN_POLICY)
    if standing.kind is not None and standing.kind in terms.drop_kinds:
        text = "The contributor's own policy does not send this kind of indicator."
        return Ruling(Treatment.DROP, "object", f"{rule}/drop-kind", text, OWN_POLICY)
    return None


def _rulings(
    subject: Facts,
    terms: Terms,
    own: str,
    *,
    only: frozenset[str] | None = None,
    doubtful: frozenset[int],
) -> dict[str, Ruling]:
    """A ruling for each leaf, or only for those of the properties named."""
    by_class = terms.rulings(own)
    rulings = {
        leaf.path: _ruling(leaf, by_class, terms)
        for leaf in subject.leaves
        if only is None or leaf.parts[0] in only
    }
    if "granular_markings" in subject.obj:
        _obey_granular(subject, rulings, terms.floor)
    login = rulings.get("account_login")
    if login is not None and login.treatment is Treatment.TOKEN and "user_id" in rulings:
        # One account, one token: the second name of it would only tie more to a person.
        rulings["user_id"] = terms.rule("personal-detail", "personal")
    # After the choice of a name for an account: who drops the one does not let the other pass.
    _drop_named(subject, rulings, terms)
    if "kill_chain_phases" in subject.obj:
        _whole_phases(rulings, terms.floor)
    if subject.stix_type == "indicator":
        comparisons.rule_on_pattern(subject, terms, own, rulings, doubtful=doubtful)
    return rulings


def _ruling(leaf: Leaf, by_class: Mapping[str, Ruling], terms: Terms) -> Ruling:
    entry = leaf.entry
    if entry is None:
        return terms.rule("unknown", "unknown")
    ruling = by_class[entry.field_class]
    if ruling.treatment is Treatment.DROP:
        return ruling
    if not leaf.fits:
        rule = "off-list" if catalogue.is_closed(entry.grammar) else "off-grammar"
        return terms.rule(rule, entry.field_class)
    if entry.field_class == "capability":
        if leaf.value not in terms.floor.document["announced_capabilities"]:
            return terms.rule("unannounced", entry.field_class)
    elif ruling.treatment is Treatment.TOKEN and facts.is_range(leaf.value):
        # A token stands for one address; of a range nobody could match it.
        return terms.rule("domain-s3", entry.field_class)
    return ruling


def _drop_named(subject: Facts, rulings: dict[str, Ruling], terms: Terms) -> None:
    """Floor and member may name properties that do not pass, whatever their class."""
    by_floor = terms.floor.document["drop_properties"]
    if not by_floor and not terms.drop_properties:
        return
    for leaf in subject.leaves:
        ruling = rulings.get(leaf.path)
        if ruling is None or ruling.treatment is Treatment.DROP:
            continue
        name = catalogue.property_of(subject.stix_type, leaf.parts)
        if name in by_floor:
            rulings[leaf.path] = terms.rule("drop-property", ruling.field_class)
        elif name in terms.drop_properties:
            rule = f"member/{terms.policy_version}/drop-property"
            text = "The contributor's own policy names this property."
            rulings[leaf.path] = Ruling(Treatment.DROP, ruling.field_class, rule, text, OWN_POLICY)


def _unsaid(
    subject: Facts, rulings: Mapping[str, Ruling], terms: Terms, own: str
) -> frozenset[str]:
    """What is filled from kind, basis and count obeys the same rules as what was written there."""
    if subject.stix_type not in catalogue.CONTEXT_TYPES:
        return frozenset()
    if terms.rulings(own)["threat"].treatment is Treatment.DROP:
        return FILLED
    named = terms.drop_properties.union(terms.floor.document["drop_properties"])
    found = {
        name
        for name in FILLED
        if named
        and not named.isdisjoint(
            (f"{subject.stix_type}.context.{name}", f"{subject.stix_type}.context.{name}[]")
        )
    }
    if "granular_markings" in subject.obj:
        narrower = terms.rule("marked-narrower").rule
        found |= {
            name
            for path, ruling in rulings.items()
            for name in FILLED
            if ruling.rule == narrower and facts.under(path, f"extensions.{CONTEXT}.{name}")
        }
    return frozenset(found)


def _obey_granular(subject: Facts, rulings: dict[str, Ruling], floor: Floor) -> None:
    needed = catalogue.needed(subject.stix_type)
    whole = facts.marks(subject.obj) or (floor.document["reach"]["default"],)
    order = catalogue.TLP_ORDER.index
    for selector, marking in facts.granular(subject.obj):
        if selector.split(".")[0].split("[")[0] in needed:
            continue
        narrower = marking not in TLP or order(TLP[marking]) > max(map(order, whole))
        for path, ruling in rulings.items():
            drops = narrower and ruling.treatment is not Treatment.DROP
            if drops and facts.under(path, selector):
                rulings[path] = floor.rule("marked-narrower", ruling.field_class)


def _whole_phases(rulings: dict[str, Ruling], floor: Floor) -> None:
    for path, ruling in list(rulings.items()):
        if not path.startswith("kill_chain_phases["):
            continue
        item = path.rsplit(".", 1)[0]
        dropped = any(
            rulings[f"{item}.{name}"].treatment is Treatment.DROP
            for name in ("kill_chain_name", "phase_name")
            if f"{item}.{name}" in rulings
        )
        if dropped and ruling.treatment is not Treatment.DROP:
            rulings[path] = floor.rule("off-list", ruling.field_class)


# --- what must be there --------------------------------------------------------------------------


def _lacking(subject: Facts, rulings: Mapping[str, Ruling], floor: Floor) -> Ruling | None:
    """Why what passes makes no object, if so."""
    needed = catalogue.needed(subject.stix_type)
    alive = {
        leaf.parts[0]
        for leaf in subject.leaves
        if leaf.parts[0] in needed and rulings[leaf.path].treatment is not Treatment.DROP
    }
    for group in catalogue.needs(subject.stix_type):
        if not alive.intersection(group):
            cause = next((r for path, r in rulings.items() if _head(path) in group), None)
            return cause or floor.rule("nothing-left")
    return None


def _head(path: str) -> str:
    return path.split(".")[0].split("[")[0]


def _references(subject: Facts, rulings: Mapping[str, Ruling]) -> dict[str, str]:
    """The references that pass, by path."""
    if not catalogue.refers(subject.stix_type):
        return {}
    return {
        leaf.path: leaf.value
        for leaf in subject.leaves
        if leaf.entry is not None
        and leaf.entry.field_class == "reference"
        and rulings[leaf.path].treatment is not Treatment.DROP
    }


def _required(subject: Facts, references: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    groups = []
    for group in catalogue.needs(subject.stix_type):
        ends = {end for path, end in references.items() if _head(path) in group}
        if ends:
            groups.append(tuple(sorted(ends)))
    return tuple(groups)
