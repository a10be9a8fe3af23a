"""What-if, and who sees what, as pages: for whose policy it is, and without a value for others."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange import contribute, policies, replay
from exchange.models import OriginalRead, Preview, PreviewLine, Rendition
from exchange.policy import documents, terms
from indicators.models import Version
from members.models import User
from tests.doors.stage import SECRET_WORDS, Stage, as_owner, campaign, sequence, set_stage
from tests.doors.test_web_pages import browser, text

pytestmark = pytest.mark.django_db
DROPS = {"version": 2, "title": "Fewer kinds", "drop_kinds": ["egress-range"]}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def stage(now: datetime) -> Iterator[Stage]:
    cache.clear()
    yield set_stage(now)
    as_owner()


def drafted(stage: Stage, user: User, document: dict[str, Any], now: datetime) -> str:
    """Somebody writes a draft; the value of its choice in the form."""
    who = stage.cast.as_(user)
    made = policies.draft(who, documents.write(document), note="Tried out in a preview.", now=now)
    return f"draft-{made}"


def looser_floor() -> dict[str, Any]:
    document = terms.shipped_floor()
    document["version"] = 2
    del document["types"]["held"]["malware"]
    document["types"]["pass"].append("malware")
    document["classes"]["confidence"]["treatment"] = "drop"
    return document


def started(stage: Stage, user: User, document: dict[str, Any], now: datetime) -> Preview:
    """From the form to the end of the workers' part."""
    choice = drafted(stage, user, document, now)
    client = browser(user)
    estimate = text(client, f"/previews/?document={choice}")
    assert "about" in estimate
    assert "second" in estimate
    answer = client.post("/previews/", {"document": choice, "step": "start"})
    assert answer.status_code == 302, answer.content.decode()
    as_owner()
    row = Preview.objects.get()
    assert answer["Location"] == f"/previews/{row.id}/"
    waiting = text(browser(user), f"/previews/{row.id}/")
    assert "Waits for a worker" in waiting
    as_owner()
    while replay.work(row.id, now=now):
        pass
    row.refresh_from_db()
    assert row.state == "finished"
    return row


def test_abel_tries_a_stricter_policy(stage: Stage, now: datetime) -> None:
    row = started(stage, stage.cast.abel, DROPS, now)
    page = text(browser(stage.cast.abel), f"/previews/{row.id}/")
    assert page.index("Newly visible") < page.index("Newly hidden")
    assert "member/2/drop-kind" in page
    assert "Borealis, Ember" in page
    assert "drop_kinds" in page
    assert SECRET_WORDS not in page
    line = PreviewLine.objects.filter(preview=row, stix_type="indicator").get()
    opened = text(browser(stage.cast.abel), f"/previews/{row.id}/lines/{line.id}/")
    assert "Under the draft" in opened
    assert "203.0.113.0/24" in opened


def test_only_a_member_reads_what_is_of_its_policy(stage: Stage, now: datetime) -> None:
    row = started(stage, stage.cast.abel, DROPS, now)
    line = PreviewLine.objects.filter(preview=row).earliest("id")
    for person in ("ana", "ben", "cleo", "dora", "otto", "pia"):
        client = browser(getattr(stage.cast, person))
        for page in (f"/previews/{row.id}/", f"/previews/{row.id}/lines/{line.id}/"):
            assert client.get(page).status_code == 404, (person, page)
        assert client.post(f"/previews/{row.id}/cancel/").status_code in (403, 404)


def test_dora_sees_no_value_before_she_wrote_down_why(stage: Stage, now: datetime) -> None:
    _held_malware(stage, now)
    row = started(stage, stage.cast.dora, looser_floor(), now)
    page = text(browser(stage.cast.dora), f"/previews/{row.id}/")
    line = PreviewLine.objects.get(preview=row, stix_type="malware")
    at = f"/previews/{row.id}/lines/{line.id}/"
    closed = text(browser(stage.cast.dora), at)
    for seen in (page, closed):
        assert SECRET_WORDS not in seen
        assert "203.0.113" not in seen
        assert stage.indicator not in seen
        assert str(stage.contribution) not in seen
    assert browser(stage.cast.dora).post(at, {"reason": "no"}).status_code == 422
    as_owner()
    assert not OriginalRead.objects.exists()
    opened = browser(stage.cast.dora).post(at, {"reason": "Does it name a company?"})
    assert SECRET_WORDS in opened.content.decode()
    told = browser(stage.cast.ana).get(f"/mine/{line.outcome.version_id}/").content.decode()
    assert "Does it name a company?" in told


def _held_malware(stage: Stage, now: datetime) -> None:
    before = now - timedelta(minutes=5)
    malware = {
        **campaign(before)[0],
        "type": "malware",
        "id": "malware--3c8f7c63-8a4c-4b9d-9c55-1f9a3a6b7c55",
        "name": SECRET_WORDS,
        "is_family": False,
    }
    malware.pop("extensions")
    body = json.dumps({"type": "bundle", "id": _BUNDLE, "objects": [malware]}).encode()
    ana = stage.cast.as_(stage.cast.ana)
    circle = stage.cast.relay_watch.id
    sent = contribute.submit(ana, body, circle_id=circle, source="file", now=before)
    contribute.accept(sent, now=before)
    sequence(now)


_BUNDLE = "bundle--3c8f7c63-8a4c-4b9d-9c55-1f9a3a6b7c55"


def test_pia_sees_how_much_and_no_object(stage: Stage, now: datetime) -> None:
    _held_malware(stage, now)
    row = started(stage, stage.cast.dora, looser_floor(), now)
    line = PreviewLine.objects.filter(preview=row).earliest("id")
    page = text(browser(stage.cast.pia), f"/previews/{row.id}/")
    assert "Because of" in page
    assert "Newly visible" not in page
    assert str(line.object_id)[:8] not in page
    client = browser(stage.cast.pia)
    assert client.get(f"/previews/{row.id}/lines/{line.id}/").status_code == 404
    assert client.post(f"/previews/{row.id}/cancel/").status_code == 403
    assert client.post("/previews/", {"step": "start"}).status_code in (200, 404)
    assert Preview.objects.count() == 1


def test_progress_is_polled_and_ends_by_itself(stage: Stage, now: datetime) -> None:
    choice = drafted(stage, stage.cast.abel, DROPS, now)
    client = browser(stage.cast.abel)
    client.post("/previews/", {"document": choice, "step": "start"})
    as_owner()
    row = Preview.objects.get()
    polled = browser(stage.cast.abel).get(f"/previews/{row.id}/", headers={"HX-Request": "true"})
    assert "<progress" in polled.content.decode()
    assert "<html" not in polled.content.decode()
    as_owner()
    while replay.work(row.id, now=now):
        pass
    polled = browser(stage.cast.abel).get(f"/previews/{row.id}/", headers={"HX-Request": "true"})
    assert polled["HX-Refresh"] == "true"


def test_abel_cancels_a_preview(stage: Stage, now: datetime) -> None:
    choice = drafted(stage, stage.cast.abel, DROPS, now)
    client = browser(stage.cast.abel)
    client.post("/previews/", {"document": choice, "step": "start"})
    as_owner()
    row = Preview.objects.get()
    again = browser(stage.cast.abel).post("/previews/", {"document": choice, "step": "start"})
    assert again.status_code == 422
    assert "under way" in again.content.decode()
    browser(stage.cast.abel).post(f"/previews/{row.id}/cancel/")
    as_owner()
    replay.work(row.id, now=now)
    page = text(browser(stage.cast.abel), f"/previews/{row.id}/")
    assert "nothing of it is kept" in page


def test_filters_stand_in_the_address(stage: Stage, now: datetime) -> None:
    row = started(stage, stage.cast.abel, {**DROPS, "drop_classes": ["confidence"]}, now)
    client = browser(stage.cast.abel)
    page = text(client, f"/previews/{row.id}/?rule=member/2/drop-kind")
    assert page.count("data-row>") >= 1
    none = text(client, f"/previews/{row.id}/?rule=member/9/none&audience=x&after-visible=y")
    assert none.count("Nothing with these filters") == 2
    hostile = text(client, f"/previews/{row.id}/?rule=<script>alert(1)</script>")
    assert "<script>alert" not in hostile


def test_what_if_costs_as_many_queries_however_many_lines(
    stage: Stage, now: datetime, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    row = started(stage, stage.cast.abel, DROPS, now)
    client = browser(stage.cast.abel)
    with django_assert_max_num_queries(30):
        client.get(f"/previews/{row.id}/")


def test_who_sees_what_has_a_column_for_those_who_see_it_alike(stage: Stage) -> None:
    version = Version.objects.get(contribution_id=stage.contribution, object__stix_type="indicator")
    page = text(browser(stage.cast.ana), f"/mine/{version.id}/")
    table = page[page.index('<table class="who') : page.index("</table>")]
    assert "Borealis, Ember" in table
    assert "Free text is not forwarded." in table
    assert "<summary>" in table
    assert browser(stage.cast.ben).get(f"/mine/{version.id}/").status_code == 404


def test_as_of_a_moment_it_shows_the_bytes_that_had_been_received(
    stage: Stage, now: datetime
) -> None:
    version = Version.objects.get(contribution_id=stage.contribution, object__stix_type="indicator")
    after = (now + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M")
    page = text(browser(stage.cast.ana), f"/mine/{version.id}/?on={after}")
    digests = re.findall(r'<code class="small wide">([0-9a-f]{64})</code>', page)
    as_owner()
    sent = {bytes(row.digest).hex() for row in Rendition.objects.filter(version=version)}
    assert digests
    assert set(digests) == sent
    before = (now - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    assert "Nobody had received" in text(
        browser(stage.cast.ana), f"/mine/{version.id}/?on={before}"
    )
    assert text(browser(stage.cast.ana), f"/mine/{version.id}/?on=never")


def test_ana_sees_what_each_circle_would_get_before_she_sends(stage: Stage, now: datetime) -> None:
    objects = campaign(now)
    body = json.dumps({"type": "bundle", "id": _BUNDLE, "objects": objects}).encode()
    client = browser(stage.cast.ana)
    answer = client.post(
        "/contribute/file/",
        {
            "file": SimpleUploadedFile("a.json", body, content_type="application/json"),
            "circle": str(stage.cast.forum.id),
            "basis": "fraudulent-identity",
            "step": "preview",
        },
    )
    page = answer.content.decode()
    table = page[page.index('id="each-circle"') : page.index("</table>")]
    assert "Forum" in table
    assert "Relay watch" in table
    assert "4 of 4 get it" in table
    assert "2 of 2 get it" in table
    assert "narrative" in table
    assert f"All {len(objects)} objects shown" in page


def test_of_a_large_file_all_is_counted_and_some_is_shown(stage: Stage, now: datetime) -> None:
    objects = [obj for _ in range(30) for obj in campaign(now)[:3]]
    body = json.dumps({"type": "bundle", "id": _BUNDLE, "objects": objects}).encode()

    def shown(client: Client, start: str) -> str:
        answer = client.post(
            "/contribute/file/",
            {
                "file": SimpleUploadedFile("a.json", body, content_type="application/json"),
                "circle": str(stage.cast.forum.id),
                "step": "preview",
                "from": start,
            },
        )
        return answer.content.decode()

    page = shown(browser(stage.cast.ana), "")
    assert "Objects 1 to 50 of 90 shown; all 90 are counted above." in page
    assert "90 " in page
    assert "Further objects" in page
    last = shown(browser(stage.cast.ana), "50")
    assert "Objects 51 to 90 of 90 shown" in last
    assert "Further objects" not in last
    assert "Objects before" in last
