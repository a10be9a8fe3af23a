"""The page Tokens: the member's own use, the command, and the alarms that the forum sees."""

import re
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange import tokens
from exchange.policy import tokens as keyed
from exchange.proof import oprf, pack
from exchange.proof.refused import Refused
from members import onboarding
from members.models import User
from tests.cast import Cast, make_cast
from tests.doors.stage import as_owner
from tests.doors.test_web_pages import browser, text
from tests.shell.test_tokens import machine

pytestmark = pytest.mark.django_db
CANARY = "cnry-handle"


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def cast(now: datetime, settings: LazySettings) -> Iterator[Cast]:
    settings.TOKEN_QUOTA_NEW = 7
    made = make_cast(now)
    who = machine(made.ana, name="hunting box")
    asked = [oprf.blind("handle", CANARY, 3 + n) for n in range(5)]
    tokens.evaluate(who, made.relay_watch.id, keyed.epoch(now), asked, now=now)
    with pytest.raises(Refused, match="2 left"):
        tokens.evaluate(who, made.relay_watch.id, keyed.epoch(now), asked[:4], now=now)
    yield made
    as_owner()


def told(client: Client, page: str = "/tokens/") -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text(client, page)).split())


@pytest.mark.parametrize("name", ["ana", "abel", "alma"])
def test_the_member_sees_quota_alarms_and_calls(cast: Cast, name: str) -> None:
    page = told(browser(getattr(cast, name)))
    for part in ("5 of 7", "as a new member", "hunting box", "Relay watch", "over the quota"):
        assert part in page, part
    assert "your company used half of its quota (5 evaluated, 4 refused that day)" in page
    assert CANARY not in page
    assert sha256(pack.archive("tokenise")).hexdigest() in page


def test_another_member_sees_only_its_own(cast: Cast) -> None:
    page = told(browser(cast.cleo))
    assert "No call yet." in page
    for part in ("hunting box", "Aurora", "Alarms of"):
        assert part not in page


@pytest.mark.parametrize(("name", "sees"), [("dora", True), ("otto", True), ("pia", False)])
def test_the_forum_sees_the_alarm_and_its_operator_no_number(
    cast: Cast, name: str, *, sees: bool
) -> None:
    page = told(browser(getattr(cast, name)))
    assert "Aurora" in page
    assert "asked for more than its quota" in page
    assert ("Evaluated" in page) is sees
    assert "hunting box" not in page


def test_the_operator_s_health_page_names_who_raised_an_alarm(cast: Cast) -> None:
    page = told(browser(cast.pia), "/health/")
    assert re.search(r"Aurora \d{4}-\d\d-\d\d used half of its quota", page)
    assert "evaluated" not in page


@pytest.mark.parametrize("name", ["abel", "alma", "dora", "otto"])
def test_an_alarm_of_today_stands_on_the_first_page(cast: Cast, name: str) -> None:
    page = told(browser(getattr(cast, name)), "/")
    assert "Today Aurora used half of its quota for tokens." in page
    assert "Today Aurora asked for more than its quota for tokens." in page
    assert "hunting box" not in page


def test_no_other_member_is_told_of_an_alarm(cast: Cast) -> None:
    for user in (cast.cleo, cast.ben):
        assert "quota" not in told(browser(user), "/")
    officer = onboarding.Person("ben.officer@borealis.example", "Ben", ("officer",), cast.borealis)
    as_owner()
    assert "quota" not in told(browser(onboarding.create_person(officer)), "/")


def test_the_command_is_the_file_whose_digest_is_shown(cast: Cast) -> None:
    client = browser(cast.ana)
    answer = client.get("/tokens/command/")
    assert answer["Content-Disposition"] == 'attachment; filename="weir-tokenise.pyz"'
    assert sha256(answer.content).hexdigest() in text(client, "/tokens/")
    as_owner()
    assert browser(cast.dora).get("/tokens/command/").status_code == 404


def administrator_of(cast: Cast) -> User:
    as_owner()
    row = cast.ana.role_rows.get()
    row.role = "administrator"
    row.save(update_fields=["role"])
    return cast.ana


def test_an_administrator_has_no_part_in_it(cast: Cast) -> None:
    client = browser(administrator_of(cast))
    assert client.get("/tokens/").status_code == 404
    assert "/tokens/" not in text(client, "/settings/")


def test_more_calls_cost_no_more_queries(
    cast: Cast, now: datetime, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = browser(cast.ana)
    text(client, "/tokens/")
    as_owner()
    with django_assert_max_num_queries(20) as few:
        client.get("/tokens/")
    as_owner()
    for name in ("second", "third"):
        who = machine(cast.ana, name=name)
        point = [oprf.point("handle", name)]
        tokens.evaluate(who, cast.forum.id, keyed.epoch(now), point, now=now)
    with django_assert_max_num_queries(len(few)):
        client.get("/tokens/")


def test_the_help_says_what_the_construction_is(cast: Cast) -> None:
    page = told(browser(cast.cleo), "/help/")
    for part in ("RFC 9380", "RFC 9497", "not yet reviewed", "token.quota"):
        assert part in page
