"""Rows to values: the policies in force, and a circle's recipients grouped by equal terms."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from exchange import constants
from exchange.models import FloorPolicy, MemberPolicyVersion
from exchange.policy import decide, terms, tokens, windows
from exchange.policy.facts import Facts
from exchange.policy.outcomes import Context, Standing
from exchange.proof.refused import Refused
from indicators.models import Contribution
from members import onboarding
from members.models import Member
from members.scope import fetch

_POLICY_LOCK = 0x57454952  # "WEIR": shared by releases, exclusive for a change of policy
_LONGEST_WAIT = "20s"
_ENTITLED = """
    SELECT one.id, one.tlp_ceiling, one.state,
        ARRAY(SELECT seat.circle_id FROM members_circlemember seat
              WHERE seat.member_id = one.id AND seat.left_at IS NULL),
        EXISTS (SELECT 1 FROM members_acceptance said WHERE said.member_id = one.id)
    FROM members_member one
    WHERE one.id IN (SELECT member_id FROM members_circlemember
                     WHERE circle_id = %s AND left_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class InForce:
    """The floor and one contributor's own policy at one moment."""

    floor_id: int
    floor: terms.Floor
    policy_id: int | None
    policy: terms.MemberPolicy
    # SHA-256 of the policy's document, hex; empty where the member has none.
    policy_digest: str

    def delay_seconds(self, sensitivity: str) -> int:
        """The seconds that the contributor adds to the window of a sensitivity."""
        return dict(self.policy.delay_seconds).get(sensitivity, 0)

    def opening(self, sensitivity: str, *, after: datetime) -> datetime:
        """The window in which something decided at `after` leaves."""
        return windows.opening(
            self.floor, sensitivity, after=after, delay_seconds=self.delay_seconds(sensitivity)
        )


def in_force(member_id: UUID) -> InForce:
    """The policies under which this member's contributions are decided now.

    Rows are inserted at the moment at which they take effect, under the lock: the newest is the one
    in force, whatever time it was when the caller began to wait for it.
    """
    floor_id, floor = floor_in_force()
    row = MemberPolicyVersion.objects.filter(member_id=member_id).order_by("-id").first()
    policy = terms.MemberPolicy.parse(row.document) if row else terms.MemberPolicy.none()
    if row is None:
        return InForce(floor_id, floor, None, policy, "")
    return InForce(floor_id, floor, row.id, policy, bytes(row.digest).hex())


def floor_alone() -> InForce:
    """The floor without any member's policy: the most that anybody's object can leave under."""
    floor_id, floor = floor_in_force()
    return InForce(floor_id, floor, None, terms.MemberPolicy.none(), "")


def floor_in_force() -> tuple[int, terms.Floor]:
    """The forum's floor; without one, nothing is decided."""
    floor_id = FloorPolicy.objects.order_by("-id").values_list("id", flat=True).first()
    if floor_id is None:
        raise Refused("floor.none", "The forum has no floor in force, so nothing can be decided.")
    return floor_id, _floor(floor_id)


@lru_cache(maxsize=8)
def _floor(floor_id: int) -> terms.Floor:
    """Rows of policies never change, so the parsed form may be kept."""
    return terms.Floor.parse(
        FloorPolicy.objects.values_list("document", flat=True).get(pk=floor_id)
    )


def context(contribution: Contribution, policy: terms.MemberPolicy, *, now: datetime) -> Context:
    """What the decision needs to know of the contribution beside its objects."""
    return Context(
        contributor=str(contribution.member_id),
        circle=str(contribution.circle_id),
        default_basis=tuple(contribution.default_basis),
        now=now,
        watch=frozenset(Member.objects.values_list("name", flat=True)),
        constants=constants.ids(),
        policy=policy,
    )


def named(contribution: Contribution, policy: terms.MemberPolicy) -> str:
    """The contributor's name, if it chose to be named to this circle and its policy lets it."""
    is_named = contribution.attributed and not policy.stay_hidden
    return contribution.member.name if is_named else ""


def by_terms(
    contributor_id: UUID, circle_id: UUID, force: InForce, *, now: datetime
) -> Mapping[terms.Terms, tuple[UUID, ...]]:
    """The circle's members, the contributor among them, grouped by equal terms.

    A circle is as large as it has independent members: affiliates count as one.
    """
    groups: dict[terms.Terms, list[UUID]] = defaultdict(list)
    entitled = entitlements(circle_id)
    behind = onboarding.owners_of()
    size = len({behind[member_id] for member_id in entitled})
    for member_id, entitlement in sorted(entitled.items()):
        joined = terms.join(
            force.floor,
            force.policy,
            entitlement,
            contributor=str(contributor_id),
            circle=str(circle_id),
            on=now.date(),
            circle_size=size,
        )
        groups[joined].append(member_id)
    return {key: tuple(ids) for key, ids in groups.items()}


def entitlements(circle_id: UUID) -> dict[UUID, terms.Entitlement]:
    """What each member of a circle may receive at all."""
    return {
        member_id: terms.Entitlement(
            member=str(member_id),
            circles=frozenset(map(str, circles)),
            agreement=has_agreed,
            tlp_ceiling=ceiling,
            active=state == "active",
        )
        for member_id, ceiling, state, circles, has_agreed in fetch(_ENTITLED, [circle_id])
    }


def token_scope(circle_id: UUID, *, now: datetime) -> tokens.Scope:
    """The keys of a circle in the quarter of `now`, derived from the one master secret."""
    return tokens.key_for(settings.TOKEN_KEY, str(circle_id), tokens.epoch(now))


def standings(
    contribution: Contribution,
    objects: Sequence[Mapping[str, Any] | Facts],
    force: InForce,
    *,
    now: datetime,
) -> tuple[Standing, ...]:
    """What holds for all recipients, decided over the whole contribution."""
    return decide.standing(objects, context(contribution, force.policy, now=now), force.floor)


def hold_policies_still() -> None:
    """For a release: no policy changes before its transaction has ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_POLICY_LOCK])


@contextmanager
def policies_held_still() -> Iterator[None]:
    """For a push: from the last check to the last byte no policy changes.

    The connection's own lock, not a transaction's: what is sent is written down and committed
    before the first byte leaves.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s)", [_POLICY_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock_shared(%s)", [_POLICY_LOCK])


def lock_policies() -> None:
    """For who activates a policy: wait for the releases under way, and keep new ones waiting.

    Raises Django's OperationalError where they take too long: then nothing was changed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LONGEST_WAIT])
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_POLICY_LOCK])
        cursor.execute("SELECT set_config('lock_timeout', '0', true)")
