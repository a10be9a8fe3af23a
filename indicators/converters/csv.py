"""A table of values (CSV) to STIX: columns found by their names, and what is wrong row by row.

Pure: the moment and the namespace of ids are passed in. Only columns that are listed here are
read, and none of them is free text: a formula in a cell is no value of any kind, so it is a fault.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from exchange.proof.refused import Refused
from indicators.converters import form
from indicators.stix import vocab

MOST_ROWS = 20_000
LONGEST_CELL = 2_000
MOST_FAULTS = 100
# What a column is called, in files as they come from others.
NAMES: Mapping[str, tuple[str, ...]] = {
    "value": ("value", "indicator", "observable", "ioc"),
    "type": ("type", "kind", "indicator type"),
    "phase": ("phase", "kill chain phase"),
    "base_rate": ("base rate", "base rate bucket"),
    "confidence": ("confidence",),
    "valid_from": ("valid from", "first seen"),
    "valid_until": ("valid until", "last seen", "expires"),
}
_TYPES: Mapping[str, tuple[str, ...]] = {
    "address": ("address", "ip", "ipv4", "ipv6", "ipv4-addr", "ipv6-addr", "ip-src", "ip-dst"),
    "range": ("range", "address range", "cidr", "network"),
    "domain": ("domain", "domain name", "domain-name", "hostname"),
    "ja4": ("ja4", "client fingerprint (ja4)"),
    "headers": ("headers", "client fingerprint (header order)"),
}
_KIND_OF = {word: kind for kind, words in _TYPES.items() for word in words}
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d)(?:\.\d+)?Z?)?")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row makes no object; never what stands in it."""

    row: int
    column: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Table:
    """What was read of a file."""

    objects: tuple[Mapping[str, Any], ...] = field(repr=False)
    columns: tuple[str, ...]  # those that are read, in the file's order
    unread: int  # columns that are not
    kinds: tuple[tuple[str, int], ...]  # how many values of each kind
    faults: tuple[Fault, ...]
    faulty: int  # how many rows have one; the first are listed

    def body(self, bundle_id: UUID) -> bytes:
        """The objects as the body of a contribution."""
        bundle = {"type": "bundle", "id": f"bundle--{bundle_id}", "objects": self.objects}
        return json.dumps(bundle, ensure_ascii=False).encode()


class _Wrong(Exception):
    """One cell cannot be read."""

    def __init__(self, column: str, sentence: str) -> None:
        super().__init__(sentence)
        self.column, self.sentence = column, sentence


def is_table(name: str, body: bytes) -> bool:
    """Whether a file is meant as a table: by its name, unless it begins as JSON does."""
    return name.lower().endswith((".csv", ".tsv")) and body.lstrip()[:1] not in (b"{", b"[")


def read(body: bytes, *, namespace: UUID, now: datetime) -> Table:
    """One indicator for each row; Refused for what is no table with a column of values.

    The id follows from namespace and value: the same value in the next file is the same object.
    """
    lines = _lines(body)
    columns = _columns(next(lines, []))
    if "value" not in columns:
        raise Refused("csv.columns", "The first row names no column `value`.", "file")
    made: dict[str, Mapping[str, Any]] = {}
    kinds: dict[str, int] = {}
    faults: list[Fault] = []
    faulty = 0
    for number, cells in enumerate(lines, start=2):
        if number > MOST_ROWS + 1:
            raise Refused("csv.rows", f"A table has at most {MOST_ROWS:,} rows.", "file")
        if not any(cell.strip() for cell in cells):
            continue
        try:
            row, obj = _object(_named(columns, cells), namespace=namespace, now=now)
            if obj["id"] in made:
                raise _Wrong("value", "The same value stands in an earlier row.")
        except _Wrong as wrong:
            faulty += 1
            if len(faults) < MOST_FAULTS:
                faults.append(Fault(number, wrong.column, wrong.sentence))
            continue
        made[obj["id"]] = obj
        kinds[row.kind] = kinds.get(row.kind, 0) + 1
    return Table(
        objects=tuple(made.values()),
        columns=tuple(name for name in columns if name),
        unread=columns.count(""),
        kinds=tuple((form.KINDS[kind], count) for kind, count in sorted(kinds.items())),
        faults=tuple(faults),
        faulty=faulty,
    )


def _lines(body: bytes) -> Iterator[list[str]]:
    try:
        text = body.decode("utf-8-sig")  # spreadsheets write a mark before the first column
    except UnicodeDecodeError:
        raise Refused("csv.encoding", "The table is not UTF-8.", "file") from None
    if "\x00" in text:
        raise Refused("csv.nul", "The table holds a NUL character.", "file")
    head = text.split("\n", 1)[0]
    between = max(",;\t", key=head.count)
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True):
            if any(len(cell) > LONGEST_CELL for cell in cells):
                long = f"A cell has at most {LONGEST_CELL:,} characters."
                raise Refused("csv.cell", long, "file")
            yield cells
    except csv.Error:
        raise Refused(
            "csv.form", "The table cannot be read: is a quote left open?", "file"
        ) from None


def _columns(head: Sequence[str]) -> list[str]:
    """What each column is; nothing for one that is not read, and each once."""
    known = {name: column for column, names in NAMES.items() for name in names}
    found: list[str] = []
    for cell in head:
        column = known.get(re.sub(r"[_\s-]+", " ", cell).strip().lower(), "")
        if column and column in found:
            raise Refused("csv.columns", f"Two columns are meant as `{column}`.", "file")
        found.append(column)
    return found


def _named(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) > len(columns):
        raise _Wrong("row", "The row has more cells than the first row has names.")
    return {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if name}


def _object(
    said: Mapping[str, str], *, namespace: UUID, now: datetime
) -> tuple[form.Row, Mapping[str, Any]]:
    row = _row(said)
    stated = form.Stated(
        base_rate=_word(said, "base_rate", vocab.BASE_RATES) or form.Stated().base_rate,
        phase=_word(said, "phase", vocab.PHASES) or form.Stated().phase,
    )
    stix_id = uuid5(namespace, f"{row.kind}\n{row.value}")
    obj = dict(form.indicator(row, stated, stix_id, now))
    for column, reader in _CELLS.items():
        if said.get(column):
            obj[column] = reader(column, said[column])
    if obj.get("valid_until", "9") <= obj["valid_from"]:
        raise _Wrong("valid_until", "The end is not later than the beginning.")
    return row, obj


def _row(said: Mapping[str, str]) -> form.Row:
    guessed = form.guess(said.get("value", ""))
    kind = guessed.kind
    if said.get("type"):
        named = _KIND_OF.get(said["type"].lower())
        if named is None:
            raise _Wrong("type", "No kind of value that can be contributed as a table.")
        if guessed.kind != named and {guessed.kind, named} != {"address", "range"}:
            raise _Wrong("value", f"This is no {form.KINDS[named]}.")
    if kind not in form.KINDS:
        raise _Wrong("value", "Not an address, a range, a domain name or a client fingerprint.")
    return guessed


def _word(said: Mapping[str, str], column: str, words: Sequence[str]) -> str:
    text = said.get(column, "").lower()
    if text and text not in words:
        raise _Wrong(column, "Not one of the words of the vocabulary.")
    return text


def _confidence(column: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > 100:
        raise _Wrong(column, "A whole number from 0 to 100 is meant.")
    return int(text)


def _moment(column: str, text: str) -> str:
    match = _DAY.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, time = match[1], match[2] or "00:00:00"
        datetime.fromisoformat(f"{day}T{time}+00:00")
    except ValueError:
        raise _Wrong(column, "A day such as 2026-11-24 is meant, in UTC.") from None
    return f"{day}T{time}Z"


_CELLS: Mapping[str, Callable[[str, str], Any]] = {
    "confidence": _confidence,
    "valid_from": _moment,
    "valid_until": _moment,
}
