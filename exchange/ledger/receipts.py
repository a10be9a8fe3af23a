"""The hourly receipt: what a recipient took, by push, TAXII page or web page."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max

from exchange.ledger import intake
from exchange.models import Delivery, LedgerEvent, ReleaseRecipient, ServedNote
from exchange.proof.claims import spell_ranges

MOST_HOURS = 48  # after a longer outage the hours before have none
_HOUR = timedelta(hours=1)
_LOCK = 0x57455245  # one worker at a time writes the receipts of an hour


@transaction.atomic
def receive_hour(*, now: datetime) -> int:
    """Record one receipt for each recipient that took something in the hours that have ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    last = LedgerEvent.objects.filter(kind="receipt").aggregate(at=Max("at"))["at"]
    end = max(last + _HOUR, this - MOST_HOURS * _HOUR) if last else this
    written = 0
    while end <= this:
        written += _record(end - _HOUR, end)
        end += _HOUR
    return written


def _record(start: datetime, end: datetime) -> int:
    taken: dict[UUID, set[int]] = defaultdict(set)
    for member_id, seq in _pushed(start, end):
        taken[member_id].add(seq)
    notes = ServedNote.objects.filter(at__gte=start, at__lt=end)
    for note in notes.exclude(via__endswith="-own"):  # those count the member's own collection
        taken[note.recipient_id] |= _pulled(note)
    for member_id, seqs in taken.items():
        fields = {"hour": start.strftime("%Y-%m-%dT%H:00:00Z"), "seqs": spell_ranges(seqs)}
        slots = {"to": fields, "audit": {"hour": fields["hour"]}}
        intake.record("receipt", to=member_id, slots=slots, now=end)
    return len(taken)


def _pushed(start: datetime, end: datetime) -> list[tuple[UUID, int]]:
    """The entries whose bundles were answered with 2xx."""
    done = Delivery.objects.filter(state="delivered", done_at__gte=start, done_at__lt=end)
    parts = ReleaseRecipient.objects.filter(to_seq__isnull=False)
    pairs = done.values_list("member_id", "release_id")
    return [
        (member_id, seq)
        for member_id, release_id in pairs
        if release_id is not None
        for seq in parts.filter(release_id=release_id, recipient_id=member_id).values_list(
            "to_seq", flat=True
        )
        if seq is not None
    ]


def _pulled(note: ServedNote) -> set[int]:
    """The entries that have objects in the range of a served page."""
    parts = ReleaseRecipient.objects.filter(
        recipient_id=note.recipient_id, to_seq__isnull=False, running__lte=note.last_seq
    ).filter(running__gt=note.first_seq - 500)
    rows = parts.values_list("to_seq", "running", "release__count")
    return {
        seq
        for seq, running, count in rows
        if seq is not None and running is not None and running + count > note.first_seq
    }
