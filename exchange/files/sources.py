"""Where the objects of a file come from: a JSON text, or the rows of a table.

Each gives what stands in one place of the file after another, says from where to go on, and makes
the body of a part from places that were read before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import orjson
from django.conf import settings

from exchange.files import mappings, sealed, words
from exchange.models import File
from exchange.proof.refused import Refused
from indicators.converters import csv, rows
from indicators.stix import parse, stream

_ROW_LEAVES = 64  # more values than any row makes


@dataclass(frozen=True, slots=True)
class Piece:
    """What stands in one place of a file: an object, why there is none, or nothing at all."""

    offset: int
    octets: int
    place: int
    obj: Any = None
    leaves: int = 0
    fault: str = ""


class Source(Protocol):
    """A text of one kind."""

    def pieces(self) -> Iterator[Piece]:
        """Each place; the state is the one behind the last that was given."""

    def state(self) -> dict[str, Any]:
        """From where to go on; `offset` says how much is read."""

    def body(self, spans: Sequence[tuple[int, int]]) -> bytes:
        """The objects of some places as the body of a contribution."""


def of(row: File, read: sealed.Reader, state: dict[str, Any], *, start: int = 0) -> Source:
    """The source for a file, from where an earlier reading stopped."""
    if row.kind == File.Kind.TABLE:
        return _Rows(row, read, state)
    return _Json(read, state, start=start)


def open_text(row: File) -> sealed.Reader:
    """The text that objects are read from: the file, or what a converter made of it."""
    if row.converted is not None:
        return sealed.Reader(row.id, row.member_id, row.converted, suffix=words.CONVERTED)
    return sealed.Reader(row.id, row.member_id, row.octets)


class _Json:
    def __init__(self, read: sealed.Reader, state: dict[str, Any], *, start: int) -> None:
        self._read = read
        self._place = start
        self._state = stream.State(**state) if state else stream.State()
        bounds = stream.Bounds(octets=settings.MAX_CONTENT_LENGTH // 4)
        self._reading = stream.Reading(read, bounds, self._state)

    def pieces(self) -> Iterator[Piece]:
        for found in self._reading.objects():
            self._place += 1
            body = found.body
            obj = _value(body, self._place)
            yield Piece(found.offset, len(body), self._place, obj, _leaves(body))

    def state(self) -> dict[str, Any]:
        return asdict(self._state)

    def body(self, spans: Sequence[tuple[int, int]]) -> bytes:
        # In the order of the text, so that each sealed piece of it is opened once.
        order = sorted(range(len(spans)), key=spans.__getitem__)
        found = {n: self._read(*spans[n]) for n in order}
        return b'{"objects":[%b]}' % b",".join(found[n] for n in range(len(spans)))


class _Rows:
    def __init__(self, row: File, read: sealed.Reader, state: dict[str, Any]) -> None:
        self._read = read
        self._row = row
        self._how = mappings.settled(row)
        self._offset, self._number = state.get("offset", 0), state.get("number", 0)

    def pieces(self) -> Iterator[Piece]:
        form = self._how.form
        lines = rows.rows(self._read, form, offset=self._offset, number=self._number)
        for line in lines:
            self._offset, self._number = line.offset + line.octets, line.number
            if line.number == 1:
                continue
            found = self._of(line.number, line.cells)
            at = (line.offset, line.octets, line.number)
            if isinstance(found, csv.Fault):
                yield Piece(*at, fault=f"{found.column}: {found.sentence}")
            elif found is not None:
                yield Piece(*at, found.obj, _ROW_LEAVES)

    def state(self) -> dict[str, Any]:
        return {"offset": self._offset, "number": self._number}

    def body(self, spans: Sequence[tuple[int, int]]) -> bytes:
        objects = []
        for n, span in enumerate(spans):
            found = self._of(n, rows.row_of(self._read(*span), self._how.form))
            if not isinstance(found, csv.Made):
                raise Refused("seal.broken", "Sealed bytes do not open.")
            objects.append(found.obj)
        return orjson.dumps({"objects": objects})

    def _of(self, number: int, cells: Sequence[str]) -> csv.Made | csv.Fault | None:
        # The moment is the file's own: a row that is read twice makes the same object.
        return csv.of_row(
            self._how.columns,
            number,
            cells,
            namespace=self._row.member_id,
            now=self._row.received_at,
        )


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
