"""A report as a table, page by page: a file of a million objects is told in bounded memory."""

import csv
import io
from collections.abc import Iterator
from uuid import UUID

from exchange.files.report import AT_MOST, report
from exchange.files.words import Line
from members.auth import Principal
from members.scope import acting

_HEAD = ("place", "id", "version", "success", "message")
# What a spreadsheet takes for the beginning of a formula, and what it passes over before one.
_ACTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def table(principal: Principal, file_id: UUID) -> Iterator[bytes]:
    """The lines of a report as CSV; Refused at once where there is none for the caller."""
    first = report(principal, file_id, limit=AT_MOST)
    return _pages(principal, file_id, _rows([_HEAD]) + _rows_of(first.lines), first.next)


def _pages(principal: Principal, file_id: UUID, first: bytes, after: str) -> Iterator[bytes]:
    yield first
    while after:
        # The request's own transaction ended when its answer began.
        with acting(principal.acting()):
            page = report(principal, file_id, after=after, limit=AT_MOST)
        yield _rows_of(page.lines)
        after = page.next


def _rows_of(lines: tuple[Line, ...]) -> bytes:
    return _rows(
        [
            (str(one.place), one.stix_id, one.version, "yes" if one.success else "no", one.message)
            for one in lines
        ]
    )


def _rows(rows: list[tuple[str, ...]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([map(safe, row) for row in rows])
    return out.getvalue().encode("utf-8", "replace")


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_ACTS) else cell
