"""Search in what a member holds, never in what was contributed; and what renditions are found by.

A value is found by its exact spelling in released bytes, a range by an address that it holds. What
leaves as a token is found by its token alone. Unknown, another's, recalled and erased are the same
answer: nothing. Who sees a hit has read it, so it is noted like every read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
from django.db import connection, transaction
from django.db.models import QuerySet

from exchange import access, inbox
from exchange.access import Held
from exchange.inbox import Card
from exchange.models import Rendition, SearchEntry, SearchValue
from exchange.policy import catalogue, coarsen, observables
from exchange.policy.observables import Asked, Value
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.stix import extensions
from members.auth import Principal
from members.scope import acting

PAGE = 25
MOST = 1_000
AT_ONCE = 10_000
HITS = 10
_BATCH = 2_000
_ENTRIES = """
    INSERT INTO exchange_searchentry (rendition_id, stix_type, kind, phases, words, confidence,
        valid_from, valid_until)
    SELECT id, type, kind, phases::text[], words::text[], confidence, since, until
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::smallint[],
            %s::timestamptz[], %s::timestamptz[])
        AS new (id, type, kind, phases, words, confidence, since, until)
"""
_VALUES = """
    INSERT INTO exchange_searchvalue (rendition_id, digest, network)
    SELECT id, digest, network
    FROM unnest(%s::bigint[], %b::bytea[], %s::inet[]) AS new (id, digest, network)
"""
COUNTED = 1_000
SHARES = 25
_WORDS = 8
_TYPE = re.compile(r"[a-z0-9-]{1,250}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LISTS = ("type", "kind", "phase", "word")
_SINGLE = ("q", "value", "from", "to", "valid", "confidence", "version", "before", "limit")
NAMES = (*_LISTS, *_SINGLE)


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody searches for in its member's holding; `before` is a number of its own feed."""

    asked: Asked | None = None
    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    confidence: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    valid_on: datetime | None = None
    every: bool = False
    before: int | None = None
    limit: int = PAGE

    @property
    def is_empty(self) -> bool:
        """Whether it asks for anything at all that is held."""
        return self == Query(every=self.every, before=self.before, limit=self.limit)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits, newest first, and where the next one goes on."""

    items: tuple[Held, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Facet:
    """A word by which the hits can be narrowed, and how many it would leave."""

    name: str
    word: str
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """The hits counted; `is_whole` where there are no more than are counted."""

    total: int
    is_whole: bool
    words: tuple[Facet, ...]

    def of(self, name: str) -> tuple[Facet, ...]:
        """The words of one facet, the most frequent first."""
        return tuple(one for one in self.words if one.name == name)


@dataclass(frozen=True, slots=True)
class Hit:
    """An object that says a value, by its name and type."""

    stix_id: str
    stix_type: str


class Place(NamedTuple):
    """A hit, and its place in the member's feed."""

    number: int
    stix_id: str
    stix_type: str
    takes_back: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What the holding says of one value of a list."""

    value: str
    state: str  # hit, miss, unknown (no value of a kind known here), refused
    kind: str = ""
    hits: tuple[Hit, ...] = ()
    more: bool = False
    code: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """Another object of the holding, and the value that both say."""

    word: str
    card: Card


# --- what is asked -------------------------------------------------------------------------------


def query(given: Mapping[str, Sequence[str]], *, most: int = MOST) -> Query:
    """The query that an address states; Refused with a code and the parameter for what is none."""
    for name in given:
        if name not in NAMES:
            raise Refused("query.unknown", f"One of {', '.join(NAMES)}.", "query")
    for name in _SINGLE:
        if len(given.get(name, ())) > 1:
            raise Refused("query.twice", "Say it once.", name)
    one = {name: given[name][0].strip() for name in _SINGLE if given.get(name)}
    lists = {name: [text for text in given.get(name, ()) if text] for name in _LISTS}
    asked, words = _subject(one.get("q", ""), one.get("value", ""))
    said = [word for text in lists["word"] for word in _asked_words(text, "word")]
    return Query(
        asked=asked,
        types=_types(lists["type"]),
        kinds=_closed(lists["kind"], "kinds", "kind"),
        phases=_closed(lists["phase"], "phases", "phase"),
        words=_few_words((*words, *said)),
        confidence=_number(one, "confidence", 0, 100),
        since=_day(one, "from"),
        until=_after(_day(one, "to")),
        valid_on=_day(one, "valid"),
        every=_version(one.get("version", "last")),
        before=_number(one, "before", 0, 2**62),
        limit=_number(one, "limit", 1, most) or PAGE,
    )


def is_value(text: str) -> bool:
    """Whether a text as a whole is a value: one to look up, or one to refuse."""
    return _read(text) is not None


def asked_in(text: str, path: str) -> Asked | None:
    """What a written value asks for; refused at its place in the input."""
    try:
        return observables.asked(text)
    except Refused as refused:
        raise Refused(refused.code, refused.sentence, path) from None


def _subject(free: str, value: str) -> tuple[Asked | None, tuple[str, ...]]:
    """The value that is asked for, and free words where it reads as none."""
    if value:
        asked = asked_in(value, "value")
        if asked is None:
            raise Refused("value.unknown", "It is no value of a kind that is known here.", "value")
        if free:
            raise Refused("query.twice", "Say a value or a free text.", "q")
        return asked, ()
    if not free:
        return None, ()
    asked = asked_in(free, "q")
    return (asked, ()) if asked is not None else (None, _asked_words(free, "q"))


def _asked_words(text: str, path: str) -> tuple[str, ...]:
    if len(text) > observables.LONGEST or not text.isprintable():
        raise Refused("query.word", "Words are short, and have no control characters.", path)
    words = tuple(word for word in observables.asked_words(text) if word)
    if not words or any(len(word) > observables.WORD for word in words):
        raise Refused("query.word", f"A word has 1 to {observables.WORD} letters.", path)
    return words


def _few_words(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) > _WORDS:
        raise Refused("query.word", f"At most {_WORDS} words.", "word")
    return words


def _types(given: Sequence[str]) -> tuple[str, ...]:
    if len(given) > MOST or not all(_TYPE.fullmatch(one) for one in given):
        raise Refused("query.type", "A type has small letters, digits and hyphens.", "type")
    return tuple(given)


def _closed(given: Sequence[str], words: str, path: str) -> tuple[str, ...]:
    if not set(given) <= set(catalogue.WORDS[words]):
        raise Refused(f"query.{path}", f"One of {', '.join(catalogue.WORDS[words])}.", path)
    return tuple(dict.fromkeys(given))


def _number(given: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = given.get(name, "")
    if not text:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) < 20
    if not is_number or not low <= int(text) <= high:
        raise Refused("query.number", f"A whole number from {low} to {high}.", name)
    return int(text)


def _day(given: Mapping[str, str], name: str) -> datetime | None:
    text = given.get(name, "")
    if not text:
        return None
    try:
        if not _DAY.fullmatch(text) or text.startswith("0000") or text >= "9999-12":
            raise ValueError
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise Refused("query.date", "A day is written as 2026-11-24.", name) from None


def _after(day: datetime | None) -> datetime | None:
    return day + timedelta(days=1) if day is not None else None


def _version(text: str) -> bool:
    if text not in ("last", "all"):
        raise Refused("query.version", "One of last, all.", "version")
    return text == "all"


# --- what is found -------------------------------------------------------------------------------


def find(principal: Principal, wanted: Query, *, via: str, now: datetime) -> Found:
    """A page of what the member holds and searches for, noted as every read is."""
    rows = _rows(principal, "weir_search", [*_given(wanted), wanted.limit + 1])
    items = tuple(_held(*row) for row in rows[: wanted.limit])
    _noted(principal, items, via=via, now=now)
    return Found(items, items[-1].number if len(rows) > wanted.limit else None)


def facets(principal: Principal, wanted: Query, *, most: int = COUNTED) -> Facets:
    """The newest hits of a query, counted by type, kind and phase up to a bound."""
    rows = _rows(principal, "weir_facets", [*_given(wanted), most + 1])
    total = next((count for name, _, count in rows if name == "all"), 0)
    words = tuple(Facet(*row) for row in rows if row[0] != "all")
    return Facets(min(total, most), total <= most, words)


def cards(found: Found, *, now: datetime) -> tuple[Card, ...]:
    """The hits as a list shows them."""
    return tuple(inbox.card(one, now=now) for one in found.items)


def shares(principal: Principal, stix_id: str, body: bytes, *, now: datetime) -> tuple[Share, ...]:
    """What else the member holds that says a value of this object, and which value."""
    items = [_held(*row) for row in _rows(principal, "weir_shares", [stix_id, SHARES])]
    _noted(principal, items, via="web", now=now)
    values = observables.of(orjson.loads(body))
    return tuple(
        Share(_common(values, observables.of(orjson.loads(one.body))), inbox.card(one, now=now))
        for one in items
    )


def _common(one: Sequence[Value], other: Sequence[Value]) -> str:
    equal = [value.text for value in one if value in set(other)]
    if equal:
        return f"says {equal[0]} too"
    for mine in (value.text for value in one if value.network):
        for theirs in (value.text for value in other if value.network):
            if coarsen.holds(mine, theirs):
                return f"{theirs} lies in {mine}"
            if coarsen.holds(theirs, mine):
                return f"{theirs} holds {mine}"
    return "says a value of it too"


# --- a list of values ----------------------------------------------------------------------------


def look_up(
    principal: Principal, values: Sequence[str], *, via: str, now: datetime
) -> tuple[Answer, ...]:
    """Each value of a list in its order: whether the member holds anything that says it."""
    if not 0 < len(values) <= AT_ONCE:
        raise Refused("lookup.size", f"A list has 1 to {AT_ONCE:,} values.", "values")
    read = [_read(value) for value in values]
    found = _looked_up(principal, [one if isinstance(one, Asked) else None for one in read])
    seen = {hit.number: hit for hits in found.values() for hit in hits}
    _noted(principal, list(seen.values()), via=via, now=now)
    return tuple(
        _answer(value, one, found.get(place, []))
        for place, (value, one) in enumerate(zip(values, read, strict=True))
    )


def export(principal: Principal, answers: Sequence[Answer], *, now: datetime) -> bytes:
    """The hits of a list as one STIX bundle of the renditions' exact bytes."""
    ids = list(dict.fromkeys(hit.stix_id for one in answers for hit in one.hits))
    if len(ids) > AT_ONCE:
        raise Refused("lookup.export", f"A bundle has at most {AT_ONCE:,} objects.", "values")
    wanted = Query(ids=tuple(ids), limit=AT_ONCE)
    items = find(principal, wanted, via="web", now=now).items if ids else ()
    head = f'{{"type":"bundle","id":"bundle--{uuid4()}","objects":['.encode()
    return head + b",".join(one.body for one in items) + b"]}"


def _read(value: str) -> Asked | Refused | None:
    try:
        return observables.asked(value)
    except Refused as refused:
        return refused


def _looked_up(principal: Principal, asked: Sequence[Asked | None]) -> dict[int, list[Place]]:
    places, digests, net_places, nets = [], [], [], []
    by_id: dict[str, list[int]] = {}
    for place, one in enumerate(asked):
        if one is None:
            continue
        for digest in one.digests:
            places.append(place)
            digests.append(digest)
        if one.network is not None:
            net_places.append(place)
            nets.append(one.network)
        if one.stix_id:
            by_id.setdefault(one.stix_id, []).append(place)
    rows = _rows(
        principal,
        "weir_lookup",
        [places, digests, net_places, nets, list(by_id) or None, HITS + 1],
    )
    found: dict[int, list[Place]] = {}
    for place, _, number, stix_id, stix_type, takes_back in rows:
        hit = Place(number, stix_id, stix_type, takes_back)
        for each in by_id.get(stix_id, ()) if place is None else (place,):
            found.setdefault(each, []).append(hit)
    return found


def _answer(value: str, read: Asked | Refused | None, hits: Sequence[Place]) -> Answer:
    if isinstance(read, Refused):
        return Answer(value, "refused", code=read.code, sentence=read.sentence)
    if read is None:
        return Answer(value, "unknown", code="value.unknown")
    unique = dict.fromkeys(Hit(one.stix_id, one.stix_type) for one in hits)
    shown = tuple(unique)[:HITS]
    state = "hit" if shown else "miss"
    return Answer(value, state, read.kind, shown, more=len(unique) > HITS)


# --- what renditions are found by ----------------------------------------------------------------


def index(made: Sequence[Rendition], said: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write by what these renditions are found; the caller holds the transaction that made them.

    `said` is what they say, where whoever made them has it: else it is read from their bytes.
    """
    read = said or [orjson.loads(bytes(row.body)) for row in made]
    entries = [_entry(row, obj) for row, obj in zip(made, read, strict=True)]
    values = [
        (row.pk, value.digest, value.network)
        for row, obj in zip(made, read, strict=True)
        for value in observables.of(obj)
    ]
    for rows in store.batched(entries, _BATCH):
        store.insert(_ENTRIES, (), *zip(*rows, strict=True))
    for part in store.batched(values, _BATCH):
        store.insert(_VALUES, (), *zip(*part, strict=True))


def forget(gone: QuerySet[Rendition]) -> None:
    """What is erased is found by nothing any more."""
    SearchValue.objects.filter(rendition__in=gone).delete()
    SearchEntry.objects.filter(rendition__in=gone).delete()


@transaction.atomic
def fill(*, most: int = _BATCH) -> int:
    """Index some renditions of before there was an index; how many, nothing once all are done."""
    rows = Rendition.objects.filter(search_entry__isnull=True).exclude(body=b"")
    waiting = list(rows.order_by("id").select_for_update(of=("self",), skip_locked=True)[:most])
    index(waiting)
    return len(waiting)


def _entry(row: Rendition, obj: Mapping[str, Any]) -> tuple[Any, ...]:
    said = extensions.context_of(obj) or {}
    return (
        row.pk,
        row.stix_type,
        str(said.get("indicator_kind", "")),
        store.array(observables.phases(obj)),
        store.array(observables.words(obj)),
        obj.get("confidence"),
        _moment(obj.get("valid_from") or obj.get("first_seen")),
        _moment(obj.get("valid_until") or obj.get("last_seen")),
    )


def _moment(text: object) -> datetime | None:
    return coarsen.instant(text) if isinstance(text, str) else None


# --- the database --------------------------------------------------------------------------------


def _held(
    number: int, added_at: datetime, stix_id: str, stix_type: str, modified: str, body: bytes
) -> Held:
    return Held(stix_id, stix_type, modified, added_at, bytes(body), number)


def _noted(principal: Principal, shown: Sequence[Held | Place], *, via: str, now: datetime) -> None:
    numbers = [one.number for one in shown]
    back = [one.number for one in shown if one.takes_back]
    access.noted_each(principal, numbers, back, via=via, now=now)


def _given(wanted: Query) -> list[Any]:
    asked = wanted.asked
    return [
        (list(asked.digests) or None) if asked else None,
        asked.network if asked else None,
        [asked.stix_id] if asked and asked.stix_id else list(wanted.ids) or None,
        list(wanted.types) or None,
        list(wanted.kinds) or None,
        list(wanted.phases) or None,
        list(wanted.words) or None,
        wanted.confidence,
        wanted.since,
        wanted.until,
        wanted.valid_on,
        wanted.before,
        wanted.every,
    ]


# What each function is called with: bare placeholders would leave arrays of nothing without a type.
_PAGED = "bytea[] inet text[] text[] text[] text[] text[] int timestamptz timestamptz timestamptz "
_KINDS = {
    "weir_search": f"{_PAGED}bigint boolean int",
    "weir_facets": f"{_PAGED}bigint boolean int",
    "weir_lookup": "int[] bytea[] int[] inet[] text[] int",
    "weir_shares": "text int",
}
_CALLS = {
    name: f"SELECT * FROM {name}({', '.join(f'%s::{kind}' for kind in kinds.split())})"  # noqa: S608 - names of this module
    for name, kinds in _KINDS.items()
}


def _rows(principal: Principal, function: str, given: Sequence[Any]) -> list[Any]:
    """One call: the database checks once who asks, and shows what that member holds."""
    if principal.member_id is None:
        raise NotFound
    if not principal.may("read-holding"):
        raise Forbidden("Your role may not read the holding.")
    with acting(principal.acting()), connection.cursor() as cursor:
        cursor.execute(_CALLS[function], list(given))
        return list(cursor.fetchall())
