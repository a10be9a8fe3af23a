"""The first reading: a file is read whole, and checked by form, before anything of it is stored.

1. slice by slice, each kept when it is done    2. what binds the objects of the whole file
3. its parts, cut so that each object is decided as it would be in the whole
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings

from exchange.files import index as kept
from exchange.files import sealed, words
from exchange.files.index import Index
from exchange.models import File, FileFault, FilePart
from exchange.policy import parts as cutting
from exchange.proof.refused import Refused
from indicators.stix import parse, stream

SLICE = 20_000  # objects or rows that are read before a worker turns to something else
FULL = 10_000  # objects with which a part is full enough
MOST_OBJECTS = parse.Limits().objects
HUB = cutting.HUB
_FRAME = 64  # octets around the objects of a part


@dataclass(frozen=True, slots=True)
class Piece:
    """What stands in one place of a file: an object, or why there is none."""

    offset: int
    octets: int
    place: int
    obj: Any
    leaves: int
    fault: str = ""


def read_on(row: File, *, now: datetime) -> bool:
    """Read one slice; whether the end was reached."""
    index = kept.load(row.id, row.member_id)
    faults: list[FileFault] = []
    count = 0
    with open_source(row) as read:
        source = _Json(read, index.state, start=len(index) + row.faulty)
        is_done = True
        for piece in source.pieces():
            if piece.fault:
                faults.append(_fault(row, piece))
            else:
                index.add(
                    piece.obj,
                    offset=piece.offset,
                    octets=piece.octets,
                    leaves=piece.leaves,
                    place=piece.place,
                )
            if len(index) + row.faulty + len(faults) > settings.MAX_FILE_OBJECTS:
                most = f"A file holds at most {settings.MAX_FILE_OBJECTS:,} objects."
                raise Refused("file.objects", most, "file")
            count += 1
            if count >= SLICE:
                is_done = False
                break
        index.state = source.state()
    kept.save(index, row.member_id)
    FileFault.objects.bulk_create(faults, batch_size=1_000, ignore_conflicts=True)
    row.faulty += len(faults)
    row.read = index.state["offset"]
    row.total = len(index)
    row.state, row.moved_at, row.tries = File.State.READING, now, 0
    row.save(update_fields=["faulty", "read", "total", "state", "moved_at", "tries"])
    return is_done


def cut(row: File, *, now: datetime) -> None:
    """Make the parts; from now on they are taken in."""
    index = kept.load(row.id, row.member_id)
    if not len(index) and not row.faulty:
        raise Refused("file.nothing", "The file holds no object.", "file")
    limits = parse.Limits(octets=settings.MAX_CONTENT_LENGTH)
    most = cutting.Most(
        objects=MOST_OBJECTS, octets=limits.octets - _FRAME, leaves=limits.values, full=FULL
    )
    made = cutting.cut(index.knots, most, hub=HUB)
    FilePart.objects.bulk_create(
        (_part(row, index, number, part) for number, part in enumerate(made)), batch_size=20
    )
    row.state, row.moved_at, row.tries = File.State.TAKING, now, 0
    row.save(update_fields=["state", "moved_at", "tries"])


def open_source(row: File) -> sealed.Reader:
    """The text that objects are read from."""
    return sealed.Reader(row.id, row.member_id, row.octets)


def _part(row: File, index: Index, number: int, part: cutting.Part) -> FilePart:
    members = (*part.own, *part.beside)
    return FilePart(
        file=row,
        member_id=row.member_id,
        number=number,
        after=part.after,
        places=[index.places[n] for n in members],
        own=len(part.own),
        offsets=[index.offsets[n] for n in members],
        lengths=[index.knots.octets[n] for n in members],
    )


class _Json:
    """The objects of a JSON text, from where an earlier reading stopped."""

    def __init__(self, read: stream.Read, state: dict[str, Any], *, start: int) -> None:
        self._place = start
        self._state = stream.State(**state) if state else stream.State()
        bounds = stream.Bounds(octets=settings.MAX_CONTENT_LENGTH // 4)
        self._reading = stream.Reading(read, bounds, self._state)

    def pieces(self) -> Iterator[Piece]:
        """Each object; the state is the one behind the last that was given."""
        for found in self._reading.objects():
            self._place += 1
            body = found.body
            obj = _value(body, self._place)
            yield Piece(found.offset, len(body), self._place, obj, _leaves(body))

    def state(self) -> dict[str, Any]:
        """From where to go on."""
        return asdict(self._state)


def _leaves(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _value(body: bytes, place: int) -> Any:  # noqa: ANN401 - any JSON value
    """One object, its faults aside: what is wrong with it alone is said when it is taken in."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        (item,) = parse.items(b"[%b]" % body)
    except Refused as refused:
        raise Refused(refused.code, refused.sentence, f"object {place}") from None
    return item.obj


def _fault(row: File, piece: Piece) -> FileFault:
    sentence = words.sealed_fault(row.member_id, row.id, piece.place, piece.fault)
    return FileFault(file=row, member_id=row.member_id, place=piece.place, sealed=sentence)


def body_of(part: FilePart) -> bytes:
    """The body of a part's contribution: its objects, and then those that are given again."""
    with open_source(part.file) as read:
        spans = sorted(zip(part.offsets, part.lengths, range(len(part.offsets)), strict=True))
        found = {n: read(offset, length) for offset, length, n in spans}
    objects = b",".join(found[n] for n in range(len(found)))
    return b'{"objects":[%b]}' % objects
