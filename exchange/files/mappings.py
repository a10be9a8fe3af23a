"""How a member reads its tables: what each column is, remembered for each first row.

The names of columns may be telling: they are sealed, and known again by a keyed hash.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.db import transaction

from exchange.files import sealed
from exchange.files.owned import own
from exchange.models import ColumnMapping, File
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.converters import csv, rows
from indicators.converters.rows import Form
from members.auth import Principal
from members.seals import for_member, index_digest

AT_MOST = 200
SAMPLES = 5
COLUMNS = tuple(csv.NAMES)
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Mapping:
    """What each column of tables with a certain first row is; nothing for one that is not read."""

    id: UUID
    head: tuple[str, ...]
    columns: tuple[str, ...]
    made_at: datetime
    used_at: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """A table as its contributor sees it before it is sent."""

    head: tuple[str, ...]
    columns: tuple[str, ...]
    samples: tuple[tuple[str, ...], ...]
    is_remembered: bool
    encoding: str
    between: str


@dataclass(frozen=True, slots=True)
class Read:
    """How the rows of one file are read, once that is settled."""

    form: Form
    columns: tuple[str, ...]


def look(principal: Principal, file_id: UUID) -> Look:
    """The first row and some more of a table of one's own, and what each column is taken for."""
    row = own(principal, file_id)
    form, found = _first_rows(row)
    head = found[0] if found else []
    kept = _kept(row.member_id, head)
    guessed = kept.columns if kept is not None else _once_each(csv.guess(head))
    return Look(
        head=tuple(head),
        columns=tuple(guessed),
        samples=tuple(tuple(one) for one in found[1:]),
        is_remembered=kept is not None,
        encoding={"cp1252": "Windows-1252"}.get(form.encoding, form.encoding.upper()),
        between={"\t": "tab", ",": "comma", ";": "semicolon"}.get(form.between, form.between),
    )


def remember(
    principal: Principal, head: Sequence[str], columns: Sequence[str], *, now: datetime
) -> UUID:
    """Read tables with this first row so from now on."""
    member_id = _contributor(principal)
    chosen = csv.chosen(head, columns)
    if len(head) > rows.MOST_COLUMNS or any(len(name) > _LONGEST_NAME for name in head):
        said = f"A table has at most {rows.MOST_COLUMNS} columns, their names {_LONGEST_NAME} "
        raise Refused("mapping.size", f"{said}characters each.", "head")
    shape = _shape(member_id, head)
    found = ColumnMapping.objects.filter(member_id=member_id, shape=shape).first()
    if found is None and ColumnMapping.objects.filter(member_id=member_id).count() >= AT_MOST:
        said = f"{AT_MOST} ways to read tables are remembered. Delete one first."
        raise Refused("mapping.many", said, "head")
    mapping_id = found.id if found is not None else uuid4()
    text = orjson.dumps({"head": list(head), "columns": chosen})
    values = {
        "sealed": for_member(member_id).seal(text, aad=_aad(mapping_id)),
        "used_at": now,
    }
    if found is not None:
        ColumnMapping.objects.filter(pk=mapping_id).update(**values)
    else:
        of = {"id": mapping_id, "member_id": member_id, "shape": shape}
        ColumnMapping.objects.create(**of, made_at=now, **values)
    return mapping_id


def change(
    principal: Principal, mapping_id: UUID, columns: Sequence[str], *, now: datetime
) -> None:
    """Read tables of a known first row otherwise."""
    remember(principal, one(principal, mapping_id).head, columns, now=now)


def remembered(principal: Principal) -> tuple[Mapping, ...]:
    """The member's own, the last used first."""
    if principal.member_id is None or not principal.may("read-own-originals"):
        raise NotFound
    found = ColumnMapping.objects.filter(member_id=principal.member_id).order_by("-used_at", "id")
    return tuple(_opened(row) for row in found[:AT_MOST])


def one(principal: Principal, mapping_id: UUID) -> Mapping:
    """One of the member's own."""
    if principal.member_id is None or not principal.may("contribute"):
        raise NotFound
    row = ColumnMapping.objects.filter(pk=mapping_id, member_id=principal.member_id).first()
    if row is None:
        raise NotFound
    return _opened(row)


def forget(principal: Principal, mapping_id: UUID) -> None:
    """Read tables with that first row by the names of their columns again."""
    found = one(principal, mapping_id)
    ColumnMapping.objects.filter(pk=found.id).delete()


def columns_of(principal: Principal, body: bytes) -> tuple[str, ...] | None:
    """How a small table is read by what is remembered; nothing where nothing is."""
    if principal.member_id is None:
        return None
    head = _head(body)
    kept = _kept(principal.member_id, head)
    return kept.columns if kept is not None else None


@transaction.atomic
def settle(row: File, *, now: datetime) -> bytes:
    """How the rows of a file will be read, sealed: as remembered, else by their names."""
    form, found = _first_rows(row)
    head = found[0] if found else []
    kept = _kept(row.member_id, head)
    columns = csv.chosen(head, kept.columns if kept is not None else None)
    if kept is not None:
        ColumnMapping.objects.filter(pk=kept.id).update(used_at=now)
    text = orjson.dumps({"form": asdict(form), "columns": columns})
    return for_member(row.member_id).seal(text, aad=_read_aad(row.id))


def settled(row: File) -> Read:
    """The same, opened by who reads the rows."""
    text = for_member(row.member_id).open(bytes(row.sealed_mapping or b""), aad=_read_aad(row.id))
    said: dict[str, Any] = orjson.loads(text)
    return Read(Form(**said["form"]), tuple(said["columns"]))


def _contributor(principal: Principal) -> UUID:
    if principal.member_id is None or not principal.may("contribute"):
        raise Forbidden("Your role may not contribute.")
    return principal.member_id


def _first_rows(row: File) -> tuple[Form, list[list[str]]]:
    with sealed.Reader(row.id, row.member_id, row.octets) as read:
        form = rows.form_of(read(0, rows.HEAD))
        found = []
        for line in rows.rows(read, form):
            found.append(line.cells)
            if len(found) > SAMPLES:
                break
    return form, found


def _head(body: bytes) -> list[str]:
    form = rows.form_of(body[: rows.HEAD])
    first = next(rows.rows(lambda start, size: body[start : start + size], form), None)
    return first.cells if first is not None else []


def _once_each(columns: Sequence[str]) -> list[str]:
    """Of two columns that seem to be the same, the first."""
    return [
        name if name and columns.index(name) == place else "" for place, name in enumerate(columns)
    ]


def _kept(member_id: UUID, head: Sequence[str]) -> Mapping | None:
    shape = _shape(member_id, head)
    row = ColumnMapping.objects.filter(member_id=member_id, shape=shape).first()
    return _opened(row) if row is not None else None


def _opened(row: ColumnMapping) -> Mapping:
    text = for_member(row.member_id).open(bytes(row.sealed), aad=_aad(row.id))
    said: dict[str, list[str]] = orjson.loads(text)
    head, columns = tuple(said["head"]), tuple(said["columns"])
    return Mapping(row.id, head, columns, row.made_at, row.used_at)


def _shape(member_id: UUID, head: Sequence[str]) -> bytes:
    text = orjson.dumps([cell.strip() for cell in head])
    return index_digest("column-shape", member_id, text)


def _aad(mapping_id: UUID) -> bytes:
    return b"mapping:" + mapping_id.bytes


def _read_aad(file_id: UUID) -> bytes:
    return b"file-read:" + file_id.bytes
