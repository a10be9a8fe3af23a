"""Decide contributions under two policies and say, audience by audience, what is otherwise.

A contribution is taken as if it left now, all at once, to today's recipients. What it refers to
outside itself resolves as it does for each of them today; another member's object resolves for
all, for who holds that is nobody's to know.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from exchange import audiences, constants, lists
from exchange.audiences import InForce
from exchange.models import Hold, Outcome
from exchange.policy import decide, difference, facts
from exchange.policy.closure import Due, close
from exchange.policy.difference import Change, Seen
from exchange.policy.facts import Facts
from exchange.policy.outcomes import Standing, cleared
from exchange.policy.terms import MemberPolicy, Terms
from exchange.policy.tokens import Scope
from indicators import store
from indicators.models import Contribution, Item
from indicators.stix import references

CountKey = tuple[str, int, str, str]  # way, audience, class, rule
_Opened = dict[tuple[Terms, bool], Mapping[int, decide.Verdict]]


@dataclass(frozen=True, slots=True)
class Sides:
    """The policy in force and the draft, for one contributor."""

    before: InForce
    after: InForce


@dataclass(frozen=True, slots=True)
class Label:
    """How an audience is called: its recipients, or, without any, its circle."""

    circle_id: UUID
    recipients: tuple[UUID, ...]

    @property
    def key(self) -> int:
        """A number that every worker gives to the same audience."""
        said = self.circle_id.bytes + b"".join(one.bytes for one in sorted(self.recipients))
        return int.from_bytes(sha256(said).digest()[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class Group:
    """Recipients with equal terms under the one policy, and under the other."""

    before: Terms
    after: Terms
    members: tuple[UUID, ...]
    label: Label
    # Whether the reader may see who exactly: not where that would tell whose objects these are.
    is_named: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One change of one object, and the audiences that would see it."""

    outcome_id: int
    object_id: UUID
    stix_type: str
    change: Change
    audiences: tuple[int, ...]
    classes: tuple[str, ...]  # of the fields within, where the whole object comes or goes


@dataclass(slots=True)
class Found:
    """What came of a part: lines, their audiences, and counts over both."""

    lines: list[Line] = field(default_factory=list)
    labels: dict[int, Label] = field(default_factory=dict)
    objects: Counter[CountKey] = field(default_factory=Counter)
    fields: Counter[CountKey] = field(default_factory=Counter)

    def counts(self) -> list[list[Any]]:
        """Rows of [way, audience, class, rule, objects, fields]."""
        keys = sorted(self.objects.keys() | self.fields.keys())
        return [[*key, self.objects[key], self.fields[key]] for key in keys]


@dataclass(slots=True)
class _Loaded:
    """One contribution with everything that deciding it needs."""

    row: Contribution
    order: list[int]
    objects: Mapping[int, dict[str, Any]]
    due: list[Outcome]
    approved: Mapping[int, frozenset[str]]


@dataclass(slots=True)
class _Subject:
    """One object that could leave, as it stands under each policy."""

    outcome: Outcome
    obj: Mapping[str, Any]
    facts: Facts
    before: Standing
    after: Standing
    is_foreign: bool


def part(
    contributor_id: UUID,
    contribution_ids: Sequence[UUID],
    sides: Sides,
    *,
    is_floor: bool,
    now: datetime,
) -> Found:
    """Decide some contributions of one member."""
    found = Found()
    loaded = list(_load(contributor_id, contribution_ids))
    groups = {
        circle_id: groups_of(contributor_id, circle_id, sides, is_floor=is_floor, now=now)
        for circle_id in {one.row.circle_id for one in loaded}
    }
    stood = [(one, _stand(one, sides)) for one in loaded]
    names = lists.names_of(
        contributor_id, [_leaving(subject) for _, subjects in stood for subject in subjects]
    )
    mine = {row.id for row in names.objects.values() if row.member_id == contributor_id}
    recipients = {member for some in groups.values() for one in some for member in one.members}
    held = lists.holdings(mine, recipients) if mine else {}
    for one, subjects in stood:
        for subject in subjects:
            subject.is_foreign = names.is_foreign(subject.obj, contributor_id)
        _compare(found, one, subjects, groups[one.row.circle_id], _Elsewhere(names, held, now))
    return found


def groups_of(
    contributor_id: UUID, circle_id: UUID, sides: Sides, *, is_floor: bool, now: datetime
) -> tuple[Group, ...]:
    """A circle's recipients by their terms under both policies; the contributor is left out.

    For the forum's counsel a group has the name of all whom the floor alone treats alike: what a
    member's own policy does to whom would tell whose objects these are.
    """
    pairs = _by_pairs(contributor_id, circle_id, sides, now=now)
    called: Mapping[UUID, tuple[UUID, ...]] = {}
    if is_floor:
        bare = Sides(_without_policy(sides.before), _without_policy(sides.after))
        alike = _by_pairs(contributor_id, circle_id, bare, now=now).values()
        called = {member: tuple(sorted(members)) for members in alike for member in members}
    made = []
    for (before, after), members in pairs.items():
        others = tuple(sorted(member for member in members if member != contributor_id))
        is_shut_out = before.withhold_all is not None and after.withhold_all is not None
        if not others or is_shut_out:
            continue
        named = others
        if is_floor:
            named = tuple(sorted({one for member in others for one in called[member]}))
        made.append(Group(before, after, others, Label(circle_id, named), is_named=not is_floor))
    return tuple(made)


def _by_pairs(
    contributor_id: UUID, circle_id: UUID, sides: Sides, *, now: datetime
) -> Mapping[tuple[Terms, Terms], list[UUID]]:
    under = [
        {
            member: terms
            for terms, members in audiences.by_terms(
                contributor_id, circle_id, force, now=now
            ).items()
            for member in members
        }
        for force in (sides.before, sides.after)
    ]
    pairs: dict[tuple[Terms, Terms], list[UUID]] = defaultdict(list)
    for member, terms in under[0].items():
        pairs[(terms, under[1][member])].append(member)
    return pairs


def _without_policy(force: InForce) -> InForce:
    return InForce(force.floor_id, force.floor, None, MemberPolicy.none(), "")


# --- reading -------------------------------------------------------------------------------------


def _load(contributor_id: UUID, contribution_ids: Sequence[UUID]) -> Iterator[_Loaded]:
    order: dict[UUID, dict[int, None]] = defaultdict(dict)
    items = Item.objects.filter(contribution_id__in=contribution_ids, version__isnull=False)
    for contribution_id, version_id in items.order_by("position").values_list(
        "contribution_id", "version_id"
    ):
        if version_id is not None:
            order[contribution_id][version_id] = None
    due: dict[UUID, list[Outcome]] = defaultdict(list)
    rows = Outcome.objects.filter(
        contribution_id__in=contribution_ids, replaced=False, version__object__state="live"
    ).select_related("version__object")
    for row in rows.order_by("id"):
        due[row.contribution_id].append(row)
    approved = _approved(contribution_ids)
    wanted = list({pk for ids in order.values() for pk in ids})
    objects = store.originals(contributor_id, wanted)
    for contribution in Contribution.objects.filter(pk__in=contribution_ids):
        known = [pk for pk in order[contribution.id] if pk in objects]
        mine = [row for row in due[contribution.id] if row.version_id in objects]
        yield _Loaded(contribution, known, objects, mine, approved)


def _approved(contribution_ids: Sequence[UUID]) -> Mapping[int, frozenset[str]]:
    found: dict[int, frozenset[str]] = {}
    holds = Hold.objects.filter(
        outcome__contribution_id__in=contribution_ids, state=Hold.State.RELEASED
    )
    for outcome_id, rule in holds.values_list("outcome_id", "rule"):
        found[outcome_id] = found.get(outcome_id, frozenset()) | {rule}
    return found


def _stands_on(force: audiences.InForce) -> tuple[object, ...]:
    """What a standing depends on, of the two policies."""
    return force.floor, force.policy.reject_classes, force.policy.days_at_most


def _stand(one: _Loaded, sides: Sides) -> list[_Subject]:
    """What holds for all recipients, over the whole contribution, under each policy."""
    given = audiences.context(one.row, sides.before.policy, now=one.row.received_at)
    given = replace(given, found={})
    read = [facts.read(one.objects[pk]) for pk in one.order]
    before = decide.standing(read, given, sides.before.floor)
    after = before
    if _stands_on(sides.after) != _stands_on(sides.before):
        given = replace(given, policy=sides.after.policy)
        after = decide.standing(read, given, sides.after.floor)
    place = {pk: index for index, pk in enumerate(one.order)}
    public = constants.ids()
    subjects = []
    for row in one.due:
        at = place.get(row.version_id)
        if at is None or read[at].stix_id in public:
            continue
        said = one.approved.get(row.id, frozenset())
        was = cleared(before[at], said)
        will = was if after is before else cleared(after[at], said)
        subjects.append(_Subject(row, read[at].obj, read[at], was, will, is_foreign=False))
    return subjects


def _leaving(subject: _Subject) -> lists.Leaving:
    return lists.Leaving(
        outcome_id=subject.outcome.id,
        version=subject.outcome.version,
        obj=subject.obj,
        standing=subject.before,
        nominal_at=subject.outcome.contribution.received_at
        if subject.outcome.due_at is None
        else subject.outcome.due_at,
    )


# --- comparing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """What stands outside the contribution: where its names lead, and who holds what of that."""

    names: lists.Names
    held: lists.Holdings
    now: datetime

    def resolvable(self, member_id: UUID, own: frozenset[str], mine: UUID) -> dict[str, str]:
        """What a recipient can resolve of the names that are not the contribution's own."""
        refs = {name: name for name in self.names.public}
        for name, row in self.names.objects.items():
            if row.member_id != mine:
                refs[name] = name
            elif name not in own:
                newest = self.held.get((member_id, row.id), ())
                if newest:
                    refs[name] = newest[-1].stix_id
        return refs


def _compare(
    found: Found,
    one: _Loaded,
    subjects: Sequence[_Subject],
    groups: Iterable[Group],
    elsewhere: _Elsewhere,
) -> None:
    """The changes of one contribution, each once, with all the audiences that would see it."""
    own = frozenset(str(subject.obj["id"]) for subject in subjects)
    wanted = {ref for subject in subjects for _, ref in references.of(subject.obj)}
    told: dict[int, dict[Change, set[int]]] = defaultdict(lambda: defaultdict(set))
    within: dict[int, set[str]] = defaultdict(set)
    by_id = {subject.outcome.id: subject for subject in subjects}
    opened: _Opened = {}
    for group in groups:
        pairs = _verdicts(subjects, group, opened)
        for refs, members in _alike(group, own, wanted, one.row.member_id, elsewhere).items():
            label = group.label
            if group.is_named:
                label = Label(label.circle_id, tuple(members))
            seen = _seen(subjects, pairs, group, dict(refs), elsewhere.now)
            for outcome_id, (before, after) in seen.items():
                named = label
                if by_id[outcome_id].is_foreign:
                    named = Label(label.circle_id, ())
                changes = [
                    change if group.is_named else _unnamed(change)
                    for change in difference.between(before, after)
                ]
                within[outcome_id] |= _note(
                    found, told[outcome_id], changes, (before, after), named
                )
    for outcome_id, noted in told.items():
        row = by_id[outcome_id].outcome
        found.lines += [
            Line(
                outcome_id,
                row.version.object_id,
                row.version.object.stix_type,
                change,
                tuple(sorted(keys)),
                tuple(sorted(within.get(outcome_id, ()))) if change.path == "" else (),
            )
            for change, keys in noted.items()
        ]


def _alike(
    group: Group,
    own: frozenset[str],
    wanted: set[str],
    contributor_id: UUID,
    elsewhere: _Elsewhere,
) -> Mapping[tuple[tuple[str, str], ...], list[UUID]]:
    """Members of a group by what they can resolve of what this contribution refers to."""
    alike: dict[tuple[tuple[str, str], ...], list[UUID]] = defaultdict(list)
    for member in group.members:
        refs = elsewhere.resolvable(member, own, contributor_id)
        alike[tuple(sorted(pair for pair in refs.items() if pair[0] in wanted))].append(member)
    return alike


def _verdicts(
    subjects: Sequence[_Subject], group: Group, opened: _Opened
) -> Mapping[int, tuple[decide.Verdict, decide.Verdict]]:
    pairs = {}
    old = _opened(subjects, group.before, opened, is_draft=False)
    new = _opened(subjects, group.after, opened, is_draft=True)
    for subject in subjects:
        key = subject.outcome.id
        before = decide.beside(old[key], subject.facts, subject.before, group.before)
        after = before
        if group.before != group.after or subject.before is not subject.after:
            after = decide.beside(new[key], subject.facts, subject.after, group.after)
        pairs[key] = (before, after)
    return pairs


def _opened(
    subjects: Sequence[_Subject], terms: Terms, opened: _Opened, *, is_draft: bool
) -> Mapping[int, decide.Verdict]:
    """Every field ruled on once for all audiences whose terms treat fields alike."""
    bare = (terms.open(), is_draft)
    if bare not in opened:
        opened[bare] = {
            subject.outcome.id: decide.verdict(
                subject.facts, subject.after if is_draft else subject.before, bare[0]
            )
            for subject in subjects
        }
    return opened[bare]


def _seen(
    subjects: Sequence[_Subject],
    pairs: Mapping[int, tuple[decide.Verdict, decide.Verdict]],
    group: Group,
    refs: Mapping[str, str],
    now: datetime,
) -> dict[int, tuple[Seen, Seen]]:
    """What an audience sees under each policy; nothing where all is decided alike."""
    bare = {}
    for subject in subjects:
        before, after = pairs[subject.outcome.id]
        bare[subject.outcome.id] = (
            Seen(subject.before, before, None, _wait(group.before, subject.before)),
            Seen(subject.after, after, None, _wait(group.after, subject.after)),
        )
    if all(difference.alike(before, after) for before, after in bare.values()):
        return {}
    scope = audiences.token_scope(group.label.circle_id, now=now)
    old = _contents(subjects, {key: pair[0] for key, pair in bare.items()}, refs, scope)
    new = _contents(subjects, {key: pair[1] for key, pair in bare.items()}, refs, scope)
    return {
        key: (
            Seen(before.standing, before.verdict, old.get(key), before.wait_seconds),
            Seen(after.standing, after.verdict, new.get(key), after.wait_seconds),
        )
        for key, (before, after) in bare.items()
    }


def _contents(
    subjects: Sequence[_Subject], bare: Mapping[int, Seen], refs: Mapping[str, str], scope: Scope
) -> Mapping[int, Mapping[str, Any]]:
    due = [
        Due(
            key=subject.outcome.id,
            obj=subject.facts,
            standing=bare[subject.outcome.id].standing,
            verdict=bare[subject.outcome.id].verdict,
            forum_id=f"{subject.obj['type']}--{subject.outcome.version.object_id}",
            name=subject.outcome.version.object.name,
        )
        for subject in subjects
    ]
    closed = close(due, resolvable=refs, tokens=scope)
    return {key: shape.content for key, shape in closed.shapes.items()}


def _wait(terms: Terms, standing: Standing) -> int:
    if standing.outcome != Outcome.Kind.ACCEPTED:
        return 0
    return terms.floor.window_seconds(standing.sensitivity) + terms.delay(standing.sensitivity)


def _unnamed(change: Change) -> Change:
    """For the forum's counsel a member's rule is a member's rule: its version would link."""
    before, after = (
        "member" if rule.startswith("member/") else rule
        for rule in (change.rule_before, change.rule_after)
    )
    return replace(change, rule_before=before, rule_after=after)


def _note(
    found: Found,
    told: dict[Change, set[int]],
    changes: Iterable[Change],
    pair: tuple[Seen, Seen],
    label: Label,
) -> set[str]:
    """Write an object's changes down for one audience, and count them; the classes within."""
    classes: set[str] = set()
    for change in changes:
        if label.key in told[change]:
            continue  # the circle as a whole is told once, whichever group it was
        told[change].add(label.key)
        found.labels[label.key] = label
        key = (change.way, label.key, change.field_class, change.because)
        found.objects[key] += change.path == ""
        found.fields[key] += change.path != ""
        if change.path == "" and change.way in (difference.SHOWN, difference.HIDDEN):
            within = difference.classes(pair[change.way == difference.SHOWN])
            classes |= within.keys()
            for field_class, n in within.items():
                found.fields[(change.way, label.key, field_class, change.because)] += n
    return classes
