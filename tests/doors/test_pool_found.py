"""Findings and drafts on pages: from the campaign to what found it, and to nobody else's rows."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from pytest_django import DjangoAssertNumQueries

from exchange import algorithms, findings
from exchange.models import Algorithm, DryRun, Finding, Run
from indicators.models import Contribution
from tests import algorithms as reviewed
from tests.doors.stage import as_owner
from tests.doors.test_web_pages import browser
from tests.shell import sharing
from tests.shell.pooling import TEXTS, Pool, cards, made, put_in_force, with_cards
from tests.shell.sharing import NOON, feed, leave

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not algorithms.is_on(), reason="the extra `pool` is not installed"),
]
LATER = NOON + timedelta(hours=1)
LABS = ("Aurora", "Borealis", "Cirrus", "Ember", "Fjord")


@pytest.fixture
def pool(settings: LazySettings, tmp_path: Path) -> Iterator[Pool]:
    """Five labs, and the algorithms in force."""
    cache.clear()
    made_pool = Pool(sharing.set_up(settings, tmp_path), settings)
    put_in_force(*TEXTS)
    yield made_pool
    as_owner()


@pytest.fixture
def campaign(pool: Pool) -> str:
    """A finding of Aurora's and Borealis's rows, released to all; its campaign's id."""
    pool.send(pool.cast.ana, made(1, with_cards("shared", own="a")))
    pool.send(pool.cast.ben, made(2, with_cards("shared", own="b")))
    assert pool.run() is not None
    leave(now=LATER)
    held = sharing.bodies(feed(pool.cast.cirrus, now=LATER))
    (found,) = [str(one["id"]) for one in held if one["type"] == "campaign"]
    return found


def page_of(pool: Pool, name: str, page: str) -> tuple[int, str]:
    answer = browser(getattr(pool.cast, name)).get(page)
    return answer.status_code, answer.content.decode()


def test_from_the_campaign_to_what_found_it_for_whoever_holds_it(pool: Pool, campaign: str) -> None:
    title = Algorithm.objects.earliest("document_id").title
    pages = []
    for name in ("ana", "ben", "cleo"):
        status, page = page_of(pool, name, f"/campaigns/{campaign}/")
        assert status == 200
        assert title in page
        assert f"/campaigns/{campaign}/found/" in page
        status, page = page_of(pool, name, f"/campaigns/{campaign}/found/")
        assert status == 200
        assert "The accounts are tied together by" in page
        assert "card tokens: whoever has such a value finds it at home" in page
        assert title in page
        pages.append(page)
    for page in pages:
        for lab in LABS:
            main = page[page.index("<main") : page.index("</main>")]
            assert lab not in main, lab
    # Who sent rows of it reads the same as who sent none.
    mains = {page[page.index("<main") : page.index("</main>")] for page in pages}
    assert len(mains) == 1


def test_the_algorithm_that_found_it_is_one_click_away(pool: Pool, campaign: str) -> None:
    _, page = page_of(pool, "cleo", f"/campaigns/{campaign}/found/")
    as_owner()
    for row in Algorithm.objects.all():
        assert f"/algorithms/{row.id}/" in page
        status, told = page_of(pool, "cleo", f"/algorithms/{row.id}/")
        assert status == 200
        assert bytes(row.digest).hex() in told
        as_owner()


def test_what_a_member_contributed_names_no_algorithm(pool: Pool, campaign: str) -> None:
    own = sharing.Way(pool.cast, pool.cast.relay_watch)
    own.pass_on(sharing.campaign(), now=LATER)
    held = sharing.bodies(feed(pool.cast.borealis, now=LATER))
    other = next(
        str(one["id"]) for one in held if one["type"] == "campaign" and one["id"] != campaign
    )
    status, page = page_of(pool, "ben", f"/campaigns/{other}/")
    assert (status, "Found by a run" in page) == (200, False)
    assert page_of(pool, "ben", f"/campaigns/{other}/found/")[0] == 404
    # Cleo holds it not, and gets the same answer as for what is not there.
    assert page_of(pool, "cleo", f"/campaigns/{other}/found/")[0] == 404
    for name in ("dora", "otto", "pia"):
        assert page_of(pool, name, f"/campaigns/{campaign}/found/")[0] == 404, name


def test_the_page_of_a_finding_costs_the_same_however_much_it_has(
    pool: Pool, campaign: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = browser(pool.cast.cleo)
    client.get("/")
    as_owner()
    with django_assert_max_num_queries(24):
        assert client.get(f"/campaigns/{campaign}/found/").status_code == 200


def test_a_dry_run_is_answered_by_a_run_in_three_buckets(pool: Pool, campaign: str) -> None:
    row = reviewed.put(pool.cast, "reviewed", now=NOON)
    where = f"/algorithms/{row.id}/"
    asked = browser(pool.cast.ana).post(f"{where}act/", {"step": "dry-run"})
    assert asked.status_code == 302
    assert "waits for the next run" in page_of(pool, "dora", where)[1]
    as_owner()
    runs_before = Run.objects.count()
    assert pool.run(now=LATER) is None  # it makes no finding, and is no run of the record
    assert Run.objects.count() == runs_before
    (answer,) = DryRun.objects.all()
    assert (answer.state, answer.members_bucket) == ("done", "2+")
    for name in ("ana", "dora", "pia"):
        _, page = page_of(pool, name, where)
        assert f">{answer.rows_bucket}<" in page
        assert ">2+<" in page
        for hidden in cards(3, "shared"):
            assert hidden not in page
    assert page_of(pool, "cleo", where)[0] == 404


# --- drafts --------------------------------------------------------------------------------------


@pytest.fixture
def draft(pool: Pool) -> findings.Draft:
    """Two rows of Aurora's alone that weigh enough."""
    pool.send(pool.cast.ana, made(1, with_cards("own"), with_cards("own")))
    pool.run()
    (found,) = findings.drafts(pool.cast.as_(pool.cast.ana))
    as_owner()
    return found


def test_a_draft_is_there_for_its_lab_alone(pool: Pool, draft: findings.Draft) -> None:
    page = f"/pool/drafts/{draft.id}/"
    card = cards(3, "own")[0]
    for name in ("ana", "abel", "alma"):
        status, shown = page_of(pool, name, page)
        assert status == 200
        assert card in shown
        assert "The accounts are tied together by" in shown
        assert ("Send it" in shown) is (name == "ana")
        assert page in page_of(pool, name, "/pool/drafts/")[1]
    for name in ("ben", "cleo", "dora", "otto", "pia"):
        assert page_of(pool, name, page)[0] == 404, name
        listed = page_of(pool, name, "/pool/drafts/")[1] + page_of(pool, name, "/pool/")[1]
        assert str(draft.id) not in listed
        assert card not in listed
        posted = browser(getattr(pool.cast, name)).post(page, {"step": "send"})
        assert posted.status_code in (403, 404), name
    as_owner()
    assert Finding.objects.get().state == "open"


@pytest.mark.parametrize("step", ["send", "drop"])
def test_ana_sends_it_or_throws_it_away(pool: Pool, draft: findings.Draft, step: str) -> None:
    page = f"/pool/drafts/{draft.id}/"
    assert browser(pool.cast.abel).post(page, {"step": step}).status_code == 403
    assert browser(pool.cast.ana).post(page, {"step": step}).status_code == 302
    as_owner()
    sent = Contribution.objects.filter(member=pool.cast.aurora)
    assert sent.count() == (1 if step == "send" else 0)
    status, shown = page_of(pool, "ana", page)
    assert status == 200
    assert cards(3, "own")[0] not in shown
    assert "None waits." in page_of(pool, "ana", "/pool/drafts/")[1]
    assert browser(pool.cast.ana).post(page, {"step": step}).status_code == 422


# --- the operator's page -------------------------------------------------------------------------


def test_pia_sees_the_state_of_the_pool_and_its_alarms_and_no_content(
    pool: Pool, campaign: str
) -> None:
    run = Run.objects.get()
    _, page = page_of(pool, "pia", "/health/")
    assert "Newest runs" in page
    assert "Alarms of runs" not in page
    as_owner()
    Run.objects.filter(pk=run.pk).update(state=Run.State.STOPPED)
    algorithms.suspend(Algorithm.objects.latest("document_id").id, trouble="time", now=NOON)
    _, page = page_of(pool, "pia", "/health/")
    assert "one group of more than a tenth of all rows" in page
    assert "it took too long" in page
    for hidden in (*cards(3, "shared"), campaign):
        assert hidden not in page
    for name in ("ana", "dora", "otto"):
        posted = browser(getattr(pool.cast, name)).post(f"/pool/runs/{run.id}/seen/")
        assert posted.status_code == 404, name
    assert browser(pool.cast.pia).post(f"/pool/runs/{run.id}/seen/").status_code == 302
    assert "Alarms of runs" not in page_of(pool, "pia", "/health/")[1]
