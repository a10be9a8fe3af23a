"""Tell the holders of an object that it is taken back: ordinary revocations daily, recalls at once.

What takes back is a release of kind `recall`: one revoked version without old values, or for an
observable, which the standard cannot revoke, a notice that names its id.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import SystemRandom
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max, Q

from exchange import access, audiences, delivery, ledger, parcels, renditions
from exchange.models import (
    Delivery,
    Kept,
    Recall,
    Reissue,
    Release,
    ReleaseItem,
    ReleaseRecipient,
    Rendition,
    Revocation,
)
from exchange.proof import jcs
from indicators import store
from indicators.models import ForumObject
from members.models import CircleMember, Member
from members.seals import for_member

# Types of objects that can refer to an observable.
REFERRERS = (
    "relationship",
    "sighting",
    "observed-data",
    "opinion",
    "grouping",
    "network-traffic",
    "account-cluster",
)
_MENTIONING = """
SELECT item.id FROM exchange_releaseitem item
JOIN exchange_rendition said ON said.id = item.rendition_id
JOIN exchange_releaserecipient part ON part.release_id = item.release_id
WHERE part.recipient_id = ANY(%s) AND said.stix_type = ANY(%s) AND NOT said.takes_back
AND EXISTS (SELECT 1 FROM unnest(%s::bytea[]) name WHERE position(name IN said.body) > 0)
GROUP BY item.id
"""


@dataclass(frozen=True, slots=True)
class Taking:
    """Why an object is taken back, and what is said of it."""

    object: ForumObject
    nominal_at: datetime
    rule: str
    actor: str
    recall: Recall | None = None
    # Only these recipients, where others keep it; none: everybody.
    only: frozenset[UUID] | None = None

    @property
    def reason(self) -> str:
        """What its recipients are told: a word of the closed list, or nothing."""
        return self.recall.reason if self.recall is not None else ""


@dataclass(frozen=True, slots=True)
class _Holder:
    """One recipient: its newest part by circle, and every name under which it knows the object."""

    recipient: UUID
    parts: Mapping[UUID | None, ReleaseRecipient]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """Holders who are told alike, in one release."""

    circle_id: UUID | None
    circle_only: bool
    # Every name that they had of it, and those that they lose: none where they keep equal bytes
    # from somebody else. Its contributor is told the same of both.
    named: tuple[str, ...]
    names: tuple[str, ...]


def revoke_due(*, now: datetime) -> int:
    """In the daily window: what its contributor withdrew is revoked for everyone who holds it."""
    due = Revocation.objects.filter(due_at__lte=now, done_at__isnull=True)
    shuffled = list(due.values_list("id", flat=True))
    SystemRandom().shuffle(shuffled)
    return sum(_revoke(pk, now=now) for pk in shuffled)


@transaction.atomic
def _revoke(revocation_id: int, *, now: datetime) -> int:
    audiences.hold_policies_still()
    due = (
        Revocation.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=revocation_id, done_at__isnull=True)
        .first()
    )
    if due is None:
        return 0
    due.done_at = now
    due.save(update_fields=["done_at"])
    row = ForumObject.objects.select_for_update(no_key=True).get(pk=due.object_id)
    return take_back(Taking(row, due.due_at, "withdrawn", "contributor"), now=now)


def take_back(taking: Taking, *, now: datetime) -> int:
    """One release for all holders alike; the caller holds the transaction and the object's row.

    1. who was given it, and how each knows it     2. an observable is no longer served
    3. what is said instead, once for each group   4. who holds what refers to it is given that anew
    """
    given = Q(items__rendition__object=taking.object) | Q(twins__rendition__object=taking.object)
    releases = Release.objects.filter(given, kind=Release.Kind.RELEASE).distinct()
    newest = newest_of(taking.object)
    if newest is None:
        return 0
    is_observable = not newest.modified
    ids = list(releases.values_list("id", flat=True))
    holders = _holders(taking, ids, is_observable=is_observable)  # 1
    if not holders:
        return 0
    if is_observable and taking.only is None:  # 2
        with connection.cursor() as cursor:
            cursor.execute("SELECT weir_take_back(%s)", [taking.object.pk])
    lost = {one.recipient: _lost(one) if is_observable else one.names for one in holders}
    groups = _groups(holders, lost)
    said: dict[tuple[str, ...], Rendition] = {}
    for group, members in groups.items():  # 3
        names = group.names or group.named
        if names not in said:
            said[names] = _said(taking, newest, names, is_observable=is_observable)
        _release(taking, group, said[names], members, now=now)
    delivery.stop(ids, now=now)
    if is_observable:  # 4
        losers: dict[str, set[UUID]] = defaultdict(set)
        for recipient, names in lost.items():
            for name in names:
                losers[name].add(recipient)
        _lose_referrers(losers, now=now)
    return 1


def stop_serving(affected: Mapping[int, Iterable[UUID]], *, cause: str, now: datetime) -> int:
    """These items are not served to these recipients from now on, and something stricter is due.

    Who is not named keeps its item where it is.
    """
    items = ReleaseItem.objects.filter(pk__in=affected).select_related("outcome__version")
    count = 0
    for item in items.order_by("pk"):
        named = set(affected[item.pk])
        parts = ReleaseRecipient.objects.filter(release_id=item.release_id)
        everyone = parts.filter(recipient__isnull=False).values_list("recipient_id", flat=True)
        Kept.objects.filter(item=item, recipient_id__in=named).delete()
        if not item.recalled:
            Kept.objects.bulk_create(
                (Kept(item=item, recipient_id=one) for one in everyone if one not in named),
                ignore_conflicts=True,
            )
            ReleaseItem.objects.filter(pk=item.pk).update(recalled=True)
        if item.outcome is not None:
            Reissue.objects.bulk_create(
                [
                    Reissue(
                        outcome=item.outcome,
                        member_id=item.outcome.member_id,
                        cause=cause,
                        at=now,
                    )
                ],
                ignore_conflicts=True,
            )
        count += 1
    return count


def newest_of(row: ForumObject) -> Rendition | None:
    """The newest rendition that gave something of an object."""
    return Rendition.objects.filter(object=row, takes_back=False).order_by("-id").first()


def _holders(taking: Taking, release_ids: Sequence[UUID], *, is_observable: bool) -> list[_Holder]:
    """Everyone who was given it and has no revoked version of it yet."""
    told = ReleaseItem.objects.filter(
        rendition__object=taking.object, rendition__takes_back=True
    ).values("release_id")
    told_ids = ReleaseRecipient.objects.filter(release_id__in=told, recipient__isnull=False)
    rows = (
        ReleaseRecipient.objects.filter(release_id__in=release_ids, recipient__isnull=False)
        .exclude(recipient__state=Member.State.LEFT)
        .select_related("release")
        .order_by("id")
    )
    if not is_observable:
        rows = rows.exclude(recipient_id__in=told_ids.values("recipient_id"))
    names: dict[UUID, set[str]] = defaultdict(set)
    for table in ("items", "twins"):
        pairs = Release.objects.filter(
            pk__in=release_ids, **{f"{table}__rendition__object": taking.object}
        ).values_list("id", f"{table}__rendition__stix_id")
        for release_id, name in pairs:
            names[release_id].add(name)
    parts: dict[UUID, dict[UUID | None, ReleaseRecipient]] = defaultdict(dict)
    known: dict[UUID, set[str]] = defaultdict(set)
    for row in rows:
        if row.recipient_id is None:
            continue
        if taking.only is not None and row.recipient_id not in taking.only:
            continue
        parts[row.recipient_id].pop(row.release.circle_id, None)
        parts[row.recipient_id][row.release.circle_id] = row
        known[row.recipient_id] |= names[row.release_id]
    return [_Holder(who, by, tuple(sorted(known[who]))) for who, by in parts.items()]


def _lost(holder: _Holder) -> tuple[str, ...]:
    """The names under which it was served until now, and is served no equal bytes any more."""
    parts = ReleaseRecipient.objects.filter(recipient_id=holder.recipient)
    lost = []
    for name in holder.names:
        items = ReleaseItem.objects.filter(rendition__stix_id=name)
        if items.filter(
            access.stands(holder.recipient), release__recipients__recipient_id=holder.recipient
        ).exists():
            continue
        objects = items.values("rendition__object_id")
        given = parts.filter(release__items__rendition__stix_id=name).aggregate(last=Max("id"))
        told = parts.filter(
            release__items__rendition__takes_back=True,
            release__items__rendition__object_id__in=objects,
        ).aggregate(last=Max("id"))
        if (told["last"] or 0) < (given["last"] or 0):
            lost.append(name)
    return tuple(lost)


def _groups(
    holders: Sequence[_Holder], lost: Mapping[UUID, tuple[str, ...]]
) -> dict[_Group, list[_Holder]]:
    """Told through the circle that gave it first, listed in further ones; who left, in none."""
    seats = set(
        CircleMember.objects.filter(
            member_id__in=[one.recipient for one in holders], left_at__isnull=True
        ).values_list("member_id", "circle_id")
    )
    groups: dict[_Group, list[_Holder]] = defaultdict(list)
    for one in holders:
        names = lost[one.recipient]
        circles = [pk for pk in one.parts if (one.recipient, pk) in seats] or [None]
        for n, circle_id in enumerate(circles):
            if n == 0 or names:
                groups[_Group(circle_id, n > 0, one.names, names)].append(one)
    return groups


def _said(
    taking: Taking, newest: Rendition, names: tuple[str, ...], *, is_observable: bool
) -> Rendition:
    if is_observable:
        return renditions.notice(taking.object, newest, names, nominal_at=taking.nominal_at)
    return renditions.revoked(taking.object, newest, nominal_at=taking.nominal_at)


def _release(
    taking: Taking,
    group: _Group,
    said: Rendition,
    holders: Sequence[_Holder],
    *,
    now: datetime,
) -> None:
    """The release of kind `recall`, its parts with what they undo, and the deliveries."""
    owner = taking.object.member_id
    parts = [list(one.parts.values())[-1] for one in holders]
    is_told = all(part.told_here for part in parts)
    release = _row(taking, parts[-1].release, group, said, now=now)
    undone = _undone(holders, group.names)
    rows = [
        ReleaseRecipient(
            release=release,
            recipient_id=one.recipient,
            member_id=owner,
            told_here=is_told,
            undoes_to=undone.get(one.recipient),
            undoes_from=part if is_told else None,
        )
        for one, part in zip(holders, parts, strict=True)
    ]
    # It refers to another member's object: one line, for the circle, by what its own member gets.
    if not is_told and any(one.recipient == owner for one in holders):
        rows.append(ReleaseRecipient(release=release, member_id=owner))
    made = ReleaseRecipient.objects.bulk_create(rows)
    ledger.enter_release([row.pk for row in made])
    if group.names and not group.circle_only:
        recipients = [one.recipient for one in holders]
        delivery.enqueue(release.id, recipients, event=Delivery.Event.RECALL, now=now)


def _undone(holders: Sequence[_Holder], names: tuple[str, ...]) -> Mapping[UUID, ReleaseRecipient]:
    """The newest part under which each recipient was given these names, by whomever."""
    rows = ReleaseRecipient.objects.filter(
        recipient_id__in=[one.recipient for one in holders],
        release__items__rendition__stix_id__in=names,
        release__kind=Release.Kind.RELEASE,
    )
    return {row.recipient_id: row for row in rows.order_by("id") if row.recipient_id is not None}


def _row(
    taking: Taking, earlier: Release, group: _Group, said: Rendition, *, now: datetime
) -> Release:
    floor_id, floor = audiences.floor_in_force()
    owner = taking.object.member_id
    own = store.original_ids([taking.object])[taking.object.pk]
    digest = bytes(said.digest).hex()
    listing = [[said.stix_id, said.modified, digest]] if group.names else []
    told = [[own, said.modified, digest]]
    release = Release(
        kind=Release.Kind.RECALL,
        contribution=earlier.contribution,
        member_id=owner,
        circle_id=group.circle_id,
        floor_id=floor_id,
        circle_only=group.circle_only,
        nominal_at=taking.nominal_at,
        committed_at=now,
        count=len(listing),
        size=len(said.body) if listing else 0,
        listing=jcs.encode(listing),
        recall=taking.recall,
        reason=taking.reason,
    )
    release.told = for_member(owner).seal(jcs.encode(told), aad=b"told:" + release.id.bytes)
    common: dict[str, Any] = {"release": str(release.id), "floor": floor.digest}
    if taking.reason:
        common["reason"] = taking.reason
    slots = {
        "to": {**common, **parcels.items_of(listing)} if listing else {},
        "from": {**common, **parcels.items_of(told)},
        "audit": {
            "release": str(release.id),
            "rules": [taking.rule],
            "actor": taking.actor,
            **ledger.row_of(release),
        },
    }
    parcels.seal_slots(release, slots)
    release.save(force_insert=True)
    if listing:
        ReleaseItem.objects.create(release=release, position=0, rendition=said)
    return release


def _lose_referrers(losers: Mapping[str, set[UUID]], *, now: datetime) -> None:
    """What refers to a lost observable is not served to who lost it, until it is given anew."""
    everyone = {one for ids in losers.values() for one in ids}
    if not everyone:
        return
    with connection.cursor() as cursor:
        names = [name.encode() for name in losers]
        cursor.execute(_MENTIONING, [list(everyone), list(REFERRERS), names])
        found = [pk for (pk,) in cursor.fetchall()]
    affected: dict[int, set[UUID]] = defaultdict(set)
    items = ReleaseItem.objects.filter(pk__in=found).select_related("rendition")
    for item in items:
        body = bytes(item.rendition.body)
        hit = {who for name, ids in losers.items() if name.encode() in body for who in ids}
        parts = ReleaseRecipient.objects.filter(release_id=item.release_id, recipient_id__in=hit)
        for recipient in parts.values_list("recipient_id", flat=True):
            if recipient is not None and _is_served(item, recipient):
                affected[item.pk].add(recipient)
    stop_serving(affected, cause=Reissue.Cause.REFERENCE, now=now)


def _is_served(item: ReleaseItem, recipient: UUID) -> bool:
    return not item.recalled or Kept.objects.filter(item=item, recipient_id=recipient).exists()
