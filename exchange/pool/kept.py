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
    """Every extract of the last 45 days, one at a time, as they come from the database.

    For the process that holds POOL_KEY; the rows are opened in its child, and nowhere else.
    """
    if not settings.POOL_KEY:
        raise Refused("pool.key", "Only the worker of the pool opens extracts.")
    numbers = _owners()
    # As they are stored, and not as text: that would be twice as long, and read twice.
    with connection.cursor() as cursor, cursor.copy(_INPUTS, [_first(now)]) as rows:
        rows.set_types(["uuid", "uuid", "date", "bytea", "timestamptz", "bytea", "bytea"])
        for key, member_id, day, digest, received_at, wrapped, sealed in rows.rows():
            place = aad(member_id, day, key)
            yield Input(
                owner=numbers[member_id],
                member_id=member_id,
                day=day,
                digest=bytes(digest),
                received_at=received_at,
                sealed=sealed,
                key=sealing.unwrap(settings.POOL_KEY, bytes(wrapped), aad=place),
                aad=place,
            )


_INPUTS = """
COPY (
    SELECT extract.id, extract.member_id, extract.day, digest, received_at, wrapped, sealed
    FROM exchange_extract AS extract
    JOIN exchange_sealedextract AS body ON body.extract_id = extract.id
    JOIN exchange_extractkey AS key
        ON key.member_id = extract.member_id AND key.day = extract.day
    JOIN members_member AS member ON member.id = extract.member_id
    WHERE extract.state = 'taken' AND extract.day > %s AND member.state = 'active'
) TO STDOUT (FORMAT BINARY)
"""


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


def _first(now: datetime) -> date:
    """The day before the first that is still in the pool."""
    return now.astimezone(UTC).date() - timedelta(days=schema.DAYS)


def _live(now: datetime) -> QuerySet[Extract]:
    return Extract.objects.filter(
        state=Extract.State.TAKEN, day__gt=_first(now), member__state=Member.State.ACTIVE
    )


def _owners() -> dict[UUID, int]:
    """Whose a member is, as numbers in the order of the owners' first members."""
    members = list(Member.objects.order_by("id"))
    whose = owners.ultimate({one.name: one.owner for one in members})
    numbers: dict[str, int] = {}
    return {one.id: numbers.setdefault(whose[one.name], len(numbers)) for one in members}
