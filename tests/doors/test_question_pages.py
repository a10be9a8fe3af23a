"""The compliance workspace over HTTP: every page, for everybody it is for, and for nobody else."""

from datetime import timedelta
from io import BytesIO

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from exchange import ledger, lookback
from exchange.models import AnswerExport, Forum, QuestionView, ReleaseRecipient
from exchange.proof import archive
from exchange.questions import exports
from exchange.signers import signer_for
from members.scope import Acting, acting
from tests.doors import stage as stages
from tests.doors.stage import SECRET_WORDS, Stage

pytestmark = pytest.mark.django_db
BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def stage() -> Stage:
    made = stages.set_stage(timezone.now())
    for purpose, uri in (("ledger", settings.SIGNER_LEDGER), ("bundle", settings.SIGNER_BUNDLE)):
        ledger.announce(purpose, signer_for(uri).public, now=timezone.now() - timedelta(hours=1))
    stages.sequence(timezone.now())
    return made


def signed_in(stage: Stage, name: str) -> Client:
    stages.as_owner()
    client = Client()
    client.force_login(getattr(stage.cast, name), backend=BACKEND)
    return client


def look() -> None:
    stages.as_owner()
    with acting(Acting(), role="worker"):
        while lookback.work(now=timezone.now()):
            pass


def test_abel_opens_every_question_and_sees_its_title(stage: Stage) -> None:
    look()
    abel = signed_in(stage, "abel")
    index = abel.get("/questions/").content.decode()
    for number in range(1, 21):
        assert f"/questions/q{number}/" in index
        page = abel.get(f"/questions/q{number}/")
        assert page.status_code == 200, number
        assert SECRET_WORDS not in page.content.decode()


@pytest.mark.parametrize("name", ["ana", "ben", "pia"])
def test_there_is_nothing_for_analysts_and_the_operator(stage: Stage, name: str) -> None:
    client = signed_in(stage, name)
    for address in ("/questions/", "/questions/q1/", "/questions/log/", "/questions/as-of/"):
        assert client.get(address).status_code == 404
    assert client.post("/questions/q1/take/", {"form": "csv"}).status_code == 404


def test_an_unknown_question_and_one_of_another_role_are_the_same_page(stage: Stage) -> None:
    otto = signed_in(stage, "otto")
    answers = [otto.get(f"/questions/{name}/") for name in ("q7", "q99")]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].content == answers[1].content


def test_a_row_leads_to_its_bytes_its_opening_and_its_proof(stage: Stage) -> None:
    look()
    abel = signed_in(stage, "abel")
    page = abel.get("/questions/q1/", {"campaign": "", "recipient": str(stage.cast.borealis.id)})
    part = ReleaseRecipient.objects.get(
        recipient=stage.cast.borealis, release__circle=stage.cast.relay_watch
    )
    assert f"/questions/bytes/{part.idx}/0/" in page.content.decode()
    shown = abel.get(f"/questions/bytes/{part.idx}/1/").content.decode()
    assert f"<del>{SECRET_WORDS}</del>" in shown
    assert "Free text is not forwarded." in shown
    raw = abel.get(f"/questions/bytes/{part.idx}/1/raw/")
    assert SECRET_WORDS.encode() not in raw.content
    assert abel.get(f"/entries/{part.idx}/opening/", {"slot": "from"}).status_code == 200
    assert abel.get(f"/entries/{part.idx}/proof/").status_code == 200


def test_otto_sees_rulings_and_no_original(stage: Stage) -> None:
    look()
    otto = signed_in(stage, "otto")
    part = ReleaseRecipient.objects.get(
        recipient=stage.cast.borealis, release__circle=stage.cast.relay_watch
    )
    page = otto.get(f"/questions/bytes/{part.idx}/1/").content.decode()
    assert SECRET_WORDS not in page
    assert "Free text is not forwarded." in page
    assert otto.get(f"/entries/{part.idx}/opening/", {"slot": "audit"}).status_code == 200
    assert otto.get(f"/entries/{part.idx}/opening/", {"slot": "from"}).status_code == 404


@pytest.mark.parametrize("form", ["csv", "json", "archive"])
def test_an_answer_is_taken_along_by_who_asked_and_nobody_else(stage: Stage, form: str) -> None:
    abel = signed_in(stage, "abel")
    ordered = abel.post("/questions/q1/take/", {"form": form})
    assert ordered.status_code == 302
    address = ordered["Location"]
    assert "Waits for a worker" in abel.get(address).content.decode()
    work()
    page = abel.get(address).content.decode()
    assert "Ready" in page, page.partition('role="status"')[2][:120]
    taken = abel.get(f"{address}1/")
    assert taken.status_code == 200
    if form == "archive":
        files = archive.unpack(BytesIO(taken.content))
        checked = archive.verify_signed(files, None)
        assert checked.answer is not None
        assert checked.answer.rows
        assert checked.described.about["title"] == "Everything a company received about a campaign"
        assert SECRET_WORDS not in str(files)
    alma = signed_in(stage, "alma")
    assert alma.get(address).status_code == 404
    assert alma.get(f"{address}1/").status_code == 404


def work() -> None:
    """What a worker does with all that was ordered."""
    stages.as_owner()
    with acting(Acting(), role="worker"):
        for row in AnswerExport.objects.all():
            signer = signer_for(settings.SIGNER_BUNDLE)
            while exports.work(row.id, signer=signer, now=timezone.now()):
                pass


def test_every_view_and_every_file_is_in_the_log_that_alma_reads(stage: Stage) -> None:
    abel = signed_in(stage, "abel")
    abel.get("/questions/q3/", {"since": "2026-01-01"})
    address = abel.post("/questions/q3/take/", {"form": "csv"})["Location"]
    work()
    abel.get(f"{address}1/")
    page = signed_in(stage, "alma").get("/questions/log/").content.decode()
    assert "Abel" in page
    assert "What we shared, to whom" in page
    assert "2026-01-01" in page
    assert "taken as csv" in page
    assert list(QuestionView.objects.order_by("id").values_list("form", flat=True)) == [
        "screen", "csv", "taken as csv",
    ]  # fmt: skip


def test_a_filter_that_is_none_is_said_beside_the_form(stage: Stage) -> None:
    abel = signed_in(stage, "abel")
    page = abel.get("/questions/q1/", {"since": "yesterday"})
    assert page.status_code == 422
    assert "A day is written 2026-11-24." in page.content.decode()
    assert abel.get("/questions/q1/", {"after": "?"}).status_code in (404, 422)


def test_a_person_is_looked_for_without_a_name_in_any_address_or_log(stage: Stage) -> None:
    abel = signed_in(stage, "abel")
    found = abel.post(
        "/questions/person/", {"kind": "email-address", "value": "zanzibar@example.org"}
    )
    assert "zanzibar" not in found["Location"]
    assert abel.get(found["Location"]).status_code == 200
    assert "zanzibar" not in str(list(QuestionView.objects.values_list("filters", flat=True)))


def test_abel_attests_what_was_passed_on(stage: Stage) -> None:
    abel = signed_in(stage, "abel")
    given = {
        "object": "indicator--00000000-0000-4000-8000-000000000000",
        "whom": "authority",
        "tlp": "amber+strict",
        "passed_on": f"{timezone.now():%Y-%m-%d}",
        "words": "By its portal, for its own use.",
    }
    assert abel.get("/questions/attest/").status_code == 200
    refused = abel.post("/questions/attest/", given)
    assert refused.status_code == 422
    assert "Your company holds no object of this id." in refused.content.decode()


def test_the_operator_states_that_a_member_is_a_public_body(stage: Stage) -> None:
    pia = signed_in(stage, "pia")
    address = f"/members/{stage.cast.borealis.id}/nature/"
    assert pia.post(address, {"is_public_body": "yes"}).status_code == 302
    assert signed_in(stage, "abel").post(address, {"is_public_body": "no"}).status_code == 404
    page = signed_in(stage, "abel").get("/questions/q18/").content.decode()
    assert "Public bodies: Borealis" in page


def test_the_monthly_report_is_a_pdf_made_by_a_worker(stage: Stage) -> None:
    forum_age = timezone.now() - timedelta(days=70)
    Forum.objects.update(created_at=forum_age)
    for name in ("abel", "otto", "dora"):
        client = signed_in(stage, name)
        page = client.get("/questions/").content.decode()
        month = page.partition('<option value="')[2][:7]
        address = client.post("/questions/report/take/", {"month": month})["Location"]
        work()
        taken = client.get(f"{address}1/")
        assert taken.content.startswith(b"%PDF"), name
    running = f"{timezone.now():%Y-%m}"
    abel = signed_in(stage, "abel")
    assert abel.post("/questions/report/take/", {"month": running}).status_code == 422


def test_the_verifier_is_one_file(stage: Stage) -> None:
    taken = signed_in(stage, "abel").get("/questions/verifier/")
    assert taken.content.startswith(b"#!/usr/bin/env python3")


def test_as_a_member_on_a_day(stage: Stage) -> None:
    abel = signed_in(stage, "abel")
    given = {"member": str(stage.cast.borealis.id), "on": "2099-01-01T00:00"}
    assert "Borealis on" in abel.get("/questions/as-of/", given).content.decode()
    assert abel.get("/questions/as-of/", {"member": "x", "on": ""}).status_code == 422
