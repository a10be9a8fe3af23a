"""A member joins a circle: nothing old, unless a contributor's policy says `backfill: live`.

The seat is the order, a message only a hint: what is live of such a contributor waits for the
newcomer in the object's next window, decided again there, and nobody else gets anything of it.
"""

from datetime import datetime
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from exchange import audiences
from exchange.models import Backfill, Missing, Outcome, ReleaseItem
from exchange.policy import coarsen
from indicators.models import ForumObject, Version
from members.models import Acceptance, CircleMember, Member

_BATCH = 500


def work(*, now: datetime) -> int:
    """Every new seat of a member that may receive; how many outcomes wait for newcomers now."""
    _find()
    agreed = Acceptance.objects.filter(member=OuterRef("seat__member"))
    due = Backfill.objects.filter(
        Exists(agreed), done_at__isnull=True, seat__member__state=Member.State.ACTIVE
    )
    waiting = 0
    for backfill_id in list(due.order_by("id").values_list("id", flat=True)):
        while (found := _step(backfill_id, now=now)) is not None:
            waiting += found
    return waiting


def _find() -> None:
    """Seats that nobody has looked at; a member without an agreement is looked at when it has."""
    fresh = CircleMember.objects.filter(left_at__isnull=True).exclude(
        Exists(Backfill.objects.filter(seat=OuterRef("pk")))
    )
    Backfill.objects.bulk_create(
        (Backfill(seat=seat) for seat in fresh), batch_size=2_000, ignore_conflicts=True
    )


@transaction.atomic
def _step(backfill_id: int, *, now: datetime) -> int | None:
    """One batch, in a transaction of its own; nothing where it is done or another is at it."""
    row = (
        Backfill.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("seat")
        .filter(pk=backfill_id, done_at__isnull=True)
        .first()
    )
    if row is None:
        return None
    seat = row.seat
    letting_go = _contributors(seat)
    batch = list(_live(seat).filter(member_id__in=letting_go, pk__gt=row.after)[:_BATCH])
    if seat.left_at is not None or not batch:
        Backfill.objects.filter(pk=row.pk).update(done_at=now)
        return None
    over = _expired([outcome.pk for outcome in batch], now=now)
    chosen = [outcome for outcome in batch if outcome.pk not in over]
    Missing.objects.bulk_create(
        (
            Missing(
                outcome=outcome,
                recipient_id=seat.member_id,
                wanted=b"",
                act=Missing.Act.JOIN,
                due_at=letting_go[outcome.member_id].opening(outcome.sensitivity, after=now),
            )
            for outcome in chosen
        ),
        ignore_conflicts=True,
    )
    Backfill.objects.filter(pk=row.pk).update(after=batch[-1].pk)
    return len(chosen)


def _contributors(seat: CircleMember) -> dict[UUID, audiences.InForce]:
    """Who lets go what is live, under today's policies."""
    others = CircleMember.objects.filter(circle_id=seat.circle_id).exclude(member_id=seat.member_id)
    ids = set(others.values_list("member_id", flat=True))
    forces = {member_id: audiences.in_force(member_id) for member_id in ids}
    return {key: force for key, force in forces.items() if force.policy.backfill == "live"}


def _live(seat: CircleMember) -> QuerySet[Outcome]:
    """What left through this circle, stands, and is the newest that was stored of its object."""
    newer = Version.objects.filter(
        object=OuterRef("version__object"), modified_ns__gt=OuterRef("version__modified_ns")
    )
    return Outcome.objects.filter(
        ~Exists(newer),
        circle_id=seat.circle_id,
        released_at__isnull=False,
        replaced=False,
        outcome=Outcome.Kind.ACCEPTED,
        version__object__state=ForumObject.State.LIVE,
    ).order_by("pk")


def _expired(outcome_ids: list[int], *, now: datetime) -> set[int]:
    """Of these, the indicators whose time is over, as they had left."""
    items = ReleaseItem.objects.filter(
        outcome_id__in=outcome_ids, rendition__stix_type="indicator"
    ).annotate(body=F("rendition__body"))
    ends = {
        outcome_id: orjson.loads(bytes(body)).get("valid_until")
        for outcome_id, body in items.order_by("pk").values_list("outcome_id", "body")
        if outcome_id is not None and bytes(body)
    }
    return {key for key, end in ends.items() if end and coarsen.instant(end) <= now}
