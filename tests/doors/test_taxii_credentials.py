"""Credentials over TAXII: scopes, networks, an end, and taken away between two pages."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from members import credentials
from members.auth import Principal
from members.models import Credential, User
from tests.doors.clients import ALL, MEDIA, ROOT, client_of, post
from tests.doors.stage import Stage, as_owner

pytestmark = pytest.mark.django_db
OBJECTS = f"{ROOT}collections/holding/objects/"


def minted(user: User, **wanted: Any) -> tuple[Principal, Any, Client]:
    """A credential of somebody's member, made by its administrator, and a client that has it."""
    as_owner()
    administrator = Principal(
        member_id=user.member_id, user_id=user.id, roles=frozenset({"administrator"})
    )
    key, secret = credentials.mint(
        administrator, credentials.Wanted("test", ALL, **wanted), now=timezone.now()
    )
    return administrator, key, Client(headers={"Authorization": f"Bearer {secret}"})


def test_a_credential_revoked_between_two_pages_reads_no_second_one(stage: Stage) -> None:
    administrator, key, asked = minted(stage.cast.ben)
    page = asked.get(f"{OBJECTS}?limit=50")
    assert page.json()["more"] is True
    following = f"{OBJECTS}?limit=50&next={page.json()['next']}"
    assert asked.get(following).status_code == 200
    as_owner()
    credentials.revoke(administrator, key, now=timezone.now())
    for path in (following, OBJECTS, "/taxii2/", f"{ROOT}collections/"):
        answer = asked.get(path)
        assert (answer.status_code, answer["Content-Type"]) == (401, MEDIA)
        assert answer.content == Client().get(path).content
    # Another credential of the same member goes on from there.
    assert client_of(stage.cast.ben).get(following).status_code == 200


def test_a_credential_ends_at_its_hour(stage: Stage) -> None:
    _, key, asked = minted(stage.cast.ben)
    assert asked.get(OBJECTS).status_code == 200
    as_owner()
    now = timezone.now()
    dates = {"created_at": now - timedelta(days=1), "expires_at": now - timedelta(seconds=1)}
    Credential.objects.filter(pk=key).update(**dates)
    assert asked.get(OBJECTS).status_code == 401


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("192.0.2.7", 200),
        ("::ffff:192.0.2.7", 200),
        ("2001:db8::1", 200),
        ("192.0.3.7", 401),
        ("2001:db9::1", 401),
        ("127.0.0.1", 401),
        ("no address", 401),
    ],
)
def test_a_credential_works_from_its_networks_alone(
    stage: Stage, address: str, status: int
) -> None:
    _, _, asked = minted(stage.cast.ben, networks=("192.0.2.0/24", "2001:db8::/32"))
    assert asked.get(OBJECTS, REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("192.0.2.7", 200),
        ("203.0.113.5, 192.0.2.7", 200),
        ("192.0.2.7, 203.0.113.5", 401),  # the first an asker can write itself
        ("", 401),
    ],
)
def test_behind_a_proxy_the_network_is_that_of_who_asked_it(
    stage: Stage, settings: LazySettings, forwarded: str, status: int
) -> None:
    _, _, asked = minted(stage.cast.ben, networks=("192.0.2.0/24",))
    headers = {"X-Forwarded-For": forwarded}
    # Without a proxy nobody's word is taken for it.
    assert asked.get(OBJECTS, headers=headers, REMOTE_ADDR="203.0.113.1").status_code == 401
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert asked.get(OBJECTS, headers=headers, REMOTE_ADDR="192.0.2.1").status_code == status


def test_each_scope_opens_its_own_doors_alone(stage: Stage) -> None:
    empty = b'{"objects":[]}'
    for scopes, reads, writes, log in (
        (("taxii-read",), 200, 403, 403),
        (("taxii-write",), 403, 202, 403),
        (("ledger-read",), 403, 404, 200),
        (("tokens",), 403, 404, 403),
    ):
        asked = client_of(stage.cast.ana, *scopes)
        assert asked.get(OBJECTS).status_code == reads, scopes
        assert asked.get(f"{ROOT}collections/own/manifest/").status_code == reads, scopes
        assert post(asked, "own", empty).status_code == writes, scopes
        assert asked.get("/ledger/checkpoint").status_code == log, scopes
