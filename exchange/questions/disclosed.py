"""What was disclosed to whom, item by item, as the database tells it to who asks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from exchange.proof.answers import Mark
from exchange.proof.refused import Refused
from exchange.questions.asking import ALL, RECEIVED, Asked, Line, cursor, moment


class Disclosed(NamedTuple):
    """One object of one release to one recipient; the columns of `weir_disclosed`."""

    idx: int
    place: int
    added_at: datetime
    kind: str
    part: int
    release: UUID
    recipient: str | None
    contributor: str | None
    circle: str | None
    rendition: int
    stix_id: str
    stix_type: str
    modified: str
    digest: bytes
    octets: int
    floor: str
    floor_digest: bytes
    policy: str | None
    nominal_at: datetime
    reason: str
    recalled: bool
    verdict: bytes | None
    rules: list[str] | None
    told_here: bool
    circle_id: UUID | None

    @property
    def whom(self) -> str:
        """Who received it."""
        return self.recipient or ""

    def mark(self, side: str) -> Mark:
        """What the ledger says of it, in the slot that who asks may open."""
        if side == ALL:
            return Mark(self.idx, "audit", {"release": str(self.release)})
        says = {"release": str(self.release), "rendition": bytes(self.digest).hex()}
        return Mark(self.idx, "to" if side == RECEIVED else "from", says)

    def line(self, side: str, *values: Any) -> Line:  # noqa: ANN401 - the cells of a row
        """A row about it, with its proof, its bytes and its verdict."""
        return Line(
            values=values,
            marks=(self.mark(side),),
            shown=(self.idx, self.place),
            rendition=bytes(self.digest).hex(),
            verdict=bytes(self.verdict).hex() if self.verdict else "",
        )


_KINDS = (
    "text", "uuid", "uuid", "text[]", "uuid", "timestamptz", "timestamptz", "text", "text",
    "text[]", "uuid[]", "bigint", "boolean", "text", "timestamptz", "bigint", "integer", "integer",
)  # fmt: skip
_CALL = f"SELECT * FROM weir_disclosed({', '.join(f'%s::{kind}' for kind in _KINDS)})"  # noqa: S608 - words of this module


def disclosed(
    asked: Asked,
    *,
    names: Sequence[str] | None = None,
    words: Sequence[str] | None = None,
    bodies: Sequence[UUID] | None = None,
    heads: bool = False,
    kind: str = "",
) -> tuple[list[Disclosed], str]:
    """A page of what was disclosed, newest first, and where the next one starts.

    `heads` takes the first object of each release alone.
    """
    filters = asked.filters
    if filters.campaign:
        about = _about(filters.campaign)
        names = about if names is None else [one for one in names if one in set(about)]
    if filters.object:
        names = [filters.object] if names is None else [n for n in names if n == filters.object]
    at, idx, place = _after(asked)
    with connection.cursor() as run:
        run.execute(
            _CALL,
            [
                asked.side,
                filters.recipient,
                filters.contributor,
                list(names) if names is not None else None,
                filters.circle,
                filters.start,
                filters.end,
                filters.field_class or None,
                filters.rule or None,
                list(words) if words is not None else None,
                list(bodies) if bodies is not None else None,
                filters.entry,
                heads,
                kind or None,
                at,
                idx,
                place,
                asked.limit + 1,
            ],
        )
        rows = [Disclosed(*row) for row in run.fetchall()]
    shown = rows[: asked.limit]
    if len(rows) <= asked.limit:
        return shown, ""
    last = shown[-1]
    return shown, cursor(last.added_at, last.idx, last.place)


def taken(part: int) -> tuple[datetime | None, str]:
    """When and how a recipient took its part; nothing where who asks may not know."""
    with connection.cursor() as run:
        run.execute("SELECT at, how FROM weir_fetched(%s)", [part])
        row = run.fetchone()
    return (row[0], row[1]) if row else (None, "")


def _about(campaign: str) -> list[str]:
    with connection.cursor() as run:
        run.execute("SELECT weir_about(%s)", [campaign])
        return list(run.fetchone()[0])


def _after(asked: Asked) -> tuple[datetime | None, int | None, int | None]:
    place = asked.after()
    if not place:
        return None, None, None
    if len(place) != 3 or type(place[1]) is not int or type(place[2]) is not int:
        raise Refused("filter.page", "This is no page of an answer.", "after")
    return moment(place[0]), place[1], place[2]
