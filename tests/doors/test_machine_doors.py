"""The short way for machines: no session, the same guards, and nothing left by what failed."""

import pytest
from django.test import Client

from exchange import contribute
from indicators.models import Contribution
from tests.doors.clients import MEDIA, ROOT, client_of, post
from tests.doors.stage import Stage, as_owner

pytestmark = pytest.mark.django_db
GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.mark.parametrize("path", ["/taxii2/", f"{ROOT}nothing/", "/api/search/", "/ledger/keys"])
def test_every_answer_has_the_guards_that_a_page_has(stage: Stage, path: str) -> None:
    for answer in (client_of(stage.cast.ben).get(path), Client().get(path)):
        assert {name: answer[name] for name in GUARDS} == GUARDS
        assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
        assert answer["Content-Length"] == str(len(answer.content))


def test_a_session_opens_no_door_of_machines(stage: Stage) -> None:
    person = Client()
    person.force_login(stage.cast.ben, backend="django.contrib.auth.backends.ModelBackend")
    assert person.get("/taxii2/").status_code == 401
    # At a door of both it reads, as long as no credential stands beside it.
    assert person.get("/api/search/").status_code == 200
    wrong = {"Authorization": "Bearer weir_" + "A" * 43}
    assert person.get("/api/search/", headers=wrong).status_code == 401


def test_a_name_that_is_not_ours_is_refused_before_any_door(stage: Stage) -> None:
    for path in ("/taxii2/", f"{ROOT}collections/holding/objects/"):
        answer = client_of(stage.cast.ben).get(path, headers={"Host": "elsewhere.example"})
        assert (answer.status_code, answer["Content-Type"]) == (400, MEDIA)


def test_what_no_door_answers_is_answered_as_to_anyone(stage: Stage) -> None:
    asked = client_of(stage.cast.ben)
    for path in ("/api/nothing/", "/ledger/nothing", "/api/search"):
        answer = asked.get(path)
        assert (answer.status_code, answer.content) == (
            Client().get(path).status_code,
            Client().get(path).content,
        )


def test_a_contribution_whose_answer_fails_was_not_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = client_of(stage.cast.ana)
    as_owner()
    before = Contribution.objects.count()

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(contribute, "status", broken)
    assert post(asked, "own", b'{"objects":[]}').status_code == 500
    as_owner()
    assert Contribution.objects.count() == before
