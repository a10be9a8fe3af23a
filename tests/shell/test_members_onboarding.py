"""Members and people come, take seats, and leave."""

from datetime import UTC, datetime, timedelta

import pytest

from exchange.proof.refused import Forbidden, NotFound, Refused
from members import credentials, onboarding
from members.auth import NOBODY, Principal, principal_of
from members.models import CircleMember, Credential, Member, User, UserRole
from members.onboarding import Person

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
PASSWORD = "quiet water runs deep"
PIA = Principal(roles=frozenset({"operator"}))


@pytest.fixture
def aurora() -> Member:
    """A lab."""
    return onboarding.create_member("Aurora", verified_domains=["Aurora.Example"], now=NOON)


def _ana(member: Member | None, *roles: str) -> Person:
    return Person("Ana@Aurora.example", "Ana", roles or ("analyst",), member)


def _labs(count: int) -> list[Member]:
    return [onboarding.create_member(f"Lab {n}", now=NOON) for n in range(count)]


def test_a_member_has_its_domains_in_small_letters_and_a_careful_ceiling(aurora: Member) -> None:
    assert aurora.verified_domains == ["aurora.example"]
    assert aurora.tlp_ceiling == "amber+strict"
    with pytest.raises(Refused, match="of this name"):
        onboarding.create_member("Aurora", now=NOON)


def test_who_is_invited_chooses_a_password_and_is_in(aurora: Member) -> None:
    secret = onboarding.invite(_ana(aurora), by=PIA, now=NOON)
    user = onboarding.accept_invitation(secret, password=PASSWORD, now=LATER)
    assert user.email == "ana@aurora.example"
    assert user.check_password(PASSWORD)
    assert principal_of(user).roles == {"analyst"}
    with pytest.raises(NotFound):  # once only
        onboarding.accept_invitation(secret, password=PASSWORD, now=LATER)


def test_an_invitation_ends_by_time_and_with_its_member(aurora: Member) -> None:
    secret = onboarding.invite(_ana(aurora), by=PIA, now=NOON)
    with pytest.raises(NotFound):
        onboarding.accept_invitation(
            secret, password=PASSWORD, now=NOON + onboarding.INVITATION_LASTS
        )
    onboarding.suspend(aurora, by=PIA)
    with pytest.raises(NotFound):
        onboarding.accept_invitation(secret, password=PASSWORD, now=LATER)
    onboarding.activate(aurora, by=PIA)
    assert onboarding.accept_invitation(secret, password=PASSWORD, now=LATER)


def test_a_weak_password_does_not_use_the_invitation_up(aurora: Member) -> None:
    secret = onboarding.invite(_ana(aurora), by=PIA, now=NOON)
    with pytest.raises(Refused, match="at least 12"):
        onboarding.accept_invitation(secret, password="short", now=LATER)
    assert onboarding.accept_invitation(secret, password=PASSWORD, now=LATER)


def test_two_invitations_of_one_address_make_one_person(aurora: Member) -> None:
    first, second = (onboarding.invite(_ana(aurora), by=PIA, now=NOON) for _ in range(2))
    onboarding.accept_invitation(first, password=PASSWORD, now=LATER)
    with pytest.raises(Refused, match="of this address"):
        onboarding.accept_invitation(second, password=PASSWORD, now=LATER)
    with pytest.raises(Refused, match="of this address"):
        onboarding.invite(_ana(aurora), by=PIA, now=LATER)


def test_an_administrator_invites_its_own_people_only(aurora: Member) -> None:
    borealis = onboarding.create_member("Borealis", now=NOON)
    administrator = Principal(member_id=aurora.id, roles=frozenset({"administrator"}))
    analyst = Principal(member_id=aurora.id, roles=frozenset({"analyst"}))
    assert onboarding.invite(_ana(aurora), by=administrator, now=NOON)
    for by, member in ((administrator, borealis), (administrator, None), (analyst, aurora)):
        with pytest.raises(Forbidden):
            onboarding.invite(_ana(member, "counsel"), by=by, now=NOON)


@pytest.mark.parametrize(
    ("is_member", "role"),
    [(True, "operator"), (False, "analyst"), (False, "administrator"), (True, "forum-counsel")],
)
def test_nobody_is_asked_into_a_role_of_the_other_side(
    aurora: Member, role: str, *, is_member: bool
) -> None:
    person = _ana(aurora if is_member else None, role)
    with pytest.raises(Refused, match="cannot have that role"):
        onboarding.invite(person, by=PIA, now=NOON)
    with pytest.raises(Refused, match="cannot have that role"):
        onboarding.create_person(person)


def test_a_role_named_twice_is_had_once(aurora: Member) -> None:
    user = onboarding.create_person(_ana(aurora, "analyst", "analyst", "officer"))
    assert UserRole.objects.filter(user=user).count() == 2


def test_a_circle_begins_with_three_different_members() -> None:
    labs = _labs(3)
    for few in (labs[:2], [labs[0], labs[1], labs[1]]):
        with pytest.raises(Refused, match="at least three"):
            onboarding.create_circle("Relay watch", few, now=NOON)
    circle = onboarding.create_circle("Relay watch", labs, now=NOON)
    assert circle.seats.filter(left_at__isnull=True).count() == 3


def test_a_seat_is_taken_once_and_can_be_taken_again() -> None:
    labs = _labs(4)
    circle = onboarding.create_circle("Relay watch", labs[:3], now=NOON)
    for _ in range(2):
        onboarding.join_circle(labs[3], circle, now=NOON)
    onboarding.leave_circle(labs[3], circle, now=LATER)
    with pytest.raises(NotFound):
        onboarding.leave_circle(labs[3], circle, now=LATER)
    onboarding.join_circle(labs[3], circle, now=LATER)
    seats = CircleMember.objects.filter(circle=circle, member=labs[3]).order_by("id")
    assert [seat.left_at for seat in seats] == [LATER, None]


def test_a_new_member_has_its_seat_in_the_forum_and_contributes_there() -> None:
    forum = onboarding.create_circle("Forum", [], is_forum=True, now=NOON)
    aurora = onboarding.create_member("Aurora", now=NOON)
    assert aurora.default_circle == forum
    assert forum.seats.filter(member=aurora, left_at__isnull=True).count() == 1


def test_who_leaves_keeps_nothing_open_and_stays_away(aurora: Member) -> None:
    circle = onboarding.create_circle("Relay watch", [aurora, *_labs(2)], now=NOON)
    ana = onboarding.create_person(_ana(aurora), password=PASSWORD)
    wanted = credentials.Wanted("siem", ("taxii-read",))
    credentials.mint(principal_of(ana), wanted, now=NOON)
    link = onboarding.sign_in_link(ana, now=NOON)
    onboarding.leave(aurora, by=PIA, now=NOON)
    assert not CircleMember.objects.filter(member=aurora, left_at__isnull=True).exists()
    assert not Credential.objects.filter(member=aurora, revoked_at__isnull=True).exists()
    assert principal_of(User.objects.get(pk=ana.pk)) == NOBODY
    with pytest.raises(NotFound):
        onboarding.redeem_link(link, now=NOON)
    for again in (onboarding.suspend, onboarding.activate):
        with pytest.raises(Refused):
            again(aurora, by=PIA)
    with pytest.raises(Refused, match="left already"):
        onboarding.leave(aurora, by=PIA, now=LATER)
    with pytest.raises(Refused, match="active member"):
        onboarding.join_circle(aurora, circle, now=LATER)


def test_only_the_operator_suspends_activates_and_ends(aurora: Member) -> None:
    own = Principal(member_id=aurora.id, roles=frozenset({"administrator", "counsel", "officer"}))
    for act in (onboarding.suspend, onboarding.activate):
        with pytest.raises(Forbidden):
            act(aurora, by=own)
    with pytest.raises(Forbidden):
        onboarding.leave(aurora, by=own, now=NOON)


def test_an_agreement_is_accepted_once_by_a_person_of_the_member(aurora: Member) -> None:
    agreement = onboarding.publish_agreement("1", "Decide alone.", purpose="defence", now=NOON)
    alma = onboarding.create_person(_ana(aurora, "counsel"))
    for at in (NOON, LATER):
        onboarding.accept_agreement(agreement, alma, now=at)
    assert [row.accepted_at for row in aurora.acceptances.all()] == [NOON]
    dora = onboarding.create_person(Person("dora@forum.example", "Dora", ("counsel",)))
    with pytest.raises(Refused, match="Only people of a member"):
        onboarding.accept_agreement(agreement, dora, now=NOON)


def test_a_link_signs_in_as_often_as_it_says_and_looking_is_free(aurora: Member) -> None:
    ana = onboarding.create_person(_ana(aurora))
    secret = onboarding.sign_in_link(ana, now=NOON, uses=2)
    for _ in range(3):
        assert onboarding.link_owner(secret, now=NOON) == ana
    for _ in range(2):
        assert onboarding.redeem_link(secret, now=NOON) == ana
    with pytest.raises(NotFound):
        onboarding.redeem_link(secret, now=NOON)


def test_a_link_is_for_active_people_of_active_members_and_ends(aurora: Member) -> None:
    ana = onboarding.create_person(_ana(aurora))
    secret = onboarding.sign_in_link(ana, now=NOON)
    for wrong, at in ((secret, NOON + onboarding.LINK_LASTS), (secret[:-1], NOON), ("", NOON)):
        with pytest.raises(NotFound):
            onboarding.redeem_link(wrong, now=at)
    onboarding.suspend(aurora, by=PIA)
    with pytest.raises(NotFound):
        onboarding.redeem_link(secret, now=NOON)
    onboarding.activate(aurora, by=PIA)
    User.objects.filter(pk=ana.pk).update(is_active=False)
    with pytest.raises(NotFound):
        onboarding.redeem_link(secret, now=NOON)
