"""The pages of what is kept and what goes: clocks, legal holds, people's requests."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange import legalholds, persons
from exchange.legalholds import Wanted
from exchange.models import LegalHold, PersonRequest
from tests.doors.stage import Stage, as_owner, set_stage
from tests.doors.test_recall_pages import post
from tests.doors.test_web_pages import browser, text

pytestmark = pytest.mark.django_db
WHY = "A regulator asked about it."
PERSON = "jo.miller@mail.example"
PEOPLE = ("ana", "abel", "alma", "ben", "cleo", "dora", "otto", "pia")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def stage(now: datetime) -> Iterator[Stage]:
    cache.clear()
    yield set_stage(now)
    as_owner()


def status(client: Client, page: str, **form: str) -> int:
    as_owner()
    return (client.post(page, form) if form else client.get(page)).status_code


def test_everybody_reads_how_long_what_is_kept_and_why(stage: Stage) -> None:
    for name in PEOPLE:
        shown = text(browser(getattr(stage.cast, name)), "/retention/")
        assert "Seven years: the audit term." in shown
        assert "Last taken out" in shown if name in ("dora", "otto", "pia") else True


def test_alma_holds_an_object_and_lifts_it_again(stage: Stage) -> None:
    alma = browser(stage.cast.alma)
    assert "Set a legal hold" in text(alma, "/legal-holds/")
    post(alma, "/legal-holds/", kind="object", about=stage.indicator, reason=WHY)
    for who in (stage.cast.alma, stage.cast.abel):
        assert "holds</span>" in text(browser(who), "/legal-holds/")
    assert WHY in text(alma, "/legal-holds/")
    row = LegalHold.objects.get()
    post(alma, f"/legal-holds/{row.id}/lift/", reason="The case is closed.")
    assert "The case is closed." in text(alma, "/legal-holds/")


def test_abel_is_told_which_hold_stops_his_erasure(stage: Stage) -> None:
    as_owner()
    alma = stage.cast.as_(stage.cast.alma)
    wanted = Wanted("object", stage.indicator)
    made = legalholds.place(alma, wanted, reason=WHY, now=timezone.now())
    row = LegalHold.objects.get()
    abel = browser(stage.cast.abel)
    as_owner()
    answer = abel.post(
        f"/recalls/of/{row.objects_held[0]}/",
        {"reason": "leak", "note": "It named a customer.", "erases": "on"},
    )
    assert answer.status_code == 422
    assert str(made)[:8] in answer.content.decode()


@pytest.mark.parametrize(
    ("page", "sees"),
    [
        ("/legal-holds/", {"abel", "alma", "dora", "otto"}),
        ("/requests/", {"abel", "alma", "dora", "otto"}),
    ],
)
def test_who_may_not_sees_that_there_is_nothing(stage: Stage, page: str, sees: set[str]) -> None:
    for name in PEOPLE:
        wanted = 200 if name in sees else 404
        assert status(browser(getattr(stage.cast, name)), page) == wanted, name


def test_abel_and_otto_set_no_hold(stage: Stage) -> None:
    for who in (stage.cast.abel, stage.cast.otto):
        client = browser(who)
        assert "Set a legal hold" not in text(client, "/legal-holds/")
        form = {"kind": "member", "about": "aurora", "reason": WHY}
        assert status(client, "/legal-holds/", **form) == 404


def search(now: datetime) -> None:
    as_owner()
    persons.work(now=now)


def ask(client: Client, kind: str = "erasure") -> str:
    return post(client, "/requests/", kind=kind, values=PERSON, reason="By letter of 3 Nov.")


def test_abel_enters_a_request_and_alma_decides_on_what_was_found(
    stage: Stage, now: datetime
) -> None:
    abel, alma = browser(stage.cast.abel), browser(stage.cast.alma)
    page = ask(abel)
    assert "The search is under way" in text(abel, page)
    assert status(alma, page, decision="approve", reason="The law gives it.") == 422
    search(now)
    for client in (abel, alma):
        shown = text(client, page)
        assert "Nothing that we may search speaks of them." in shown
        assert PERSON in shown
    assert "It waits for counsel." in text(abel, page)
    assert status(abel, page, decision="approve", reason="The law gives it.") == 403
    post(alma, page, decision="refuse", reason="It is not they who ask.")
    assert "It is not they who ask." in text(abel, page)
    assert PersonRequest.objects.get().state == "refused"


def test_a_request_is_not_there_for_another_side(stage: Stage, now: datetime) -> None:
    page = ask(browser(stage.cast.abel))
    search(now)
    for who in (stage.cast.ana, stage.cast.ben, stage.cast.dora, stage.cast.otto, stage.cast.pia):
        assert status(browser(who), page) == 404
    assert PERSON not in text(browser(stage.cast.otto), "/requests/")


def test_lists_cost_the_same_for_one_as_for_many(
    stage: Stage, now: datetime, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    as_owner()
    alma, abel = stage.cast.as_(stage.cast.alma), stage.cast.as_(stage.cast.abel)
    for _ in range(4):
        legalholds.place(alma, Wanted("member"), reason=WHY, now=now)
        persons.ask(abel, kind="access", values=[PERSON], reason="By letter.", now=now)
    with django_assert_max_num_queries(8):
        assert len(legalholds.listed(alma)) == 4
    with django_assert_max_num_queries(8):
        assert len(persons.listed(abel)) == 4


def test_nobody_of_these_is_named_in_an_address(stage: Stage) -> None:
    page = ask(browser(stage.cast.abel))
    assert PERSON not in page
