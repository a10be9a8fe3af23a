"""What of a contribution may leave now: locked, and decided again under today's policies."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from exchange import audiences, folds, holds, lists
from exchange.models import Hold, Missing, Outcome
from exchange.policy import decide
from exchange.policy.facts import Facts
from exchange.policy.outcomes import Standing, cleared
from indicators import store
from indicators.models import Contribution, ForumObject, Item


def of(
    contribution: Contribution, force: audiences.InForce, *, now: datetime
) -> list[lists.Leaving]:
    """The contribution's objects whose window is open, decided again under today's policies."""
    live = _locked_objects(contribution, now=now)
    rows = list(
        Outcome.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("version")
        .filter(
            contribution=contribution,
            due_at__lte=now,
            released_at__isnull=True,
            replaced=False,
            outcome=Outcome.Kind.ACCEPTED,
            version__object=store.among("uuid", live),
        )
    )
    freed = _freed(contribution, live, force, now=now)
    rows += [row for row in freed if row not in rows]
    if not rows:
        return []
    for row in rows:
        row.version.object = live[row.version.object_id]
    standings, subjects = _decided_again(contribution, force, now=now)
    approved = _approvals(rows)
    elsewhere = _elsewhere(rows)
    leaving: list[lists.Leaving] = []
    for row in folds.fold_due(rows, subjects):
        # An approval clears the reasons that it names and nothing else.
        standing = cleared(standings[row.version_id], approved[row.id])
        if standing.outcome != Outcome.Kind.ACCEPTED:
            _keep_back(row, standing, now=now)
            continue
        subject = folds.written(row, subjects[row.version_id], now=now)
        leaving.append(
            lists.Leaving(
                outcome_id=row.id,
                version=row.version,
                obj=subject.obj,
                facts=subject,
                original=subjects[row.version_id].obj,
                standing=standing,
                nominal_at=freed.get(row, row.due_at or now),
                recipients=_freed_for(row, now=now) if row.released_at else frozenset(),
                elsewhere=elsewhere[row.version_id],
            )
        )
    return leaving


def _locked_objects(contribution: Contribution, *, now: datetime) -> dict[UUID, ForumObject]:
    """The live objects of what is due, locked before their outcomes, as by whoever takes one back.

    So what is withdrawn or recalled meanwhile has left before, or does not leave at all; one act at
    a time mints for an object, and acts wait for one another in one order.
    """
    due = Outcome.objects.filter(contribution=contribution, replaced=False).filter(
        Q(due_at__lte=now, released_at__isnull=True, outcome=Outcome.Kind.ACCEPTED)
        | Exists(Missing.objects.filter(outcome=OuterRef("pk"), due_at__lte=now))
    )
    rows = ForumObject.objects.select_for_update(no_key=True, of=("self",)).filter(
        pk__in=due.values("version__object_id"), state=ForumObject.State.LIVE
    )
    return {row.pk: row for row in rows.order_by("pk")}


def _elsewhere(rows: Sequence[Outcome]) -> Mapping[int, frozenset[UUID]]:
    """The other circles in which these versions have left."""
    found: dict[int, set[UUID]] = defaultdict(set)
    circles = {row.circle_id for row in rows}
    left = Outcome.objects.filter(
        version=store.among("bigint", [row.version_id for row in rows]),
        released_at__isnull=False,
    ).exclude(circle_id__in=circles)
    for version_id, circle_id in left.values_list("version_id", "circle_id"):
        found[version_id].add(circle_id)
    return defaultdict(frozenset, {key: frozenset(ids) for key, ids in found.items()})


def _freed(
    contribution: Contribution,
    live: Container[UUID],
    force: audiences.InForce,
    *,
    now: datetime,
) -> dict[Outcome, datetime]:
    """What left before and is now due for some; the earliest of what is due gives the time."""
    if not Missing.objects.filter(outcome__contribution=contribution, due_at__lte=now).exists():
        return {}
    if force.policy.backfill != "live":
        # Not any more: what was let go to newcomers waits no longer.
        Missing.objects.filter(
            outcome__contribution=contribution, act=Missing.Act.JOIN, due_at__lte=now
        ).delete()
    rows = (
        Missing.objects.filter(
            outcome__contribution=contribution, outcome__replaced=False, due_at__lte=now
        )
        .select_related("outcome__version")
        .order_by("-due_at")
    )
    return {
        row.outcome: row.due_at
        for row in rows
        if row.due_at is not None and row.outcome.version.object_id in live
    }


def _freed_for(row: Outcome, *, now: datetime) -> frozenset[UUID]:
    ready = Missing.objects.filter(outcome=row, due_at__lte=now)
    return frozenset(ready.values_list("recipient_id", flat=True))


def _decided_again(
    contribution: Contribution, force: audiences.InForce, *, now: datetime
) -> tuple[dict[int, Standing], dict[int, Facts]]:
    """The whole contribution decided under the floor of now: the window's own decision."""
    items = Item.objects.filter(contribution=contribution, version__isnull=False)
    ids = list(dict.fromkeys(items.order_by("position").values_list("version_id", flat=True)))
    objects = store.originals(contribution.member_id, [pk for pk in ids if pk is not None])
    subjects = {pk: decide.read(objects[pk]) for pk in ids if pk is not None and pk in objects}
    rulings = audiences.standings(contribution, list(subjects.values()), force, now=now)
    return dict(zip(subjects, rulings, strict=True)), subjects


def _approvals(rows: Sequence[Outcome]) -> Mapping[int, frozenset[str]]:
    """The rules that approvers have cleared, for each of these."""
    found: dict[int, set[str]] = defaultdict(set)
    released = Hold.objects.filter(
        outcome=store.among("bigint", [row.pk for row in rows]), state=Hold.State.RELEASED
    )
    for outcome_id, rule in released.values_list("outcome_id", "rule"):
        found[outcome_id].add(rule)
    return defaultdict(frozenset, {key: frozenset(rules) for key, rules in found.items()})


def _keep_back(row: Outcome, standing: Standing, *, now: datetime) -> None:
    """A stricter floor since: what waited is held or withheld, and does not leave.

    Of what left before, only those who wait for it now are kept waiting.
    """
    if row.released_at is None:
        row.outcome = standing.outcome
        row.due_at = None
        row.save(update_fields=["outcome", "due_at"])
    elif not _keeps_waiting(row, now=now):
        return
    elif standing.outcome == Outcome.Kind.HELD:
        Missing.objects.filter(outcome=row, due_at__lte=now).update(due_at=None)
    else:
        Missing.objects.filter(outcome=row, due_at__lte=now).delete()
    known = set(Hold.objects.filter(outcome=row).values_list("rule", flat=True))
    reasons = tuple(reason for reason in standing.holds if reason.rule not in known)
    holds.write([holds.Held(row, row.version.object.stix_type, reasons)], now=now)


def _keeps_waiting(row: Outcome, *, now: datetime) -> bool:
    """Old objects that are let go leave under today's policies or not at all: no counsel's work."""
    due = Missing.objects.filter(outcome=row, due_at__lte=now)
    due.filter(act__in=[Missing.Act.JOIN, Missing.Act.AGAIN]).delete()
    return due.exists()
