"""The way into the pool: one extract of a member for a day, or a refusal of which a digest stays.

1. who sends may, and the pool is on     2. the day's tries are counted; beyond them nothing is read
3. the same again is answered the same   4. the day, the epoch, and whose file it is
5. a child reads it and judges each row  6. sealed under a fresh key, in the place of that day's
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from secrets import token_bytes
from uuid import UUID, uuid4

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import F
from psycopg.errors import LockNotAvailable

from exchange import children, ledger
from exchange.models.pool import Extract, ExtractKey, ExtractTry, SealedExtract
from exchange.pool import kept
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.telemetry import count as count_one
from indicators.detection import manifest, parquet, rules, sealing, taking
from members.auth import Principal
from members.models import Member

TRIES = 24  # of a member on a day, and as many more as the floor lets it send extracts
LISTED = 100
MEMORY = 184 << 20  # the largest that may be needs some 130; every bomb tried less
SECONDS = 20
_PATIENCE = "5s"
_LOCK = 0x57455058
_CHILDREN = 2  # at one time, whoever sends
_EXTRA = ("duckdb", "ibis", "pyarrow", "scipy", "sigma")
Parts = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of an extract; nothing of its content."""

    id: UUID
    day: date | None
    state: str
    digest: str
    received_at: datetime
    ended_at: datetime | None
    code: str
    sentence: str
    place: str


@lru_cache(maxsize=1)
def is_on() -> bool:
    """Whether there is a key to seal with, and the extra that a run needs."""
    return bool(settings.POOL_PUBLIC_KEY) and all(find_spec(name) for name in _EXTRA)


def send(principal: Principal, parts: Parts, *, now: datetime) -> Sent:
    """Take in manifest, `clusters` and `templates`; Refused with the first thing that is wrong."""
    member = _sender(principal)  # 1
    if not is_on():
        raise Refused("pool.off", "The pool is off: this exchange takes no extracts.")
    try:
        with transaction.atomic():
            made = _take(principal, member, parts, now=now)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise Refused(
            "extract.busy", "Another extract is being read; send this one again in a moment."
        ) from None
    # What is refused leaves its digest: so it is raised behind the commit.
    if isinstance(made, Refused):
        count_one("extracts-refused")
        raise made
    return made


def my_extracts(principal: Principal) -> tuple[Sent, ...]:
    """The member's newest extracts: days, digests, states."""
    if principal.member_id is None or not principal.may("read-own-extracts"):
        raise NotFound
    rows = Extract.objects.filter(member_id=principal.member_id)
    return tuple(as_sent(row) for row in rows.order_by("-received_at", "id")[:LISTED])


def as_sent(row: Extract) -> Sent:
    """A row as its member sees it."""
    return Sent(
        id=row.id,
        day=row.day,
        state=row.state,
        digest=bytes(row.digest).hex(),
        received_at=row.received_at,
        ended_at=row.ended_at,
        code=row.code,
        sentence=row.sentence,
        place=row.place,
    )


def _sender(principal: Principal) -> Member:
    if not principal.may("send-extracts") or principal.credential_id is None:
        raise Forbidden("A key with the scope `extracts` sends extracts.")
    if principal.member_id is None:
        raise NotFound
    active = Member.objects.filter(state=Member.State.ACTIVE)
    row = active.filter(pk=principal.member_id).first()
    if row is None:
        raise NotFound
    return row


def _take(principal: Principal, member: Member, parts: Parts, *, now: datetime) -> Sent | Refused:
    every = kept.every_hours()
    if not _may_try(member, every, now=now):  # 2
        return Refused("extract.quota", "There were too many tries today; it renews at 00:00 UTC.")
    row = Extract(
        id=uuid4(),
        member=member,
        credential_id=principal.credential_id,
        state=Extract.State.REFUSED,
        digest=sha256(taking.framed(parts)).digest(),
        clusters=sha256(parts[1]).digest(),
        octets=sum(map(len, parts)),
        received_at=now,
    )
    same = Extract.objects.filter(member=member, digest=row.digest).exclude(state=row.state)
    if (before := same.first()) is not None:  # 3
        return as_sent(before)
    try:
        day, packed = _judged(row, parts, every, now=now)
    except Refused as refused:
        row.code, row.sentence, row.place = refused.code, refused.sentence, refused.path
        row.ended_at = now
        row.save(force_insert=True)
        return refused
    _keep(row, day, packed, now=now)
    return as_sent(row)


def _may_try(member: Member, every: int, *, now: datetime) -> bool:
    """Count one more try of this day, unless there were enough."""
    # The row stays locked until the answer is made: a member's extracts come one after the other.
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_PATIENCE])
    today = now.astimezone(UTC).date()
    rows = ExtractTry.objects.filter(member=member, day=today)
    most = TRIES + 24 // every
    if rows.filter(tried__lt=most).update(tried=F("tried") + 1):
        return True
    if rows.update(refused=F("refused") + 1):
        return False
    ExtractTry.objects.bulk_create([ExtractTry(member=member, day=today)], ignore_conflicts=True)
    return bool(rows.update(tried=F("tried") + 1))


def _judged(row: Extract, parts: Parts, every: int, *, now: datetime) -> tuple[date, bytes]:
    """The day of an extract that may be taken, and all of it in the form to be sealed."""
    today, limits = now.astimezone(UTC).date(), kept.limits()
    for name, body in (("clusters", parts[1]), ("templates", parts[2])):
        if len(body) > parquet.MOST_OCTETS[name]:
            most = parquet.MOST_OCTETS[name]
            raise Refused("extract.size", f"The file has more than {most:,} octets.", name)
    said = manifest.read(parts[0])
    row.day = said.day
    if problems := rules.check_manifest(said, today=today, limits=limits):  # 4
        raise taking.refusal(problems)
    _must_be_new(row, said.day)
    _must_be_time(row, said.day, every, now=now)
    _wait_for_a_place()
    feed = taking.packed(today, limits, parts)
    taken = children.run("indicators.detection.taking", feed, memory=MEMORY, seconds=SECONDS)  # 5
    return said.day, taken


def _must_be_new(row: Extract, day: date) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_extract_elsewhere(%s, %s)", [bytes(row.clusters), day])
        (where,) = cursor.fetchone()
    if where == "other":
        said = "This file is not of your own rows: it was sent before, and not by you."
        raise Refused("extract.other", said, "clusters")
    if where == "again":
        said = "This file was sent for another day: each day has rows of its own."
        raise Refused("extract.again", said, "manifest.day")


def _must_be_time(row: Extract, day: date, every: int, *, now: datetime) -> None:
    last = Extract.objects.filter(member=row.member, day=day, state=Extract.State.TAKEN).first()
    if last is not None and now < last.received_at + timedelta(hours=every):
        said = f"This day's extract may be replaced {every} hours after it came, at the earliest."
        raise Refused("extract.soon", said, "manifest.day")


def _wait_for_a_place() -> None:
    """Only so many children at a time; held until the answer is made."""
    with connection.cursor() as cursor:
        for place in range(_CHILDREN):
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, place])
            if cursor.fetchone()[0]:
                return
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK])


def _keep(row: Extract, day: date, packed: bytes, *, now: datetime) -> None:  # 6
    """Sealed in the place of that day's, and fixed in the ledger by its digests."""
    member = row.member
    before = Extract.objects.filter(member=member, day=day, state=Extract.State.TAKEN)
    before.update(state=Extract.State.REPLACED, ended_at=now)
    SealedExtract.objects.filter(member=member, day=day).delete()
    ExtractKey.objects.filter(member=member, day=day).delete()
    row.state = Extract.State.TAKEN
    row.save(force_insert=True)
    key, place = token_bytes(sealing.KEY), kept.aad(member.id, day, row.id)
    sealed = sealing.seal(key, token_bytes(sealing.NONCE), packed, aad=place)
    wrapped = sealing.wrap(settings.POOL_PUBLIC_KEY, key, aad=place)
    SealedExtract.objects.bulk_create(
        [SealedExtract(extract=row, member=member, day=day, sealed=sealed)]
    )
    ExtractKey.objects.bulk_create([ExtractKey(member=member, day=day, wrapped=wrapped)])
    fields = {
        "decision": "extract",
        "extract": str(row.id),
        "day": day.isoformat(),
        "sha256": bytes(row.digest).hex(),
    }
    ledger.record("decision", by=member.id, slots={"from": fields, "audit": fields}, now=now)
