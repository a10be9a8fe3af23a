"""The one way to set free: renditions, releases, ledger intake and deliveries in one transaction.

A release is what one transaction makes available to one audience. It becomes visible when the
sequencer has numbered it under a published checkpoint, never before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import SystemRandom, randbelow
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from exchange import audiences, constants, delivery, ledger, lists
from exchange.models import (
    Hold,
    Missing,
    Outcome,
    Release,
    ReleaseItem,
    ReleaseRecipient,
    Rendition,
    Revocation,
)
from exchange.policy import render
from exchange.policy.outcomes import Standing, cleared
from exchange.policy.render import Shape
from exchange.proof import jcs
from indicators import store
from indicators.models import Contribution, ForumObject, Item
from indicators.stix import markings
from members.seals import Seal, for_member

MOST_OBJECTS = 500
MOST_OCTETS = 1_048_576
_POLICY_LOCK = 0x57454952  # "WEIR": shared by releases, exclusive for a change of policy


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a list: a rendition, and how its contributor knows it."""

    rendition: Rendition
    outcome_id: int
    original_id: str
    original_version: str
    source: str
    verdict: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A cut of a recipient's list; recipients with equal parcels form one release."""

    to: tuple[int, ...]
    told: tuple[int, ...]
    is_foreign: bool
    circle_only: bool


@dataclass(slots=True)
class _Act:
    """What one transaction is made of."""

    contribution: Contribution
    force: audiences.InForce
    now: datetime
    parts: dict[tuple[int, str], Part] = field(default_factory=dict)
    # Further listings of a rendition that is held already, by rendition.
    again: dict[int, Part] = field(default_factory=dict)
    parcels: dict[UUID, list[Parcel]] = field(default_factory=lambda: defaultdict(list))
    given: dict[UUID, set[UUID]] = field(default_factory=lambda: defaultdict(set))


def open_windows(*, now: datetime) -> int:
    """Release everything that is due, each contribution in a transaction of its own.

    The order says nothing: it is drawn anew each time.
    """
    set_free(now=now)
    due = Outcome.objects.filter(
        due_at__lte=now, released_at__isnull=True, replaced=False, outcome=Outcome.Kind.ACCEPTED
    )
    freed = Missing.objects.filter(due_at__lte=now)
    ids = set(due.values_list("contribution_id", flat=True))
    ids |= set(freed.values_list("outcome__contribution_id", flat=True))
    shuffled = list(ids)
    SystemRandom().shuffle(shuffled)
    return sum(release_contribution(contribution_id, now=now) for contribution_id in shuffled)


def revoke_due(*, now: datetime) -> int:
    """In the daily window: what its contributor withdrew is revoked for everyone who holds it."""
    due = Revocation.objects.filter(due_at__lte=now, done_at__isnull=True)
    shuffled = list(due.values_list("id", flat=True))
    SystemRandom().shuffle(shuffled)
    return sum(_revoke(pk, now=now) for pk in shuffled)


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
        force = audiences.in_force(row.member_id, now=now)
        row.outcome = Outcome.Kind.ACCEPTED
        row.due_at = force.opening(row.sensitivity, after=now)
        row.save(update_fields=["outcome", "due_at"])


@transaction.atomic
def release_contribution(contribution_id: UUID, *, now: datetime) -> int:
    """Release what is due of one contribution; the number of release rows written.

    1. no policy changes until this commits    2. what is due, decided again under today's policies
    3. each recipient's list                   4. recipients with equal lists form one release
    5. ledger intake and waiting deliveries    6. what waited for these objects is freed
    """
    _hold_policies_still()  # 1
    contribution = Contribution.objects.get(pk=contribution_id)
    force = audiences.in_force(contribution.member_id, now=now)
    if force.floor.legal_basis(now.date()) is None:
        return 0
    leaving = _due(contribution, force, now=now)  # 2
    if not leaving:
        return 0
    names = lists.names_of(contribution.member_id, leaving)
    groups, held = lists.audiences_of(contribution, leaving, force, names=names, now=now)
    act = _Act(contribution, force, now)
    _make_renditions(act, leaving, groups)
    for group in groups:  # 3
        _list(act, leaving, group, names, held)
    foreign = {
        one.outcome_id for one in leaving if names.is_foreign(one.obj, contribution.member_id)
    }
    _tell_circle(act, foreign)
    written = _write(act)  # 4, 5
    _settle(act, leaving, groups, names)  # 6
    return written


def constants_to(member_ids: Sequence[UUID], *, now: datetime) -> None:
    """The exchange's own release: its identity and what is public, whole as published."""
    with transaction.atomic():
        floor_id, floor = audiences.floor_in_force(now=now)
        rows = _constant_renditions()
        listing = [[row.stix_id, row.modified or None, bytes(row.digest).hex()] for row in rows]
        release = Release(
            floor_id=floor_id,
            nominal_at=now,
            committed_at=now,
            count=len(rows),
            size=sum(len(row.body) for row in rows),
            listing=jcs.encode(listing),
        )
        fields = {"release": str(release.id), "floor": floor.digest, **_items(listing)}
        _seal_slots(release, {"to": fields, "from": {}, "audit": {"release": str(release.id)}})
        release.save(force_insert=True)
        ReleaseItem.objects.bulk_create(
            ReleaseItem(release=release, position=n, rendition=row) for n, row in enumerate(rows)
        )
        _enter(release, member_ids, contributor=None, told=True, now=now)


@transaction.atomic
def _revoke(revocation_id: int, *, now: datetime) -> int:
    """One revoked version for all holders; an observable is no longer served instead."""
    _hold_policies_still()
    due = (
        Revocation.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("object")
        .filter(pk=revocation_id, done_at__isnull=True)
        .first()
    )
    if due is None:
        return 0
    due.done_at = now
    due.save(update_fields=["done_at"])
    items = ReleaseItem.objects.filter(rendition__object=due.object, recalled=False)
    newest = items.select_related("rendition", "release").order_by("-id").first()
    if newest is None:
        return 0
    if not newest.rendition.modified:
        items.update(recalled=True)
        return 0
    holders = set(
        ReleaseRecipient.objects.filter(
            release__items__in=items, recipient__isnull=False
        ).values_list("recipient_id", flat=True)
    )
    row = _revoked(due, newest.rendition)
    release = _revoking_release(due, newest.release, row, now=now)
    members = [member_id for member_id in holders if member_id is not None]
    _enter(release, members, contributor=due.member_id, told=True, now=now)
    _mark_superseded({due.object_id})
    return 1


def _revoked(due: Revocation, newest: Rendition) -> Rendition:
    shown = orjson.loads(bytes(newest.body))
    nominal = due.due_at.replace(microsecond=0)
    moment = nominal + timedelta(microseconds=1 + randbelow(999_999))
    if due.object.minted_at is not None and due.object.minted_at >= moment:
        moment = due.object.minted_at + timedelta(microseconds=1 + randbelow(999_999))
    made = render.revocation(
        newest.stix_type,
        stix_id=newest.stix_id,
        created=shown["created"],
        modified=moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        issuer=shown["created_by_ref"],
        tlp=markings.TLP2[shown["object_marking_refs"][0]].label,
    )
    ForumObject.objects.filter(pk=due.object_id).update(minted_at=moment)
    digest = bytes.fromhex(made.digest)
    return Rendition.objects.create(
        object=due.object,
        version=newest.version,
        stix_id=made.stix_id,
        stix_type=made.stix_type,
        modified=made.version,
        body=made.body,
        digest=digest,
        content_digest=digest,
    )


def _revoking_release(
    due: Revocation, earlier: Release, row: Rendition, *, now: datetime
) -> Release:
    floor_id, floor = audiences.floor_in_force(now=now)
    listing = [[row.stix_id, row.modified, bytes(row.digest).hex()]]
    own = store.original_ids([due.object])[due.object_id]
    told = [[own, row.modified, bytes(row.digest).hex()]]
    release = Release(
        contribution=earlier.contribution,
        member_id=due.member_id,
        circle_id=earlier.circle_id,
        floor_id=floor_id,
        nominal_at=due.due_at,
        committed_at=now,
        count=1,
        size=len(row.body),
        listing=jcs.encode(listing),
    )
    release.told = for_member(due.member_id).seal(jcs.encode(told), aad=b"told:" + release.id.bytes)
    common = {"release": str(release.id), "floor": floor.digest}
    audit = {"release": str(release.id), "rules": ["withdrawn"], "actor": "contributor"}
    slots = {"to": {**common, **_items(listing)}, "from": {**common, **_items(told)}}
    _seal_slots(release, {**slots, "audit": audit})
    release.save(force_insert=True)
    ReleaseItem.objects.create(release=release, position=0, rendition=row)
    return release


def _due(
    contribution: Contribution, force: audiences.InForce, *, now: datetime
) -> list[lists.Leaving]:
    """The contribution's objects whose window is open, decided again under today's policies."""
    rows = list(
        Outcome.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("version__object")
        .filter(
            contribution=contribution,
            due_at__lte=now,
            released_at__isnull=True,
            replaced=False,
            outcome=Outcome.Kind.ACCEPTED,
        )
    )
    freed = _freed(contribution, now=now)
    rows += [row for row in freed if row not in rows]
    if not rows:
        return []
    standings, objects = _decided_again(contribution, force, now=now)
    leaving: list[lists.Leaving] = []
    for row in rows:
        standing = _with_approvals(row, standings[row.version_id])
        if standing.outcome != Outcome.Kind.ACCEPTED:
            _keep_back(row, standing, now=now)
            continue
        leaving.append(
            lists.Leaving(
                outcome_id=row.id,
                version=row.version,
                obj=objects[row.version_id],
                standing=standing,
                nominal_at=freed.get(row, row.due_at or now),
                recipients=_freed_for(row) if row.released_at else frozenset(),
            )
        )
    return leaving


def _freed(contribution: Contribution, *, now: datetime) -> dict[Outcome, datetime]:
    rows = Missing.objects.filter(
        outcome__contribution=contribution, outcome__replaced=False, due_at__lte=now
    ).select_related("outcome__version__object")
    return {row.outcome: row.due_at for row in rows if row.due_at is not None}


def _freed_for(row: Outcome) -> frozenset[UUID]:
    ready = Missing.objects.filter(outcome=row, due_at__isnull=False)
    return frozenset(ready.values_list("recipient_id", flat=True))


def _decided_again(
    contribution: Contribution, force: audiences.InForce, *, now: datetime
) -> tuple[dict[int, Standing], dict[int, dict[str, Any]]]:
    """The whole contribution decided under the floor of now: the window's own decision."""
    items = Item.objects.filter(contribution=contribution, version__isnull=False)
    ids = list(dict.fromkeys(items.order_by("position").values_list("version_id", flat=True)))
    objects = store.originals(contribution.member_id, [pk for pk in ids if pk is not None])
    order = [pk for pk in ids if pk in objects]
    rulings = audiences.standings(
        contribution, [objects[pk] for pk in order if pk is not None], force.floor, now=now
    )
    return {pk: ruling for pk, ruling in zip(order, rulings, strict=True) if pk}, objects


def _with_approvals(row: Outcome, standing: Standing) -> Standing:
    """An approval clears the reasons that it names and nothing else."""
    approved = Hold.objects.filter(outcome=row, state=Hold.State.RELEASED)
    return cleared(standing, frozenset(approved.values_list("rule", flat=True)))


def _keep_back(row: Outcome, standing: Standing, *, now: datetime) -> None:
    """A stricter floor since: what waited is held or withheld, and does not leave."""
    row.outcome = standing.outcome
    row.due_at = None
    row.save(update_fields=["outcome", "due_at"])
    known = set(Hold.objects.filter(outcome=row).values_list("rule", flat=True))
    Hold.objects.bulk_create(
        Hold(
            outcome=row,
            member_id=row.member_id,
            circle_id=row.circle_id,
            field_class=reason.field_class,
            rule=reason.rule,
            basis=reason.basis,
            approvers=list(reason.approvers),
            opened_at=now,
        )
        for reason in standing.holds
        if reason.rule not in known
    )


def _make_renditions(
    act: _Act, leaving: Sequence[lists.Leaving], groups: Sequence[lists.Audience]
) -> None:
    """One rendition for each distinct outcome, however many recipients share it.

    `modified` adds 1 to 999,999 random microseconds to the nominal second: later than all that was
    minted for the object before, and distinct for each different rendition of one act.
    """
    issuer = constants.issuer_id()
    by_key = {one.outcome_id: one for one in leaving}
    wanted = {
        (key, shape.digest): (shape, group.verdicts[key])
        for group in groups
        for key, shape in group.closed.shapes.items()
    }
    existing = _newest_renditions([one.version.object_id for one in leaving])
    moments: dict[UUID, list[datetime]] = {}
    fresh: list[Rendition] = []
    for (key, digest), (shape, verdict) in wanted.items():
        one = by_key[key]
        row = existing.get((one.version.object_id, digest))
        if row is None:
            row = _rendition(one, shape, _minted(one, moments), issuer)
            fresh.append(row)
        act.parts[(key, digest)] = Part(
            rendition=row,
            outcome_id=key,
            original_id=str(one.obj["id"]),
            original_version=store.version_text(one.obj),
            source=sha256(jcs.encode(one.obj)).hexdigest(),
            verdict=verdict.digest,
            rules=tuple(sorted({ruling.rule for _, ruling in verdict.rulings})),
        )
    Rendition.objects.bulk_create(fresh, batch_size=2_000)
    _remember_minted(leaving, moments)


def _newest_renditions(object_ids: Iterable[UUID]) -> dict[tuple[UUID, str], Rendition]:
    """Only the newest of each object: content that comes back after a change is a new version."""
    rows = Rendition.objects.filter(object_id__in=list(object_ids)).order_by("id")
    newest: dict[UUID, list[Rendition]] = defaultdict(list)
    for row in rows:
        if row.object_id is None:
            continue
        if newest[row.object_id] and newest[row.object_id][0].version_id != row.version_id:
            newest[row.object_id].clear()
        newest[row.object_id].append(row)
    return {
        (object_id, bytes(row.content_digest).hex()): row
        for object_id, group in newest.items()
        for row in group
    }


def _minted(one: lists.Leaving, moments: dict[UUID, list[datetime]]) -> datetime:
    taken = moments.setdefault(one.version.object_id, [])
    base = one.nominal_at.replace(microsecond=0)
    before = one.version.object.minted_at
    if before is not None and before >= base:
        base = before.replace(microsecond=0) + timedelta(seconds=1)
    while True:
        moment = base + timedelta(microseconds=1 + randbelow(999_999))
        if moment not in taken:
            taken.append(moment)
            return moment


def _rendition(one: lists.Leaving, shape: Shape, modified: datetime, issuer: str) -> Rendition:
    created = one.version.object.created_at or one.nominal_at.replace(microsecond=0)
    made = render.finish(
        shape,
        stix_id=one.forum_id,
        created=created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        modified=modified.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        issuer=issuer,
    )
    return Rendition(
        object_id=one.version.object_id,
        version=one.version,
        stix_id=made.stix_id,
        stix_type=made.stix_type,
        modified=made.version,
        body=made.body,
        digest=bytes.fromhex(made.digest),
        content_digest=bytes.fromhex(shape.digest),
    )


def _remember_minted(
    leaving: Sequence[lists.Leaving], moments: Mapping[UUID, Sequence[datetime]]
) -> None:
    rows: dict[UUID, ForumObject] = {}
    for one in leaving:
        taken = moments.get(one.version.object_id)
        if taken:
            row = one.version.object
            row.created_at = row.created_at or one.nominal_at.replace(microsecond=0)
            row.minted_at = max(taken)
            rows[row.id] = row
    ForumObject.objects.bulk_update(rows.values(), ["created_at", "minted_at"], batch_size=1_000)


def _list(
    act: _Act,
    leaving: Sequence[lists.Leaving],
    group: lists.Audience,
    names: lists.Names,
    held: lists.Holdings,
) -> None:
    """What each recipient of one group newly gets, cut so that it depends on its own list alone."""
    contributor, circle = act.contribution.member_id, act.contribution.circle_id
    shapes = group.closed.shapes
    twins = lists.holders_of_equal_bytes(circle, shapes.values(), group.recipients)
    for recipient in group.recipients:
        new: dict[bool, list[tuple[Part, bool]]] = {False: [], True: []}
        again: list[Part] = []
        for one in leaving:
            if one.outcome_id not in shapes:
                continue
            shape = shapes[one.outcome_id]
            part = act.parts[(one.outcome_id, shape.digest)]
            earlier = held.get((recipient, one.version.object_id), ())
            listed = _listed(one, shape, earlier, circle)
            if listed == "again":
                again.append(_same_again(act, part, earlier[-1]))
            elif listed == "new":
                is_twin = (recipient, shape.digest) in twins
                new[names.is_foreign(one.obj, contributor)].append((part, is_twin))
                act.given[recipient].add(one.version.object_id)
        for is_foreign, parts in new.items():
            act.parcels[recipient] += _cut(parts, is_foreign=is_foreign)
        act.parcels[recipient] += _cut([(p, False) for p in again], circle_only=True)


def _listed(one: lists.Leaving, shape: Shape, earlier: Sequence[lists.Held], circle: UUID) -> str:
    """Newly given, listed again in a further circle, or nothing new for this recipient."""
    if not earlier:
        return "new"
    newest = earlier[-1]
    is_same = newest.content_digest == shape.digest or newest.version_id == one.version.id
    if not is_same:
        return "new"
    return "nothing" if any(old.circle_id == circle for old in earlier) else "again"


def _same_again(act: _Act, part: Part, newest: lists.Held) -> Part:
    """Who holds it keeps rendition, tokens and position: the listing names those bytes."""
    if newest.rendition_id not in act.again:
        row = Rendition.objects.get(pk=newest.rendition_id)
        act.again[newest.rendition_id] = Part(
            row,
            part.outcome_id,
            part.original_id,
            part.original_version,
            part.source,
            part.verdict,
            part.rules,
        )
    return act.again[newest.rendition_id]


def _cut(
    parts: Sequence[tuple[Part, bool]], *, is_foreign: bool = False, circle_only: bool = False
) -> list[Parcel]:
    """At most 500 objects and 1 MiB in one parcel, in the order of a bundle."""
    parcels: list[Parcel] = []
    to: list[int] = []
    told: list[int] = []
    size = 0
    for part, is_twin in sorted(parts, key=_bundle_order):
        octets = len(part.rendition.body) + 1
        if told and (len(told) == MOST_OBJECTS or size + octets > MOST_OCTETS - 128):
            parcels.append(Parcel(tuple(to), tuple(told), is_foreign, circle_only))
            to, told, size = [], [], 0
        told.append(part.rendition.pk)
        size += octets
        if not is_twin:
            to.append(part.rendition.pk)
    if told:
        parcels.append(Parcel(tuple(to), tuple(told), is_foreign, circle_only))
    return parcels


def _bundle_order(listed: tuple[Part, bool]) -> tuple[str, str, str]:
    body = orjson.loads(bytes(listed[0].rendition.body))
    return (body.get("created", ""), body["id"], body.get("modified", ""))


def _tell_circle(act: _Act, foreign: set[int]) -> None:
    """For objects that refer to another member's the contributor is told once, for the circle."""
    parts = {
        part.rendition.pk: (part, False) for (key, _), part in act.parts.items() if key in foreign
    }
    if parts:
        act.parcels[_CIRCLE] += _cut(list(parts.values()), is_foreign=True)


_CIRCLE = UUID(int=0)


def _write(act: _Act) -> int:
    """Recipients with equal parcels form one release; rows, ledger intake and deliveries."""
    recipients: dict[Parcel, list[UUID]] = defaultdict(list)
    for recipient, parcels in act.parcels.items():
        for parcel in parcels:
            recipients[parcel].append(recipient)
    for parcel, ids in recipients.items():
        release = _release_row(act, parcel)
        members = [member for member in ids if member != _CIRCLE]
        contributor = act.contribution.member_id
        if members:
            _enter(
                release, members, contributor=contributor, told=not parcel.is_foreign, now=act.now
            )
        if _CIRCLE in ids:
            told = ReleaseRecipient.objects.create(release=release, member_id=contributor)
            ledger.enter_release([told.pk])
    return len(recipients)


def _release_row(act: _Act, parcel: Parcel) -> Release:
    by_rendition = {part.rendition.pk: part for part in (*act.parts.values(), *act.again.values())}
    to = [by_rendition[pk] for pk in parcel.to]
    told = [by_rendition[pk] for pk in parcel.told]
    listing = [_line(part) for part in to]
    contributors = [[p.original_id, p.original_version, _digest(p)] for p in told]
    contribution = act.contribution
    release = Release(
        id=uuid4(),
        contribution=contribution,
        member_id=contribution.member_id,
        circle_id=contribution.circle_id,
        floor_id=act.force.floor_id,
        policy_id=act.force.policy_id,
        circle_only=parcel.circle_only,
        nominal_at=act.now,
        committed_at=act.now,
        count=len(to),
        size=sum(len(part.rendition.body) for part in to),
        listing=jcs.encode(listing),
    )
    release.told = for_member(contribution.member_id).seal(
        jcs.encode(contributors), aad=b"told:" + release.id.bytes
    )
    common = {"release": str(release.id), "floor": act.force.floor.digest}
    sources = [[p.original_id, p.original_version, p.source] for p in told]
    whole = {
        **common,
        **_items(contributors),
        "policy": act.force.policy_digest,
        "verdict": _one_or_list([p.verdict for p in told]),
        "source": told[0].source if len(told) == 1 else _sha(sources),
    }
    audit = {
        "release": str(release.id),
        "rules": sorted({rule for part in told for rule in part.rules}),
        "basis": act.force.floor.legal_basis(act.now.date()),
        "actor": "window",
        "approval": None,
    }
    to_fields = {**common, **_items(listing)} if listing else {}
    _seal_slots(release, {"to": to_fields, "from": whole, "audit": audit})
    release.save(force_insert=True)
    ReleaseItem.objects.bulk_create(
        ReleaseItem(
            release=release, position=n, rendition=part.rendition, outcome_id=part.outcome_id
        )
        for n, part in enumerate(to)
    )
    return release


def _enter(
    release: Release,
    member_ids: Sequence[UUID],
    *,
    contributor: UUID | None,
    told: bool,
    now: datetime,
) -> None:
    rows = ReleaseRecipient.objects.bulk_create(
        ReleaseRecipient(
            release=release, recipient_id=member_id, member_id=contributor, told_here=told
        )
        for member_id in member_ids
    )
    ledger.enter_release([row.pk for row in rows])
    if release.count and not release.circle_only:
        delivery.enqueue(release.id, member_ids, now=now)


def _settle(
    act: _Act,
    leaving: Sequence[lists.Leaving],
    groups: Sequence[lists.Audience],
    names: lists.Names,
) -> None:
    """Close the window: what left, what waits for an end, what was waiting for these."""
    keys = [one.outcome_id for one in leaving]
    Outcome.objects.filter(pk__in=keys, released_at__isnull=True).update(released_at=act.now)
    Missing.objects.filter(outcome_id__in=keys, due_at__lte=act.now).delete()
    Missing.objects.bulk_create(
        (
            Missing(outcome_id=key, recipient_id=recipient, wanted=_wanted(name, names, act))
            for group in groups
            for key, lacking in group.closed.lacking.items()
            for recipient in group.recipients
            for name in lacking
        ),
        ignore_conflicts=True,
    )
    _free(act)
    _mark_superseded({one.version.object_id for one in leaving})


def _wanted(name: str, names: lists.Names, act: _Act) -> bytes:
    row = names.objects.get(name)
    return row.id.bytes if row else store.name_digest(act.contribution.member_id, name)


def _free(act: _Act) -> None:
    """What waited for an end that was given now leaves in its own next window."""
    given = {object_id for ids in act.given.values() for object_id in ids}
    if not given:
        return
    rows = ForumObject.objects.filter(pk__in=given).values_list("id", "id_digest")
    ends = {end: pk for pk, digest in rows for end in (pk.bytes, bytes(digest))}
    waiting = Missing.objects.filter(
        recipient_id__in=list(act.given), wanted__in=list(ends)
    ).select_related("outcome")
    freed: dict[tuple[int, UUID], Outcome] = {}
    gone: list[int] = []
    for row in waiting:
        if ends[bytes(row.wanted)] in act.given[row.recipient_id]:
            gone.append(row.pk)
            freed[(row.outcome_id, row.recipient_id)] = row.outcome
    Missing.objects.filter(pk__in=gone).delete()
    for (outcome_id, recipient_id), outcome in freed.items():
        if Missing.objects.filter(outcome_id=outcome_id, recipient_id=recipient_id).exists():
            continue
        opening = act.force.opening(outcome.sensitivity, after=act.now)
        Missing.objects.create(
            outcome_id=outcome_id, recipient_id=recipient_id, wanted=b"", due_at=opening
        )


_SUPERSEDE = """
UPDATE exchange_releaseitem old SET superseded = true
FROM exchange_rendition older
WHERE older.id = old.rendition_id AND older.object_id = ANY(%s) AND NOT old.superseded
AND NOT EXISTS (
    SELECT 1 FROM exchange_releaserecipient has
    WHERE has.release_id = old.release_id AND has.recipient_id IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM exchange_releaserecipient later
        JOIN exchange_releaseitem item ON item.release_id = later.release_id
        JOIN exchange_rendition newer ON newer.id = item.rendition_id
        WHERE later.recipient_id = has.recipient_id AND newer.object_id = older.object_id
        AND newer.stix_id = older.stix_id AND newer.modified > older.modified))
"""


def _mark_superseded(object_ids: set[UUID]) -> None:
    """A row is marked once every recipient of its release has a later version."""
    with connection.cursor() as cursor:
        cursor.execute(_SUPERSEDE, [list(object_ids)])


def _hold_policies_still() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_POLICY_LOCK])


def lock_policies() -> None:
    """For who activates a policy: wait for the releases under way, and keep new ones waiting."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_POLICY_LOCK])


def _constant_renditions() -> list[Rendition]:
    known = {
        row.stix_id: row for row in Rendition.objects.filter(object__isnull=True).order_by("id")
    }
    fresh: list[Rendition] = []
    for obj in constants.objects():
        body = jcs.encode(obj)
        digest = sha256(body).digest()
        row = known.get(str(obj["id"]))
        if row is None or bytes(row.digest) != digest:
            row = Rendition(
                stix_id=obj["id"],
                stix_type=obj["type"],
                modified=str(obj.get("modified", "")),
                body=body,
                digest=digest,
                content_digest=digest,
            )
            fresh.append(row)
        known[row.stix_id] = row
    Rendition.objects.bulk_create(fresh)
    return [known[str(obj["id"])] for obj in constants.objects()]


def _seal_slots(release: Release, slots: Mapping[str, Any]) -> None:
    release.slots = Seal(settings.LEDGER_SLOT_KEY).seal(
        jcs.encode(slots), aad=b"release:" + release.id.bytes
    )


def _items(listing: Sequence[Sequence[str | None]]) -> dict[str, Any]:
    """One object stands in the slot itself, several as the digest of their list."""
    if len(listing) == 1:
        return {"id": listing[0][0], "version": listing[0][1], "rendition": listing[0][2]}
    return {"items": {"count": len(listing), "sha256": _sha(listing)}}


def _line(part: Part) -> list[str | None]:
    return [part.rendition.stix_id, part.rendition.modified or None, _digest(part)]


def _digest(part: Part) -> str:
    return bytes(part.rendition.digest).hex()


def _sha(value: object) -> str:
    return sha256(jcs.encode(value)).hexdigest()


def _one_or_list(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else _sha(digests)
