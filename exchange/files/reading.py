"""The first reading: a file is read whole, and checked by form, before anything of it is stored.

1. slice by slice, each kept when it is done    2. what binds the objects of the whole file
3. its parts, cut so that each object is decided as it would be in the whole
"""

from datetime import datetime

from django.conf import settings

from exchange.files import index as kept
from exchange.files import sources, words
from exchange.files.index import Index
from exchange.files.sources import Piece
from exchange.models import File, FileFault, FilePart
from exchange.policy import parts as cutting
from exchange.proof.refused import Refused
from indicators.stix import parse

SLICE = 20_000  # objects or rows that are read before a worker turns to something else
FULL = 10_000  # objects with which a part is full enough
MOST_OBJECTS = parse.Limits().objects
HUB = cutting.HUB
_FRAME = 64  # octets around the objects of a part


def read_on(row: File, *, now: datetime) -> bool:
    """Read one slice; whether the end was reached."""
    index = kept.load(row.id, row.member_id, read=row.read)
    faults: list[FileFault] = []
    count = 0
    with sources.open_text(row) as read:
        source = sources.of(row, read, index.state, start=len(index))
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
    index = kept.load(row.id, row.member_id, read=row.read)
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


def _fault(row: File, piece: Piece) -> FileFault:
    sentence = words.sealed_fault(row.member_id, row.id, piece.place, piece.fault)
    return FileFault(file=row, member_id=row.member_id, place=piece.place, sealed=sentence)


def body_of(part: FilePart) -> bytes:
    """The body of a part's contribution: its objects, and then those that are given again."""
    row = part.file
    with sources.open_text(row) as read:
        spans = list(zip(part.offsets, part.lengths, strict=True))
        return sources.of(row, read, {}).body(spans)
