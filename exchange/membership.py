"""Members come, are suspended and leave, with what that means for what is shared: at once.

A release that is under way ends first; from the commit on nothing is read, sent or released to who
has gone, and what waits for it is cancelled. What it contributed stays until its time is over.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from exchange import audiences, ledger, pool, release
from exchange.celery import nudge
from exchange.proof.refused import Forbidden, NotFound, Refused
from members import onboarding
from members.auth import Principal
from members.models import Acceptance, Agreement, Circle, CircleMember, Member, User
from members.scope import acting

FEWEST_LETTERS = 8
LINK_LASTS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member as the operator sees it: who, since when, in which circles; no content."""

    id: UUID
    name: str
    state: str
    joined_at: datetime
    left_at: datetime | None
    has_agreement: bool
    circles: tuple[tuple[UUID, str], ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A new member and the link with which its administrator signs in first."""

    member: Member
    secret: str


def members(principal: Principal) -> tuple[MemberRow, ...]:
    """All members, by name, for the operator."""
    _must_manage(principal)
    seats: dict[UUID, list[tuple[UUID, str]]] = defaultdict(list)
    open_seats = CircleMember.objects.filter(left_at__isnull=True).order_by("circle__name")
    for member_id, circle_id, name in open_seats.values_list(
        "member_id", "circle_id", "circle__name"
    ):
        seats[member_id].append((circle_id, name))
    agreed = set(Acceptance.objects.values_list("member_id", flat=True))
    return tuple(
        MemberRow(
            row.id,
            row.name,
            row.state,
            row.joined_at,
            row.left_at,
            row.id in agreed,
            tuple(seats[row.id]),
        )
        for row in Member.objects.order_by("name")
    )


def member(principal: Principal, member_id: UUID) -> MemberRow:
    """One member, for the operator."""
    for row in members(principal):
        if row.id == member_id:
            return row
    raise NotFound


@transaction.atomic
def admit(
    name: str,
    administrator: tuple[str, str],
    *,
    verified_domains: Iterable[str] = (),
    agreed: tuple[Agreement, User] | None = None,
    now: datetime,
) -> Admitted:
    """A new member with its administrator (name and address), its seat, and the constants.

    `agreed` is an agreement that came on paper, and who of the forum enters it; without one nothing
    but the constants is sent to the member before it has accepted.
    """
    row = onboarding.create_member(name, verified_domains=verified_domains, now=now)
    person = onboarding.create_person(
        onboarding.Person(administrator[1], administrator[0], ("administrator",), row)
    )
    if agreed is not None:
        agreement, entered_by = agreed
        Acceptance.objects.create(
            agreement=agreement, member=row, accepted_by=entered_by, accepted_at=now
        )
    release.constants_to([row.id], now=now)
    return Admitted(row, onboarding.sign_in_link(person, now=now, lasts=LINK_LASTS))


@transaction.atomic
def suspend(principal: Principal, member_id: UUID, *, reason: str, now: datetime) -> None:
    """Nothing is read, sent or contributed any more; its seats stay."""
    row = _begin(principal, member_id, reason)
    with acting(principal.acting()):
        onboarding.suspend(row, by=principal)
        _end(row.id)
        _record(principal, row.id, "suspended", reason=reason, now=now)


@transaction.atomic
def activate(principal: Principal, member_id: UUID, *, reason: str, now: datetime) -> None:
    """End a suspension: what was released to it before can be read again."""
    row = _begin(principal, member_id, reason)
    with acting(principal.acting()):
        onboarding.activate(row, by=principal)
        _record(principal, row.id, "activated", reason=reason, now=now)


@transaction.atomic
def leave(principal: Principal, member_id: UUID, *, reason: str, now: datetime) -> None:
    """Leave the forum: seats, credentials, links, subscriptions and what waits end at once."""
    row = _begin(principal, member_id, reason)
    with acting(principal.acting()):
        onboarding.leave(row, by=principal, now=now)
        _end(row.id, for_ever=True)
        pool.forget(row.id, now=now)
        _record(principal, row.id, "left", reason=reason, now=now)


@transaction.atomic
def leave_circle(
    principal: Principal, member_id: UUID, circle_id: UUID, *, reason: str, now: datetime
) -> None:
    """Leave one circle: what came or waits through it ends at once, the rest goes on."""
    row = _begin(principal, member_id, reason)
    circle = _circle(circle_id)
    if circle.is_forum:
        raise Refused("circle.forum", "Who leaves the circle of all leaves the forum.")
    with acting(principal.acting()):
        onboarding.leave_circle(row, circle, now=now)
        _end(row.id, circle_id=circle_id, for_ever=True)
        _record(principal, row.id, "left", circle_id=circle_id, reason=reason, now=now)


@transaction.atomic
def join_circle(
    principal: Principal, member_id: UUID, circle_id: UUID, *, reason: str, now: datetime
) -> None:
    """Take a seat: nothing old, but what a contributor's policy lets go to newcomers."""
    row = _begin(principal, member_id, reason)
    with acting(principal.acting()):
        onboarding.join_circle(row, _circle(circle_id), now=now)
        _record(principal, row.id, "joined", circle_id=circle_id, reason=reason, now=now)
    transaction.on_commit(lambda: nudge("exchange.tasks.let_go", queue="render"))


def _begin(principal: Principal, member_id: UUID, reason: str) -> Member:
    """Who may, why, and no release under way: one that commits later sees who has gone."""
    _must_manage(principal)
    if len(reason.strip()) < FEWEST_LETTERS:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "reason")
    row = onboarding.member_of(member_id)
    audiences.lock_policies()
    return row


def _end(member_id: UUID, *, circle_id: UUID | None = None, for_ever: bool = False) -> None:
    """Cancel what waits; the operator's own function of the database, for it sees no rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_end_waiting(%s, %s, %s)", [member_id, circle_id, for_ever])


def _record(
    principal: Principal,
    member_id: UUID,
    what: str,
    *,
    circle_id: UUID | None = None,
    reason: str,
    now: datetime,
) -> None:
    fields = {"decision": what, "circle": str(circle_id) if circle_id else None, "reason": reason}
    audit = {"decision": what, "member": str(member_id), "user": str(principal.user_id)}
    ledger.record("decision", by=member_id, slots={"from": fields, "audit": audit}, now=now)


def _circle(circle_id: UUID) -> Circle:
    row = Circle.objects.filter(pk=circle_id).first()
    if row is None:
        raise NotFound
    return row


def _must_manage(principal: Principal) -> None:
    if not principal.may("manage-members"):
        raise Forbidden("Only the forum's operator does this.")
