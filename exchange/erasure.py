"""Erase on legal grounds, and keep the ledger provable: contents go, commitments stay.

1. what lies at rest goes: renditions, bundles, archives, index, originals
2. an `erase` entry for everybody concerned says which entries are erased, and of what: `bytes` of
   what they disclosed, or their `slots` themselves
3. once that entry is published, the slots' values and salts are emptied by the erasure's own role;
   the leaf stays and says nothing any more
Nothing under a legal hold is erased. Of an entry that discloses other objects too, the slots stay:
they hold a count and a digest, and the others' proofs rest on them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from exchange import archive, ledger, legalholds, search
from exchange.models import (
    Bundle,
    Erasure,
    Kept,
    KeptList,
    LedgerEntry,
    Release,
    ReleaseItem,
    ReleaseRecipient,
    Rendition,
)
from indicators.models import ForumObject, Observable, Original, Version
from members.seals import for_member

BYTES, SLOTS, ORIGINALS = "bytes", "slots", "originals"
_KINDS = ("release", "recall")
# Entries that speak of what one member was given or gave; keys, policies and decisions stay.
_AGEING = (*_KINDS, "receipt", "statement", "contribution", "read")


def erase_bytes(obj: ForumObject) -> int:
    """The bytes of an object go, of renditions and of every bundle and archive that holds them.

    What equal bytes of another contributor keep standing for somebody is that contributor's.
    """
    legalholds.demand_free(obj.pk)
    kept = Kept.objects.filter(item__rendition__object=obj).values("item__rendition_id")
    gone = Rendition.objects.filter(object=obj, takes_back=False).exclude(pk__in=kept)
    releases = ReleaseItem.objects.filter(rendition__in=gone).values("release_id")
    Bundle.objects.filter(release_id__in=releases).update(body=b"")
    archive.forget(releases.values_list("release_id", flat=True))
    search.forget(gone)
    return gone.update(body=b"")


def erase_originals(versions: Collection[int], *, member_id: UUID) -> int:
    """What was contributed goes, and what it was found by.

    The list to which the ledger's entry of their contribution commits is kept: names and digests.
    """
    given = Version.objects.filter(pk__in=versions).values_list("contribution_id", flat=True)
    for contribution_id in set(given):
        _keep_list(contribution_id, member_id)
    Observable.objects.filter(version_id__in=versions, member_id=member_id).delete()
    rows = Original.objects.filter(version_id__in=versions, member_id=member_id)
    return rows.delete()[0]


def _keep_list(contribution_id: UUID, member_id: UUID) -> None:
    listed = ledger.contributed(contribution_id, member_id)
    if listed is not None:
        aad = ledger.list_aad(contribution_id)
        sealed = for_member(member_id).seal(listed.encode(), aad=aad)
        KeptList.objects.get_or_create(
            contribution_id=contribution_id, defaults={"member_id": member_id, "sealed": sealed}
        )


def parts_of(object_ids: Collection[UUID]) -> list[ReleaseRecipient]:
    """The entries that disclosed these objects and nothing but these."""
    items = ReleaseItem.objects.filter(rendition__object_id__in=object_ids)
    others = ReleaseItem.objects.filter(release_id__in=items.values("release_id")).exclude(
        rendition__object_id__in=object_ids
    )
    # The entry that takes an object back stays: it says when, and nothing of the object.
    rows = ReleaseRecipient.objects.filter(
        release_id__in=items.values("release_id"), release__kind=Release.Kind.RELEASE
    ).exclude(release_id__in=others.values("release_id"))
    return list(rows.order_by("id"))


def given_parts(object_ids: Collection[UUID]) -> list[ReleaseRecipient]:
    """The entries that disclosed erased bytes of these objects, whatever else they did."""
    rows = ReleaseRecipient.objects.filter(
        release__items__rendition__object_id__in=object_ids,
        release__items__rendition__takes_back=False,
        release__items__rendition__body=b"",
    )
    return list(rows.order_by("idx").distinct())


def by_party(parts: Iterable[ReleaseRecipient]) -> Mapping[tuple[str, UUID], list[int]]:
    """Numbered entries by whom their slots are shown to: recipients, and contributors told here."""
    found: dict[tuple[str, UUID], set[int]] = defaultdict(set)
    for part in parts:
        if part.idx is None:
            continue
        if part.recipient_id is not None:
            found["to", part.recipient_id].add(part.idx)
        if part.member_id is not None and part.told_here:
            found["from", part.member_id].add(part.idx)
    return {party: sorted(indexes) for party, indexes in found.items()}


def tell(
    parties: Mapping[tuple[str, UUID], Sequence[int]],
    fields: Mapping[str, Any],
    *,
    audit: Mapping[str, Any],
    now: datetime,
) -> list[int]:
    """One `erase` entry for each party, which names its entries; the ledger's events."""
    events = []
    for (slot, member_id), indexes in parties.items():
        named = {**fields, "erased": list(indexes)}
        own = {**audit, **named} if slot == "from" else named
        slots = {slot: own, "audit": {**audit, **named}}
        to, by = (member_id, None) if slot == "to" else (None, member_id)
        ledger.record("erase", to=to, by=by, slots=slots, now=now)
        events.append(_last_event())
    return events


def _last_event() -> int:
    """The number of the event that this very session wrote last."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT currval(pg_get_serial_sequence('ledger_event', 'id'))")
        return int(cursor.fetchone()[0])


def begin(erasure: Erasure, *, now: datetime) -> Erasure:
    """Have the slots of an erasure's objects (or indexes) erased, as soon as it is recorded."""
    erasure.at = now
    erasure.save(force_insert=True)
    return erasure


def work(*, now: datetime) -> int:
    """Record what is to be erased, and empty what is recorded under a checkpoint; how many."""
    _to_record = Erasure.objects.filter(recorded_at__isnull=True).order_by("at")
    for pk in list(_to_record.values_list("id", flat=True)):
        _record(pk, now=now)
    ready = Erasure.objects.filter(recorded_at__isnull=False, done_at__isnull=True).order_by("at")
    return sum(_empty(pk) for pk in list(ready.values_list("id", flat=True)))


@transaction.atomic
def _record(erasure_id: UUID, *, now: datetime) -> bool:
    row = (
        Erasure.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=erasure_id, recorded_at__isnull=True)
        .first()
    )
    if row is None:
        return False
    if any(legalholds.stops(object_id) is not None for object_id in row.objects_erased):
        return False  # held since: it waits until the hold is lifted
    fields = {"what": SLOTS, "ground": row.ground}
    audit = {"erasure": str(row.id)}
    if row.objects_erased:
        parts = parts_of(row.objects_erased)
        if any(part.idx is None for part in parts):
            return False  # it waits for their numbers
        parties = by_party(parts)
        indexes = sorted({part.idx for part in parts if part.idx is not None})
        _forget_lists(parts)
    else:
        parties, indexes = _parties_at(row.indexes), list(row.indexes)
    events = tell(parties, fields, audit=audit, now=now)
    if not indexes:
        Erasure.objects.filter(pk=row.pk).update(recorded_at=now, done_at=now)
        return True
    Erasure.objects.filter(pk=row.pk).update(indexes=indexes, events=events, recorded_at=now)
    return True


def _parties_at(indexes: Sequence[int]) -> Mapping[tuple[str, UUID], list[int]]:
    found: dict[tuple[str, UUID], list[int]] = defaultdict(list)
    rows = LedgerEntry.objects.filter(idx__in=indexes).order_by("idx")
    for idx, to, by in rows.values_list("idx", "to_member_id", "from_member_id"):
        if to is not None:
            found["to", to].append(idx)
        if by is not None:
            found["from", by].append(idx)
    return found


def _forget_lists(parts: Sequence[ReleaseRecipient]) -> None:
    """What else repeats the slots: the lists beside them, and the fields they were made of."""
    releases = {part.release_id for part in parts}
    Release.objects.filter(pk__in=releases).update(listing=b"[]", told=b"", slots=b"")


@transaction.atomic
def _empty(erasure_id: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_erase_slots(%s)", [erasure_id])
        (emptied,) = cursor.fetchone()
    return int(emptied is not None)


@transaction.atomic
def age_slots(*, size: int, most: int, now: datetime) -> int:
    """The oldest slots under a size of the log that are not erased yet: an erasure by the clock."""
    indexes = old_slots(size=size, most=most)
    if indexes:
        begin(Erasure(ground=Erasure.Ground.CLOCK, indexes=indexes), now=now)
    return len(indexes)


def old_slots(*, size: int, most: int) -> list[int]:
    """Entries under a size of the log with slots that may be erased by the clock."""
    with connection.cursor() as cursor:
        cursor.execute(_OLD_SLOTS, {"size": size, "kinds": list(_AGEING), "most": most})
        return [idx for (idx,) in cursor.fetchall()]


_OLD_SLOTS = """
SELECT DISTINCT entry.idx FROM ledger_entry entry
JOIN ledger_slot slot ON slot.idx = entry.idx AND slot.sealed <> ''
LEFT JOIN exchange_releaserecipient part ON entry.kind IN ('release', 'recall')
    AND part.id = entry.ref
LEFT JOIN exchange_release act ON act.id = part.release_id
WHERE entry.idx < %(size)s AND entry.kind = ANY (%(kinds)s)
    AND NOT EXISTS (SELECT 1 FROM exchange_erasure e
                    WHERE e.done_at IS NULL AND entry.idx = ANY (e.indexes))
    AND NOT EXISTS (
        SELECT 1 FROM exchange_releaseitem item
        JOIN exchange_rendition said ON said.id = item.rendition_id
        WHERE item.release_id = act.id AND (NOT item.recalled OR weir_legal_hold(
            ARRAY[entry.to_member_id, entry.from_member_id], said.object_id,
            act.contribution_id, act.committed_at) IS NOT NULL))
    AND weir_legal_hold(ARRAY[entry.to_member_id, entry.from_member_id], NULL,
        act.contribution_id, act.committed_at) IS NULL
ORDER BY entry.idx LIMIT %(most)s
"""


def object_versions(object_ids: Collection[UUID]) -> Mapping[UUID, list[int]]:
    """By member: the versions of these objects."""
    found: dict[UUID, list[int]] = defaultdict(list)
    for member_id, pk in Version.objects.filter(object_id__in=object_ids).values_list(
        "member_id", "id"
    ):
        found[member_id].append(pk)
    return found
