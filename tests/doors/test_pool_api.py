"""GET /api/algorithms/: what a member's extractor applies at home, and nobody's name in it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from indicators.detection import document
from tests import algorithms as made
from tests.cast import Cast, make_cast
from tests.doors.clients import client_of
from tests.doors.stage import as_owner
from tests.doors.test_web_pages import browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Iterator[Cast]:
    cache.clear()
    yield make_cast(timezone.now())
    as_owner()


def test_each_that_runs_on_a_log_is_given_with_its_digest_and_without_its_member(
    cast: Cast,
) -> None:
    now = timezone.now()
    log = made.put(cast, "active", runs_on="log", now=now)
    both = made.put(cast, "active", runs_on="both", now=now)
    for state, runs_on in (("active", "pool"), ("reviewed", "log"), ("suspended", "both")):
        made.put(cast, state, runs_on=runs_on, now=now)
    made.put(cast, "withdrawn", runs_on="log", now=now)
    made.put(cast, "active", runs_on="log", now=now - timedelta(days=91))
    as_owner()
    response = browser(cast.cleo).get("/api/algorithms/")
    assert response.status_code == 200
    found = response.json()["algorithms"]
    assert {one["id"] for one in found} == {str(log.document_id), str(both.document_id)}
    for one in found:
        read = document.parse(one["document"].encode())
        assert (read.id, read.version, read.digest) == (one["id"], one["version"], one["digest"])
    for name in (str(cast.aurora.id), "Aurora", str(cast.ana.id), "Ana"):
        assert name not in response.content.decode()


def test_a_machine_of_a_member_needs_the_scope_extracts_alone(cast: Cast) -> None:
    made.put(cast, "active", runs_on="log", now=timezone.now())
    response = client_of(cast.ben, "extracts").get("/api/algorithms/")
    assert response.status_code == 200
    assert len(response.json()["algorithms"]) == 1


@pytest.mark.parametrize("scopes", [("taxii-read",), ("api-read", "api-write"), ("tokens",)])
def test_another_scope_is_not_enough(cast: Cast, scopes: tuple[str, ...]) -> None:
    assert client_of(cast.ben, *scopes).get("/api/algorithms/").status_code == 403


def test_nobody_gets_nothing_and_neither_does_the_forum(cast: Cast) -> None:
    assert Client().get("/api/algorithms/").status_code == 401
    assert browser(cast.dora).get("/api/algorithms/").status_code == 403
    assert browser(cast.ben).post("/api/algorithms/", {}).status_code in (401, 403, 405)


def test_it_costs_the_same_however_many(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = browser(cast.ben)
    client.get("/api/algorithms/")
    for _ in range(2):
        as_owner()
        made.put(cast, "active", runs_on="log", now=timezone.now())
        with django_assert_num_queries(9):
            assert client.get("/api/algorithms/").status_code == 200
