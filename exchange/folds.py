"""Sightings that leave as one: what is added at intake, and what the day changes at 00:00 UTC.

Totals are sealed with the contributor's key; what is shown of them is fixed at the first window
and at midnights, so that whoever gets the object later sees what everybody sees.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.db.models import F, Q

from exchange.models import Fold, FoldPart, Missing, Outcome, ReleaseRecipient
from exchange.policy import facts, sightings
from exchange.policy.facts import Facts
from exchange.policy.sightings import Count
from indicators import store
from indicators.models import ForumObject
from members.seals import for_member, index_digest

_LOCK = 0x464F4C44  # "FOLD": with the member's own number, one intake of a member at a time
_BATCH = 500
_FOLDED = (
    "Accepted: it is folded into {}, which leaves for all sightings of this object and changes"
    " once a day, when the decade of their sum does."
)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one counted object at intake."""

    # The sentence for its status where another object leaves for it.
    sentence: str | None
    # Whether it is a newer state of what has left already: it leaves with the day.
    is_daily: bool


def counts(obj: Mapping[str, Any]) -> bool:
    """Whether objects of this type are folded."""
    return obj.get("type") in sightings.COUNTED


def take(
    member_id: UUID, circle_id: UUID, counted: Sequence[tuple[UUID, Mapping[str, Any]]]
) -> list[Taken]:
    """Fold accepted objects, in their order; the caller holds the transaction."""
    if not counted:
        return []
    with connection.cursor() as cursor:
        number = int.from_bytes(member_id.bytes[:4], signed=True)
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, number])
    names = _own_names(member_id, [obj for _, obj in counted])
    keys = [
        index_digest("fold", member_id, (sightings.key_of(obj, names) or "").encode())
        for _, obj in counted
    ]
    work = _Folding(member_id, circle_id, [object_id for object_id, _ in counted], keys)
    taken = [
        work.take(object_id, key, obj) for (object_id, obj), key in zip(counted, keys, strict=True)
    ]
    work.keep()
    return taken


class _Folding:
    """The open folds that some objects of one member belong to; read once, written once."""

    def __init__(
        self, member_id: UUID, circle_id: UUID, object_ids: list[UUID], keys: list[bytes]
    ) -> None:
        self.member_id, self.circle_id = member_id, circle_id
        found = FoldPart.objects.filter(
            object_id__in=object_ids, fold__circle_id=circle_id, fold__ended=False, gone=False
        )
        parts = {part.object_id: part for part in found}
        rows = Fold.objects.filter(
            Q(member_id=member_id, circle_id=circle_id, key__in=keys)
            | Q(pk__in=[part.fold_id for part in parts.values()]),
            ended=False,
        )
        folds = {row.pk: row for row in rows}
        leading = _leading(folds.values(), circle_id)
        over = [pk for pk, row in folds.items() if row.object_id not in leading]
        Fold.objects.filter(pk__in=over).update(ended=True)
        live = {pk: row for pk, row in folds.items() if pk not in over}
        self.by_key = {bytes(row.key): row for row in live.values()}
        self.of_object = {
            key: live[part.fold_id] for key, part in parts.items() if part.fold_id in live
        }
        self.parts = {key: part for key, part in parts.items() if part.fold_id in live}
        self.totals = {row.pk: _opened(member_id, row.total) for row in live.values()}
        self.moved: set[int] = set()

    def take(self, object_id: UUID, key: bytes, obj: Mapping[str, Any]) -> Taken:
        """Add one object to its fold, or begin one with it."""
        new = sightings.count_of(obj)
        fold = self.of_object.get(object_id) or self.by_key.get(key)
        if fold is None:
            fold = Fold(
                member_id=self.member_id, circle_id=self.circle_id, key=key, object_id=object_id
            )
            fold.total = _sealed(self.member_id, new)
            fold.save(force_insert=True)
            self.totals[fold.pk] = sightings.NONE
            self.by_key[key] = fold
        part = self.parts.get(object_id)
        old = _opened(self.member_id, part.sealed) if part else sightings.NONE
        self.totals[fold.pk] = sightings.put(self.totals[fold.pk], new, instead_of=old)
        self.moved.add(fold.pk)
        if part is None:
            part = FoldPart(fold=fold, member_id=self.member_id, object_id=object_id)
        part.sealed = _sealed(self.member_id, new)
        self.parts[object_id] = part
        self.of_object[object_id] = fold
        if fold.object_id == object_id:
            return Taken(None, is_daily=fold.shown is not None)
        return Taken(_FOLDED.format(f"{obj['type']}--{fold.object_id}"), is_daily=False)

    def keep(self) -> None:
        """Write what changed."""
        parts = list(self.parts.values())
        fresh = [part for part in parts if part.pk is None]
        FoldPart.objects.bulk_create(fresh, batch_size=2_000)
        FoldPart.objects.bulk_update(
            [part for part in parts if part not in fresh], ["sealed"], batch_size=1_000
        )
        folds = {row.pk: row for row in self.of_object.values() if row.pk in self.moved}
        for row in folds.values():
            row.total, row.changed = _sealed(self.member_id, self.totals[row.pk]), True
        Fold.objects.bulk_update(folds.values(), ["total", "changed"], batch_size=1_000)


def _leading(folds: Iterable[Fold], circle_id: UUID) -> set[UUID]:
    """The objects of folds that still leave, or have left, for all."""
    rows = Outcome.objects.filter(
        version__object_id__in=[row.object_id for row in folds],
        version__object__state=ForumObject.State.LIVE,
        circle_id=circle_id,
        outcome=Outcome.Kind.ACCEPTED,
        replaced=False,
    )
    return set(rows.values_list("version__object_id", flat=True))


def touch(object_id: UUID) -> None:
    """An object is taken back: what it added is taken out of its fold with the day."""
    Fold.objects.filter(
        pk__in=FoldPart.objects.filter(object_id=object_id).values("fold_id"), ended=False
    ).update(changed=True)


def fold_due(rows: list[Outcome], subjects: Mapping[int, Facts]) -> list[Outcome]:
    """Of what is due for the first time, what does not leave for itself is folded here.

    Only what waited for its approvers was not folded at intake.
    """
    leaving: list[Outcome] = []
    for row in rows:
        obj = subjects[row.version_id].obj
        if not counts(obj) or row.released_at is not None or _is_known(row):
            leaving.append(row)
            continue
        (taken,) = take(row.member_id, row.circle_id, [(row.version.object_id, obj)])
        if taken.sentence is None:
            leaving.append(row)
        else:
            Outcome.objects.filter(pk=row.pk).update(replaced=True)
    return leaving


def _is_known(row: Outcome) -> bool:
    return FoldPart.objects.filter(
        object_id=row.version.object_id, fold__circle_id=row.circle_id, fold__ended=False
    ).exists()


def written(row: Outcome, subject: Facts, *, now: datetime) -> Facts:
    """The object with what is shown of its fold; at its first window that is fixed."""
    if not counts(subject.obj):
        return subject
    fold = Fold.objects.filter(
        object_id=row.version.object_id, circle_id=row.circle_id, ended=False
    ).first()
    if fold is None:
        return subject
    if fold.shown is None:
        shown = _opened(fold.member_id, fold.total)
        fold.shown = _sealed(fold.member_id, shown)
        Fold.objects.filter(pk=fold.pk).update(
            shown=fold.shown, shown_on=now.astimezone(UTC).date(), changed=False
        )
    return facts.read(sightings.written(subject.obj, _opened(fold.member_id, fold.shown)))


def publish_day(*, now: datetime) -> int:
    """At 00:00 UTC: where the decade has changed, the object leaves anew; how many do."""
    today = now.astimezone(UTC).date()
    done = after = 0
    while True:
        rows = Fold.objects.filter(changed=True, ended=False, shown_on__lt=today, pk__gt=after)
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:_BATCH])
        if not ids:
            return done
        done += sum(_publish(pk, now=now) for pk in ids)
        after = ids[-1]


@transaction.atomic
def _publish(fold_id: int, *, now: datetime) -> bool:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    fold = (
        Fold.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=fold_id, changed=True, ended=False, shown_on__lt=today.date())
        .first()
    )
    if fold is None or fold.shown is None:
        return False
    if not _leading([fold], fold.circle_id):
        Fold.objects.filter(pk=fold.pk).update(ended=True)
        return False
    _take_out(fold)
    shown = _opened(fold.member_id, fold.shown)
    fresh = sightings.next_shown(shown, _opened(fold.member_id, fold.total))
    fold.changed = False
    is_other = fresh != shown
    if is_other:
        fold.shown, fold.shown_on = _sealed(fold.member_id, fresh), today.date()
        _leave_anew(fold, due_at=today)
    fold.save(update_fields=["total", "shown", "shown_on", "changed"])
    return is_other


def _take_out(fold: Fold) -> None:
    """What was withdrawn since counts no longer."""
    gone = FoldPart.objects.filter(fold=fold, gone=False).exclude(
        object__state=ForumObject.State.LIVE
    )
    for part in gone:
        total = sightings.without(
            _opened(fold.member_id, fold.total), _opened(fold.member_id, part.sealed)
        )
        fold.total = _sealed(fold.member_id, total)
    gone.update(gone=True)


def _leave_anew(fold: Fold, *, due_at: datetime) -> None:
    """Who got the object through this circle gets its new state; others wait as they did."""
    outcome = (
        Outcome.objects.filter(
            version__object_id=fold.object_id,
            circle_id=fold.circle_id,
            released_at__isnull=False,
            outcome=Outcome.Kind.ACCEPTED,
        )
        .order_by("-version__modified_ns")
        .first()
    )
    if outcome is None:
        return
    holders = ReleaseRecipient.objects.filter(
        release__circle_id=fold.circle_id,
        release__items__rendition__object_id=fold.object_id,
        recipient__isnull=False,
    ).values_list("recipient_id", flat=True)
    Missing.objects.bulk_create(
        (
            Missing(
                outcome=outcome,
                recipient_id=recipient,
                wanted=b"",
                act=Missing.Act.DAY,
                due_at=due_at,
            )
            for recipient in set(holders)
            if recipient is not None
        ),
        ignore_conflicts=True,
    )


def leads(objects: Iterable[ForumObject]) -> dict[UUID, ForumObject]:
    """The objects that leave for these, where others do."""
    counted = [row.id for row in objects if row.stix_type in sightings.COUNTED]
    if not counted:
        return {}
    parts = FoldPart.objects.filter(object_id__in=counted, gone=False, fold__ended=False).exclude(
        fold__object_id=F("object_id")
    )
    return {part.object_id: part.fold.object for part in parts.select_related("fold__object")}


def _own_names(member_id: UUID, objects: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Own original ids by the forum's names: an object that is named both ways is one."""
    wanted = {
        str(ref)
        for obj in objects
        for ref in (obj.get("sighting_of_ref"), *obj.get("object_refs", ()))
        if ref is not None
    }
    digests = {store.name_digest(member_id, name): name for name in wanted}
    rows = ForumObject.objects.filter(member_id=member_id, id_digest__in=list(digests)).exclude(
        state=ForumObject.State.WITHDRAWN
    )
    return {digests[bytes(row.id_digest)]: f"{row.stix_type}--{row.id}" for row in rows}


def _sealed(member_id: UUID, count: Count) -> bytes:
    plain = orjson.dumps([count.count, count.first, count.last])
    return for_member(member_id).seal(plain, aad=b"fold:" + member_id.bytes)


def _opened(member_id: UUID, sealed: "bytes | memoryview[int]") -> Count:
    plain = for_member(member_id).open(bytes(sealed), aad=b"fold:" + member_id.bytes)
    return Count(*orjson.loads(plain))
