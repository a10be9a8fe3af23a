"""The daily statement: what each member got and gave, also when that was nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Max, Min

from exchange.ledger import intake
from exchange.models import LedgerCheckpoint, LedgerEntry, LedgerEvent
from members.models import Member

MOST_DAYS = 31  # after a longer outage the days before have none
_LOCK = 0x57455354  # one worker at a time writes the statements of a day


@transaction.atomic
def state_day(*, now: datetime) -> int:
    """Record each member's statement of the days that have ended and have none; how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    said = LedgerEvent.objects.filter(kind="statement").aggregate(last=Max("at"))["last"]
    end = max(said + timedelta(days=1), today - timedelta(days=MOST_DAYS)) if said else today
    written = 0
    while end <= today:
        written += _state(end)
        end += timedelta(days=1)
    return written


def _state(end: datetime) -> int:
    first, last = _size_at(end - timedelta(days=1)), _size_at(end)
    day = (end - timedelta(days=1)).date().isoformat()
    members = Member.objects.filter(joined_at__lt=end).exclude(state=Member.State.LEFT)
    for member_id in members.values_list("id", flat=True):
        fields = {
            "day": day,
            "received": _counted("to", member_id, first, last),
            "contributed": _counted("from", member_id, first, last),
        }
        intake.record(
            "statement", to=member_id, slots={"to": fields, "audit": {"day": day}}, now=end
        )
    return len(members)


def _size_at(moment: datetime) -> int:
    rows = LedgerCheckpoint.objects.filter(at__lt=moment).order_by("-size")
    return rows.values_list("size", flat=True).first() or 0


def _counted(slot: str, member_id: UUID, first: int, last: int) -> dict[str, Any]:
    """The numbers of this account that were published in between."""
    rows = LedgerEntry.objects.filter(
        **{f"{slot}_member_id": member_id}, idx__gte=first, idx__lt=last
    )
    seq = f"{slot}_seq"
    return rows.aggregate(first=Min(seq), last=Max(seq), count=Count(seq))
