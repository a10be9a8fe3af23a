"""Follow a recall to its last recipient: what counts as acknowledged, reminders, who is overdue.

Acknowledged is what a recipient cannot deny: its machine answered the push with 2xx or pulled a
page that had the recall (TAXII, REST), or one of its people (or machines) said so. A page on a
screen is a receipt in the ledger and no acknowledgement. Each of the others goes into the receipt
of that hour too. The clock of a reminder is a column; nothing waits in the broker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from exchange import access, ledger, mail
from exchange.models import Following, Recall, ReleaseRecipient
from exchange.proof.refused import Forbidden, NotFound
from exchange.telemetry import count as count_one
from members.auth import Principal
from members.models import Member
from members.scope import acting

PAGE = 200
# Roles that are written to, by how often it was before; the last is for all that come after.
_PEOPLE = (("analyst",), ("analyst", "officer", "counsel"), ("officer", "counsel"))
_FORUM = ("officer", "counsel")
# What was taken meanwhile, for as many as are looked at in one step.
_TAKE = """
UPDATE exchange_following seen SET acknowledged_at = taken.at, via = taken.via
FROM (SELECT id, part_id FROM exchange_following WHERE acknowledged_at IS NULL AND id > %s
      ORDER BY id LIMIT %s) open
CROSS JOIN LATERAL weir_taken(open.part_id) taken
WHERE seen.id = open.id
"""
_STEP = 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Told:
    """What a recipient was told of a recall: id and reason; and what it has acknowledged."""

    id: UUID
    stix_id: str
    reason: str
    at: datetime
    acknowledged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Overdue:
    """A recipient that has not acknowledged a recall for a day; as far as the reader may know."""

    recall_id: UUID
    stix_id: str
    stix_type: str
    reason: str
    told_at: datetime
    name: str
    escalated_at: datetime | None
    passed_over: bool


def begin(recall: Recall, *, now: datetime) -> int:
    """In the transaction that tells: each recipient is followed; how many."""
    parts = (
        ReleaseRecipient.objects.filter(release__recall=recall, release__circle_only=False)
        .exclude(recipient__isnull=True)
        .exclude(recipient_id=F("member_id"))
        .select_related("release")
    )
    first = now + _waits()[0]
    made = [
        Following(
            recall=recall,
            release=part.release,
            part=part,
            recipient_id=part.recipient_id,
            is_told=part.release.count > 0,
            next_at=first if part.release.count else None,
        )
        for part in parts
        if part.recipient_id is not None
    ]
    return len(Following.objects.bulk_create(made, ignore_conflicts=True))


def work(*, now: datetime) -> int:
    """Take down who has acknowledged, then remind whom it is time to remind; how many of these."""
    _take_down()
    due = Following.objects.filter(acknowledged_at__isnull=True, next_at__lte=now)
    ids = list(due.order_by("next_at").values_list("id", flat=True)[:_STEP])
    return sum(_remind(pk, now=now) for pk in ids)


def _take_down() -> None:
    after, left = 0, True
    while left:
        rows = Following.objects.filter(acknowledged_at__isnull=True, id__gt=after)
        ids = list(rows.order_by("id").values_list("id", flat=True)[:_STEP])
        left = len(ids) == _STEP
        if ids:
            with connection.cursor() as cursor:
                cursor.execute(_TAKE, [after, _STEP])
            after = ids[-1]


@transaction.atomic
def _remind(pk: int, *, now: datetime) -> bool:
    """One reminder to the recipient's people; the second to its officer too, the last to the forum.

    1. it is due, and nobody else is at it     2. who has left or not been told yet waits
    3. mails to the right people               4. when the next is due
    """
    row = (
        Following.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("part", "recipient")
        .filter(pk=pk, acknowledged_at__isnull=True, next_at__lte=now)
        .first()
    )
    if row is None:  # 1
        return False
    if row.recipient.state == Member.State.LEFT:  # 2
        Following.objects.filter(pk=pk).update(next_at=None)
        return False
    waits = _waits()
    step = min(row.reminded, len(_PEOPLE) - 1)
    kind = "recall" if step == 0 else "recall-officer"
    mail.write(kind, member_id=row.recipient_id, roles=_PEOPLE[step], now=now)  # 3
    is_last = row.reminded + 1 >= len(waits)
    if is_last:
        mail.write("recall-forum", member_id=None, roles=_FORUM, now=now)
    count_one("recalls.reminded")
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_passed_over(%s)", [row.part_id])
        if cursor.fetchone()[0]:
            count_one("recalls.passed-over")
            log.warning("recall.passed-over", recall=str(row.recall_id), followed=pk)
    following = None if is_last else now + waits[row.reminded + 1] - waits[row.reminded]
    Following.objects.filter(pk=pk).update(  # 4
        reminded=row.reminded + 1,
        next_at=following,
        escalated_at=row.escalated_at or (now if step else None),
    )
    return True


def _waits() -> Sequence[timedelta]:
    return tuple(timedelta(hours=hours) for hours in settings.RECALL_REMINDERS)


@transaction.atomic
def acknowledge(principal: Principal, release_id: UUID, *, now: datetime) -> None:
    """A recipient's own word that it has taken a recall in; said twice, it stands from the first.

    It is noted like a page that was served, so that the ledger's receipt of the hour has it.
    """
    if principal.member_id is None or not principal.may("acknowledge"):
        raise Forbidden("Your role may not acknowledge recalls.")
    with acting(principal.acting()):
        rows = Following.objects.filter(release_id=release_id, recipient_id=principal.member_id)
        row = rows.select_related("part").first()
        part = row.part if row is not None else None
        if row is None or part is None or part.running is None or part.idx is None:
            raise NotFound
        if part.idx >= ledger.published_size():
            raise NotFound
        if row.via == Following.Via.WORD:
            return
        access.served_ranges(principal, {(part.running, part.running)}, via="word", now=now)
        rows.update(
            acknowledged_at=row.acknowledged_at or now,
            via=Following.Via.WORD,
            user_id=principal.user_id,
            credential_id=principal.credential_id,
        )


def told(principal: Principal, *, most: int = 10) -> tuple[Told, ...]:
    """What the member was told of recalls, newest first."""
    if principal.member_id is None or not principal.may("acknowledge"):
        return ()
    with acting(principal.acting()), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM weir_recalled_from_me(%s)", [most])
        return tuple(Told(*found) for found in cursor.fetchall())


def overdue(
    principal: Principal, *, now: datetime, patience: timedelta = timedelta(days=1)
) -> tuple[Overdue, ...]:
    """Who has not acknowledged for a day, the longest first: somebody should call."""
    if not principal.may("follow-recalls"):
        return ()
    with acting(principal.acting()), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM weir_recalls_open(%s, %s)", [now - patience, PAGE])
        return tuple(
            Overdue(recall_id, f"{stix_type}--{object_id}", stix_type, *rest)
            for recall_id, object_id, stix_type, *rest in cursor.fetchall()
        )
