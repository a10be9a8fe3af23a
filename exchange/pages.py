"""Walk a holding page by page: stored bytes put together, full pages sealed once and shared.

A full page keeps its borders for ever: behind the same number comes the same page, on every worker,
and what was superseded, recalled or erased since is missing from it. Its bytes lie in files named
by what is in it, so members with equal feeds share them; who may read is checked for each request,
and any file may be dropped at any time.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from exchange import access, shelf
from exchange.access import Collection, Query
from exchange.models import SealedPage
from exchange.proof.refused import Forbidden, NotFound
from members.auth import Principal
from members.scope import Acting, acting, ask, fetch

# The collections whose pages are renditions.
WALKED = ("holding", "circle")


@dataclass(frozen=True, slots=True)
class Walk:
    """Some renditions in the order of their arrival, and where the walk goes on."""

    bodies: tuple[bytes, ...]
    renditions: tuple[int, ...]
    first_number: int
    last_number: int
    first_at: datetime
    last_at: datetime
    more: bool
    # The numbers of what takes something back.
    back: tuple[int, ...] = ()
    # The name of its bytes; empty for a page that is not sealed.
    key: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """What answers a request for a page: its bytes, or the file that has them, or neither."""

    walk: Walk | None
    body: bytes = b""
    file: shelf.File | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a page goes over the wire: put together how, encoded how, and what the asker has."""

    assemble: Callable[[Walk], bytes]
    encoding: str
    has: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Feed:
    """What one member holds, or one circle's part of it, for who asks for it."""

    member_id: UUID
    circle_id: UUID | None
    who: Acting


def is_walk(chosen: Collection, query: Query) -> bool:
    """Whether a query asks for the newest versions of all that is held, without a filter."""
    plain = query.versions == ("last",) and not (query.ids or query.types or query.spec_versions)
    return plain and chosen.kind in WALKED


def serve(
    principal: Principal, chosen: Collection, query: Query, wanted: Wanted, *, now: datetime
) -> Served:
    """A page of a walk, noted before it leaves; what the asker has already is not served again."""
    if not chosen.can_read:
        raise Forbidden("This collection cannot be read.")
    if principal.member_id is None:
        raise NotFound
    circle_id = chosen.circle_id if chosen.kind == "circle" else None
    feed = _Feed(principal.member_id, circle_id, principal.acting())
    sealed = _taken(principal, feed, query, wanted, now=now) if _is_on_grid(query) else None
    noted = frozenset[tuple[int, int]]()
    if sealed is not None and sealed.key:
        file = shelf.find(sealed.key, wanted.encoding)
        if sealed.key in wanted.has or file is not None:
            return Served(sealed, file=None if sealed.key in wanted.has else file)
        noted = _ranges(sealed)
    walk = _walk(feed, query) if sealed is None else sealed
    if walk is None:
        return Served(None)
    if sealed is not None or _may_be_sealed(query, walk):
        with acting(feed.who):
            walk = _page(feed, query, wanted.encoding)
    if walk is None or (walk.key and walk.key in wanted.has):
        return Served(walk)
    access.served_ranges(principal, _ranges(walk) - noted, via="taxii", now=now)
    if not walk.key:
        return Served(walk, body=wanted.assemble(walk))
    file = shelf.find(walk.key, wanted.encoding)
    return Served(walk, file=file or shelf.put(walk.key, wanted.encoding, wanted.assemble(walk)))


def drop(release_ids: Sequence[UUID]) -> int:
    """Forget the pages in which these releases stand; how many of their files went."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_DROP, [list(release_ids)])
        gone = {bytes(digest) for (digest,) in cursor.fetchall()}
    kept = SealedPage.objects.filter(digest__in=gone).values_list("digest", flat=True)
    return sum(shelf.drop(digest.hex()) for digest in gone - {bytes(one) for one in kept})


_DROP = """
DELETE FROM exchange_sealedpage page USING exchange_releaserecipient part, exchange_release act
WHERE part.release_id = ANY(%s) AND act.id = part.release_id AND part.recipient_id = page.member_id
AND part.running + act.count > page.after AND part.running <= page.until RETURNING page.digest
"""


def _is_on_grid(query: Query) -> bool:
    """Whether the pages of this size, from the start on, are sealed."""
    return query.limit == access.MOST and query.added_after is None


def _may_be_sealed(query: Query, walk: Walk) -> bool:
    """Whether a page ends at a border, or makes one."""
    return walk.more and query.limit == access.MOST


def _ranges(walk: Walk) -> frozenset[tuple[int, int]]:
    """What is noted of a page: its range, and what takes something back by itself."""
    return frozenset({(walk.first_number, walk.last_number), *((one, one) for one in walk.back)})


def _taken(
    principal: Principal, feed: _Feed, query: Query, wanted: Wanted, *, now: datetime
) -> Walk | None:
    """The page with borders, read and noted in one step; without a name where it is not current.

    What the asker has already is not noted, for it is not served again.
    """
    given = {
        "circle": feed.circle_id,
        "after": query.after,
        "has": [bytes.fromhex(key) for key in wanted.has if _KEY.fullmatch(key)],
        "member": feed.member_id,
        "user": principal.user_id,
        "credential": principal.credential_id,
        "now": now,
    }
    row = next(iter(ask(feed.who, _TAKE, given)), None)
    if row is None:
        return None
    *_, count, _back, _first_at, _last_at, is_current = row
    return _named_by(row) if is_current and count else replace(_named_by(row), key="")


_KEY = re.compile(r"[0-9a-f]{64}")
_TAKE = """
WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
page AS MATERIALIZED (SELECT * FROM weir_sealed(%(circle)s::uuid, %(after)s)),
noted AS (
    INSERT INTO exchange_servednote
        (recipient_id, user_id, credential_id, via, at, first_seq, last_seq)
    SELECT %(member)s::uuid, %(user)s::uuid, %(credential)s::uuid, 'taxii', %(now)s, taken.first,
        taken.last
    FROM lazily, page CROSS JOIN LATERAL (
        SELECT page.first_number, page.until UNION SELECT one, one FROM unnest(page.back) one
    ) AS taken (first, last)
    WHERE page.is_current AND page.count > 0 AND page.digest <> ALL (%(has)s::bytea[]))
SELECT page.* FROM page
"""


def _page(feed: _Feed, query: Query, encoding: str) -> Walk | None:
    """The page behind a number; pages of which nothing is left are passed over."""
    on_grid = _is_on_grid(query)
    after = query.after
    while on_grid:
        sealed = _sealed(feed, after, encoding)
        if sealed is None:
            break
        if sealed.key or sealed.renditions:
            return sealed
        after = sealed.last_number
    walk = _walk(feed, replace(query, after=after))
    if walk is None or not _may_be_sealed(query, walk):
        return walk
    if not (on_grid and (after < 0 or _pages(feed).filter(until=after).exists())):
        return _cut(feed, replace(query, after=after), walk)
    # Who was quicker has set the borders, and then those hold.
    row = SealedPage(member_id=feed.member_id, circle_id=feed.circle_id, after=after)
    _describe(row, walk, signature=b"")  # which no page has: the next line makes its name
    SealedPage.objects.bulk_create([row], ignore_conflicts=True)
    return _sealed(feed, after, encoding)


def _sealed(feed: _Feed, after: int, encoding: str) -> Walk | None:
    """A page with borders as it is now: by its name alone, or anew if something left it."""
    row = next(
        iter(fetch("SELECT * FROM weir_sealed(%s::uuid, %s)", [feed.circle_id, after])), None
    )
    if row is None:
        return None
    named = _named_by(row)
    _, until, _, count, *_, is_current = row
    if is_current and (not count or shelf.find(named.key, encoding) is not None):
        return named if count else replace(named, key="")
    found = _walk(feed, Query(after=after, limit=access.MOST), upto=until)
    return _named(feed, after, replace(found or named, last_number=until, more=True, key=""))


def _named_by(row: Sequence[Any]) -> Walk:
    """A page by its borders and its name, without its bytes."""
    digest, until, first_number, _, back, first_at, last_at, _ = row
    return Walk((), (), first_number, until, first_at, last_at, True, tuple(back), digest.hex())  # noqa: FBT003 - more


def _named(feed: _Feed, after: int, walk: Walk) -> Walk:
    """Name a page by its bytes as of one moment; what changed since it was read stays unnamed."""
    given = {"circle": feed.circle_id, "after": after, "until": walk.last_number}
    ((signature, renditions),) = fetch(_AS_OF_NOW, {**given, "most": access.MOST + 1})
    if tuple(renditions) != walk.renditions:
        return walk
    # Equal renditions with an equal way on have equal bytes.
    key = sha256(f"{walk.last_number}:{walk.renditions}".encode())
    row = SealedPage(digest=key.digest())
    _describe(row, walk, signature=signature)
    _pages(feed).filter(after=after).update(**{name: getattr(row, name) for name in _SAID})
    return replace(walk, key=key.hexdigest()) if walk.renditions else walk


_SAID = "until signature digest count first_number back first_at last_at".split()
_AS_OF_NOW = """
SELECT weir_signature(%(circle)s, %(after)s, %(until)s), ARRAY(
    SELECT rendition FROM weir_walk(%(circle)s, %(after)s, %(until)s, NULL, %(most)s))
"""


def _describe(row: SealedPage, walk: Walk, *, signature: bytes) -> None:
    row.until = walk.last_number
    row.signature = signature
    row.digest = row.digest or b""
    row.count = len(walk.renditions)
    row.first_number = walk.first_number
    row.back = list(walk.back)
    row.first_at, row.last_at = walk.first_at, walk.last_at


def _cut(feed: _Feed, query: Query, walk: Walk) -> Walk:
    """A page that began between two borders ends at the next, so that the walk finds the grid."""
    between = _pages(feed).filter(until__gt=query.after, until__lt=walk.last_number)
    border = between.order_by("until").values_list("until", flat=True).first()
    found = _walk(feed, query, upto=border) if border is not None else None
    return walk if found is None else replace(found, more=True)


def _walk(feed: _Feed, query: Query, *, upto: int | None = None) -> Walk | None:
    """The rows behind a number, their bytes as the database has them."""
    given = [feed.circle_id, query.after, upto, query.added_after, query.limit + 1]
    rows = ask(
        feed.who, "SELECT * FROM weir_walk(%s::uuid, %s, %s::bigint, %s::timestamptz, %s)", given
    )
    if not rows:
        return None
    page = rows[: query.limit]
    return Walk(
        bodies=tuple(row[4] for row in page),
        renditions=tuple(row[2] for row in page),
        first_number=page[0][0],
        last_number=page[-1][0],
        first_at=page[0][1],
        last_at=page[-1][1],
        more=len(rows) > query.limit,
        back=tuple(row[0] for row in page if row[3]),
    )


def _pages(feed: _Feed) -> QuerySet[SealedPage]:
    mine = SealedPage.objects.filter(member_id=feed.member_id)
    if feed.circle_id is None:
        return mine.filter(circle__isnull=True)
    return mine.filter(circle_id=feed.circle_id)
