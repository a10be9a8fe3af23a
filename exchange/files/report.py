"""What became of a file: its status, and each of its objects in pages."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from exchange.files import words
from exchange.files.owned import own
from exchange.files.words import Line, Page, Status
from exchange.models import File, FileFault, FilePart
from exchange.proof.refused import Refused
from indicators import store
from indicators.models import Item
from members.auth import Principal

AT_MOST = 1_000
_FAULTS = -1  # they stand before the first part


def status(principal: Principal, file_id: UUID) -> Status:
    """How far one's own file has come; `complete` once all of it can be read back."""
    row = own(principal, file_id)
    parts = list(
        FilePart.objects.filter(file=row).values_list(
            "taken_at", "contribution_id", "contribution__added_at", "sentence"
        )
    )
    taken = sum(1 for taken_at, *_ in parts if taken_at is not None)
    is_readable = all(added_at is not None or said for _, _, added_at, said in parts)
    state = {
        File.State.CHOSEN: "chosen",
        File.State.REFUSED: "refused",
        File.State.TAKEN: "complete" if is_readable else "pending",
    }.get(File.State(row.state), "pending")
    total = row.total + row.faulty
    failures = row.failures + row.faulty
    if state == "refused":
        failures = total - row.successes
    return Status(
        id=row.id,
        name=words.name_of(row),
        kind=row.kind,
        state=state,
        step=row.state,
        circle=row.circle.name if row.circle is not None else "",
        octets=row.octets,
        read=row.read,
        received_at=row.received_at,
        ended_at=row.ended_at,
        total=total,
        successes=row.successes,
        failures=failures,
        pendings=total - row.successes - failures,
        parts=len(parts),
        parts_taken=taken,
        code=row.code,
        sentence=row.sentence,
        place=row.place,
        contributions=tuple(one for _, one, *_ in parts if one is not None),
    )


def report(principal: Principal, file_id: UUID, *, after: str = "", limit: int = 200) -> Page:
    """What became of each object so far: first what makes none, then part by part."""
    row = own(principal, file_id)
    part, position = _cursor(after)
    limit = min(limit, AT_MOST)
    found: list[tuple[int, int, Line]] = []
    for one in _lines(row, part, position, limit + 1):
        found.append(one)
        if len(found) > limit:
            break
    shown = found[:limit]
    more = f"{shown[-1][0]}.{shown[-1][1]}" if len(found) > limit else ""
    return Page(tuple(line for _, _, line in shown), more)


def _cursor(after: str) -> tuple[int, int]:
    if not after:
        return _FAULTS, -1
    first, dot, second = after.partition(".")
    number = first.removeprefix("-")
    if not (dot and number.isdecimal() and second.isdecimal() and len(after) < 20):
        raise Refused("query.after", "Say `next` of the page before.", "after")
    return int(first), int(second)


def _lines(row: File, part: int, position: int, most: int) -> Iterator[tuple[int, int, Line]]:
    if part == _FAULTS:
        faults = FileFault.objects.filter(file=row, place__gt=position).order_by("place")[:most]
        for fault in faults:
            said = words.fault_text(fault)
            yield _FAULTS, fault.place, Line(fault.place, "", "", success=False, message=said)
        part, position = 0, -1
    parts = FilePart.objects.filter(file=row, number__gte=part, taken_at__isnull=False)
    for one in parts.order_by("number").iterator(chunk_size=2):
        start = position if one.number == part else -1
        yield from ((one.number, n, line) for n, line in _of_part(one, start, most))


def _of_part(part: FilePart, after: int, most: int) -> Iterator[tuple[int, Line]]:
    if part.contribution_id is None:
        for n in range(after + 1, part.own):
            yield n, Line(part.places[n], "", "", success=False, message=part.sentence)
        return
    items = Item.objects.filter(
        contribution_id=part.contribution_id, position__gt=after, position__lt=part.own
    )
    for item in items.order_by("position")[:most]:
        text = store.item_text(item)
        yield (
            item.position,
            Line(
                part.places[item.position],
                text["id"],
                text["version"],
                item.success,
                text["message"],
                item.version_id,
            ),
        )


def moved(status_of: Status, *, now: datetime) -> bool:
    """Whether a page that shows it has a reason to ask again."""
    return status_of.state == "pending"
