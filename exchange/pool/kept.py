"""What the pool holds: sealed days for runs, each until its clock, and what is left of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from exchange import audiences, ledger
from exchange.models.pool import Extract, ExtractKey, ExtractTry, SealedExtract
from exchange.proof.refused import NotFound, Refused
from indicators.detection import rules, schema, sealing
from members import owners
from members.auth import Principal
from members.models import Member

_AT_ONCE = 100  # extracts that a run's feeder holds at one time


@dataclass(frozen=True, slots=True)
class Day:
    """One day of somebody in the pool: what its officers may see of it."""

    day: date
    digest: str


@dataclass(frozen=True, slots=True)
class Input:
    """One extract for a run's child: sealed, with the key that opens it and the place it is for."""

    owner: int  # whose, as a number of this run; affiliates are one
    member_id: UUID
    day: date
    digest: bytes
    received_at: datetime
    sealed: bytes = field(repr=False)
    key: bytes = field(repr=False)
    aad: bytes = field(repr=False)


def limits() -> rules.Limits:
    """What the floor in force sets for extracts."""
    _, floor = audiences.floor_in_force()
    numbers = dict(floor.document.get("pool", {}))
    numbers.pop("every_hours", None)
    return rules.Limits(**numbers)


def every_hours() -> int:
    """How long the floor has a day's extract stand before another may replace it."""
    _, floor = audiences.floor_in_force()
    return int(floor.document.get("pool", {}).get("every_hours", 24))


def aad(member_id: UUID, day: date, extract_id: UUID) -> bytes:
    """Where a sealed day belongs."""
    return b"extract:" + member_id.bytes + day.isoformat().encode() + extract_id.bytes


def standing(*, now: datetime) -> bytes:
    """The digest of all that a run would read now: equal means that there is nothing new."""
    rows = _live(now).values_list("member_id", "day", "digest")
    said = sha256()
    for member_id, day, digest in rows.order_by("member_id", "day"):
        said.update(member_id.bytes + str(day).encode() + bytes(digest))
    return said.digest()


def inputs(*, now: datetime) -> Iterator[Input]:
    """Every extract of the last 45 days, by owner, member and day; a few are in memory at a time.

    For the process that holds POOL_KEY; the rows are opened in its child, and nowhere else.
    """
    if not settings.POOL_KEY:
        raise Refused("pool.key", "Only the worker of the pool opens extracts.")
    numbers = _owners()
    order = sorted(
        _live(now).values_list("member_id", "day", "id"),
        key=lambda row: (numbers[row[0]], row[0], row[1]),
    )
    for start in range(0, len(order), _AT_ONCE):
        yield from _opened([key for _, _, key in order[start : start + _AT_ONCE]], numbers)


def held(principal: Principal, *, now: datetime) -> tuple[Day, ...]:
    """Days and digests: a member's own, or all for who watches over the pool, whose is not said."""
    if principal.member_id is not None:
        if not principal.may("read-own-extracts"):
            raise NotFound
        rows = _live(now).filter(member_id=principal.member_id)
        found = rows.order_by("-day").values_list("day", "digest")
        return tuple(Day(day, bytes(digest).hex()) for day, digest in found if day)
    with connection.cursor() as cursor:
        cursor.execute("SELECT on_day, digest FROM weir_pool_days()")
        return tuple(Day(day, bytes(digest).hex()) for day, digest in cursor.fetchall())


def due(*, before: datetime, most: int) -> list[UUID]:
    """The extracts whose clock has run out; one under a legal hold stays sealed, and is not run."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [before.astimezone(UTC).date(), most])
        return [key for (key,) in cursor.fetchall()]


_DUE = """
SELECT id FROM exchange_extract WHERE state = 'taken' AND day <= %s
AND weir_legal_hold(ARRAY[member_id], NULL, NULL, received_at) IS NULL ORDER BY day, id LIMIT %s
"""


@transaction.atomic
def erase(extracts: Collection[UUID], *, now: datetime) -> None:
    """Destroy the keys of these days and what they opened; digest and day stay, in the ledger too.

    Each member is told, in its own slot.
    """
    rows = list(Extract.objects.filter(pk__in=extracts, state=Extract.State.TAKEN))
    by_member: dict[UUID, list[date]] = {}
    for row in rows:
        if row.day is None:
            continue
        ExtractKey.objects.filter(member_id=row.member_id, day=row.day).delete()
        SealedExtract.objects.filter(extract=row).delete()
        Extract.objects.filter(pk=row.pk).update(state=Extract.State.ERASED, ended_at=now)
        by_member.setdefault(row.member_id, []).append(row.day)
    for member_id, days in by_member.items():
        tell(member_id, days, ground="clock", now=now)
    old = now.astimezone(UTC).date() - timedelta(days=schema.DAYS)
    ExtractTry.objects.filter(day__lt=old).delete()


def forget(member_id: UUID, *, now: datetime) -> None:
    """A member leaves: its keys and sealed days go at once (the operator's own function)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT on_day FROM weir_end_extracts(%s, %s)", [member_id, now])
        days = [day for (day,) in cursor.fetchall()]
    if days:
        tell(member_id, days, ground="left", now=now)


def tell(member_id: UUID, days: Sequence[date], *, ground: str, now: datetime) -> None:
    """The entry that says which days are gone, in the member's own slot."""
    named = [day.isoformat() for day in sorted(days)]
    fields = {"what": "extract", "ground": ground, "days": named}
    ledger.record("erase", by=member_id, slots={"from": fields, "audit": fields}, now=now)


def _live(now: datetime) -> QuerySet[Extract]:
    first = now.astimezone(UTC).date() - timedelta(days=schema.DAYS)
    return Extract.objects.filter(
        state=Extract.State.TAKEN, day__gt=first, member__state=Member.State.ACTIVE
    )


def _owners() -> dict[UUID, int]:
    """Whose a member is, as numbers in the order of the owners' first members."""
    members = list(Member.objects.order_by("id"))
    whose = owners.ultimate({one.name: one.owner for one in members})
    numbers: dict[str, int] = {}
    return {one.id: numbers.setdefault(whose[one.name], len(numbers)) for one in members}


def _opened(keys: Sequence[UUID], numbers: dict[UUID, int]) -> Iterator[Input]:
    rows = {row.pk: row for row in Extract.objects.filter(pk__in=keys)}
    bodies = {row.extract_id: row for row in SealedExtract.objects.filter(extract_id__in=keys)}
    wrapped = {
        (row.member_id, row.day): bytes(row.wrapped)
        for row in ExtractKey.objects.filter(
            member_id__in={row.member_id for row in rows.values()},
            day__in={row.day for row in rows.values()},
        )
    }
    for key in keys:
        body, row = bodies.get(key), rows.get(key)
        if body is None or row is None or (body.member_id, body.day) not in wrapped:
            continue  # replaced or erased since it was listed
        place = aad(body.member_id, body.day, key)
        yield Input(
            owner=numbers[body.member_id],
            member_id=body.member_id,
            day=body.day,
            digest=bytes(row.digest),
            received_at=row.received_at,
            sealed=bytes(body.sealed),
            key=sealing.unwrap(settings.POOL_KEY, wrapped[body.member_id, body.day], aad=place),
            aad=place,
        )
