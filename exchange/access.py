"""The one way out: what a member holds, read as stored bytes; every served read is noted.

Unknown, not released, held, recalled and another's are the same answer. What is visible is said
in `holding` for a few rows, in the database's `weir_page` for pages, and by row-level security.
"""

import re
from collections.abc import Collection as Many
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet

from exchange import ledger
from exchange.models import Kept, ReleaseItem
from exchange.proof import jcs
from exchange.proof.refused import Forbidden, NotFound
from indicators import store
from indicators.models import ForumObject, Version
from members.auth import Principal
from members.models import CircleMember, Member
from members.scope import acting, ask
from members.seals import index_digest

STEADY = "1970-01-01T00:00:00.000Z"  # the version of what has neither `modified` nor `created`
MOST = 1_000
_CREATED = re.compile(rb'"created":"([^"]+)"')
# Canonical bytes of ours: nobody else's words stand in them in this form.
_TAKES_BACK = re.compile(rb'"revoked":true|"source_name":"recalled"')
_MICROSECOND = timedelta(microseconds=1)
_CHUNK = 500
# No object lies further behind the stamp of its contribution: one microsecond for each.
_SPREAD = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# One statement, for a note is written with every page that is served; with an asynchronous commit.
_NOTES = """
WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO exchange_servednote
    (recipient_id, user_id, credential_id, via, at, first_seq, last_seq)
SELECT %s::uuid, %s::uuid, %s::uuid, %s, %s, taken.first, taken.last
FROM lazily, unnest(%s::bigint[], %s::bigint[]) AS taken (first, last) RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Collection:
    """A window on a member's holding, one circle's part of it, or its own contributions."""

    id: UUID
    kind: str
    circle_id: UUID | None
    title: str
    description: str
    alias: str
    can_read: bool
    can_write: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What to read of a collection; `after` is a number that an earlier page ended with."""

    limit: int = MOST
    after: int = -1
    added_after: datetime | None = None
    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("last",)
    spec_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """One version in a collection: its exact bytes, and its place in this member's feed."""

    stix_id: str
    stix_type: str
    version: str
    added_at: datetime
    body: bytes
    number: int

    @property
    def takes_back(self) -> bool:
        """The revoked version of an object, or the notice that an observable was recalled."""
        return _TAKES_BACK.search(self.body) is not None


@dataclass(frozen=True, slots=True)
class Page:
    """Some versions in the order of their arrival."""

    items: tuple[Held, ...]
    more: bool


def collections(principal: Principal) -> tuple[Collection, ...]:
    """The collections of a member, in one order."""
    rows = ask(principal.acting(), _SEATS, [principal.member_id])
    if not rows:
        raise NotFound
    default = rows[0][0]
    reads, writes = principal.may("read-holding"), principal.may("contribute")
    own = principal.may("read-own-originals")
    made = [
        _holding(principal),
        _collection(
            principal,
            "own",
            _Seat(default, "", "") if default else None,
            "Our contributions",
            can_read=own,
            can_write=writes,
        ),
    ]
    for seat in (_Seat(*row[1:]) for row in rows if row[1] is not None):
        # Without a dot: OpenCTI's connector names a collection as `root.title`.
        name = seat.name.replace(".", " ")
        made += [
            _collection(principal, "circle", seat, f"Shared in {name}", can_read=reads),
            _collection(principal, "inbox", seat, f"Contribute to {name}", can_write=writes),
        ]
    return tuple(made)


def _holding(principal: Principal) -> Collection:
    reads = principal.may("read-holding")
    return _collection(principal, "holding", None, "Everything shared with us", can_read=reads)


class _Seat(NamedTuple):
    """A circle in which the member has a seat."""

    circle_id: UUID
    slug: str
    name: str


_SEATS = """
SELECT me.default_circle_id, circle.id, circle.slug, circle.name
FROM members_member me
LEFT JOIN members_circlemember seat ON seat.member_id = me.id AND seat.left_at IS NULL
LEFT JOIN members_circle circle ON circle.id = seat.circle_id
WHERE me.id = %s AND me.state = 'active' ORDER BY circle.is_forum DESC, circle.name
"""


def collection(principal: Principal, name: str) -> Collection:
    """One collection by its id or alias; another member's is not there."""
    whole = _holding(principal)
    if name in (whole.alias, str(whole.id)):  # which every active member has
        return whole
    for one in collections(principal):
        if name in (str(one.id), one.alias):
            return one
    raise NotFound


def holding(principal: Principal) -> QuerySet[ReleaseItem]:
    """All that the member may read now; `part` is its own part in each release."""
    member = _member(principal)
    if not principal.may("read-holding"):
        raise Forbidden("Your role may not read the holding.")
    seats = CircleMember.objects.filter(member=member, left_at__isnull=True)
    own = Q(release__recipients__recipient_id=member.id)
    return ReleaseItem.objects.annotate(
        part=FilteredRelation("release__recipients", condition=own)
    ).filter(
        Q(release__circle__isnull=True) | Q(release__circle_id__in=seats.values("circle_id")),
        stands(member.id),
        part__idx__lt=ledger.published_size(),
    )


def stands(recipient_id: UUID) -> Q:
    """Of release items: what was not taken back from this recipient."""
    kept = Kept.objects.filter(item=OuterRef("pk"), recipient_id=recipient_id)
    return Q(recalled=False) | Q(Exists(kept))


def since(rows: QuerySet[ReleaseItem], moment: datetime) -> QuerySet[ReleaseItem]:
    """The rows of a holding that arrived at a moment or later."""
    return rows.filter(Q(("part__added_at__gte", moment)))


def page(
    principal: Principal, chosen: Collection, query: Query, *, via: str = "taxii", now: datetime
) -> Page:
    """A page of a collection; who reads it, how far and through which door is noted."""
    found = _page(principal, chosen, query)
    # The numbers of the own collection are another count than those of the holding.
    served(principal, found, via=f"{via}-own" if chosen.kind == "own" else via, now=now)
    return found


def knows(principal: Principal, chosen: Collection, stix_id: str) -> bool:
    """Whether any version of an object is in a collection."""
    return bool(_page(principal, chosen, Query(1, ids=(stix_id,), versions=("all",))).items)


def picks_whole(principal: Principal, chosen: Collection, query: Query) -> bool:
    """Whether a query picks every version of the object that it names; NotFound for none."""
    if query.versions == ("all",) and not query.spec_versions:
        return True
    picked = _page(principal, chosen, query)
    if not picked.items:
        raise NotFound
    every = _page(principal, chosen, replace(query, versions=("all",), spec_versions=()))
    return picked == every and not every.more


def newest(principal: Principal, stix_id: str, *, now: datetime) -> Held:
    """The newest version of an object that the member holds."""
    whole = _holding(principal)
    found = page(principal, whole, Query(limit=1, ids=(stix_id,)), via="api", now=now)
    if not found.items:
        raise NotFound
    return found.items[0]


def served(principal: Principal, found: Page, *, via: str, now: datetime) -> None:
    """Note the range that is about to be served; a read that served nothing writes nothing.

    The note is appended with an asynchronous commit: a crash may lose the last second of notes.
    What takes something back has a note of its own, for a range may have been sifted: it is the
    acknowledgement of a recall.
    """
    if not found.items:
        return
    ranges = {(found.items[0].number, found.items[-1].number)}
    ranges |= {(one.number, one.number) for one in found.items if one.takes_back}
    served_ranges(principal, ranges, via=via, now=now)


def served_ranges(
    principal: Principal, ranges: Many[tuple[int, int]], *, via: str, now: datetime
) -> None:
    """Note that these numbers of the member's own count are about to be served."""
    if principal.member_id is None:
        raise NotFound
    ask(
        principal.acting(),
        _NOTES,
        [
            principal.member_id,
            principal.user_id,
            principal.credential_id,
            via,
            now,
            [first for first, _ in sorted(ranges)],
            [last for _, last in sorted(ranges)],
        ],
    )


def noted_each(
    principal: Principal, numbers: Iterable[int], back: Iterable[int], *, via: str, now: datetime
) -> None:
    """Note scattered numbers of a feed: one note for each unbroken range, written in one step."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    ranges = {(first, last) for first, last in runs} | {(number, number) for number in back}
    if ranges:
        served_ranges(principal, ranges, via=via, now=now)


def _page(principal: Principal, chosen: Collection, query: Query) -> Page:
    """A page that nobody is shown before it is noted."""
    if not chosen.can_read:
        raise Forbidden("This collection cannot be read.")
    if query.spec_versions and "2.1" not in query.spec_versions:
        return Page((), more=False)
    if not all(one.isprintable() for one in query.ids):  # NUL and the like name nothing
        return Page((), more=False)
    if chosen.kind == "own":
        with acting(principal.acting()):
            return _own_page(principal, query)
    rows = _held_rows(principal, chosen, query)
    return Page(tuple(rows[: query.limit]), more=len(rows) > query.limit)


def _held_rows(principal: Principal, chosen: Collection, query: Query) -> list[Held]:
    """One call for a page: the database checks once who asks, then walks by keyset.

    `last` and `first` go by the version's value, not by arrival (TAXII 2.1, 3.4.1).
    """
    given = [
        chosen.circle_id if chosen.kind == "circle" else None,
        query.after,
        query.added_after,
        list(query.ids) or None,
        list(query.types) or None,
        list(query.versions),
        query.limit + 1,
    ]
    # What is named is found by its name, and not by a walk through all that is held.
    rows = ask(principal.acting(), _NAMED if query.ids else _WALKED, given)
    return [_held(*row) for row in rows]


_WALKED = """
SELECT * FROM weir_page(%s::uuid, %s, %s::timestamptz, %s::text[], %s::text[], %s::text[], %s)
"""
_NAMED = _WALKED.replace("weir_page", "weir_named")


def _held(  # noqa: PLR0913 - the columns of the page's query
    stix_id: str,
    stix_type: str,
    modified: str,
    added_at: datetime,
    position: int,
    body: bytes,
    number: int,
) -> Held:
    raw = bytes(body)
    return Held(
        stix_id,
        stix_type,
        modified or _created(raw),
        added_at + position * _MICROSECOND,
        raw,
        number,
    )


def _created(body: bytes) -> str:
    match = _CREATED.search(body)
    return match[1].decode() if match else STEADY


def _own_page(principal: Principal, query: Query) -> Page:
    """The member's own contributions as it made them, opened only to be sifted and read back."""
    found: list[Held] = []
    after = query.after
    while len(found) <= query.limit:
        rows = _own_rows(principal, query, after)
        if not rows:
            break
        opened = store.originals(_member(principal).id, [row.id for row in rows])
        for row in rows:
            after = row.number
            # What was erased has a row and no original any more.
            one = _own(row, opened[row.id]) if row.id in opened else None
            if one is not None and _is_wanted(one, row, query):
                found.append(one)
    return Page(tuple(found[: query.limit]), more=len(found) > query.limit)


def _own_rows(principal: Principal, query: Query, after: int) -> list[Any]:
    member_id = _member(principal).id
    published = Version.objects.filter(
        contribution__added_at__isnull=False, contribution__idx__lt=ledger.published_size()
    )
    rivals = published.filter(object_id=OuterRef("object_id"))
    rows = (
        published.filter(member_id=member_id)
        .exclude(object__state=ForumObject.State.WITHDRAWN)
        .annotate(
            number=F("contribution__running") + F("position"),
            is_old=Exists(rivals.filter(modified_ns__gt=OuterRef("modified_ns"))),
            is_late_comer=Exists(rivals.filter(modified_ns__lt=OuterRef("modified_ns"))),
        )
        .filter(number__gt=after)
    )
    if query.ids:
        digests = [store.name_digest(member_id, one) for one in query.ids]
        rows = rows.filter(object__id_digest__in=digests)
    # What the rows can say themselves is sifted here, so that no more originals are opened.
    if query.types:
        rows = rows.filter(object__stix_type__in=(*query.types, "other"))
    if query.added_after is not None:
        arrived = max(query.added_after, _EPOCH) - _SPREAD
        rows = rows.filter(contribution__added_at__gt=arrived)
    if query.versions == ("last",):
        rows = rows.filter(is_old=False)
    return list(rows.select_related("contribution").order_by("number")[:_CHUNK])


def _own(row: Any, obj: dict[str, Any]) -> Held:  # noqa: ANN401 - an annotated row
    return Held(
        str(obj["id"]),
        str(obj["type"]),
        store.version_text(obj),
        row.contribution.added_at + row.position * _MICROSECOND,
        jcs.encode(obj),
        row.number,
    )


def _is_wanted(one: Held, row: Any, query: Query) -> bool:  # noqa: ANN401 - an annotated row
    if query.types and one.stix_type not in query.types:
        return False
    if query.added_after is not None and one.added_at <= query.added_after:
        return False
    return (
        "all" in query.versions
        or ("last" in query.versions and not row.is_old)
        or ("first" in query.versions and not row.is_late_comer)
        or one.version in query.versions
    )


def _collection(
    principal: Principal,
    kind: str,
    seat: _Seat | None,
    title: str,
    *,
    can_read: bool = False,
    can_write: bool = False,
) -> Collection:
    circle_id = seat.circle_id if seat is not None else None
    alias = f"{kind}-{seat.slug}" if kind in ("circle", "inbox") and seat else kind
    described = {
        "holding": "All that this member may read now, in the order of its release.",
        "own": "What this member contributed, as it wrote it; new objects go to its own circle.",
        "circle": "The part of the holding that came through this circle.",
        "inbox": "Write only: what is posted here is contributed to this circle.",
    }
    return Collection(
        id=_collection_id(principal.member_id, kind, circle_id if kind != "own" else None),
        kind=kind,
        circle_id=circle_id,
        title=title,
        description=described[kind],
        alias=alias,
        can_read=can_read,
        can_write=can_write,
    )


def _collection_id(member_id: UUID | None, kind: str, circle_id: UUID | None) -> UUID:
    """A version 4 UUID that is the same each time and says nothing (TAXII 2.1, 2)."""
    name = f"{kind}\n{circle_id or ''}".encode()
    return UUID(bytes=index_digest("collection", member_id, name)[:16], version=4)


def _member(principal: Principal) -> Member:
    row = Member.objects.filter(pk=principal.member_id).first() if principal.member_id else None
    if row is None or row.state != Member.State.ACTIVE:
        raise NotFound
    return row
