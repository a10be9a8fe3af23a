"""The clocks: each class of data is aged out in bounded steps, unless a legal hold stops it.

Each step is a transaction of its own; a run that is cut goes on at the next. What was aged out is
an entry of the ledger: for originals and renditions an `erase` entry that their contributor and
recipients see, for the exchange's own notes the number in the audit slot.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from exchange import erasure, ledger, legalholds, pool
from exchange.models import LedgerCheckpoint, Preview, Rendition, RetentionRun
from exchange.policy import clocks
from exchange.policy.clocks import Clock
from exchange.proof.refused import NotFound
from indicators.models import Contribution, ForumObject, Version
from members.auth import Principal

STEP = 500
STEPS = 20  # of one clock in one run
_LOCK = 0x57455254  # one worker at a time
# Rows of one table: where they stand, their time, and whom they concern.
_ROWS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "notes": (("exchange_servednote", "at", "ARRAY[recipient_id]"),),
    "attempts": (("exchange_attempt", "finished_at", "ARRAY[member_id]"),),
    "inquiries": (("exchange_inquiry", "at", "ARRAY[member_id]"),),
    "mails": (("exchange_mail", "at", "ARRAY[]::uuid[]"),),
    "sign-ins": (
        ("axes_accesslog", "attempt_time", "ARRAY[]::uuid[]"),
        ("axes_accessfailurelog", "attempt_time", "ARRAY[]::uuid[]"),
        ("members_signinlink", "expires_at", "ARRAY[]::uuid[]"),
        ("members_invitation", "expires_at", "ARRAY[]::uuid[]"),
    ),
}
# Table, time and parties are of the closed list above.
_DUE = """
SELECT id FROM {table} WHERE {time} < %s
AND weir_legal_hold({parties}, NULL, NULL, {time}) IS NULL ORDER BY id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One clock in a report: what it would take out now, and what it took last."""

    clock: Clock
    days: int
    before: datetime
    due: int
    is_more: bool
    last_at: datetime | None
    last_count: int


def work(*, now: datetime) -> dict[str, int]:
    """One round of every clock; what each took out."""
    legalholds.refresh()
    erasure.work(now=now)
    done = {name: _run(name, now=now) for name in clocks.BY_NAME}
    return {name: count for name, count in done.items() if count}


def report(*, now: datetime, most: int = 10_000) -> tuple[Line, ...]:
    """What each clock would take out now, without doing it; up to so many are counted."""
    legalholds.refresh()
    return tuple(_line(clock, now=now, most=most) for clock in clocks.CLOCKS)


def lines(principal: Principal, *, now: datetime) -> tuple[Line, ...]:
    """The table for everybody who may read policies; numbers for who watches the clocks."""
    if not principal.may("read-policy"):
        raise NotFound
    rows = RetentionRun.objects.order_by("clock", "-at").distinct("clock")
    last = {row.clock: row for row in rows} if principal.member_id is None else {}
    return tuple(
        Line(
            clock,
            _days()[clock.name],
            _before(clock.name, now=now),
            due=0,
            is_more=False,
            last_at=last[clock.name].at if clock.name in last else None,
            last_count=last[clock.name].count if clock.name in last else 0,
        )
        for clock in clocks.CLOCKS
    )


def _line(clock: Clock, *, now: datetime, most: int) -> Line:
    before = _before(clock.name, now=now)
    due = len(_due(clock.name, before, most + 1))
    last = RetentionRun.objects.filter(clock=clock.name).order_by("-at").first()
    return Line(
        clock,
        _days()[clock.name],
        before,
        due=min(due, most),
        is_more=due > most,
        last_at=last.at if last else None,
        last_count=last.count if last else 0,
    )


def _days() -> Mapping[str, int]:
    return clocks.stated(settings.RETENTION)


def _before(name: str, *, now: datetime) -> datetime:
    return now - timedelta(days=_days()[name])


def _run(name: str, *, now: datetime) -> int:
    before, total = _before(name, now=now), 0
    for _ in range(STEPS):
        count = _step(name, before, now=now)
        total += count
        if count < STEP:
            break
    if total:
        RetentionRun.objects.create(clock=name, at=now, before=before, count=total)
    return total


@transaction.atomic
def _step(name: str, before: datetime, *, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
    if name == "openings":
        return erasure.age_slots(size=_size_at(before), most=STEP, now=now)
    due = _due(name, before, STEP)
    if not due:
        return 0
    _TAKE.get(name, _take_rows)(name, due, now)
    return len(due)


def _due(name: str, before: datetime, most: int) -> list[tuple[str, object]]:
    """What is due of a class: the table or kind, and the row."""
    if name in ("unreleased", "originals"):
        sql = "SELECT weir_quiet_contributions(%s, %s, %s)"
        return [("contribution", pk) for pk in _column(sql, [before, name == "originals", most])]
    if name == "renditions":
        sql = "SELECT weir_spent_objects(%s, %s)"
        return [("object", pk) for pk in _column(sql, [before, most])]
    if name == "previews":
        return [("preview", pk) for pk in _column(_OLD_PREVIEWS, [before, most])]
    if name == "openings":
        return [("entry", idx) for idx in erasure.old_slots(size=_size_at(before), most=most)]
    if name == "token-calls":
        sql = "SELECT weir_old_token_use(%s, %s, false)"
        return [("use", before)] * int(_column(sql, [before, most])[0])
    if name == "extracts":
        return [("extract", pk) for pk in pool.due(before=before, most=most)]
    found: list[tuple[str, object]] = []
    for table, time, parties in _ROWS[name]:
        sql = _DUE.format(table=table, time=time, parties=parties)
        found += [(table, pk) for pk in _column(sql, [before, most - len(found)])]
    return found


_OLD_PREVIEWS = """
SELECT id FROM exchange_preview WHERE state IN ('finished', 'cancelled', 'failed')
AND finished_at < %s
AND weir_legal_hold(ARRAY[member_id], NULL, NULL, finished_at) IS NULL ORDER BY id LIMIT %s
"""


def _column(sql: str, given: Sequence[datetime | bool | int]) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return [value for (value,) in cursor.fetchall()]


def _size_at(before: datetime) -> int:
    rows = LedgerCheckpoint.objects.filter(at__lt=before).order_by("-size")
    return rows.values_list("size", flat=True).first() or 0


def _take_rows(name: str, due: Sequence[tuple[str, object]], now: datetime) -> None:
    by_table: dict[str, list[object]] = {}
    for table, pk in due:
        by_table.setdefault(table, []).append(pk)
    with connection.cursor() as cursor:
        for table, keys in by_table.items():
            # A table of the closed list above.
            cursor.execute(f"DELETE FROM {table} WHERE id = ANY (%s)", [keys])  # noqa: S608
    fields = {"decision": "aged", "class": name, "count": len(due)}
    ledger.record("decision", slots={"audit": fields}, now=now)


def _take_previews(name: str, due: Sequence[tuple[str, object]], now: datetime) -> None:
    Preview.objects.filter(pk__in=[pk for _, pk in due]).delete()
    fields = {"decision": "aged", "class": name, "count": len(due)}
    ledger.record("decision", slots={"audit": fields}, now=now)


def _take_token_use(name: str, due: Sequence[tuple[str, object]], now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_old_token_use(%s, %s, true)", [str(due[0][1]), len(due)])
    fields = {"decision": "aged", "class": name, "count": len(due)}
    ledger.record("decision", slots={"audit": fields}, now=now)


def _take_extracts(name: str, due: Sequence[tuple[str, object]], now: datetime) -> None:
    """The keys of these days, and what they opened; each member is told, in its own slot."""
    pool.erase([UUID(str(pk)) for _, pk in due], now=now)


def _take_originals(name: str, due: Sequence[tuple[str, object]], now: datetime) -> None:
    """The originals of these contributions; each contributor is told, in its own slot."""
    for contribution in Contribution.objects.filter(pk__in=[pk for _, pk in due]):
        versions = Version.objects.filter(contribution=contribution, member=contribution.member)
        ids = list(versions.values_list("id", flat=True))
        gone = erasure.erase_originals(ids, member_id=contribution.member_id)
        fields = {
            "what": erasure.ORIGINALS,
            "ground": "clock",
            "contribution": str(contribution.id),
            "count": gone,
        }
        slots = {"from": fields, "audit": fields}
        ledger.record("erase", by=contribution.member_id, slots=slots, now=now)


def _take_renditions(name: str, due: Sequence[tuple[str, object]], now: datetime) -> None:
    """The bytes of these objects; who had them, and who gave them, is told which entries."""
    for obj in ForumObject.objects.filter(pk__in=[pk for _, pk in due]):
        erasure.erase_bytes(obj)
        Rendition.objects.filter(object=obj, takes_back=False).update(body=b"")
        parties = erasure.by_party(
            part for part in erasure.given_parts([obj.pk]) if part.idx is not None
        )
        fields = {"what": erasure.BYTES, "ground": "clock"}
        erasure.tell(parties, fields, audit={}, now=now)


_TAKE: Mapping[str, Callable[[str, Sequence[tuple[str, object]], datetime], None]] = {
    "unreleased": _take_originals,
    "originals": _take_originals,
    "renditions": _take_renditions,
    "previews": _take_previews,
    "token-calls": _take_token_use,
    "extracts": _take_extracts,
}
