"""What a question is made of: who may ask it, what it can be narrowed by, and its answer's rows."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from exchange.proof.answers import Mark
from exchange.proof.refused import NotFound, Refused
from members.auth import Principal

PAGE = 50
OFFICER, COUNSEL = "officer", "counsel"
FORUM_OFFICER, FORUM_COUNSEL = "forum-officer", "forum-counsel"
OF_A_MEMBER = frozenset({OFFICER, COUNSEL})
GIVEN, RECEIVED, ALL = "given", "received", "all"
SIDES = {GIVEN: "what my company gave", RECEIVED: "what my company received"}

Value = str | int | datetime | None
_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `kind` says how a page shows it."""

    name: str
    title: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of an answer: its values by column, and the entries of the ledger it rests on."""

    values: tuple[Value, ...]
    marks: tuple[Mark, ...] = ()
    # Where its exact bytes are shown: entry and position.
    shown: tuple[int, int] | None = None
    # Another page about it: the page's name and what it takes.
    link: tuple[str, str] | None = None
    # Hex digests of bytes and verdicts that an archive takes along, and where they are asked for.
    rendition: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Some rows, where the next ones start, and what else there is to say of all of them."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    next: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filters:
    """What a question is narrowed by; what is empty does not count."""

    side: str = ""
    recipient: UUID | None = None
    contributor: UUID | None = None
    circle: UUID | None = None
    campaign: str = ""
    object: str = ""
    entry: int | None = None
    since: date | None = None
    until: date | None = None
    field_class: str = ""
    rule: str = ""
    person: UUID | None = None
    inquiry: UUID | None = None

    def plain(self) -> dict[str, str]:
        """The filters that are set, in words: for addresses, for the log, for the manifest."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: str(value) for name, value in given.items() if value not in ("", None)}

    @property
    def start(self) -> datetime | None:
        """The first moment of the period, in UTC."""
        return datetime.combine(self.since, time(), UTC) if self.since else None

    @property
    def end(self) -> datetime | None:
        """The first moment behind the period, in UTC."""
        if self.until is None:
            return None
        return datetime.combine(self.until, time(), UTC) + timedelta(days=1)

    def within(self, rows: QuerySet[_Row], moment: str) -> QuerySet[_Row]:
        """The rows whose moment, a column, lies in the period; all where there is none."""
        if self.start:
            rows = rows.filter(**{f"{moment}__gte": self.start})
        if self.end:
            rows = rows.filter(**{f"{moment}__lt": self.end})
        return rows


@dataclass(frozen=True, slots=True)
class Asked:
    """One question put by somebody."""

    principal: Principal
    filters: Filters
    now: datetime
    cursor: str = ""
    limit: int = PAGE

    @property
    def is_auditor(self) -> bool:
        """The forum's officer, to whom the ledger's both sides are open."""
        return self.principal.member_id is None and FORUM_OFFICER in self.principal.roles

    @property
    def member_id(self) -> UUID:
        """Whose officer or counsel asks; NotFound for the forum's own people."""
        if self.principal.member_id is None:
            raise NotFound
        return self.principal.member_id

    @property
    def is_forum(self) -> bool:
        """One of the forum's own people."""
        return self.principal.member_id is None

    @property
    def side(self) -> str:
        """Which side of one's own company is asked about; the auditors ask about both at once."""
        if self.is_auditor:
            return ALL
        if self.filters.side:
            return self.filters.side
        own = self.filters.recipient is not None
        return RECEIVED if own and self.filters.recipient == self.principal.member_id else GIVEN

    def after(self) -> list[Any]:
        """Where the last page ended; empty for the first."""
        return uncursor(self.cursor)


@dataclass(frozen=True, slots=True)
class Question:
    """One saved query of the compliance workspace."""

    number: int
    group: str
    title: str
    words: str
    filters: tuple[str, ...]
    askers: frozenset[str]
    answer: Callable[[Asked], Answer]
    # Without these it has no answer yet.
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How addresses and the log name it."""
        return f"q{self.number}"

    def is_for(self, principal: Principal) -> bool:
        """Whether a role of this person may ask it."""
        own = principal.roles & OF_A_MEMBER if principal.member_id is not None else frozenset()
        forum = principal.roles & {FORUM_OFFICER, FORUM_COUNSEL}
        roles = own or (forum if principal.member_id is None else frozenset())
        return not self.askers.isdisjoint(roles)


def parse(given: Mapping[str, str], question: Question) -> Filters:
    """The filters of a question; what it does not know is left out, what is none is refused."""
    made: dict[str, Any] = {}
    for name in question.filters:
        text = str(given.get(name, "")).strip()
        if text:
            made[name] = _PARSE.get(name, _text)(text, name)
    filters = Filters(**made)
    if filters.since and filters.until and filters.until < filters.since:
        raise Refused("filter.period", "The period ends before it begins.", "until")
    return filters


def _side(text: str, path: str) -> str:
    if text not in SIDES:
        raise Refused("filter.side", "This is given or received.", path)
    return text


def _id(text: str, path: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refused("filter.id", "This is not an id.", path) from None


def _day(text: str, path: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("filter.day", "A day is written 2026-11-24.", path) from None


def _number(text: str, path: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise Refused("filter.entry", "An entry of the ledger has a whole number.", path)
    return int(text)


def _text(text: str, path: str) -> str:
    if len(text) > 200 or not text.isprintable():
        raise Refused("filter.text", "This is at most 200 plain characters.", path)
    return text


_PARSE: Mapping[str, Callable[[str, str], Any]] = {
    "side": _side,
    "recipient": _id,
    "contributor": _id,
    "circle": _id,
    "person": _id,
    "inquiry": _id,
    "since": _day,
    "until": _day,
    "entry": _number,
}


def cursor(*place: object) -> str:
    """Where a page ended, as an address carries it."""
    spelled = json.dumps(place, default=str, separators=(",", ":"))
    return urlsafe_b64encode(spelled.encode()).decode().rstrip("=")


def uncursor(text: str) -> list[Any]:
    """Where a page ended; an address that is none is refused."""
    if not text:
        return []
    try:
        found = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        raise Refused("filter.page", "This is no page of an answer.", "after") from None
    if not isinstance(found, list):
        raise Refused("filter.page", "This is no page of an answer.", "after")
    return found


def moment(value: object) -> datetime:
    """A time out of a cursor."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise Refused("filter.page", "This is no page of an answer.", "after") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def paged(lines: list[tuple[Line, str]], limit: int) -> tuple[tuple[Line, ...], str]:
    """A page of lines that are there already, and where the next one starts."""
    shown = lines[:limit]
    more = shown[-1][1] if len(lines) > limit else ""
    return tuple(line for line, _ in shown), more
