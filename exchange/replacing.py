"""Replace: under a stricter policy, what was released earlier is served no longer as it was.

1. prepare (a worker, under the old policy): whom the draft would give less, item by item
2. replace (under the policies' lock, with the policy's own row): the little that was released
   meanwhile is looked at, all that was found is not served from then on, and stricter versions of
   it are due
3. the worker gives them (`reissue`), and where nothing is left, revokes
A crash before the commit of 2 leaves the old policy and all that it serves, one after it the new.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.utils import timezone

from exchange import audiences, reissue
from exchange.celery import nudge
from exchange.models import Affected, PolicyDraft, Preparation, ReleaseItem
from exchange.policy import terms
from indicators.models import Contribution
from members.auth import Principal

# How long one call searches before it lets other work go on.
WORKING = timedelta(seconds=10)
# What may be left to look at under the lock, in items.
FEW = 500
_CHUNK = 100

_KEPT_NO_MORE = """
DELETE FROM exchange_kept k USING exchange_affected found
WHERE found.preparation_id = %(id)s AND k.item_id = found.item_id
AND k.recipient_id = ANY (found.recipients)
"""
# Who is not named keeps the item at its position.
_KEPT = """
INSERT INTO exchange_kept (item_id, recipient_id)
SELECT found.item_id, part.recipient_id FROM exchange_affected found
JOIN exchange_releaseitem item ON item.id = found.item_id AND NOT item.recalled
JOIN exchange_releaserecipient part
    ON part.release_id = item.release_id AND part.recipient_id IS NOT NULL
WHERE found.preparation_id = %(id)s AND NOT part.recipient_id = ANY (found.recipients)
ON CONFLICT DO NOTHING
"""
_TAKEN_BACK = """
UPDATE exchange_releaseitem item SET recalled = true FROM exchange_affected found
WHERE found.preparation_id = %(id)s AND item.id = found.item_id AND NOT item.recalled
"""
_DUE = """
INSERT INTO exchange_reissue (outcome_id, member_id, cause, at)
SELECT DISTINCT outcome.id, outcome.member_id, 'policy', %(now)s::timestamptz
FROM exchange_affected found
JOIN exchange_releaseitem item ON item.id = found.item_id
JOIN exchange_outcome outcome ON outcome.id = item.outcome_id
WHERE found.preparation_id = %(id)s
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the search has come, in contributions."""

    done: int
    total: int
    is_ready: bool


def prepare(draft: PolicyDraft, *, against: bytes) -> bool:
    """Search on for a while; whether all is found but what is left for the lock."""
    row = _started(draft, against)
    until = timezone.now() + WORKING
    while row.ready_at is None:
        if timezone.now() > until:
            nudge("exchange.tasks.start_policies", queue="render")
            return False
        if not _step(row.id, draft):
            row.refresh_from_db()
            _next_pass(row)
        row.refresh_from_db()
    return True


def replace(draft: PolicyDraft, *, now: datetime) -> int:
    """In the transaction of the policy's row, under the lock; how many items are taken back."""
    row = Preparation.objects.select_for_update(no_key=True).get(draft=draft)
    for contribution in _with_items(draft, behind=row.seen, upto=None).order_by("id"):
        _look(row, contribution, draft)
    said: dict[str, UUID | datetime] = {"id": row.id, "now": now}
    with connection.cursor() as cursor:
        for statement in (_KEPT_NO_MORE, _KEPT, _TAKEN_BACK, _DUE):
            cursor.execute(statement, said)
    count, _ = Affected.objects.filter(preparation=row).delete()
    transaction.on_commit(lambda: nudge("exchange.tasks.tell_recalls", queue="render"))
    return count


def progress(principal: Principal, draft_id: UUID) -> Progress | None:
    """How far the preparation of one's own draft has come; none where nothing is searched."""
    if not principal.may("read-policy"):
        return None
    row = Preparation.objects.filter(draft_id=draft_id).first()
    if row is None:
        return None
    return Progress(row.done, row.total, row.ready_at is not None)


def _started(draft: PolicyDraft, against: bytes) -> Preparation:
    """The preparation of exactly this document against what is in force; others are dropped."""
    with transaction.atomic():
        row, _ = Preparation.objects.get_or_create(
            draft=draft,
            defaults={"digest": draft.digest, "against": against, "at": timezone.now()},
        )
        row = Preparation.objects.select_for_update(no_key=True).get(pk=row.pk)
        is_same = (bytes(row.digest), bytes(row.against)) == (bytes(draft.digest), against)
        if not is_same or row.upto == 0:
            Affected.objects.filter(preparation=row).delete()
            row.digest, row.against, row.at = draft.digest, against, timezone.now()
            row.seen, row.done, row.after, row.ready_at = 0, 0, None, None
            row.upto = _clean_mark()
            row.total = _with_items(draft, behind=0, upto=row.upto).count()
            row.save()
    return row


def _step(preparation_id: UUID, draft: PolicyDraft) -> bool:
    """Look at some contributions, and remember how far; false where the pass is at its end."""
    with transaction.atomic():
        row = Preparation.objects.select_for_update(no_key=True).get(pk=preparation_id)
        rows = _with_items(draft, behind=row.seen, upto=row.upto)
        if row.after is not None:
            rows = rows.filter(id__gt=row.after)
        chosen = list(rows.order_by("id")[:_CHUNK])
        until = timezone.now() + WORKING / 10
        for contribution in chosen:
            _look(row, contribution, draft)
            row.after = contribution.id
            row.done += 1
            if timezone.now() > until:  # so that little is lost with a worker
                break
        row.save(update_fields=["after", "done"])
        return bool(chosen)


def _next_pass(row: Preparation) -> None:
    """All up to the mark is found; what came since is looked at now if it is much."""
    newest = ReleaseItem.objects.aggregate(last=Max("id"))["last"] or 0
    row.seen, row.after = row.upto, None
    left = ReleaseItem.objects.filter(id__gt=row.seen, id__lte=newest, outcome__isnull=False)
    if left[: FEW + 1].count() > FEW:
        with transaction.atomic():
            row.upto = _clean_mark()
    else:
        row.ready_at = timezone.now()
    row.save(update_fields=["seen", "after", "upto", "ready_at"])


def _clean_mark() -> int:
    """A number below which no release is still under way: taken while none is."""
    audiences.lock_policies()
    return ReleaseItem.objects.aggregate(last=Max("id"))["last"] or 0


def _look(row: Preparation, contribution: Contribution, draft: PolicyDraft) -> None:
    force = _force(draft, contribution.member_id)
    found = reissue.stricter(contribution, force, now=timezone.now())
    Affected.objects.bulk_create(
        (
            Affected(preparation=row, item_id=item_id, recipients=sorted(recipients))
            for item_id, recipients in found.items()
        ),
        update_conflicts=True,
        unique_fields=["preparation", "item"],
        update_fields=["recipients"],
    )


def _force(draft: PolicyDraft, member_id: UUID) -> audiences.InForce:
    """The draft in the place of the policy that it would replace."""
    today = audiences.in_force(member_id)
    if draft.kind == PolicyDraft.Kind.FLOOR:
        floor = terms.Floor.parse(draft.document)
        return audiences.InForce(
            today.floor_id, floor, today.policy_id, today.policy, today.policy_digest
        )
    policy = terms.MemberPolicy.parse(draft.document)
    digest = bytes(draft.digest).hex()
    return audiences.InForce(today.floor_id, today.floor, today.policy_id, policy, digest)


def _with_items(draft: PolicyDraft, *, behind: int, upto: int | None) -> QuerySet[Contribution]:
    """The contributions in reach of the policy that have such items."""
    items = ReleaseItem.objects.filter(outcome__contribution=OuterRef("pk"), id__gt=behind)
    if upto is not None:
        items = items.filter(id__lte=upto)
    rows = Contribution.objects.filter(Exists(items))
    return rows if draft.member_id is None else rows.filter(member_id=draft.member_id)
