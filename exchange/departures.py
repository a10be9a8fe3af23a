"""When something leaves: one promise for each thing that waits, and never more than is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from exchange import audiences, lists
from exchange.models import Hold, Outcome
from indicators import store

LEFT, AT, NOW = "left", "at", "now"
HELD, ASKED, REFUSED = "held", "asked", "refused"
INCOMPLETE, WITHHELD, REPLACED = "incomplete", "withheld", "replaced"
WAITS, STOPPED, REFUSED_BY_FORM = "waits", "stopped", "by-form"


@dataclass(frozen=True, slots=True)
class Departure:
    """What can be promised of one object: the word for it, and the moment that belongs to it.

    `at` is when it left or leaves; of what is held, the earliest moment, were it released now.
    """

    word: str
    at: datetime | None = None


def of(
    outcome: Outcome,
    holds: Sequence[Hold],
    force: audiences.InForce,
    *,
    waits: Mapping[int, datetime | None],
    now: datetime,
) -> Departure:
    """The promise for one outcome; `waits` are those that lack an end, as `waiting` has them."""
    if outcome.id in waits:
        freed = waits[outcome.id]
        return Departure(AT, freed) if freed is not None else Departure(WAITS)
    if outcome.released_at is not None:
        return Departure(LEFT, outcome.released_at)
    if outcome.replaced:
        return Departure(REPLACED)
    if outcome.outcome == Outcome.Kind.HELD:
        states = frozenset(str(hold.state) for hold in holds)
        return of_holds(outcome.sensitivity, states, force, now=now)
    if outcome.outcome != Outcome.Kind.ACCEPTED:
        return Departure(outcome.outcome)
    return of_waiting(outcome.due_at, outcome.sensitivity, frozenset(), force, now=now)


def of_waiting(
    due_at: datetime | None,
    sensitivity: str,
    states: frozenset[str],
    force: audiences.InForce,
    *,
    now: datetime,
) -> Departure:
    """The promise for what is accepted, or held in these states."""
    if states:
        return of_holds(sensitivity, states, force, now=now)
    if force.floor.legal_basis(now.date()) is None:
        return Departure(STOPPED)
    return _leaving(due_at, now=now)


def of_standing(
    outcome: str, sensitivity: str, force: audiences.InForce, *, now: datetime
) -> Departure:
    """The promise for what is not even contributed: were it sent now."""
    if outcome not in (Outcome.Kind.HELD, Outcome.Kind.ACCEPTED):
        return Departure(outcome)  # of what never leaves (S4) there is no window to ask for
    earliest = force.opening(sensitivity, after=now)
    if outcome == Outcome.Kind.HELD:
        return Departure(HELD, earliest)
    return _leaving(earliest, now=now)


def waiting(outcomes: Sequence[Outcome]) -> Mapping[int, datetime | None]:
    """Which of one's own objects wait for an end that some recipient lacks, and until when.

    Of what refers to another member's object nothing is said: who holds that is nobody's to know.
    """
    with connection.cursor() as cursor:
        ids = [outcome.id for outcome in outcomes]
        cursor.execute("SELECT outcome_id, due_at FROM weir_waits(%s::bigint[])", [ids])
        found = dict(cursor.fetchall())
    rows = [outcome for outcome in outcomes if outcome.id in found]
    foreign = _foreign(rows)
    return {key: at for key, at in found.items() if key not in foreign}


def of_holds(
    sensitivity: str, states: frozenset[str], force: audiences.InForce, *, now: datetime
) -> Departure:
    """The promise for what is held, by where its holds stand."""
    if Hold.State.REFUSED in states:
        return Departure(REFUSED)
    earliest = force.opening(sensitivity, after=now)
    if Hold.State.ASKED in states:
        return Departure(ASKED, earliest)
    if states == {Hold.State.RELEASED}:
        return _leaving(earliest, now=now)
    return Departure(HELD, earliest)


def _leaving(at: datetime | None, *, now: datetime) -> Departure:
    return Departure(NOW) if at is None or at <= now else Departure(AT, at)


def _foreign(rows: Sequence[Outcome]) -> frozenset[int]:
    if not rows:
        return frozenset()
    member_id = rows[0].member_id
    objects = store.originals(member_id, [row.version_id for row in rows])
    leads: set[int] = set()
    for row in rows:
        obj = objects.get(row.version_id)
        if obj is None or lists.is_foreign(member_id, obj):
            leads.add(row.id)
    return frozenset(leads)
