"""Members and people come, are given roles and seats, and leave; each step one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.text import slugify

from exchange.proof.refused import Forbidden, NotFound, Refused
from members import owners, roles
from members.auth import Principal
from members.models import (
    Acceptance,
    Agreement,
    Circle,
    CircleMember,
    Credential,
    Invitation,
    Member,
    SignInLink,
    User,
    UserRole,
)
from members.seals import make_data_key

FEWEST_IN_CIRCLE = 3
# No member is called so; it stands where the forum's auditors read who contributed.
EXCHANGE = "The exchange (pool)"
LONGEST_NAME = 200
LINK_LASTS = timedelta(minutes=15)
INVITATION_LASTS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is; without a member, one of the forum's own people."""

    email: str
    name: str
    roles: tuple[str, ...]
    member: Member | None = None


@transaction.atomic
def create_member(name: str, *, verified_domains: Iterable[str] = (), now: datetime) -> Member:
    """A new member with its data key; it takes its seat in the forum's circle if there is one."""
    if Member.everyone.filter(name=name).exists():
        raise Refused("member.name", "There is a member of this name.", "name")
    circle = Circle.objects.filter(is_forum=True).first()
    row = Member.objects.create(
        name=name,
        slug=slugify(name),
        joined_at=now,
        default_circle=circle,
        verified_domains=[domain.lower() for domain in verified_domains],
    )
    make_data_key(row.id)
    if circle is not None:
        CircleMember.objects.create(circle=circle, member=row, joined_at=now)
    return row


@transaction.atomic
def found_exchange(*, now: datetime) -> Member:
    """The exchange's own row, made once: it contributes what its runs find, and no more."""
    row, _ = Member.everyone.get_or_create(
        is_exchange=True, defaults={"name": EXCHANGE, "slug": slugify(EXCHANGE), "joined_at": now}
    )
    make_data_key(row.id)
    return row


def exchange() -> Principal:
    """As whom the exchange contributes; NotFound in a forum that is not founded yet."""
    row = Member.everyone.filter(is_exchange=True).first()
    if row is None:
        raise NotFound
    return Principal(member_id=row.id, roles=frozenset({"analyst"}), name=row.name)


@transaction.atomic
def create_circle(
    name: str, members: Sequence[Member], *, is_forum: bool = False, now: datetime
) -> Circle:
    """A named circle; any but the forum's own begins with at least three independent members."""
    behind = owners_of()
    if not is_forum and len({behind[member.id] for member in members}) < FEWEST_IN_CIRCLE:
        sentence = "A circle has at least three members; affiliates count as one."
        raise Refused("circle.too-small", sentence, "members")
    circle = Circle.objects.create(name=name, slug=slugify(name), is_forum=is_forum, created_at=now)
    CircleMember.objects.bulk_create(
        CircleMember(circle=circle, member=member, joined_at=now) for member in members
    )
    if is_forum:
        Member.objects.filter(default_circle__isnull=True).update(default_circle=circle)
    return circle


@transaction.atomic
def join_circle(member: Member, circle: Circle, *, now: datetime) -> None:
    """Take a seat; a member that has one keeps it, and who is not active takes none."""
    if not Member.objects.filter(pk=member.pk, state=Member.State.ACTIVE).exists():
        raise Refused("member.not-active", "Only an active member joins a circle.")
    CircleMember.objects.get_or_create(
        circle=circle, member=member, left_at=None, defaults={"joined_at": now}
    )


@transaction.atomic
def leave_circle(member: Member, circle: Circle, *, now: datetime) -> None:
    """Give the seat up: access to what came through it ends at once."""
    open_seats = CircleMember.objects.filter(circle=circle, member=member, left_at__isnull=True)
    if not open_seats.update(left_at=now):
        raise NotFound


@transaction.atomic
def create_person(person: Person, *, password: str | None = None) -> User:
    """A person with roles; people employed by a member have no role of the forum."""
    _check(person)
    user = User.objects.create_user(
        person.email, password=password, name=person.name, member=person.member
    )
    UserRole.objects.bulk_create(
        UserRole(user=user, role=role) for role in sorted(set(person.roles))
    )
    return user


@transaction.atomic
def invite(person: Person, *, by: Principal, now: datetime) -> str:
    """Ask a person in; the secret of the link is shown this once.

    An administrator asks people of its own member, the operator anybody.
    """
    own = (
        by.member_id is not None and person.member is not None and person.member.id == by.member_id
    )
    if not (by.may("manage-members") or (own and by.may("manage-people"))):
        raise Forbidden("Your role may not invite this person.")
    _check(person)
    secret = token_urlsafe(32)
    Invitation.objects.create(
        member=person.member,
        email=person.email.lower(),
        name=person.name,
        roles=list(person.roles),
        digest=_digest(secret),
        expires_at=now + INVITATION_LASTS,
    )
    return secret


@transaction.atomic
def accept_invitation(secret: str, *, password: str, now: datetime) -> User:
    """The invited person chooses a password and is there from now on."""
    row = (
        Invitation.objects.select_for_update(of=("self",))
        .select_related("member")
        .filter(digest=_digest(secret), accepted_at__isnull=True, expires_at__gt=now)
        .first()
    )
    if row is None or not _is_in(row.member):
        raise NotFound
    _check_password(password)
    row.accepted_at = now
    row.save(update_fields=["accepted_at"])
    person = Person(row.email, row.name, tuple(row.roles), row.member)
    return create_person(person, password=password)


@transaction.atomic
def publish_agreement(version: str, text: str, *, purpose: str, now: datetime) -> Agreement:
    """A version of the agreement; the purpose of all sharing is fixed in it."""
    return Agreement.objects.create(
        version=version,
        text=text,
        purpose=purpose,
        digest=sha256(text.encode()).digest(),
        effective_at=now,
    )


@transaction.atomic
def accept_agreement(agreement: Agreement, user: User, *, now: datetime) -> None:
    """A member accepts through one of its people; nothing is sent to it before."""
    if user.member_id is None:
        raise Refused("agreement.member", "Only people of a member accept for it.")
    Acceptance.objects.get_or_create(
        agreement=agreement,
        member_id=user.member_id,
        defaults={"accepted_by": user, "accepted_at": now},
    )


@transaction.atomic
def set_owner(member: Member, owner: str, *, by: Principal) -> None:
    """State who stands behind a member; members of one owner count as one from this moment.

    An empty name says that the member is its own.
    """
    _must_manage_members(by)
    name = " ".join(owner.split())
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused("member.owner", "An owner is a name of at most 200 characters.", "owner")
    if not Member.objects.filter(pk=member.pk).update(owner=name):
        raise NotFound


def owners_of() -> Mapping[UUID, str]:
    """The ultimate owner of every member there has been: affiliates have the same."""
    rows = list(Member.objects.values_list("id", "name", "owner"))
    ends = owners.ultimate({name: owner for _, name, owner in rows})
    return {member_id: ends[name] for member_id, name, _ in rows}


@transaction.atomic
def suspend(member: Member, *, by: Principal) -> None:
    """Nothing is read, sent or contributed any more, from this moment."""
    _must_manage_members(by)
    active = Member.objects.filter(pk=member.pk, state=Member.State.ACTIVE)
    if not active.update(state=Member.State.SUSPENDED):
        raise Refused("member.not-active", "Only an active member is suspended.")


@transaction.atomic
def activate(member: Member, *, by: Principal) -> None:
    """End a suspension; who has left does not come back this way."""
    _must_manage_members(by)
    suspended = Member.objects.filter(pk=member.pk, state=Member.State.SUSPENDED)
    if not suspended.update(state=Member.State.ACTIVE):
        raise Refused("member.not-suspended", "Only a suspended member is activated.")


@transaction.atomic
def leave(member: Member, *, by: Principal, now: datetime) -> None:
    """Leave the forum: seats, credentials and sign-in links end at once."""
    _must_manage_members(by)
    here = Member.objects.filter(pk=member.pk).exclude(state=Member.State.LEFT)
    if not here.update(state=Member.State.LEFT, left_at=now):
        raise Refused("member.left", "This member has left already.")
    CircleMember.objects.filter(member=member, left_at__isnull=True).update(left_at=now)
    Credential.objects.filter(member=member, revoked_at__isnull=True).update(revoked_at=now)
    SignInLink.objects.filter(user__member=member).delete()


@transaction.atomic
def sign_in_link(user: User, *, now: datetime, lasts: timedelta = LINK_LASTS, uses: int = 1) -> str:
    """The secret of a link that signs this person in."""
    secret = token_urlsafe(32)
    SignInLink.objects.create(
        user=user, digest=_digest(secret), expires_at=now + lasts, uses_left=uses
    )
    return secret


def link_owner(secret: str, *, now: datetime) -> User:
    """Whom a link would sign in; NotFound for one that is used up, too old or unknown."""
    row = (
        SignInLink.objects.select_related("user__member")
        .filter(digest=_digest(secret), expires_at__gt=now, uses_left__gt=0)
        .first()
    )
    if row is None or not (row.user.is_active and _is_in(row.user.member)):
        raise NotFound
    return row.user


@transaction.atomic
def redeem_link(secret: str, *, now: datetime) -> User:
    """Use a link once."""
    user = link_owner(secret, now=now)
    used = SignInLink.objects.filter(
        digest=_digest(secret), expires_at__gt=now, uses_left__gt=0
    ).update(uses_left=F("uses_left") - 1)
    if not used:
        raise NotFound
    return user


def member_of(member_id: UUID) -> Member:
    """The row of a member; NotFound where there is none."""
    row = Member.objects.filter(pk=member_id).first()
    if row is None:
        raise NotFound
    return row


def _check(person: Person) -> None:
    of_forum = person.member is None
    if any(roles.effective(role, of_forum=of_forum) is None for role in person.roles):
        raise Refused("role.not-here", "This person cannot have that role.", "roles")
    if User.objects.filter(email=person.email.lower()).exists():
        raise Refused("person.email", "There is a person of this address.", "email")


def _check_password(password: str) -> None:
    try:
        validate_password(password)
    except ValidationError as error:
        raise Refused("person.password", " ".join(error.messages), "password") from None


def _is_in(member: Member | None) -> bool:
    """Whether people of this member may come in; the forum's own always may."""
    return member is None or member.state == Member.State.ACTIVE


def _must_manage_members(by: Principal) -> None:
    if not by.may("manage-members"):
        raise Forbidden("Only the forum's operator does this.")


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
