"""The one way to set free: renditions, releases, ledger intake and deliveries in one transaction.

A release is what one transaction makes available to one audience. It becomes visible when the
sequencer has numbered it under a published checkpoint, never before.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import SystemRandom
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from exchange import audiences, collector, due, feedback, ledger, lists, parcels, renditions
from exchange.models import (
    Hold,
    Missing,
    Outcome,
    Release,
    ReleaseItem,
    Rendition,
)
from exchange.parcels import Parcel
from exchange.proof import jcs
from exchange.renditions import Part
from indicators import store
from indicators.models import Contribution, ForumObject


@dataclass(slots=True)
class _Act:
    """What one transaction is made of."""

    contribution: Contribution
    force: audiences.InForce
    now: datetime
    parts: dict[tuple[int, str], Part] = field(default_factory=dict)
    # What refers to another member's object, by outcome.
    foreign: frozenset[int] = frozenset()
    # Further listings of a rendition that is held already, by rendition.
    again: dict[int, Part] = field(default_factory=dict)
    parcels: dict[UUID, list[Parcel]] = field(default_factory=lambda: defaultdict(list))
    # The same set for all who are given the same.
    given: dict[UUID, frozenset[UUID]] = field(default_factory=dict)
    others: dict[UUID, audiences.InForce] = field(default_factory=dict)


def open_windows(*, now: datetime, before_each: Callable[[], None] = lambda: None) -> int:
    """Release everything that is due, each contribution in a transaction of its own.

    The order says nothing: it is drawn anew each time. `before_each` may keep it waiting.
    """
    set_free(now=now)
    is_live = Q(version__object__state=ForumObject.State.LIVE)
    ready = Outcome.objects.filter(
        is_live,
        due_at__lte=now,
        released_at__isnull=True,
        replaced=False,
        outcome=Outcome.Kind.ACCEPTED,
    )
    freed = Missing.objects.filter(
        due_at__lte=now, outcome__version__object__state=ForumObject.State.LIVE
    )
    ids = set(ready.values_list("contribution_id", flat=True))
    ids |= set(freed.values_list("outcome__contribution_id", flat=True))
    shuffled = list(ids)
    SystemRandom().shuffle(shuffled)
    written = 0
    for contribution_id in shuffled:
        before_each()
        written += release_contribution(contribution_id, now=now)
    return written


def is_due(contribution_id: UUID, *, now: datetime) -> bool:
    """Whether something of a contribution may leave now."""
    due = Outcome.objects.filter(contribution_id=contribution_id, due_at__lte=now)
    return due.filter(
        released_at__isnull=True, replaced=False, outcome=Outcome.Kind.ACCEPTED
    ).exists()


@transaction.atomic
def set_free(*, now: datetime) -> None:
    """What the approvers have released waits for its next window; a delay is never ended."""
    rows = (
        Outcome.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(outcome=Outcome.Kind.HELD, replaced=False)
        .filter(Exists(Hold.objects.filter(outcome=OuterRef("pk"))))
        .exclude(
            Exists(Hold.objects.filter(outcome=OuterRef("pk")).exclude(state=Hold.State.RELEASED))
        )
    )
    for row in rows:
        force = audiences.in_force(row.member_id)
        row.outcome = Outcome.Kind.ACCEPTED
        row.due_at = force.opening(row.sensitivity, after=now)
        row.save(update_fields=["outcome", "due_at"])
    kept_back = Missing.objects.filter(wanted=b"", due_at__isnull=True).exclude(
        Exists(Hold.objects.filter(outcome=OuterRef("outcome")).exclude(state=Hold.State.RELEASED))
    )
    for waits in kept_back.select_related("outcome"):
        force = audiences.in_force(waits.outcome.member_id)
        waits.due_at = force.opening(waits.outcome.sensitivity, after=now)
        waits.save(update_fields=["due_at"])


@collector.at_rest()
@transaction.atomic
def release_contribution(contribution_id: UUID, *, now: datetime) -> int:
    """Release what is due of one contribution; the number of release rows written.

    1. no policy changes until this commits    2. what is due, decided again under today's policies
    3. each recipient's list                   4. recipients with equal lists form one release
    5. ledger intake and waiting deliveries    6. what waited for these objects is freed
    """
    audiences.hold_policies_still()  # 1
    contribution = Contribution.objects.get(pk=contribution_id)
    force = audiences.in_force(contribution.member_id)
    if force.floor.legal_basis(now.date()) is None:
        return 0
    leaving = due.of(contribution, force, now=now)  # 2
    if not leaving:
        return 0
    names = lists.names_of(contribution.member_id, leaving)
    groups, held = lists.audiences_of(contribution, leaving, force, names=names, now=now)
    act = _Act(contribution, force, now)
    act.parts = renditions.make(leaving, groups, held, contribution.circle_id)
    act.foreign = frozenset(
        one.outcome_id for one in leaving if names.leads_away(one.links, contribution.member_id)
    )
    for group in groups:  # 3
        _list(act, leaving, group, held)
    _tell_circle(act, groups)
    written = _write(act)  # 4, 5
    _settle(act, leaving, groups, names)  # 6
    feedback.note(leaving, names, act.given, contribution=contribution, now=now)
    return written


def constants_to(member_ids: Sequence[UUID], *, now: datetime) -> None:
    """The exchange's own release: its identity and what is public, whole as published."""
    with transaction.atomic():
        floor_id, floor = audiences.floor_in_force()
        rows = renditions.of_constants()
        listing = [[row.stix_id, row.modified or None, bytes(row.digest).hex()] for row in rows]
        release = Release(
            floor_id=floor_id,
            nominal_at=now,
            committed_at=now,
            count=len(rows),
            size=sum(len(row.body) for row in rows),
            listing=jcs.encode(listing),
        )
        fields = {"release": str(release.id), "floor": floor.digest, **parcels.items_of(listing)}
        audit = {"release": str(release.id), **ledger.row_of(release)}
        parcels.seal_slots(release, {"to": fields, "from": {}, "audit": audit})
        release.save(force_insert=True)
        ReleaseItem.objects.bulk_create(
            ReleaseItem(release=release, position=n, rendition=row) for n, row in enumerate(rows)
        )
        parcels.enter(release, member_ids, contributor=None, told=True, now=now)


def _list(
    act: _Act,
    leaving: Sequence[lists.Leaving],
    group: lists.Audience,
    held: lists.Holdings,
) -> None:
    """What each recipient of one group newly gets, cut so that it depends on its own list alone.

    Recipients that hold the same of it get the same list: it is made once for all of them.
    """
    shapes = group.closed.shapes
    leaves = [one for one in leaving if one.outcome_id in shapes]
    circle = act.contribution.circle_id
    twins = lists.holders_of_equal_bytes(circle, shapes.values(), group.recipients)
    equal: dict[UUID, set[str]] = defaultdict(set)
    for recipient, digest in twins:
        equal[recipient].add(digest)
    objects = {one.version.object_id for one in leaves}
    earlier: dict[UUID, dict[UUID, tuple[lists.Held, ...]]] = defaultdict(dict)
    for (recipient, object_id), rows in held.items():
        if object_id in objects:
            earlier[recipient][object_id] = tuple(rows)
    alike: dict[tuple[object, ...], list[UUID]] = defaultdict(list)
    for recipient in group.recipients:
        holding = frozenset(earlier[recipient].items())
        alike[(holding, frozenset(equal[recipient]))].append(recipient)
    for recipients in alike.values():
        first = recipients[0]
        made, given = _list_of(act, leaves, group, earlier[first], equal[first])
        for recipient in recipients:
            act.parcels[recipient] += made
            before = act.given.get(recipient)
            act.given[recipient] = given if before is None else before | given


def _list_of(
    act: _Act,
    leaves: Sequence[lists.Leaving],
    group: lists.Audience,
    earlier: Mapping[UUID, Sequence[lists.Held]],
    equal: Container[str],
) -> tuple[list[Parcel], frozenset[UUID]]:
    """The parcels of recipients that hold this much already, and the objects newly given."""
    circle = act.contribution.circle_id
    new: dict[bool, list[tuple[Part, bool]]] = {False: [], True: []}
    again: list[tuple[Part, bool]] = []
    given: set[UUID] = set()
    for one in leaves:
        shape = group.closed.shapes[one.outcome_id]
        part = act.parts[(one.outcome_id, shape.digest)]
        before = earlier.get(one.version.object_id, ())
        listed = lists.listed(one, shape, before, circle)
        if listed == "again":
            again.append((_same_again(act, part, before[-1]), False))
        elif listed == "new":
            is_foreign = one.outcome_id in act.foreign
            new[is_foreign].append((part, shape.digest in equal))
            given.add(one.version.object_id)
    made = [
        parcel
        for is_foreign, parts in new.items()
        for parcel in parcels.cut(parts, is_foreign=is_foreign)
    ]
    return made + parcels.cut(again, circle_only=True), frozenset(given)


def _same_again(act: _Act, part: Part, newest: lists.Held) -> Part:
    """Who holds it keeps rendition, tokens and position: the listing names those bytes."""
    if newest.rendition_id not in act.again:
        row = Rendition.objects.get(pk=newest.rendition_id)
        act.again[newest.rendition_id] = replace(
            part, rendition=row, order=renditions.order_of(row)
        )
    return act.again[newest.rendition_id]


def _tell_circle(act: _Act, groups: Sequence[lists.Audience]) -> None:
    """For objects that refer to another member's the contributor is told once, for the circle.

    By what the contributor itself gets, when it does: what others get, how alike and when would
    say who holds the other member's object.
    """
    own = [group for group in groups if act.contribution.member_id in group.recipients]
    parts = {
        part.rendition.pk: (part, False)
        for group in own
        for key, shape in group.closed.shapes.items()
        if key in act.foreign
        for part in (act.parts[(key, shape.digest)],)
    }
    if parts:
        act.parcels[parcels.THE_CIRCLE] += parcels.cut(list(parts.values()), is_foreign=True)


def _write(act: _Act) -> int:
    """Rows, ledger intake and deliveries."""
    whole = parcels.Act(act.contribution, act.force, act.now)
    return parcels.write_all(whole, act.parcels, [*act.parts.values(), *act.again.values()])


def _settle(
    act: _Act,
    leaving: Sequence[lists.Leaving],
    groups: Sequence[lists.Audience],
    names: lists.Names,
) -> None:
    """Close the window: what left, what waits for an end, what was waiting for these."""
    keys = [one.outcome_id for one in leaving]
    left = store.among("bigint", keys)
    Outcome.objects.filter(pk=left, released_at__isnull=True).update(released_at=act.now)
    Missing.objects.filter(outcome=left, due_at__lte=act.now).delete()
    Missing.objects.bulk_create(
        (
            Missing(
                outcome_id=key,
                recipient_id=recipient,
                wanted=_wanted(name, names, act),
                optional=optional,
            )
            for group in groups
            for optional, missing in ((False, group.closed.lacking), (True, group.closed.left_out))
            for key, ends in missing.items()
            for recipient in group.recipients
            for name in ends
        ),
        batch_size=2_000,
        ignore_conflicts=True,
    )
    _free(act, leaving)


def _wanted(name: str, names: lists.Names, act: _Act) -> bytes:
    """An own name by its keyed hash, so that it is met also by what comes under it later."""
    row = names.objects.get(name)
    own = store.name_digest(act.contribution.member_id, name)
    return own if row is None or bytes(row.id_digest) == own else row.id.bytes


def _free(act: _Act, leaving: Sequence[lists.Leaving]) -> None:
    """What waited for an end that was given now leaves in its own next window."""
    waits = Missing.objects.filter(recipient=store.among("uuid", act.given))
    if not waits.exclude(wanted=b"").exists():
        return
    given = frozenset().union(*{id(ids): ids for ids in act.given.values()}.values())
    ends = {
        end: one.version.object_id
        for one in leaving
        if one.version.object_id in given
        for end in (one.version.object_id.bytes, bytes(one.version.object.id_digest))
    }
    waiting = waits.filter(wanted__in=list(ends)).select_related("outcome")
    freed: dict[tuple[int, UUID], Outcome] = {}
    gone: list[int] = []
    for row in waiting:
        if ends[bytes(row.wanted)] in act.given[row.recipient_id]:
            gone.append(row.pk)
            freed[(row.outcome_id, row.recipient_id)] = row.outcome
    if not gone:
        return
    Missing.objects.filter(pk__in=gone).delete()
    # With a needed end still missing it goes on waiting; without one that a list may lack, it goes.
    stuck = set(
        Missing.objects.filter(outcome_id__in=[key for key, _ in freed], optional=False)
        .exclude(wanted=b"")
        .values_list("outcome_id", "recipient_id")
    )
    Missing.objects.bulk_create(
        (
            Missing(
                outcome_id=outcome.id,
                recipient_id=recipient_id,
                wanted=b"",
                due_at=_force_of(outcome, act).opening(outcome.sensitivity, after=act.now),
            )
            for (_, recipient_id), outcome in freed.items()
            if (outcome.id, recipient_id) not in stuck
        ),
        batch_size=2_000,
        ignore_conflicts=True,
    )


def _force_of(outcome: Outcome, act: _Act) -> audiences.InForce:
    """The policies of who contributed what waits, which may be another than whose act this is."""
    if outcome.member_id == act.contribution.member_id:
        return act.force
    if outcome.member_id not in act.others:
        act.others[outcome.member_id] = audiences.in_force(outcome.member_id)
    return act.others[outcome.member_id]
