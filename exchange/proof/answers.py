"""An answer as a table whose rows name the ledger's entries: as JSON and as CSV, the same bytes.

What a row takes from an entry it repeats under `says`, so that whoever has the opening can compare.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from exchange.proof import jcs
from exchange.proof.entry import SLOTS
from exchange.proof.refused import Refused

Cell = str | int | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_OF_AN_OBJECT = ("id", "version", "rendition")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the ledger speaks of a row: an entry, one slot of it, and fields that both tell."""

    index: int
    slot: str
    says: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its cells in the order of the columns, and the entries that it rests on."""

    cells: tuple[Cell, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def json(self) -> bytes:
        """The answer in canonical form."""
        rows = [
            {"cells": list(row.cells), "entries": [_spelled(mark) for mark in row.marks]}
            for row in self.rows
        ]
        return jcs.encode({"v": 1, "columns": list(self.columns), "rows": rows})

    def csv(self) -> bytes:
        """The same for a spreadsheet; what one would take for a formula has ' before it."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow([*map(_plain, self.columns), "ledger entries"])
        for row in self.rows:
            entries = " ".join(f"{mark.index}/{mark.slot}" for mark in row.marks)
            writer.writerow([*map(_plain, row.cells), entries])
        return text.getvalue().encode()


def parse(data: bytes) -> Answer:
    """Read an answer; refused unless it is one in canonical form."""
    value = jcs.decode(data)
    if not isinstance(value, dict) or value.keys() != {"v", "columns", "rows"} or value["v"] != 1:
        raise _malformed()
    columns, rows = value["columns"], value["rows"]
    if not isinstance(columns, list) or not all(isinstance(one, str) for one in columns):
        raise _malformed()
    if not isinstance(rows, list):
        raise _malformed()
    answer = Answer(tuple(columns), tuple(_row(row, len(columns)) for row in rows))
    if answer.json() != data:
        raise _malformed()
    return answer


def check_mark(
    mark: Mark, fields: Mapping[str, object], objects: list[tuple[str, str | None, str]]
) -> None:
    """Refuse unless an opened slot says what the row repeats of it.

    `objects` are id, version and rendition of each object that the entry is about.
    """
    of_object = {name: mark.says[name] for name in _OF_AN_OBJECT if name in mark.says}
    others = {name: value for name, value in mark.says.items() if name not in of_object}
    named = [dict(zip(_OF_AN_OBJECT, one, strict=True)) for one in objects]
    same = all(name in fields and fields[name] == value for name, value in others.items())
    if of_object and not any(of_object.items() <= one.items() for one in named):
        same = False
    if not same:
        raise Refused(
            "answer.other", "A row says something else than its entry.", f"entry {mark.index}"
        )


def _spelled(mark: Mark) -> dict[str, object]:
    return {"index": mark.index, "slot": mark.slot, "says": dict(mark.says)}


def _row(row: object, width: int) -> Row:
    if not isinstance(row, dict) or row.keys() != {"cells", "entries"}:
        raise _malformed()
    cells, entries = row["cells"], row["entries"]
    if not isinstance(cells, list) or len(cells) != width or not isinstance(entries, list):
        raise _malformed()
    if not all(cell is None or isinstance(cell, str) or type(cell) is int for cell in cells):
        raise _malformed()
    return Row(tuple(cells), tuple(map(_mark, entries)))


def _mark(value: object) -> Mark:
    if not isinstance(value, dict) or value.keys() != {"index", "slot", "says"}:
        raise _malformed()
    index, slot, says = value["index"], value["slot"], value["says"]
    if type(index) is not int or index < 0 or slot not in SLOTS or not isinstance(says, dict):
        raise _malformed()
    return Mark(index, slot, says)


def _plain(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _malformed() -> Refused:
    return Refused("answer.form", "This is not an answer in its form.")
