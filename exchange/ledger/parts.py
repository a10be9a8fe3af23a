"""What is recorded, read from the rows that it records: the same at any later time."""

from collections.abc import Sequence

import orjson

from exchange.ledger import intake
from exchange.ledger.batch import Part
from exchange.models import LedgerEvent, Release, ReleaseRecipient


def release_parts(refs: Sequence[int]) -> dict[int, Part]:
    """The parts of these rows release x recipient."""
    rows = list(
        ReleaseRecipient.objects.filter(id__in=refs).values_list(
            "id",
            "recipient_id",
            "member_id",
            "told_here",
            "release_id",
            "release__kind",
            "release__circle_id",
            "release__count",
            "undoes_to_id",
            "undoes_to__idx",
            "undoes_from_id",
            "undoes_from__idx",
        )
    )
    seal = intake.seal()
    sealed = Release.objects.filter(id__in={row[4] for row in rows}).values_list("id", "slots")
    slots = {
        key: orjson.loads(seal.open(bytes(value), aad=intake.release_aad(key)))
        for key, value in sealed
    }
    found = {}
    for ref, to, by, told, release_id, kind, circle, count, *undone in rows:
        fields = slots[release_id]
        is_given = to is not None and bool(fields["to"])
        found[ref] = Part(
            kind=kind,
            ref=ref,
            slots=fields if is_given else {**fields, "to": {}},
            to=to if is_given else None,
            by=by if told and fields["from"] else None,
            named=str(to) if to else f"circle:{circle}",
            given=count if is_given else 0,
            recipient=to,
            undoes=_undone(*undone),
        )
    return found


def _undone(
    to: int | None, to_index: int | None, by: int | None, by_index: int | None
) -> dict[str, tuple[int, int | None]]:
    """What a recall undoes, as each of its two parties knows it."""
    pairs = {"to": (to, to_index), "from": (by, by_index)}
    return {slot: (ref, index) for slot, (ref, index) in pairs.items() if ref is not None}


def event_parts(refs: Sequence[int]) -> dict[int, Part]:
    """The parts of what was recorded beside releases."""
    seal = intake.seal()
    return {
        row.id: Part(
            kind=row.kind,
            ref=row.id,
            slots=orjson.loads(seal.open(bytes(row.slots), aad=intake.event_aad(row.id))),
            to=row.to_member_id,
            by=row.from_member_id,
            own=row.count,
            contribution_id=row.contribution_id if row.kind == "contribution" else None,
            at=intake.slot_time(row.at),
        )
        for row in LedgerEvent.objects.filter(id__in=refs)
    }
