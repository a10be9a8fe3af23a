"""Take back in the ordinary way: withdrawn objects are revoked in the daily window."""

from datetime import datetime
from secrets import SystemRandom

from django.db import transaction

from exchange import audiences, parcels, renditions
from exchange.models import Release, ReleaseItem, ReleaseRecipient, Rendition, Revocation
from exchange.proof import jcs
from indicators import store
from members.seals import for_member


def revoke_due(*, now: datetime) -> int:
    """In the daily window: what its contributor withdrew is revoked for everyone who holds it."""
    due = Revocation.objects.filter(due_at__lte=now, done_at__isnull=True)
    shuffled = list(due.values_list("id", flat=True))
    SystemRandom().shuffle(shuffled)
    return sum(_revoke(pk, now=now) for pk in shuffled)


@transaction.atomic
def _revoke(revocation_id: int, *, now: datetime) -> int:
    """One revoked version for all holders; an observable is no longer served instead."""
    audiences.hold_policies_still()
    due = (
        Revocation.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("object")
        .filter(pk=revocation_id, done_at__isnull=True)
        .first()
    )
    if due is None:
        return 0
    due.done_at = now
    due.save(update_fields=["done_at"])
    items = ReleaseItem.objects.filter(rendition__object=due.object, recalled=False)
    newest = items.select_related("rendition", "release").order_by("-id").first()
    if newest is None:
        return 0
    if not newest.rendition.modified:
        items.update(recalled=True)
        return 0
    holders = set(
        ReleaseRecipient.objects.filter(
            release__items__in=items, recipient__isnull=False
        ).values_list("recipient_id", flat=True)
    )
    row = renditions.revoked(due, newest.rendition)
    release = _revoking_release(due, newest.release, row, now=now)
    members = [member_id for member_id in holders if member_id is not None]
    parcels.enter(release, members, contributor=due.member_id, told=True, now=now)
    parcels.mark_superseded({due.object_id})
    return 1


def _revoking_release(
    due: Revocation, earlier: Release, row: Rendition, *, now: datetime
) -> Release:
    floor_id, floor = audiences.floor_in_force()
    listing = [[row.stix_id, row.modified, bytes(row.digest).hex()]]
    own = store.original_ids([due.object])[due.object_id]
    told = [[own, row.modified, bytes(row.digest).hex()]]
    release = Release(
        contribution=earlier.contribution,
        member_id=due.member_id,
        circle_id=earlier.circle_id,
        floor_id=floor_id,
        nominal_at=due.due_at,
        committed_at=now,
        count=1,
        size=len(row.body),
        listing=jcs.encode(listing),
    )
    release.told = for_member(due.member_id).seal(jcs.encode(told), aad=b"told:" + release.id.bytes)
    common = {"release": str(release.id), "floor": floor.digest}
    audit = {"release": str(release.id), "rules": ["withdrawn"], "actor": "contributor"}
    slots = {
        "to": {**common, **parcels.items_of(listing)},
        "from": {**common, **parcels.items_of(told)},
    }
    parcels.seal_slots(release, {**slots, "audit": audit})
    release.save(force_insert=True)
    ReleaseItem.objects.create(release=release, position=0, rendition=row)
    return release
