"""A table of values (CSV) to STIX: columns found by their names, and what is wrong row by row.

Pure: the moment and the namespace of ids are passed in. Only columns that are listed here are
read, and none of them is free text: a formula in a cell is no value of any kind, so it is a fault.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from exchange.proof.refused import Refused
from indicators.converters import form, rows
from indicators.stix import vocab

MOST_ROWS = 20_000
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


def read(
    body: bytes, *, namespace: UUID, now: datetime, columns: Sequence[str] | None = None
) -> Table:
    """One indicator for each row; Refused for what is no table with a column of values.

    The id follows from namespace and value: the same value in the next file is the same object.
    What each column is, its name says, unless that is given.
    """
    written = rows.form_of(body[: rows.HEAD])
    lines = rows.rows(lambda start, size: body[start : start + size], written)
    first = next(lines, None)
    names = chosen(first.cells if first is not None else [], columns)
    made: dict[str, Mapping[str, Any]] = {}
    kinds: dict[str, int] = {}
    faults: list[Fault] = []
    faulty = 0
    for line in lines:
        if line.number > MOST_ROWS + 1:
            raise Refused("csv.rows", f"A table has at most {MOST_ROWS:,} rows.", "file")
        found = of_row(names, line.number, line.cells, namespace=namespace, now=now)
        if found is None:
            continue
        if isinstance(found, Made) and found.obj["id"] in made:
            found = Fault(line.number, "value", "The same value stands in an earlier row.")
        if isinstance(found, Fault):
            faulty += 1
            if len(faults) < MOST_FAULTS:
                faults.append(found)
            continue
        made[found.obj["id"]] = found.obj
        kinds[found.kind] = kinds.get(found.kind, 0) + 1
    return Table(
        objects=tuple(made.values()),
        columns=tuple(name for name in names if name),
        unread=names.count(""),
        kinds=tuple((form.KINDS[kind], count) for kind, count in sorted(kinds.items())),
        faults=tuple(faults),
        faulty=faulty,
    )


@dataclass(frozen=True, slots=True)
class Made:
    """The object of one row, and which kind of value it has."""

    kind: str
    obj: Mapping[str, Any] = field(repr=False)


def of_row(
    columns: Sequence[str], number: int, cells: Sequence[str], *, namespace: UUID, now: datetime
) -> Made | Fault | None:
    """What one row says; nothing of an empty one."""
    if not any(cell.strip() for cell in cells):
        return None
    try:
        row, obj = _object(_named(columns, cells), namespace=namespace, now=now)
    except _Wrong as wrong:
        return Fault(number, wrong.column, str(wrong))
    return Made(row.kind, obj)


def chosen(head: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    """What each column is, as it was chosen or as its name says; each once, one with the values."""
    found = guess(head) if columns is None else list(columns)
    if len(found) != len(head) or not set(found) <= {*NAMES, ""}:
        raise Refused("csv.columns", "The columns are not those of the first row.", "file")
    for name in NAMES:
        if found.count(name) > 1:
            raise Refused("csv.columns", f"Two columns are meant as `{name}`.", "file")
    if "value" not in found:
        raise Refused("csv.columns", "The first row names no column `value`.", "file")
    return found


def guess(head: Sequence[str]) -> list[str]:
    """What each column seems to be, by its name; nothing for one that is not read."""
    known = {name: column for column, names in NAMES.items() for name in names}
    return [known.get(re.sub(r"[_\s-]+", " ", cell).strip().lower(), "") for cell in head]


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
