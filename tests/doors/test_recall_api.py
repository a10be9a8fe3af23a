"""Taking back by call: recall, follow, acknowledge, say what is wrong, answer it."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from exchange import contribute, recall, release
from members import credentials
from members.models import User
from tests.cast import PASSWORD
from tests.doors.stage import Stage, as_owner, sequence, set_stage
from tests.doors.test_recall_pages import held_id

pytestmark = pytest.mark.django_db
NOTE = "It names a public resolver."


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def stage(now: datetime) -> Iterator[Stage]:
    cache.clear()
    yield set_stage(now)
    as_owner()


def machine(stage: Stage, user: User, *scopes: str) -> Client:
    as_owner()
    wanted = credentials.Wanted("SIEM", scopes or ("api-read", "api-write"))
    _, secret = credentials.mint(stage.cast.as_(user), wanted, now=timezone.now())
    return Client(headers={"Authorization": f"Bearer {secret}"})


def get(client: Client, path: str, status: int = 200) -> dict[str, Any]:
    as_owner()
    return answered(client.get(path), status)


def post(
    client: Client, path: str, body: object = None, status: int = 200, **headers: str
) -> dict[str, Any]:
    as_owner()
    sent = b"" if body is None else json.dumps(body).encode()
    answer = client.post(path, sent, content_type="application/json", headers=headers)
    return answered(answer, status)


def answered(response: Any, status: int) -> dict[str, Any]:
    assert isinstance(response, HttpResponse)
    assert response.status_code == status, response.content.decode()
    found: dict[str, Any] = json.loads(response.content)
    return found


def tell(now: datetime) -> None:
    as_owner()
    recall.tell_waiting(now=now)
    sequence(now)


def order(stage: Stage, **changes: object) -> dict[str, object]:
    return {"object": stage.indicator, "reason": "false-positive", "note": NOTE, **changes}


def test_auroras_machine_recalls_and_borealis_machine_acknowledges(
    stage: Stage, now: datetime
) -> None:
    cast = stage.cast
    aurora, borealis = machine(stage, cast.ana), machine(stage, cast.ben)
    name = held_id(cast.ben, stage, now)
    (made,) = post(aurora, "/api/recalls/", order(stage), 202)["recalls"]
    assert get(borealis, f"/api/objects/{name}/", 404)["code"] == "not-found"
    tell(now)
    shown = get(aurora, f"/api/recalls/{made}/")
    assert (shown["object"], shown["done"], shown["of"]) == (stage.indicator, 0, 2)
    (told,) = get(borealis, "/api/recalls/received/")["recalls"]
    assert (told["object"], told["reason"]) == (name, "false-positive")
    assert told["acknowledged_at"] is None
    assert "Aurora" not in json.dumps(told)
    assert NOTE not in json.dumps(told)
    post(borealis, f"/api/recalls/received/{told['id']}/")
    (told,) = get(borealis, "/api/recalls/received/")["recalls"]
    assert told["acknowledged_at"] is not None
    shown = get(aurora, f"/api/recalls/{made}/")
    states = {one["name"]: one["state"] for one in shown["recipients"]}
    assert states == {"Borealis": "acknowledged", "Ember": "sent"}
    assert [one["id"] for one in get(aurora, "/api/recalls/")["recalls"]] == [made]


def test_the_forums_id_names_it_too(stage: Stage, now: datetime) -> None:
    name = held_id(stage.cast.ben, stage, now)
    made = post(machine(stage, stage.cast.ana), "/api/recalls/", order(stage, object=name), 202)
    assert len(made["recalls"]) == 1


def test_dora_recalls_by_call_from_her_session_with_its_token(stage: Stage, now: datetime) -> None:
    name = held_id(stage.cast.ben, stage, now)
    as_owner()
    dora = Client(enforce_csrf_checks=True)
    dora.get("/sign-in/")
    form = {"email": stage.cast.dora.email, "password": PASSWORD}
    token = {"X-CSRFToken": dora.cookies["csrftoken"].value}
    as_owner()
    assert dora.post("/sign-in/", form, headers=token).status_code == 302
    asked = order(stage, object=name, reason="leak")
    post(dora, "/api/recalls/", asked, 403)
    token = {"X-CSRFToken": dora.cookies["csrftoken"].value}
    (made,) = post(dora, "/api/recalls/", asked, 202, **token)["recalls"]
    tell(now)
    assert get(dora, f"/api/recalls/{made}/")["object"] == name


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"reason": "commercial"}, 400, "recall.reason"),
        ({"note": "no"}, 400, "reason.missing"),
        ({"erases": True}, 403, "forbidden"),
        ({"erases": "yes"}, 400, "body.form"),
        ({"object": "indicator--no-such"}, 404, "not-found"),
        ({"object": "\u0000"}, 404, "not-found"),
        ({"action": "block it"}, 400, "body.form"),
    ],
)
def test_what_cannot_be_recalled_says_why(
    stage: Stage, change: dict[str, object], status: int, code: str
) -> None:
    aurora = machine(stage, stage.cast.ana)
    assert post(aurora, "/api/recalls/", order(stage, **change), status)["code"] == code


def test_what_is_anothers_is_the_same_as_what_is_not_there(stage: Stage, now: datetime) -> None:
    name = held_id(stage.cast.ben, stage, now)
    (made,) = post(machine(stage, stage.cast.ana), "/api/recalls/", order(stage), 202)["recalls"]
    tell(now)
    answers = []
    for who in (stage.cast.ben, stage.cast.cleo):
        theirs = machine(stage, who)
        for obj in (name, stage.indicator, "indicator--no-such"):
            answers.append(post(theirs, "/api/recalls/", order(stage, object=obj), 404))
        answers.append(get(theirs, f"/api/recalls/{made}/", 404))
    answers.append(
        post(machine(stage, stage.cast.cleo), f"/api/recalls/received/{made}/", None, 404)
    )
    assert len({json.dumps(one) for one in answers}) == 1
    assert get(machine(stage, stage.cast.cleo), "/api/recalls/received/") == {"recalls": []}


def test_a_key_that_only_reads_recalls_nothing(stage: Stage) -> None:
    reader = machine(stage, stage.cast.ana, "api-read")
    assert post(reader, "/api/recalls/", order(stage), 403)["code"] == "forbidden"


def test_one_call_says_what_is_wrong_and_shows_what_became_of_it(
    stage: Stage, now: datetime
) -> None:
    cast = stage.cast
    aurora, borealis = machine(stage, cast.ana), machine(stage, cast.ben)
    name = held_id(cast.ben, stage, now)
    sent = post(borealis, f"/api/objects/{name}/feedback/", {"said": "false-positive"}, 202)
    as_owner()
    contribute.accept(sent["contribution"], now=now)
    later = now + timedelta(minutes=16)
    release.open_windows(now=later)
    sequence(later)
    (task,) = get(aurora, "/api/feedback/tasks/")["tasks"]
    assert (task["object"], task["said"]) == (stage.indicator, "false-positive")
    assert "Borealis" not in json.dumps(task)
    assert get(borealis, "/api/feedback/")["feedback"][0]["answer"] == ""
    body = {"answer": "unclear", "note": "One line of log is not enough."}
    post(aurora, f"/api/feedback/tasks/{task['id']}/", body)
    (told,) = get(borealis, "/api/feedback/")["feedback"]
    assert (told["object"], told["said"], told["answer"]) == (name, "false-positive", "unclear")
    assert "One line of log" not in json.dumps(told)
    post(aurora, f"/api/feedback/tasks/{task['id']}/", body, 404)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"said": "block"}, "feedback.word"),
        ({"said": 7}, "body.form"),
        ({"said": "seen", "circle": "x"}, "query.circle"),
        ([], "body.form"),
        ({"said": "seen", "text": "our discount"}, "body.form"),
    ],
)
def test_what_cannot_be_said_says_why(stage: Stage, now: datetime, body: object, code: str) -> None:
    name = held_id(stage.cast.ben, stage, now)
    borealis = machine(stage, stage.cast.ben)
    assert post(borealis, f"/api/objects/{name}/feedback/", body, 400)["code"] == code


def test_cleo_can_say_nothing_of_what_she_does_not_hold(stage: Stage, now: datetime) -> None:
    name = held_id(stage.cast.ben, stage, now)
    cleo = machine(stage, stage.cast.cleo)
    answers = [
        post(cleo, f"/api/objects/{one}/feedback/", {"said": "seen"}, 404)
        for one in (name, "indicator--no-such")
    ]
    assert answers[0] == answers[1]
