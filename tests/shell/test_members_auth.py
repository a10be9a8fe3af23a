"""From a request to a principal, and the keys of a member."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from exchange.proof.refused import Forbidden, NotFound, Refused
from members import auth, credentials, onboarding, scope
from members.auth import NOBODY, Principal, principal_of
from members.credentials import Wanted
from members.models import Credential, Invitation, Member, User
from members.onboarding import Person

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SIEM = Wanted("siem", ("taxii-read",), days=30)
PIA = Principal(roles=frozenset({"operator"}))


@pytest.fixture
def ana() -> User:
    """Aurora's analyst."""
    aurora = onboarding.create_member("Aurora", now=NOON)
    return onboarding.create_person(Person("ana@aurora.example", "Ana", ("analyst",), aurora))


@pytest.fixture
def cleo() -> User:
    """Cirrus's analyst."""
    cirrus = onboarding.create_member("Cirrus", now=NOON)
    return onboarding.create_person(Person("cleo@cirrus.example", "Cleo", ("analyst",), cirrus))


def _member(user: User) -> Member:
    assert user.member is not None
    return user.member


def _basic(user: str, secret: str, scheme: str = "Basic") -> str:
    return f"{scheme} " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def _ask(header: str, *, address: str = "192.0.2.7", at: datetime = NOON) -> Principal | None:
    request = RequestFactory().get("/", HTTP_AUTHORIZATION=header, REMOTE_ADDR=address)
    with time_machine.travel(at, tick=False), scope.acting(scope.Acting()):
        found = auth.CredentialAuthentication().authenticate(Request(request))
    return found[0] if found else None


@pytest.mark.parametrize(
    "header",
    [
        lambda secret: _basic("aurora", secret),
        lambda secret: _basic("", secret),
        lambda secret: _basic("anything", secret, "bAsIc"),
        lambda secret: f"Bearer {secret}",
        lambda secret: f"bearer  {secret} ",
        lambda secret: f"TOKEN {secret}",
    ],
)
def test_a_secret_is_taken_in_each_usual_form(ana: User, header: Callable[[str], str]) -> None:
    key_id, secret = credentials.mint(principal_of(ana), SIEM, now=NOON)
    principal = _ask(header(secret))
    assert principal is not None
    assert (principal.member_id, principal.credential_id) == (ana.member_id, key_id)
    assert (principal.user_id, principal.roles) == (None, frozenset())
    assert principal.may("read-holding")
    assert not principal.may("contribute")


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic \xe9\xe9\xe9\xe9",  # not ASCII
        "Basic " + base64.b64encode(b"a:\xff").decode(),  # not UTF-8
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Bearer",
        "Bearer \xe9",
        "Digest abc",
        "weir_alone",
        _basic("aurora", "weir_" + "A" * 43),
    ],
)
def test_what_is_no_credential_is_refused_like_a_wrong_one(ana: User, header: str) -> None:
    credentials.mint(principal_of(ana), SIEM, now=NOON)
    with pytest.raises(AuthenticationFailed, match="not valid here"):
        _ask(header)


def test_no_header_is_nobody_and_a_refusal_names_the_scheme() -> None:
    request = Request(RequestFactory().get("/"))
    assert auth.CredentialAuthentication().authenticate(request) is None
    assert auth.CredentialAuthentication().authenticate_header(request) == 'Basic realm="Weir"'
    with pytest.raises(NotAuthenticated):
        auth.asking(request)


def test_a_credential_ends_by_time_by_revocation_and_with_its_member(ana: User) -> None:
    by = principal_of(ana)
    key_id, secret = credentials.mint(by, SIEM, now=NOON)
    header = f"Bearer {secret}"
    assert _ask(header, at=NOON + timedelta(days=30, seconds=-1))
    with pytest.raises(AuthenticationFailed):
        _ask(header, at=NOON + timedelta(days=30))
    onboarding.suspend(_member(ana), by=PIA)
    with pytest.raises(AuthenticationFailed):
        _ask(header)
    onboarding.activate(_member(ana), by=PIA)
    assert _ask(header)
    credentials.revoke(by, key_id, now=NOON)
    with pytest.raises(AuthenticationFailed):
        _ask(header)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),  # the same client, as a socket on :: names it
        ("2001:db8::7", True),
        ("198.51.100.7", False),
        ("::ffff:198.51.100.7", False),
        ("2001:db9::7", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_a_credential_opens_from_its_networks_only(
    ana: User, address: str, *, allowed: bool
) -> None:
    wanted = Wanted("siem", ("taxii-read",), ("192.0.2.0/24", "2001:db8::/32"))
    _, secret = credentials.mint(principal_of(ana), wanted, now=NOON)
    if allowed:
        assert _ask(f"Bearer {secret}", address=address)
    else:
        with pytest.raises(AuthenticationFailed):
            _ask(f"Bearer {secret}", address=address)


def test_use_is_noted_once_a_minute(ana: User) -> None:
    _, secret = credentials.mint(principal_of(ana), SIEM, now=NOON)
    noted = []
    for seconds in (0, 30, 60, 61):
        _ask(f"Bearer {secret}", at=NOON + timedelta(seconds=seconds))
        noted.append(Credential.objects.get().last_used_at)
    assert noted == [NOON, NOON, NOON, NOON + timedelta(seconds=61)]


def test_only_the_digest_of_a_secret_is_kept(ana: User) -> None:
    _, secret = credentials.mint(principal_of(ana), SIEM, now=NOON)
    assert secret.startswith("weir_")
    assert len(secret) == 48
    assert ":" not in secret
    row = Credential.objects.values().get()
    assert secret not in str(row)
    assert row["hint"] == secret[-4:]
    link = onboarding.sign_in_link(ana, now=NOON)
    asked = onboarding.invite(
        Person("abel@aurora.example", "Abel", (), ana.member), by=PIA, now=NOON
    )
    assert link not in str(row)
    assert asked not in str(Invitation.objects.values().get())


def test_rotation_keeps_what_a_credential_may_and_ends_the_old_after_the_overlap(ana: User) -> None:
    by = principal_of(ana)
    wanted = Wanted("siem", ("taxii-read",), ("192.0.2.0/24",), 30, ("network-defence",))
    old_id, old = credentials.mint(by, wanted, now=NOON)
    overlap = timedelta(hours=1)
    new_id, new = credentials.rotate(by, old_id, overlap=overlap, now=NOON)
    rows = Credential.objects.in_bulk([old_id, new_id])
    for field in ("name", "scopes", "networks", "default_basis"):
        assert getattr(rows[old_id], field) == getattr(rows[new_id], field)
    assert rows[new_id].expires_at == NOON + timedelta(days=30)
    assert _ask(f"Bearer {old}")
    assert _ask(f"Bearer {new}", at=NOON + overlap)
    with pytest.raises(AuthenticationFailed):
        _ask(f"Bearer {old}", at=NOON + overlap)


def test_what_has_ended_is_not_rotated_to_life(ana: User) -> None:
    by = principal_of(ana)
    key_id, _ = credentials.mint(by, SIEM, now=NOON)
    with pytest.raises(Refused, match="negative"):
        credentials.rotate(by, key_id, overlap=timedelta(hours=-1), now=NOON)
    with pytest.raises(Refused, match="has ended"):
        credentials.rotate(by, key_id, overlap=timedelta(0), now=NOON + timedelta(days=30))
    credentials.revoke(by, key_id, now=NOON)
    with pytest.raises(Refused, match="has ended"):
        credentials.rotate(by, key_id, overlap=timedelta(0), now=NOON)


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        (Wanted(" ", ("taxii-read",)), "name"),
        (Wanted("siem", ()), "scopes"),
        (Wanted("siem", ("manage",)), "scopes"),
        (Wanted("siem", ("taxii-read",), days=0), "days"),
        (Wanted("siem", ("taxii-read",), days=401), "days"),
        (Wanted("siem", ("taxii-read",), ("192.0.2.7/24",)), "networks"),
        (Wanted("siem", ("taxii-read",), ("anywhere",)), "networks"),
    ],
)
def test_a_bad_wish_is_refused_with_its_place(ana: User, wanted: Wanted, path: str) -> None:
    with pytest.raises(Refused) as refused:
        credentials.mint(principal_of(ana), wanted, now=NOON)
    assert refused.value.path == path
    assert not Credential.objects.exists()


def test_the_longest_credential_is_one_that_the_database_takes(ana: User) -> None:
    wanted = Wanted("siem", ("taxii-read",), days=credentials.MOST_DAYS)
    assert credentials.mint(principal_of(ana), wanted, now=NOON)


def test_cleo_cannot_tell_anothers_credential_from_a_missing_one(ana: User, cleo: User) -> None:
    key_id, _ = credentials.mint(principal_of(ana), SIEM, now=NOON)
    other = principal_of(cleo)
    for one in (key_id, uuid4()):
        with pytest.raises(NotFound):
            credentials.revoke(other, one, now=NOON)
        with pytest.raises(NotFound):
            credentials.rotate(other, one, overlap=timedelta(0), now=NOON)
    assert credentials.credentials(other) == ()
    assert [row.id for row in credentials.credentials(principal_of(ana))] == [key_id]


def test_neither_a_machine_nor_the_forum_mints(ana: User) -> None:
    machine = Principal(ana.member_id, credential_id=uuid4(), scopes=frozenset({"api-write"}))
    officer = Principal(ana.member_id, ana.id, roles=frozenset({"officer"}))
    for by in (machine, officer, PIA, NOBODY):
        with pytest.raises(Forbidden):
            credentials.mint(by, SIEM, now=NOON)
    assert credentials.credentials(PIA) == ()


def test_who_is_not_active_or_of_no_active_member_is_nobody(ana: User) -> None:
    assert principal_of(ana).is_authenticated
    assert principal_of(AnonymousUser()) == NOBODY
    assert not NOBODY.is_authenticated
    onboarding.suspend(_member(ana), by=PIA)
    assert principal_of(User.objects.get(pk=ana.pk)) == NOBODY
    onboarding.activate(_member(ana), by=PIA)
    User.objects.filter(pk=ana.pk).update(is_active=False)
    assert principal_of(User.objects.get(pk=ana.pk)) == NOBODY


def _scoped(user: User | AnonymousUser, status: int) -> tuple[HttpRequest, list[str]]:
    seen: list[str] = []

    def view(_request: HttpRequest) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_user, current_setting('weir.member'), current_setting('weir.roles')"
            )
            seen.extend(cursor.fetchone())
        User.objects.update(name="Changed")
        return HttpResponse(status=status)

    request = RequestFactory().get("/")
    request.user = user
    auth.ScopeMiddleware(view)(request)
    return request, seen


@pytest.mark.parametrize(("status", "name"), [(200, "Changed"), (422, "Changed"), (500, "Ana")])
def test_a_request_acts_for_its_person_and_a_server_error_leaves_nothing(
    ana: User, status: int, name: str
) -> None:
    request, seen = _scoped(ana, status)
    assert getattr(request, auth.PRINCIPAL) == principal_of(ana)
    assert seen == ["weir_web", str(ana.member_id), "analyst"]
    assert User.objects.get(pk=ana.pk).name == name


def test_a_request_without_a_session_acts_for_nobody() -> None:
    request, seen = _scoped(AnonymousUser(), 200)
    assert getattr(request, auth.PRINCIPAL) == NOBODY
    assert seen == ["weir_web", "", ""]


@pytest.mark.parametrize(("method", "is_let_in"), [("GET", True), ("HEAD", True), ("POST", False)])
def test_a_session_reads_through_the_api_and_writes_nothing(
    ana: User, method: str, *, is_let_in: bool
) -> None:
    request = RequestFactory().generic(method, "/")
    assert auth.SessionAuthentication().authenticate(Request(request)) is None
    setattr(request, auth.PRINCIPAL, principal_of(ana))
    found = auth.SessionAuthentication().authenticate(Request(request))
    assert (found is not None) is is_let_in
