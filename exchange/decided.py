"""What is decided of a contribution for all its recipients, and written as outcomes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from exchange import audiences, constants, folds, holds
from exchange.models import Missing, Outcome
from exchange.policy import windows
from exchange.policy.facts import Facts
from exchange.policy.outcomes import Standing
from indicators import store
from indicators.models import Contribution

_BATCH = 2_000
_OUTCOMES = """
    INSERT INTO exchange_outcome
        (circle_id, member_id, contribution_id, floor_id, version_id, outcome, sensitivity, due_at,
         replaced)
    SELECT %s, %s, %s, %s, version, outcome, sensitivity, due, false
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[])
        AS new (version, outcome, sensitivity, due)
"""
_LATE = "Older than the newest version that you contributed: stored, never released."
_CONSTANT = "A public constant: the exchange serves its own copy, and references lead to that."


def outcomes(
    row: Contribution,
    stored: Sequence[store.Stored],
    subjects: Mapping[int, Facts | None],
    *,
    now: datetime,
) -> Mapping[int, str]:
    """Write what holds for all recipients; the sentences for the contributor by position."""
    force = audiences.in_force(row.member_id)
    kept = [result for result in stored if result.problem is None]
    rulings = audiences.standings(
        row, [subjects[r.position] or r.obj for r in kept], force, now=now
    )
    messages: dict[int, str] = {}
    fresh: list[_Decided] = []
    addressed = _already_addressed(row, kept)
    folded = _fold(row, kept, rulings, addressed)
    published = constants.ids()
    for result, standing in zip(kept, rulings, strict=True):
        is_sent = result.version_id in addressed
        if result.is_late and not is_sent:
            messages[result.position] = _LATE
            continue
        if result.obj["id"] in published:
            messages[result.position] = _CONSTANT
            continue
        messages[result.position] = standing.sentence
        if result.version_id is None or is_sent:
            continue
        addressed.add(result.version_id)
        taken = folded.get(result.position)
        if taken is not None and taken.sentence is not None:
            messages[result.position] = taken.sentence
            continue
        is_daily = taken is not None and taken.is_daily
        fresh.append(_Decided(result.version_id, str(result.obj["type"]), standing, is_daily))
    _write_outcomes(row, fresh, force, now=now)
    _replace_older(row, [result for result in kept if not result.is_repeat])
    return messages


@dataclass(frozen=True, slots=True)
class _Decided:
    """What is decided of one version in this circle."""

    version_id: int
    stix_type: str
    standing: Standing
    is_daily: bool  # it leaves with the day, not in its own window


def _write_outcomes(
    row: Contribution, decided: Sequence[_Decided], force: audiences.InForce, *, now: datetime
) -> None:
    """Outcomes as rows of columns; those for which a person must judge, with their holds."""
    windows_of: dict[tuple[str, str, bool], datetime | None] = {}

    def due(one: _Decided) -> datetime | None:
        key = (one.standing.outcome, one.standing.sensitivity, one.is_daily)
        if key not in windows_of:
            at = windows.next_revocation(now) if one.is_daily else None
            windows_of[key] = at or due_at(one.standing, force, now=now)
        return windows_of[key]

    plain = [one for one in decided if not one.standing.holds]
    for part in store.batched(plain, _BATCH):
        store.insert(
            _OUTCOMES,
            (row.circle_id, row.member_id, row.id, force.floor_id),
            [one.version_id for one in part],
            [one.standing.outcome for one in part],
            [one.standing.sensitivity for one in part],
            [due(one) for one in part],
        )
    judged = [one for one in decided if one.standing.holds]
    rows = [
        Outcome(
            version_id=one.version_id,
            circle_id=row.circle_id,
            member_id=row.member_id,
            contribution=row,
            floor_id=force.floor_id,
            outcome=one.standing.outcome,
            sensitivity=one.standing.sensitivity,
            due_at=due(one),
        )
        for one in judged
    ]
    Outcome.objects.bulk_create(rows, batch_size=_BATCH)
    holds.write(
        (
            holds.Held(outcome, one.stix_type, one.standing.holds)
            for outcome, one in zip(rows, judged, strict=True)
        ),
        now=now,
    )


def _fold(
    row: Contribution,
    kept: Sequence[store.Stored],
    rulings: Sequence[Standing],
    addressed: Collection[int | None],
) -> Mapping[int, folds.Taken]:
    """Fold what is accepted and counts, once each; by position."""
    counted: dict[int, store.Stored] = {}
    seen = set(addressed)
    for result, standing in zip(kept, rulings, strict=True):
        is_new = result.version_id not in seen and not result.is_late
        if is_new and standing.outcome == Outcome.Kind.ACCEPTED and folds.counts(result.obj):
            seen.add(result.version_id)
            counted[result.position] = result
    taken = folds.take(
        row.member_id,
        row.circle_id,
        [(one.object_id, one.obj) for one in counted.values() if one.object_id is not None],
    )
    return dict(zip(counted, taken, strict=True))


def due_at(standing: Standing, force: audiences.InForce, *, now: datetime) -> datetime | None:
    """When something decided now leaves; never, unless it is accepted."""
    if standing.outcome != Outcome.Kind.ACCEPTED:
        return None
    return force.opening(standing.sensitivity, after=now)


def _already_addressed(row: Contribution, kept: Sequence[store.Stored]) -> set[int | None]:
    ids = [r.version_id for r in kept if r.is_repeat and r.version_id is not None]
    rows = Outcome.objects.filter(circle_id=row.circle_id, version_id__in=ids)
    return set(rows.values_list("version_id", flat=True))


def _replace_older(row: Contribution, kept: Sequence[store.Stored]) -> None:
    """A newer stored version, whatever its outcome, replaces one that still waits."""
    times = Counter(result.object_id for result in kept)
    newest: dict[UUID, int] = {}
    for result in kept:
        is_only = result.is_new_object and times[result.object_id] == 1
        if result.object_id is not None and not is_only:
            ns = store.version_ns(result.obj)
            newest[result.object_id] = max(ns, newest.get(result.object_id, 0))
    if not newest:
        return
    older = Outcome.objects.filter(
        version__object=store.among("uuid", newest), replaced=False
    ).values_list("id", "version__object_id", "version__modified_ns")
    stale = [pk for pk, object_id, ns in older if ns < newest[object_id]]
    Outcome.objects.filter(pk__in=stale, released_at__isnull=True).update(replaced=True)
    # For some it left, others wait for an end that they lack: they wait no longer.
    Missing.objects.filter(outcome_id__in=stale).delete()
