"""Tokens over HTTP: the closed form, the refusals; and the command that members run, for real."""

import json
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange.models import TokenCall, TokenDay
from exchange.policy import tokens as keyed
from exchange.proof import oprf
from exchange.proof.keys import b64url, unb64url
from tests.cast import Cast, make_cast
from tests.doors.clients import client_of
from tests.doors.stage import as_owner

pytestmark = pytest.mark.django_db
R = 0xABCDEF
GOOD = b64url(oprf.blind("handle", "ana", R))


@pytest.fixture
def cast() -> Cast:
    return make_cast(timezone.now())


@pytest.fixture
def ana(cast: Cast) -> Client:
    return client_of(cast.ana, "tokens")


def post(client: Client, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/api/tokens/", data=data, content_type="application/json")


def question(of: UUID, **changes: Any) -> dict[str, Any]:
    epoch = keyed.epoch(timezone.now())
    return {"circle": str(of), "epoch": epoch, "points": [GOOD], **changes}


def test_ana_asks_what_there_is_and_then_for_a_token(
    ana: Client, cast: Cast, settings: LazySettings
) -> None:
    offer = ana.get("/api/tokens/").json()
    assert (offer["scheme"], offer["batch"]) == ("oprf-p256-sha256", 10_000)
    assert offer["quota"]["per_day"] == offer["quota"]["left"] == settings.TOKEN_QUOTA_NEW
    assert offer["kinds"]["email-address"] == "email-lower-nfkc-v1"
    live = next(one["epoch"] for one in offer["epochs"] if one["live"])
    circle = next(one["id"] for one in offer["circles"] if one["name"] == "Relay watch")
    assert {one["name"]: one["forum"] for one in offer["circles"]} == {
        "Forum": True,
        "Relay watch": False,
    }
    answer = post(ana, {"circle": circle, "epoch": live, "points": [GOOD]})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-store"
    scope = keyed.key_for(settings.TOKEN_KEY, circle, live)
    x = unb64url(answer.json()["points"][0])
    assert oprf.unblind(x, R) == keyed.token(scope, "handle", "ana")
    assert answer.json()["left"] == settings.TOKEN_QUOTA_NEW - 1


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"circle": "forum"}, "body.form", "circle"),
        ({"circle": 7}, "body.form", "circle"),
        ({"epoch": 2026}, "body.form", "epoch"),
        ({"epoch": "2020Q1"}, "token.epoch", "epoch"),
        ({"points": []}, "token.batch", "points"),
        ({"points": "x"}, "token.batch", "points"),
        ({"points": [GOOD] * 10_001}, "token.batch", "points"),
        ({"points": [GOOD, 7]}, "token.point", "points[1]"),
        ({"points": [GOOD, GOOD[:-1]]}, "token.point", "points[1]"),
        ({"points": [GOOD + "="]}, "token.point", "points[0]"),
        ({"values": ["ana"]}, "body.form", ""),
    ],
)
def test_another_form_is_refused_by_its_place(
    ana: Client, cast: Cast, changes: dict[str, Any], code: str, path: str
) -> None:
    answer = post(ana, question(cast.forum.id, **changes))
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["path"]) == (code, path)
    as_owner()
    assert not TokenDay.objects.exists()


@pytest.mark.parametrize("body", [b" ", b"{", b"[]", b"null", b'"x"', b"\xff"])
def test_what_is_no_question_is_refused(ana: Client, cast: Cast, body: bytes) -> None:
    answer = post(ana, body)
    assert answer.status_code == 400
    assert answer.json()["code"] in ("body.json", "body.form")


def test_a_body_that_no_batch_has_is_not_read(ana: Client) -> None:
    answer = post(ana, b" " * 1_048_577)
    assert (answer.status_code, answer.json()["code"]) == (413, "body.size")


def test_the_quota_answers_429_and_the_call_is_kept(
    ana: Client, cast: Cast, settings: LazySettings
) -> None:
    settings.TOKEN_QUOTA_NEW = 1
    assert post(ana, question(cast.forum.id)).status_code == 200
    answer = post(ana, question(cast.forum.id))
    assert (answer.status_code, answer.json()["code"]) == (429, "token.quota")
    assert "has 0 left; it renews at" in answer.json()["sentence"]
    as_owner()
    assert list(TokenCall.objects.order_by("id").values_list("is_charged", flat=True)) == [
        True,
        False,
    ]


def test_cleo_cannot_tell_a_circle_of_others_from_none(cast: Cast) -> None:
    cleo = client_of(cast.cleo, "tokens")
    other = post(cleo, question(cast.relay_watch.id))
    none = post(cleo, question(UUID(int=7)))
    assert other.status_code == none.status_code == 404
    assert other.content == none.content


def test_another_scope_or_nobody_gets_no_token(cast: Cast) -> None:
    reader = client_of(cast.ana, "api-read", "api-write", "taxii-read", "taxii-write")
    for answer in (post(reader, question(cast.forum.id)), reader.get("/api/tokens/")):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert post(Client(), question(cast.forum.id)).status_code == 401
    tokens_only = client_of(cast.ana, "tokens")
    for path in ("/taxii2/forum/collections/holding/objects/", "/api/objects/indicator--none/"):
        assert tokens_only.get(path).status_code in (403, 404), path


def test_a_suspended_member_is_nobody(ana: Client, cast: Cast) -> None:
    cast.aurora.state = "suspended"
    cast.aurora.save(update_fields=["state"])
    assert post(ana, question(cast.forum.id)).status_code == 401
