"""MISP events become STIX in a process of its own: without keys, bounded, its output sealed."""

from importlib.util import find_spec
from typing import IO

import orjson
from django.conf import settings

from exchange import children
from exchange.files import sealed, words
from exchange.models import File, FileFault
from exchange.proof.refused import Refused
from indicators.converters.misp.events import MOST_OCTETS

_MODULE = "indicators.converters.misp"
_BOUNDS = children.Bounds(memory=2 << 30, seconds=240)
_LONGEST = 16 << 20  # one object in one line


def can_convert() -> None:
    """Refused where the converter is not installed: it brings much that not everyone wants."""
    if find_spec("misp_stix_converter") is None:
        said = "MISP events are not read here: the extra `misp` of this exchange is not installed."
        raise Refused("misp.missing", said, "file")


def convert(row: File) -> None:
    """Write the STIX objects of a file beside it, sealed, and what was left out into its faults."""
    can_convert()
    if row.octets > MOST_OCTETS:
        said = f"A file of MISP events has at most {MOST_OCTETS:,} octets."
        raise Refused("misp.size", said, "file")
    sealed.path_of(row.id, words.CONVERTED).unlink(missing_ok=True)
    faults: list[FileFault] = []
    most = settings.MAX_FILE_LENGTH
    with (
        sealed.Reader(row.id, row.member_id, row.octets) as read,
        sealed.Writer(row.id, row.member_id, most=most, suffix=words.CONVERTED) as out,
    ):
        out.write(b'{"objects":[')
        children.stream(
            _MODULE,
            lambda sink: _feed(read, sink),
            lambda lines: _lines(row, lines, out, faults),
            _BOUNDS,
        )
        out.write(b"]}")
        row.converted = out.keep()
    FileFault.objects.bulk_create(faults, batch_size=1_000)
    row.faulty += len(faults)
    row.save(update_fields=["converted", "faulty"])


def _feed(read: sealed.Reader, sink: IO[bytes]) -> None:
    for start in range(0, read.octets, sealed.PIECE):
        sink.write(read(start, sealed.PIECE))


def _lines(row: File, lines: IO[bytes], out: sealed.Writer, faults: list[FileFault]) -> None:
    is_first = True
    while line := lines.readline(_LONGEST):
        kind, text = line[:1], line[1:].rstrip(b"\n")
        if kind == b".":
            return
        if not line.endswith(b"\n"):
            break
        if kind == b"x":
            raise Refused(*orjson.loads(text))
        if kind == b"f":
            place, sentence = orjson.loads(text)
            said = words.sealed_fault(row.member_id, row.id, place, sentence)
            faults.append(FileFault(file=row, member_id=row.member_id, place=place, sealed=said))
            if len(faults) > settings.MAX_FILE_OBJECTS:
                break
        else:
            out.write(text if is_first else b"," + text)
            is_first = False
    # Killed by its bounds, or by what it was given.
    failed = "The MISP events could not be converted within the memory and time for it."
    raise Refused("misp.failed", failed, "file")
