"""Rows of a table of any length, one after another: which encoding, which mark between cells.

Pure: the text comes from a function of place and size, and a reading goes on later from a place.
"""

import codecs
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from exchange.proof.refused import Refused

LONGEST_CELL = 2_000
LONGEST_LINE = 400_000
MOST_COLUMNS = 256
HEAD = 65_536  # octets by which a table is judged
_WINDOW = 1 << 20
_MARKS = (  # the longer first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BETWEEN = (",", ";", "\t", "|")

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Form:
    """How a table is written."""

    encoding: str
    between: str
    start: int  # octets of the byte order mark


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, its number in the table (the names are row 1), its cells."""

    offset: int
    octets: int
    number: int
    cells: list[str] = field(repr=False)


def form_of(head: bytes) -> Form:
    """The form of a table, by how it begins; Refused where it is no text."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise Refused("csv.encoding", "The table is UTF-32. Save it as UTF-8.", "file")
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return Form(encoding, _between(_text(head[len(mark) :], encoding)), len(mark))
    try:
        text, encoding = _text(head, "utf-8"), "utf-8"
    except UnicodeDecodeError:
        # What older spreadsheets write: every one of its octets is a character, but for five.
        text, encoding = _text(head, "cp1252"), "cp1252"
    if "\x00" in text:
        raise Refused("csv.nul", "The table holds a NUL character.", "file")
    return Form(encoding, _between(text), 0)


def _text(head: bytes, encoding: str) -> str:
    """The text of a head that may end in the middle of a character."""
    try:
        return codecs.getincrementaldecoder(encoding)("strict").decode(head)
    except UnicodeDecodeError:
        if encoding == "utf-8":
            raise
        raise Refused("csv.encoding", "The table is not UTF-8.", "file") from None


def _between(text: str) -> str:
    first = text.split("\n", 1)[0]
    return max(_BETWEEN, key=first.count)


def rows(read: Read, form: Form, *, offset: int = 0, number: int = 0) -> Iterator[Row]:
    """Each row from a place on, of which it is known how many stand before it."""
    lines = _Lines(read, form, max(offset, form.start))
    reader = csv.reader(lines, delimiter=form.between, strict=True)
    while True:
        start = lines.offset
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            said = "The table cannot be read: is a quote left open?"
            raise Refused("csv.form", said, f"row {number}") from None
        if len(cells) > MOST_COLUMNS:
            said = f"A table has at most {MOST_COLUMNS} columns."
            raise Refused("csv.columns", said, f"row {number}")
        if any(len(cell) > LONGEST_CELL for cell in cells):
            said = f"A cell has at most {LONGEST_CELL:,} characters."
            raise Refused("csv.cell", said, f"row {number}")
        yield Row(start, lines.offset - start, number, cells)


def row_of(raw: bytes, form: Form) -> list[str]:
    """The cells of one row that was read before."""
    lines = raw.decode(form.encoding).split("\n")
    return next(csv.reader([f"{one}\n" for one in lines], delimiter=form.between, strict=True), [])


class _Lines:
    """Lines of a text that is read in windows; `offset` is where the next one begins."""

    def __init__(self, read: Read, form: Form, offset: int) -> None:
        self.offset = offset
        self._read = read
        self._form = form
        self._next = offset
        self._decoder = codecs.getincrementaldecoder(form.encoding)("strict")
        self._lines: list[str] = []
        self._rest = ""
        self._is_whole = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        """The next line with its end; a cell may hold the end of a line."""
        while not self._lines and not self._is_whole:
            self._more()
        if self._lines:
            line = self._lines.pop() + "\n"
        elif self._rest:
            line, self._rest = self._rest, ""
        else:
            raise StopIteration
        if "\x00" in line:
            raise Refused("csv.nul", "The table holds a NUL character.", "file")
        self.offset += len(line.encode(self._form.encoding))
        return line

    def _more(self) -> None:
        fresh = self._read(self._next, _WINDOW)
        self._next += len(fresh)
        self._is_whole = len(fresh) < _WINDOW
        try:
            text = self._rest + self._decoder.decode(fresh, final=self._is_whole)
        except UnicodeDecodeError:
            raise Refused("csv.encoding", "The table is not UTF-8.", "file") from None
        *lines, self._rest = text.split("\n")
        self._lines = lines[::-1]
        if len(self._rest) > LONGEST_LINE:
            raise Refused("csv.form", "The table has a line without an end.", "file")
