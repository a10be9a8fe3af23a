"""Mails that say "sign in" and nothing else: the same text for everybody, of a closed list.

PostgreSQL is the queue: a row is written in the transaction of what it tells of, and sent at least
once. Where the exchange has no mail server, no rows are written; its pages say the same.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from smtplib import SMTPException
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from exchange import telemetry
from exchange.models import Mail
from members.models import User

PATIENCE = tuple(timedelta(minutes=one) for one in (1, 10, 60, 360, 1_440))
_QUIET = "What it is about stands on the page only, never in a mail."
# Kind -> subject, sentence, page. Nothing of what a mail is about may ever be put into it.
KINDS = {
    "key": (
        "Weir: a signing key was revoked",
        "A key with which the exchange signed was revoked. Fetch its key set again now.",
        "/help/#keys",
    ),
    "recall": (
        "Weir: a recall waits for your acknowledgement",
        "Something that your company received was recalled, and nobody has acknowledged it yet.",
        "/recalls/received/",
    ),
    "recall-officer": (
        "Weir: a recall is overdue at your company",
        "Something that your company received was recalled days ago, and nobody has acknowledged "
        "it. Its officer and counsel are told too.",
        "/recalls/received/",
    ),
    "recall-forum": (
        "Weir: a recall is overdue in the forum",
        "A recipient has not acknowledged a recall, after all reminders.",
        "/recalls/overdue/",
    ),
}

log = structlog.get_logger()


def write(kind: str, *, member_id: UUID | None, roles: Collection[str], now: datetime) -> int:
    """A mail for everybody of a member (or of the forum) who has one of these roles; how many."""
    if not settings.MAIL_URL:
        return 0
    of = {"member_id": member_id} if member_id else {"member__isnull": True}
    people = User.objects.filter(is_active=True, role_rows__role__in=roles, **of).distinct()
    made = [Mail(user=person, kind=kind, at=now, next_at=now) for person in people]
    return len(Mail.objects.bulk_create(made))


def send_due(*, now: datetime) -> int:
    """Send what waits, each in a transaction of its own; how many went out."""
    sent = 0
    waiting = Mail.objects.filter(sent_at__isnull=True, next_at__lte=now)
    for pk in list(waiting.order_by("id").values_list("id", flat=True)[:100]):
        sent += _send(pk, now=now)
    return sent


@transaction.atomic
def _send(pk: int, *, now: datetime) -> bool:
    row = (
        Mail.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=pk, sent_at__isnull=True)
        .select_related("user")
        .first()
    )
    if row is None:
        return False
    subject, sentence, page = KINDS[row.kind]
    text = f"{sentence}\n\n{settings.WEIR_BASE_URL}{page}\n\n{_QUIET}\n"
    try:
        EmailMessage(subject, text, settings.MAIL_FROM, [row.user.email]).send()
    except (SMTPException, OSError) as error:
        waits = PATIENCE[row.tries] if row.tries < len(PATIENCE) else None
        Mail.objects.filter(pk=pk).update(tries=row.tries + 1, next_at=waits and now + waits)
        telemetry.count("mail.failed")
        log.warning("mail.failed", mail=pk, error=type(error).__name__)
        return False
    Mail.objects.filter(pk=pk).update(sent_at=now, next_at=None)
    return True
