"""As a member on a day: what it could pull at a moment, from the ledger's numbers and the seats.

Nothing is computed anew: the bytes are those that left. Who asks about another member is told of
its own objects alone; the forum's officer sees all of it.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from django.db import connection

from exchange import lookback
from exchange.models import LookedBack
from exchange.proof.refused import NotFound
from exchange.questions import book
from exchange.questions.asking import FORUM_OFFICER, OF_A_MEMBER, Filters
from members.auth import Principal
from members.models import Member

PAGE = 50
_CALL = "SELECT * FROM weir_held_at(%s::uuid, %s::timestamptz, %s::bigint, %s)"


@dataclass(frozen=True, slots=True)
class Had:
    """One object as a member had it at a moment."""

    index: int
    place: int
    added_at: datetime
    circle: str
    stix_id: str
    stix_type: str
    modified: str
    digest: str
    body: bytes

    @property
    def is_whole(self) -> bool:
        """Whether the bytes are those whose digest was recorded; erased ones are not there."""
        return sha256(self.body).hexdigest() == self.digest


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what a member had, in the order of its feed."""

    name: str
    at: datetime
    items: tuple[Had, ...]
    next: int | None
    # Only one's own objects are told of another member.
    is_part: bool


def members(principal: Principal) -> tuple[tuple[str, str], ...]:
    """As whom somebody may look."""
    rows = Member.objects.order_by("name").values_list("id", "name")
    return tuple((str(pk), name) for pk, name in rows)


def held(
    principal: Principal,
    member_id: UUID,
    *,
    at: datetime,
    after: int = -1,
    limit: int = PAGE,
    now: datetime,
) -> Page:
    """What a member could pull at a moment; that somebody looked is written down first."""
    _demand(principal)
    row = Member.objects.filter(pk=member_id).first()
    if row is None:
        raise NotFound
    book.note(
        principal,
        "as a member on a day",
        "screen",
        Filters(recipient=member_id, until=at.date()),
        now=now,
    )
    with connection.cursor() as run:
        run.execute(_CALL, [member_id, at, after, limit + 1])
        rows = run.fetchall()
    shown = rows[:limit]
    return Page(
        name=row.name,
        at=at,
        items=tuple(
            Had(idx, place, added_at, circle or "", stix_id, stix_type, modified,
                bytes(digest).hex(), bytes(body))
            for _, idx, place, added_at, circle, stix_id, stix_type, modified, digest, body in shown
        ),
        next=shown[-1][0] if len(rows) > limit else None,
        is_part=principal.member_id is not None and principal.member_id != member_id,
    )  # fmt: skip


def siblings(principal: Principal, index: int, place: int) -> tuple[tuple[str, int, int], ...]:
    """The same object as the other recipients of its release have it: name, entry and place."""
    with connection.cursor() as run:
        run.execute("SELECT * FROM weir_siblings(%s, %s)", [index, place])
        return tuple((name or "", idx, at) for name, idx, at in run.fetchall())


def alarms(principal: Principal) -> int:
    """How many objects differ from what was recorded, as far as the reader is told of it."""
    faults = LookedBack.objects.exclude(fault__in=("", lookback.GONE))
    if principal.member_id is not None:
        faults = faults.filter(member_id=principal.member_id)
    return faults.count()


def _demand(principal: Principal) -> None:
    roles = OF_A_MEMBER if principal.member_id is not None else {FORUM_OFFICER}
    if principal.roles.isdisjoint(roles):
        raise NotFound
