"""Decide again what was released and is not sent yet: no push leaves under an earlier policy."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from exchange import audiences
from exchange.audiences import InForce
from exchange.models import FloorPolicy, Hold, MemberPolicyVersion, Outcome, Release, ReleaseItem
from exchange.policy import changes, decide, terms
from exchange.policy.outcomes import ACCEPTED, Standing, cleared
from indicators import store
from indicators.models import Contribution, Item


def less(release: Release, recipient_id: UUID, *, now: datetime) -> tuple[int, ...]:
    """The positions of a release of which its recipient would be given less today.

    Cheap where the policies are those of the release. Both sides are decided now, so that nothing
    but the policies makes a difference; what cannot be decided any more counts as less.
    """
    if release.member_id is None or release.contribution is None:
        return ()  # the exchange's own
    force = audiences.in_force(release.member_id)
    if (force.floor_id, force.policy_id) == (release.floor_id, release.policy_id):
        return ()
    if force.floor.legal_basis(now.date()) is None:
        return ()  # it waits, and is judged when a basis comes again
    # What takes an object back holds nothing that a policy could make stricter.
    items = ReleaseItem.objects.filter(release=release, rendition__takes_back=False)
    rows = list(items.select_related("outcome").order_by("position"))
    then = policies_of(release, force)
    today = _Side(release, recipient_id, force, now=now)
    before = _Side(release, recipient_id, then, now=now)
    found = []
    for row in rows:
        was, will = before.decided(row.outcome), today.decided(row.outcome)
        if was is None or will is None or changes.hides(was, will):
            found.append(row.position)
    return tuple(found)


def policies_of(release: Release, force: InForce) -> InForce:
    """The policies under which something was released."""
    floor = terms.Floor.parse(FloorPolicy.objects.get(pk=release.floor_id).document)
    policy = terms.MemberPolicy.none()
    if release.policy_id is not None:
        row = MemberPolicyVersion.objects.get(pk=release.policy_id)
        policy = terms.MemberPolicy.parse(row.document)
    return replace(
        force, floor_id=release.floor_id, floor=floor, policy_id=release.policy_id, policy=policy
    )


class _Side:
    """A release's contribution decided for one recipient under one pair of policies."""

    def __init__(
        self, release: Release, recipient_id: UUID, force: InForce, *, now: datetime
    ) -> None:
        contribution = release.contribution
        self.is_past = force.floor_id == release.floor_id and force.policy_id == release.policy_id
        self.standings: Mapping[int, Standing] = {}
        self.objects: Mapping[int, Mapping[str, Any]] = {}
        self.terms: terms.Terms | None = None
        if contribution is None or release.circle_id is None:
            return
        self.objects = objects_of(contribution)
        rulings = audiences.standings(contribution, list(self.objects.values()), force, now=now)
        self.standings = dict(zip(self.objects, rulings, strict=True))
        groups = audiences.by_terms(contribution.member_id, release.circle_id, force, now=now)
        self.terms = next((key for key, ids in groups.items() if recipient_id in ids), None)

    def decided(self, outcome: Outcome | None) -> tuple[Standing, decide.Verdict] | None:
        """What comes of one outcome; none where nothing can be said of it any more."""
        if outcome is None or outcome.version_id not in self.objects or self.terms is None:
            return None
        approved = Hold.objects.filter(outcome=outcome, state=Hold.State.RELEASED)
        rules = frozenset(approved.values_list("rule", flat=True))
        standing = cleared(self.standings[outcome.version_id], rules)
        joined = self.terms
        if self.is_past:
            # It had left: what the policies of then would make of it at this date is no matter.
            standing = replace(standing, outcome=ACCEPTED)
            joined = replace(joined, withhold_all=None)
        return standing, decide.verdict(self.objects[outcome.version_id], standing, joined)


def objects_of(contribution: Contribution) -> dict[int, Mapping[str, Any]]:
    """What is still kept of a contribution, by version, in its order."""
    items = Item.objects.filter(contribution=contribution, version__isnull=False)
    ids = [pk for pk in items.order_by("position").values_list("version_id", flat=True) if pk]
    found = store.originals(contribution.member_id, ids)
    return {pk: found[pk] for pk in dict.fromkeys(ids) if pk in found}
