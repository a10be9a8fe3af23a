"""The redaction lens as a reader sees it: changes first, each with its word and its reason."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange.lens import AudienceView
from exchange.policy.explain import Line
from indicators.stix import extensions

_MINTED = ("id", "created", "modified")
_CONTEXT = f"extensions.{extensions.CONTEXT}."
_OURS = {f"extensions.{name}.": "extension." for name in extensions.OBSERVABLES.values()}
_ORDER = ("drop", "token", "coarsen", "replace", "pass", "same")


@dataclass(frozen=True, slots=True)
class Row:
    """One field: what it said, what became of it, what is sent, and why."""

    path: str
    value: str
    treatment: str
    sent: str | None
    is_said: bool
    rule: str
    reason: str
    basis: str


def rows(lines: Sequence[Line], body: bytes | None, *, is_final: bool) -> tuple[Row, ...]:
    """Removed, tokenised and coarsened first, then what the exchange mints, then what is sent."""
    minted = json.loads(body) if body is not None and is_final else {}
    made = [_row(line, minted) for line in lines]
    return tuple(sorted(made, key=lambda row: _ORDER.index(row.treatment)))


@dataclass(frozen=True, slots=True)
class Column:
    """Recipients who see the object alike; without a body, nothing of it goes to them."""

    names: tuple[str, ...]
    withheld: str | None
    released_at: datetime | None
    gets_it: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the object, and what becomes of it in each column; none where nothing goes."""

    path: str
    value: str
    cells: tuple[Row | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Recipients by fields."""

    columns: tuple[Column, ...]
    fields: tuple[Field, ...]


def table(views: Sequence[AudienceView]) -> Table:
    """Who sees what: a column for those who see it alike, a row for each field."""
    columns = tuple(
        Column(view.names, view.withheld, view.released_at, view.body is not None) for view in views
    )
    by_view = [
        {row.path: row for row in rows(v.lines, v.body, is_final=v.released_at is not None)}
        for v in views
    ]
    first = max(by_view, key=len, default={})
    fields = tuple(
        Field(path, row.value, tuple(found.get(path) for found in by_view))
        for path, row in first.items()
    )
    return Table(columns, fields)


def tally(made: Sequence[Row]) -> tuple[tuple[str, int], ...]:
    """How many fields had each treatment."""
    names = ["pass" if row.treatment == "same" else row.treatment for row in made]
    return tuple((name, names.count(name)) for name in _ORDER if name in names)


def _row(line: Line, minted: dict[str, object]) -> Row:
    treatment, sent, is_said = line.treatment, line.sent, False
    if treatment == "drop" and sent is not None:
        treatment = "replace"
        if line.path in _MINTED:
            sent = str(minted.get(line.path, "minted when it leaves"))
            is_said = line.path not in minted
    elif treatment == "pass" and line.field_class == "structure":
        treatment = "same"
    if line.path.startswith("pattern[") and treatment != "drop" and sent is None:
        sent, is_said = "in the pattern", True
    return Row(
        path=_path(line.path),
        value=line.value,
        treatment=treatment,
        sent=sent,
        is_said=is_said,
        rule=line.rule,
        reason=line.reason,
        basis=line.basis,
    )


def _path(path: str) -> str:
    """The path without the ids of our own extensions, which say nothing to a reader."""
    if path.startswith(_CONTEXT):
        return "context." + path.removeprefix(_CONTEXT)
    for prefix, word in _OURS.items():
        if path.startswith(prefix):
            return word + path.removeprefix(prefix)
    return path
