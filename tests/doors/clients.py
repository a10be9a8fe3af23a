"""Clients of the cast, each with a fresh credential, as machines use the doors."""

import json
from typing import Any

from django.test import Client
from django.utils import timezone

from exchange import contribute, release
from members import credentials
from members.auth import Principal
from members.models import User
from tests.doors.stage import as_owner, sequence

MEDIA = "application/taxii+json;version=2.1"
ROOT = "/taxii2/forum/"
ALL = ("taxii-read", "taxii-write")


def secret_of(user: User, *scopes: str) -> str:
    """A fresh credential of somebody's member."""
    as_owner()
    administrator = Principal(
        member_id=user.member_id, user_id=user.id, roles=frozenset({"administrator"})
    )
    wanted = credentials.Wanted("test", scopes or ALL)
    _, secret = credentials.mint(administrator, wanted, now=timezone.now())
    return secret


def client_of(user: User, *scopes: str) -> Client:
    """A client that asks with such a credential; what fails inside is answered, not raised."""
    headers = {"Authorization": f"Bearer {secret_of(user, *scopes)}", "Accept": MEDIA}
    return Client(headers=headers, raise_request_exception=False)


def objects(client: Client, alias: str, query: str = "") -> list[dict[str, Any]]:
    """All objects of a page."""
    answer = client.get(f"{ROOT}collections/{alias}/objects/{query}")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json().get("objects", [])
    return found


def post(client: Client, alias: str, body: bytes, media: str = MEDIA) -> Any:
    """Objects posted to a collection."""
    return client.post(f"{ROOT}collections/{alias}/objects/", data=body, content_type=media)


def contribute_now(
    client: Client,
    sent: list[dict[str, Any]],
    *,
    alias: str = "own",
    publish: bool = True,
    pass_on: bool = False,
) -> dict[str, Any]:
    """Post and take in; unless told otherwise publish, and pass on what may leave at once."""
    answer = post(client, alias, json.dumps({"objects": sent}).encode())
    assert answer.status_code == 202, answer.content
    as_owner()
    for waiting in contribute.waiting():
        contribute.accept(waiting, now=timezone.now())
    if pass_on:
        release.open_windows(now=timezone.now())
    if publish:
        sequence(timezone.now())
    found: dict[str, Any] = client.get(f"{ROOT}status/{answer.json()['id']}/").json()
    return found
