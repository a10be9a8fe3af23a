"""What goes into the ledger: rows of its intake, written in the transaction of what they record.

There is no counter and no lock here; the sequencer numbers what is committed, and `NOTIFY` wakes it
at the commit.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from exchange.models import Release
from exchange.proof import jcs
from exchange.proof.entry import SLOTS
from exchange.proof.refused import Refused
from members.scope import fetch
from members.seals import Seal

CHANNEL = "weir_ledger"
LATER = "later"  # the word for what no recipient waits for: it may wait for more to come
KINDS = frozenset(
    {"contribution", "receipt", "statement", "policy", "key", "erase", "decision", "read"}
)

# Plain inserts: a RETURNING would ask row-level security whether the writer may read the row, and
# who records something about another member may not.
_INSERT_EVENT = """
    INSERT INTO ledger_event
        (id, kind, to_member_id, from_member_id, slots, contribution_id, count, at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""

_INSERT_RELEASE = """
    WITH entered AS (
        INSERT INTO ledger_intake (kind, ref) SELECT 'release', unnest(%s::bigint[]))
    SELECT pg_notify(%s, '')
"""


def enter_release(recipient_rows: Sequence[int]) -> None:
    """Have the parts of these recipients (rows release x recipient) numbered after the commit."""
    if recipient_rows:
        fetch(_INSERT_RELEASE, [list(recipient_rows), CHANNEL])


def record(  # noqa: PLR0913 - the fields of one row
    kind: str,
    *,
    slots: Mapping[str, Mapping[str, Any]],
    to: UUID | None = None,
    by: UUID | None = None,
    contribution_id: UUID | None = None,
    count: int = 0,
    now: datetime,
) -> int:
    """Record what is no release, and tell the number of its row.

    `slots` are the fields but index, seq, time and parties.

    `to` and `by` are the members who are shown the `to` and the `from` slot. A `to` slot with
    content and without a member is shown to all (keys, floors).
    """
    if kind not in KINDS or not slots.keys() <= set(SLOTS):
        raise Refused("ledger.kind", "The ledger has no entries of that kind.")
    filled = {slot: slots.get(slot, {}) for slot in SLOTS}
    # When it happened, beside when it was numbered: the row's own time is under the leaf, too.
    filled["audit"] = {**filled["audit"], "at": slot_time(now)}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('ledger_event', 'id'))")
        (event_id,) = cursor.fetchone()
        sealed = seal().seal(jcs.encode(filled), aad=event_aad(event_id))
        cursor.execute(_INSERT_EVENT, [event_id, kind, to, by, sealed, contribution_id, count, now])
        cursor.execute("INSERT INTO ledger_intake (kind, ref) VALUES (%s, %s)", [kind, event_id])
        _wake(cursor, LATER if kind == "contribution" else "")
    return int(event_id)


def row_of(release: Release) -> dict[str, str | None]:
    """For the audit slot: what else a release's row says, which so lies under its leaves."""
    ids = {"circle": release.circle_id, "contribution": release.contribution_id}
    return {
        "nominal": slot_time(release.nominal_at),
        "committed": slot_time(release.committed_at),
        **{name: str(value) if value else None for name, value in ids.items()},
    }


def slot_time(moment: datetime) -> str:
    """UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seal() -> Seal:
    """The seal of the ledger's own rows."""
    return Seal(settings.LEDGER_SLOT_KEY)


def event_aad(event_id: int) -> bytes:
    """Where an event's slots belong."""
    return b"event:%d" % event_id


def release_aad(release_id: UUID) -> bytes:
    """Where a release's slots belong."""
    return b"release:" + release_id.bytes


def _wake(cursor: Any, word: str = "") -> None:  # noqa: ANN401 - Django's cursor wrapper has no public type
    cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, word])
