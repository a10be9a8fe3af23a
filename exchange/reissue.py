"""Give anew what its recipients lost: a stricter version in its place, or a revocation.

What is given anew says nothing that the earlier version did not say: its verdict is the join of
today's with the one under which that had left.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import SystemRandom
from typing import Any
from uuid import UUID

from django.db import transaction

from exchange import audiences, folds, lists, parcels, renditions, revocation
from exchange.models import (
    FloorPolicy,
    Hold,
    Kept,
    MemberPolicyVersion,
    Outcome,
    Reissue,
    ReleaseItem,
)
from exchange.policy import catalogue, decide, terms
from exchange.policy.decide import Verdict
from exchange.policy.lattice import ALL, Ruling, strictest
from exchange.policy.outcomes import Standing, cleared
from exchange.policy.render import Shape
from exchange.renditions import Part
from indicators import store
from indicators.models import Contribution, ForumObject, Item

# The floor and the member policy under which something left.
_Policies = tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class _Given:
    """An outcome, and recipients to whom it had left under the same policies."""

    row: Outcome
    recipients: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class _Scene:
    """A contribution decided today and as then; what is given of it."""

    contribution: Contribution
    today: audiences.InForce
    then: audiences.InForce
    leaving: tuple[lists.Leaving, ...]
    then_standing: Mapping[int, Standing]
    names: lists.Names
    now: datetime


def run_due(*, now: datetime) -> int:
    """Everything that waits to be given anew, and what in turn refers to that."""
    done = 0
    while True:
        waiting = Reissue.objects.filter(done_at__isnull=True)
        ids = list(set(waiting.values_list("outcome__contribution_id", flat=True)))
        SystemRandom().shuffle(ids)
        dealt_with = sum(run(contribution_id, now=now) for contribution_id in ids)
        if not dealt_with:
            return done
        done += dealt_with


@transaction.atomic
def run(contribution_id: UUID, *, now: datetime) -> int:
    """What waits of one contribution; how many outcomes were dealt with.

    1. no policy changes until this commits     2. the objects, then what waits of them
    3. who lost what, under which policies      4. stricter versions, decided again
    5. revoked, where nothing is left; under no legal basis all of it waits
    """
    audiences.hold_policies_still()  # 1
    contribution = Contribution.objects.get(pk=contribution_id)
    force = audiences.in_force(contribution.member_id)
    if force.floor.legal_basis(now.date()) is None:
        return 0
    waiting = _waiting(contribution)  # 2
    for policies, lost in _lots(waiting).items():  # 3
        then = in_force_then(policies, force)
        given = _give(_scene(contribution, lost, force, then, now=now), lost)  # 4
        for one in lost:  # 5
            rest = one.recipients - given.get(one.row.id, frozenset())
            _take_back(one.row, rest, now=now)
    Reissue.objects.filter(outcome__in=waiting, done_at__isnull=True).update(done_at=now)
    return len(waiting)


def stricter(
    contribution: Contribution, force: audiences.InForce, *, now: datetime
) -> dict[int, set[UUID]]:
    """Of what is served of a contribution: to whom these policies would give less than it has.

    By item, older versions too. Both sides are decided now, so that nothing but the policies makes
    a difference.
    """
    found: dict[int, set[UUID]] = defaultdict(set)
    for policies, items in _served(contribution).items():
        then = in_force_then(policies, force)
        rows = Outcome.objects.select_related("version__object").in_bulk(
            {outcome_id for outcome_id, _ in items}
        )
        given = [
            _Given(row, frozenset(who for key, who in items if key == row.id))
            for row in rows.values()
        ]
        scene = _scene(contribution, given, force, then, now=now)
        after = _by_recipient(_audiences(scene))
        before = _by_recipient(_audiences(replace(scene, today=then), is_then=True))
        for key, item_ids in items.items():
            if after.get(key, _NOTHING) != before.get(key, _NOTHING):
                for item_id in item_ids:
                    found[item_id].add(key[1])
    return found


def _served(
    contribution: Contribution,
) -> dict[_Policies, dict[tuple[int, UUID], list[int]]]:
    """The items that are served, by outcome and recipient, by the policies of their release."""
    rows = list(
        ReleaseItem.objects.filter(outcome__contribution=contribution)
        .filter(release__recipients__recipient__isnull=False)
        .values_list(
            "id",
            "recalled",
            "outcome_id",
            "release__recipients__recipient_id",
            "release__floor_id",
            "release__policy_id",
        )
    )
    taken = [row[0] for row in rows if row[1]]
    kept = set(Kept.objects.filter(item_id__in=taken).values_list("item_id", "recipient_id"))
    served: dict[_Policies, dict[tuple[int, UUID], list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for item_id, recalled, outcome_id, recipient, floor_id, policy_id in rows:
        if not recalled or (item_id, recipient) in kept:
            served[(floor_id, policy_id)][(outcome_id, recipient)].append(item_id)
    return served


# --- who was given what --------------------------------------------------------------------------


def _waiting(contribution: Contribution) -> list[Outcome]:
    ids = Reissue.objects.filter(
        outcome__contribution=contribution, done_at__isnull=True
    ).values_list("outcome_id", flat=True)
    due = Outcome.objects.filter(pk__in=list(ids))
    objects = ForumObject.objects.select_for_update(no_key=True, of=("self",)).filter(
        pk__in=due.values("version__object_id")
    )
    list(objects.order_by("pk").values_list("pk", flat=True))
    return list(due.select_related("version__object").order_by("pk"))


def _lots(rows: Iterable[Outcome]) -> dict[_Policies, list[_Given]]:
    """Outcomes with those who lost them, by the policies under which each had left."""
    lots: dict[_Policies, list[_Given]] = defaultdict(list)
    for row in rows:
        wanted = _losers(row)
        if not wanted:
            continue
        items = ReleaseItem.objects.filter(
            outcome=row, release__recipients__recipient_id__in=list(wanted)
        ).order_by("id")
        left_under: dict[UUID | None, _Policies] = {
            recipient: (floor_id, policy_id)
            for recipient, floor_id, policy_id in items.values_list(
                "release__recipients__recipient_id", "release__floor_id", "release__policy_id"
            )
        }
        by_policies: dict[_Policies, set[UUID]] = defaultdict(set)
        for recipient, policies in left_under.items():
            if recipient is not None:
                by_policies[policies].add(recipient)
        for policies, ids in by_policies.items():
            lots[policies].append(_Given(row, frozenset(ids)))
    return lots


def _losers(row: Outcome) -> frozenset[UUID]:
    """Who was given this outcome as the newest of its object, and is not served it any more."""
    if row.version.object.state != ForumObject.State.LIVE:
        return frozenset()  # recalled or withdrawn meanwhile: its holders are told that
    items = ReleaseItem.objects.filter(outcome=row, recalled=True)
    ids = items.values_list("release__recipients__recipient_id", flat=True)
    given = frozenset(one for one in ids if one is not None)
    objects = [row.version.object_id]
    served = lists.holdings(objects, given)
    return frozenset(
        who
        for (who, object_id), rows in lists.once_given(objects, given).items()
        if rows[-1].version_id == row.version_id
        and not rows[-1].takes_back
        and all(
            one.rendition_id != rows[-1].rendition_id for one in served.get((who, object_id), ())
        )
    )


# --- decided again -------------------------------------------------------------------------------


def in_force_then(policies: _Policies, force: audiences.InForce) -> audiences.InForce:
    """The policies of an earlier release."""
    floor_id, policy_id = policies
    floor = terms.Floor.parse(FloorPolicy.objects.get(pk=floor_id).document)
    policy = terms.MemberPolicy.none()
    if policy_id is not None:
        policy = terms.MemberPolicy.parse(MemberPolicyVersion.objects.get(pk=policy_id).document)
    return replace(force, floor_id=floor_id, floor=floor, policy_id=policy_id, policy=policy)


def _scene(
    contribution: Contribution,
    given: Sequence[_Given],
    today: audiences.InForce,
    then: audiences.InForce,
    *,
    now: datetime,
) -> _Scene:
    """The whole contribution decided twice: today's standing is no wider than that of then."""
    items = Item.objects.filter(contribution=contribution, version__isnull=False)
    ids = [pk for pk in items.order_by("position").values_list("version_id", flat=True) if pk]
    objects = store.originals(contribution.member_id, ids)
    order = [pk for pk in dict.fromkeys(ids) if pk in objects]
    bodies = [objects[pk] for pk in order]
    new = dict(zip(order, audiences.standings(contribution, bodies, today, now=now), strict=True))
    old = dict(zip(order, audiences.standings(contribution, bodies, then, now=now), strict=True))
    leaving: list[lists.Leaving] = []
    then_standing: dict[int, Standing] = {}
    for one in given:
        pk = one.row.version_id
        if pk not in objects:
            continue
        approved = _approved(one.row)
        # It had left, whatever the floor of then would make of it at this date.
        then_standing[one.row.id] = replace(cleared(old[pk], approved), outcome="accepted")
        leaving.append(
            lists.Leaving(
                outcome_id=one.row.id,
                version=one.row.version,
                obj=folds.written(one.row, decide.read(objects[pk]), now=now).obj,
                standing=_narrowed(cleared(new[pk], approved), old[pk]),
                nominal_at=now,
                recipients=one.recipients,
            )
        )
    names = lists.names_of(contribution.member_id, leaving)
    return _Scene(contribution, today, then, tuple(leaving), then_standing, names, now)


def _approved(row: Outcome) -> frozenset[str]:
    rows = Hold.objects.filter(outcome=row, state=Hold.State.RELEASED)
    return frozenset(rows.values_list("rule", flat=True))


def _narrowed(new: Standing, old: Standing) -> Standing:
    ends = [end for end in (new.valid_until, old.valid_until) if end is not None]
    return replace(
        new,
        own_sensitivity=max(new.own_sensitivity, old.own_sensitivity, key=terms.sensitivity_order),
        valid_until=min(ends) if ends else None,
        tlp=catalogue.stricter_tlp(new.tlp, old.tlp),
        reach=catalogue.stricter_tlp(new.reach, old.reach),
    )


def _audiences(scene: _Scene, *, is_then: bool = False) -> list[lists.Audience]:
    """Recipients by equal terms, of today and of then, and by what they can resolve."""
    leaving = list(scene.leaving)
    recipients = frozenset(one for row in leaving for one in row.recipients)
    today = _terms_of(scene, scene.today, recipients)
    then = _terms_of(scene, scene.then, recipients)
    groups: dict[tuple[terms.Terms, terms.Terms], list[UUID]] = defaultdict(list)
    for recipient in sorted(recipients & today.keys()):
        groups[(today[recipient], then[recipient])].append(recipient)
    objects = {row.id for row in scene.names.objects.values()}
    held = lists.holdings(objects, recipients)
    scope = audiences.token_scope(scene.contribution.circle_id, now=scene.now)
    by = audiences.named(scene.contribution, scene.today.policy)
    made: list[lists.Audience] = []
    for (new, old), members in groups.items():
        verdicts = {
            one.outcome_id: _joined(scene, one, new, old, is_then=is_then) for one in leaving
        }
        for (refs, keys), ids in lists.alike(leaving, members, scene.names, held).items():
            due = [one for one in leaving if one.outcome_id in keys]
            closed = lists.closed(due, verdicts, dict(refs), scope, by)
            made.append(lists.Audience(tuple(ids), verdicts, closed))
    return made


def _terms_of(
    scene: _Scene, force: audiences.InForce, recipients: frozenset[UUID]
) -> dict[UUID, terms.Terms]:
    contribution = scene.contribution
    groups = audiences.by_terms(
        contribution.member_id, contribution.circle_id, force, now=scene.now
    )
    return {who: joined for joined, ids in groups.items() for who in ids if who in recipients}


def _joined(
    scene: _Scene, one: lists.Leaving, new: terms.Terms, old: terms.Terms, *, is_then: bool
) -> Verdict:
    """Today's verdict, made no looser anywhere than the one of then; or that one alone."""
    standing = scene.then_standing[one.outcome_id]
    # What withheld all of it then (a basis, an agreement) is judged by today's terms alone.
    then = decide.verdict(one.obj, standing, replace(old, withhold_all=None))
    if is_then:
        return then
    today = decide.verdict(one.obj, one.standing, new)
    rulings = tuple(
        (path, _stricter(ruling, then.by_path.get(path), new)) for path, ruling in today.rulings
    )
    passing = frozenset(then.references)
    return replace(
        today,
        rulings=rulings,
        tlp=catalogue.stricter_tlp(today.tlp, then.tlp),
        confidence_cap=min(today.confidence_cap, then.confidence_cap),
        references=tuple(ref for ref in today.references if ref in passing),
    )


def _stricter(ruling: Ruling, other: Ruling | None, today: terms.Terms) -> Ruling:
    if other is None:
        return ruling
    can = today.floor.abilities.get(ruling.field_class, ALL)
    return strictest([ruling, other], can=can)


_NOTHING: tuple[str, tuple[Any, ...]] = ("", ())


def _by_recipient(
    made: Sequence[lists.Audience],
) -> dict[tuple[int, UUID], tuple[str, tuple[Any, ...]]]:
    """What each would get of each outcome: its digest, or where there is none, its verdict."""
    found: dict[tuple[int, UUID], tuple[str, tuple[Any, ...]]] = {}
    for group in made:
        for key, verdict in group.verdicts.items():
            shape = group.closed.shapes.get(key)
            said = (shape.digest, ()) if shape is not None else ("", _says(verdict))
            found |= {(key, recipient): said for recipient in group.recipients}
    return found


def _says(verdict: Verdict) -> tuple[Any, ...]:
    treatments = tuple((path, one.treatment, one.parameter) for path, one in verdict.rulings)
    return (verdict.withheld is not None, verdict.tlp, treatments)


# --- given anew ----------------------------------------------------------------------------------


def _give(scene: _Scene, lost: Sequence[_Given]) -> Mapping[int, frozenset[UUID]]:
    """The stricter versions, released; who got one, by outcome."""
    made = _audiences(scene)
    before = lists.once_given(
        {one.version.object_id for one in scene.leaving},
        {who for one in lost for who in one.recipients},
    )
    parts = renditions.make(scene.leaving, made, before, scene.contribution.circle_id)
    own: dict[UUID, list[parcels.Parcel]] = defaultdict(list)
    given: dict[int, set[UUID]] = defaultdict(set)
    foreign: dict[int, tuple[Part, bool]] = {}
    for group in made:
        mine = _of_group(scene, group, parts)
        for is_foreign, chosen in mine.items():
            if is_foreign and scene.contribution.member_id in group.recipients:
                foreign |= {part.rendition.pk: (part, False) for part in chosen}
            for recipient in group.recipients:
                wanted = [(p, False) for p in chosen if _is_lost(p, recipient, lost)]
                own[recipient] += parcels.cut(wanted, is_foreign=is_foreign)
                for part, _ in wanted:
                    given[part.outcome_id].add(recipient)
    if foreign:
        own[parcels.THE_CIRCLE] += parcels.cut(list(foreign.values()), is_foreign=True)
    act = parcels.Act(scene.contribution, scene.today, scene.now)
    parcels.write_all(act, own, list(parts.values()))
    for one in lost:
        # An observable's id follows its content: the old one is gone, and its holders are told.
        if given.get(one.row.id) and _is_observable(scene, one.row.id):
            _take_back(one.row, frozenset(given[one.row.id]), now=scene.now)
    return {key: frozenset(who) for key, who in given.items()}


def _of_group(
    scene: _Scene, group: lists.Audience, parts: Mapping[tuple[int, str], Part]
) -> dict[bool, list[Part]]:
    split: dict[bool, list[Part]] = {False: [], True: []}
    for one in scene.leaving:
        shape: Shape | None = group.closed.shapes.get(one.outcome_id)
        if shape is not None:
            is_foreign = scene.names.is_foreign(one.obj, scene.contribution.member_id)
            split[is_foreign].append(parts[(one.outcome_id, shape.digest)])
    return split


def _is_lost(part: Part, recipient: UUID, lost: Sequence[_Given]) -> bool:
    return any(one.row.id == part.outcome_id and recipient in one.recipients for one in lost)


def _is_observable(scene: _Scene, outcome_id: int) -> bool:
    return any(one.is_observable for one in scene.leaving if one.outcome_id == outcome_id)


def _take_back(row: Outcome, recipients: frozenset[UUID], *, now: datetime) -> None:
    if recipients:
        taking = revocation.Taking(row.version.object, now, "stricter", "policy", only=recipients)
        revocation.take_back(taking, now=now)
