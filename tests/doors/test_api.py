"""The REST API over HTTP: contribute, follow, read one object; refusals as JSON."""

import json
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange import contribute
from exchange.models import ServedNote
from indicators.models import Contribution
from tests.doors import stage as staging
from tests.doors.clients import client_of, objects
from tests.doors.stage import Stage, as_owner, sequence, set_stage

pytestmark = pytest.mark.django_db
SCOPES = ("taxii-read", "api-read", "api-write")


@pytest.fixture
def stage(settings: LazySettings, tmp_path: Any) -> Stage:
    settings.LEDGER_DIR = tmp_path / "ledger"
    return set_stage(timezone.now())


@pytest.fixture
def ana(stage: Stage) -> Client:
    return client_of(stage.cast.ana, *SCOPES)


@pytest.fixture
def ben(stage: Stage) -> Client:
    return client_of(stage.cast.ben, *SCOPES)


def send(client: Client, query: str, body: bytes) -> Any:
    return client.post(f"/api/contributions/{query}", data=body, content_type="application/json")


def test_a_contribution_is_answered_and_followed(ana: Client, stage: Stage) -> None:
    body = json.dumps({"objects": staging.campaign(timezone.now())}).encode()
    answer = send(ana, f"?circle={stage.cast.forum.id}&basis=fraudulent-identity", body)
    assert answer.status_code == 202
    as_owner()
    for waiting in contribute.waiting():
        contribute.accept(waiting, now=timezone.now())
    sequence(timezone.now())
    found = ana.get(f"/api/contributions/{answer.json()['id']}/").json()
    assert (found["state"], found["successes"], found["failures"]) == ("complete", 5, 1)
    assert [one["position"] for one in found["items"]] == list(range(6))


def test_the_contribution_of_another_is_not_there(ben: Client, stage: Stage) -> None:
    theirs = ben.get(f"/api/contributions/{stage.contribution}/")
    missing = ben.get(f"/api/contributions/{uuid4()}/")
    assert theirs.status_code == missing.status_code == 404
    assert theirs.content == missing.content


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        ("", b"{}", 400, "query.circle"),
        ("?circle=forum", b"{}", 400, "query.circle"),
        ("?circle=00000000-0000-4000-8000-000000000000", b"{}", 404, "not-found"),
        ("?circle={forum}&basis=because", b"{}", 400, "query.basis"),
        ("?circle={forum}", b"{", 400, "body.json"),
        ("?circle={forum}", b" ", 400, "body.empty"),
        ("?circle={forum}", b"{" + b" " * 200, 413, "body.size"),
    ],
)
def test_what_cannot_be_taken_says_why_and_leaves_nothing(
    ana: Client,
    stage: Stage,
    settings: LazySettings,
    query: str,
    body: bytes,
    status: int,
    code: str,
) -> None:
    settings.MAX_CONTENT_LENGTH = 200
    before = Contribution.objects.count()
    answer = send(ana, query.format(forum=stage.cast.forum.id), body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["sentence"]
    as_owner()
    assert Contribution.objects.count() == before


def test_a_body_without_its_length_or_its_end_is_refused(ana: Client, stage: Stage) -> None:
    path = f"/api/contributions/?circle={stage.cast.forum.id}"
    for length, status in (("", 411), ("5", 400)):
        cut: dict[str, Any] = {"CONTENT_LENGTH": length, "wsgi.input": BytesIO(b"{}")}
        answer = ana.generic("POST", path, **cut)
        assert answer.status_code == status


@pytest.mark.parametrize(
    "accept", ["*/*", "application/stix+json;version=2.1", "application/json", "text/html"]
)
def test_an_object_is_served_as_its_exact_bytes(ben: Client, accept: str) -> None:
    one = objects(ben, "holding", "?match[type]=campaign")[0]
    answer = ben.get(f"/api/objects/{one['id']}/", headers={"Accept": accept})
    assert (answer.status_code, answer.json()) == (200, one)
    assert answer["Content-Type"] == "application/stix+json;version=2.1"
    assert answer["Content-Digest"].startswith("sha-256=:")
    as_owner()
    assert ServedNote.objects.order_by("-id")[0].via == "api"


@pytest.mark.parametrize("name", ["a%00b", "%ED%A0%80", "indicator--none"])
def test_what_names_nothing_is_not_there(ben: Client, name: str) -> None:
    answer = ben.get(f"/api/objects/{name}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_errors_of_the_framework_have_the_same_form(ben: Client) -> None:
    nobody = Client().get("/api/objects/indicator--none/")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "not-authenticated")
    assert nobody["WWW-Authenticate"].startswith("Basic")
    assert ben.put("/api/objects/indicator--none/").status_code == 405
    assert ben.options("/api/objects/indicator--none/").status_code == 405
    many = "&".join(f"a{n}=1" for n in range(1_001))
    assert ben.post(f"/api/contributions/?{many}").status_code == 400


def test_a_credential_that_may_not_contribute_is_refused(stage: Stage) -> None:
    reader = client_of(stage.cast.ana, "api-read")
    answer = send(reader, f"?circle={stage.cast.forum.id}", b'{"objects":[]}')
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["files/none/report/", "feedback/tasks/none/", "none/", ""])
def test_an_address_that_is_none_is_told_as_json_to_anyone(path: str) -> None:
    answer = Client().get(f"/api/{path}")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    assert answer.json()["code"]
