"""The policy desk: from a draft to force in pages, looser first; the floor in words for all."""

import html
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest
import yaml
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange import audiences, policies, replay
from exchange.models import PolicyDraft
from exchange.policy import documents, terms
from tests.cast import make_floor
from tests.doors.stage import Stage, as_owner, set_stage
from tests.doors.test_web_pages import browser, text

pytestmark = pytest.mark.django_db
DENIED = "0d1f2a3b-4c5d-4e6f-8a9b-0c1d2e3f4a5b"
OWN = f"version: 1\ntitle: Canary of Aurora\ndeny_recipients: [{DENIED}]\n"


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def stage(now: datetime) -> Iterator[Stage]:
    cache.clear()
    yield set_stage(now)
    as_owner()


def floor_text(**changes: Any) -> str:
    return documents.write({**terms.shipped_floor(), "version": 2, **changes})


def send(client: Client, page: str, **fields: str) -> tuple[int, str]:
    """A form sent, and the page that it leads to."""
    as_owner()
    answer = client.post(page, fields, follow=True)
    return answer.status_code, html.unescape(answer.content.decode())


def kept(client: Client, content: str, **fields: str) -> str:
    """A draft written in the editor; its address."""
    status, page = send(client, "/policy/drafts/new/", text=content, step="keep", **fields)
    assert status == 200, page
    as_owner()
    return f"/policy/drafts/{PolicyDraft.objects.latest('created_at').id}/"


def activated(client: Client, at: str, **fields: str) -> tuple[int, str]:
    """The button of the page, with what the page itself states."""
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', text(client, at))
    assert found is not None
    return send(client, f"{at}act/", step="activate", digest=found[1], reach="forward", **fields)


def test_a_floor_from_draft_to_force(stage: Stage) -> None:
    dora, pia = browser(stage.cast.dora), browser(stage.cast.pia)
    begins = html.unescape(text(dora, "/policy/drafts/new/"))
    assert "version: 2" in begins
    assert "Price, discount or credit rate" in begins
    at = kept(dora, floor_text(minimum_circle=4), note="Circles of four.")
    page = html.unescape(text(dora, at))
    assert "minimum_circle: 4, was 3." in page
    assert 'class="chip tighter"' in page
    send(dora, f"{at}act/", step="submit")
    assert "It waits for the forum's operator." in html.unescape(text(dora, at))
    assert 'value="activate"' not in text(dora, at)
    assert "Circles of four." in text(pia, at)
    status, page = activated(pia, at)
    assert (status, "In force." in page) == (200, True)
    as_owner()
    assert audiences.floor_in_force()[1].version == 2
    desk = text(pia, "/policy/")
    assert "Dora" in desk
    assert "Pia" in desk
    assert "The floor, version 2" in desk


def test_pia_sends_back_with_a_reason(stage: Stage) -> None:
    dora, pia = browser(stage.cast.dora), browser(stage.cast.pia)
    at = kept(dora, floor_text(minimum_circle=4))
    send(dora, f"{at}act/", step="submit")
    status, page = send(pia, f"{at}act/", step="send-back", reason="no")
    assert status == 422
    send(pia, f"{at}act/", step="send-back", reason="Which meeting was that?")
    assert "Which meeting was that?" in text(dora, at)
    assert 'value="submit"' in text(dora, at)


def test_every_fault_is_shown_with_its_line(stage: Stage) -> None:
    alma = browser(stage.cast.alma)
    written = "version: 1\ndates: week\ncounts: some\nversion: 2\n"
    status, page = send(alma, "/policy/drafts/new/", text=written, step="keep")
    assert status == 422
    assert "The key version stands here twice." in page
    written = "version: 1\ndates: week\ncounts: some\n"
    status, page = send(alma, "/policy/drafts/new/", text=written, step="check")
    assert status == 422
    assert '<th scope="row">2</th>' in page
    assert '<th scope="row">3</th>' in page
    assert "dates: week" in page  # what was written is kept
    as_owner()
    assert not PolicyDraft.objects.exists()


def test_checking_shows_the_difference_and_keeps_nothing(stage: Stage) -> None:
    abel = browser(stage.cast.abel)
    written = "version: 1\nbackfill: live\ndrop_types: [sighting]\n"
    status, page = send(abel, "/policy/drafts/new/", text=written, step="check")
    assert status == 200
    assert page.index("backfill: live, was none.") < page.index("drop_types: sighting is added.")
    as_owner()
    assert not PolicyDraft.objects.exists()


def test_a_loosening_asks_for_its_preview_and_for_a_confirmation(
    stage: Stage, now: datetime
) -> None:
    abel = browser(stage.cast.abel)
    at = kept(abel, "version: 1\nbackfill: live\n")
    send(abel, f"{at}act/", step="submit")
    assert f"/previews/?document=draft-{at.split('/')[-2]}" in text(abel, at)
    status, page = activated(abel, at, saw="on")
    assert status == 422
    assert "policy.preview" in page
    as_owner()
    who = stage.cast.as_(stage.cast.abel)
    document = {"version": 1, "backfill": "live"}
    made = replay.start(
        who,
        kind="member",
        member_id=who.member_id,
        document=document,
        since=now - timedelta(days=30),
        until=now,
        now=now,
    )
    while replay.work(made, now=now):
        pass
    assert f"/previews/{made}/" in text(abel, at)
    status, page = activated(abel, at)
    assert (status, "policy.confirm" in page) == (422, True)
    status, page = activated(abel, at, saw="on")
    assert (status, "In force." in page) == (200, True)


def test_a_policy_with_a_time_to_come_waits_for_it(stage: Stage) -> None:
    dora, pia = browser(stage.cast.dora), browser(stage.cast.pia)
    at = kept(dora, floor_text(minimum_circle=4), starts_at="2099-01-01T00:00")
    send(dora, f"{at}act/", step="submit")
    _, page = activated(pia, at)
    assert "Approved. It takes effect at its time." in page
    assert "1 Jan 2099, 00:00 UTC" in page
    as_owner()
    assert audiences.floor_in_force()[1].version == 1


@pytest.mark.parametrize("name", ["ana", "ben", "cleo", "dora", "otto", "pia"])
def test_auroras_draft_and_policy_are_read_at_aurora_alone(stage: Stage, name: str) -> None:
    abel = browser(stage.cast.abel)
    at = kept(abel, OWN)
    send(abel, f"{at}act/", step="submit")
    activated(abel, at)
    assert DENIED in text(abel, "/policy/")
    second = kept(abel, OWN.replace("version: 1", "version: 2"))
    person = browser(getattr(stage.cast, name))
    for page in (at, second, f"{second}write/"):
        as_owner()
        assert person.get(page).status_code == 404
    for step in ("submit", "discard", "send-back", "activate"):
        as_owner()
        answer = person.post(f"{second}act/", {"step": step, "reason": "a long reason"})
        assert DENIED not in answer.content.decode()
    as_owner()
    assert PolicyDraft.objects.get(state="draft").document["version"] == 2
    if name == "ana":  # she contributes under it
        return
    for page in ("/policy/", "/policy/source/own/1/", "/policy/floor/"):
        as_owner()
        shown = person.get(page).content.decode()
        assert DENIED not in shown
        assert "Canary of Aurora" not in shown


@pytest.mark.parametrize("name", ["ana", "abel", "ben", "cleo", "dora", "otto", "pia"])
def test_everybody_reads_the_floor_in_words(stage: Stage, name: str) -> None:
    page = html.unescape(text(browser(getattr(stage.cast, name)), "/policy/floor/"))
    assert "The shipped floor, version 1" in page
    as_owner()
    digest = audiences.floor_in_force()[1].digest
    assert digest in page
    for rule in ("floor/1/narrative", "floor/1/hold/C13/type-threat-actor"):
        assert rule in page
    for anchor in re.findall(r'href="#([a-z]+)"', page):
        assert f'id="{anchor}"' in page or anchor == "main"


def test_an_earlier_floor_is_read_as_it_was(stage: Stage, now: datetime) -> None:
    make_floor(now, version=2, minimum_circle=4)
    ben = browser(stage.cast.ben)
    assert "A circle has at least 4 members" in text(ben, "/policy/floor/")
    assert "A circle has at least 3 members" in text(ben, "/policy/floor/1/")
    as_owner()
    assert ben.get("/policy/floor/7/").status_code == 404
    written = text(ben, "/policy/source/floor/2/")
    assert documents.read(written, "floor")["minimum_circle"] == 4


@pytest.mark.parametrize("name", ["floor", "member-policy"])
def test_the_schemas_are_read_by_everybody_and_judge_the_same(stage: Stage, name: str) -> None:
    answer = Client().get(f"/schemas/{name}.json")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/schema+json"
    schema = answer.json()
    assert schema["$id"].endswith(f"/schemas/{name}.json")
    judge = jsonschema_rs.Draft202012Validator(schema)
    sample = terms.shipped_floor() if name == "floor" else yaml.safe_load(OWN)
    assert judge.is_valid(sample)
    assert not judge.is_valid({**sample, "unheard": 1})
    assert Client().get("/schemas/other.json").status_code == 404


def test_a_banner_says_what_lapsed_and_what_is_in_force(stage: Stage, now: datetime) -> None:
    ben = browser(stage.cast.ben)
    for page in ("/", "/policy/"):
        shown = text(ben, page)
        assert "Cybersecurity Information Sharing Act of 2015 ended on 2026-09-30." in shown
        assert "<code>eu-legitimate-interest</code>" in shown
    as_owner()
    bases = [
        {**one, "from": "2015-12-18", "until": "2020-12-31"}
        for one in terms.shipped_floor()["legal_bases"]
    ]
    make_floor(now, version=2, legal_bases=bases)
    for page in ("/", "/policy/"):
        assert "No legal basis is in force." in text(ben, page)


def test_the_desk_costs_the_same_however_many_versions_there_are(
    stage: Stage, now: datetime, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    abel = browser(stage.cast.abel)
    for versions in (range(0), range(2, 12)):
        as_owner()
        for version in versions:
            make_floor(now, version=version)
        text(abel, "/policy/")  # a floor is read once, by whoever comes first
        as_owner()
        with django_assert_num_queries(13):
            abel.get("/policy/")


def test_no_word_of_a_draft_is_in_an_address_or_a_ledger_entry_of_others(stage: Stage) -> None:
    abel = browser(stage.cast.abel)
    at = kept(abel, OWN)
    assert DENIED not in at
    send(abel, f"{at}act/", step="submit")
    activated(abel, at)
    as_owner()
    otto = stage.cast.as_(stage.cast.otto)
    assert policies.drafts(otto) == ()
    assert policies.versions(otto, "member") == ()
