"""The pool's pages: each side sees its own, strangers nothing, the text whoever it is for."""

import re
from collections.abc import Iterator
from datetime import datetime
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange import algorithms, pool
from exchange.models import Algorithm
from exchange.proof.refused import Refused
from indicators.detection.values import Extract
from members.models import User
from members.scope import Acting, acting
from tests import algorithms as made
from tests.cast import Cast, make_cast
from tests.doors.stage import as_owner
from tests.doors.test_web_pages import browser
from tests.extracts import extract, parts
from tests.shell.test_tokens import machine

pytestmark = pytest.mark.django_db

EVERYBODY = ("ana", "abel", "alma", "ben", "cleo", "dora", "otto", "pia")
SIDE = ("ana", "abel", "alma", "dora")
needs_the_extra = pytest.mark.skipif(not algorithms.is_on(), reason="the extra is not installed")
REASON = "looked at all of it"


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def cast(now: datetime) -> Iterator[Cast]:
    cache.clear()
    yield make_cast(now)
    as_owner()


def seen(cast: Cast, name: str, page: str) -> tuple[int, str]:
    """What somebody gets at an address."""
    client = browser(getattr(cast, name))
    response = client.get(page)
    return response.status_code, response.content.decode()


def step(cast: Cast, name: str, row: Algorithm, **fields: object) -> int:
    """A step that somebody takes from the page."""
    client = browser(getattr(cast, name))
    return client.post(f"/algorithms/{row.id}/act/", fields).status_code


def state_of(row: Algorithm) -> str:
    as_owner()
    row.refresh_from_db()
    return row.state


@pytest.mark.parametrize(
    ("state", "for_whom"),
    [
        ("draft", {"ana", "abel", "alma"}),
        ("submitted", {"ana", "abel", "alma"}),
        ("approved", {"ana", "abel", "alma", "dora"}),
        ("reviewed", {"ana", "abel", "alma", "dora", "pia"}),
    ],
)
def test_before_it_is_in_force_an_algorithm_is_there_for_its_side_alone(
    cast: Cast, now: datetime, state: str, for_whom: set[str]
) -> None:
    row = made.put(cast, state, now=now)
    there = {name for name in EVERYBODY if seen(cast, name, f"/algorithms/{row.id}/")[0] == 200}
    assert there == for_whom
    for name in EVERYBODY:
        page = seen(cast, name, f"/algorithms/{row.id}/")[1] + seen(cast, name, "/algorithms/")[1]
        page += seen(cast, name, f"/algorithms/{row.id}/text/")[1]
        assert (made.CANARY in page) is (name in for_whom - {"pia"}), name
        assert (str(row.document_id) in page) is (name in for_whom), name


def test_cleo_cannot_tell_anothers_algorithm_from_none(cast: Cast, now: datetime) -> None:
    row = made.put(cast, "reviewed", now=now)
    pages = [f"/algorithms/{one}/" for one in (row.id, uuid4())]
    answers = [browser(cast.cleo).get(page) for page in pages]
    assert [one.status_code for one in answers] == [404, 404]
    pages = [f"/algorithms/{one}/act/" for one in (row.id, uuid4())]
    fields = {"step": "withdraw", "reason": REASON}
    posted = [browser(cast.cleo).post(page, fields).status_code for page in pages]
    assert posted == [404, 404]
    assert state_of(row) == "reviewed"


@pytest.mark.parametrize(("runs_on", "many"), [("log", 1), ("both", 1), ("pool", 0)])
def test_in_force_it_is_told_to_all_and_its_text_where_it_runs_on_their_logs(
    cast: Cast, now: datetime, runs_on: str, many: int
) -> None:
    row = made.put(cast, "active", runs_on=runs_on, now=now)
    for name in ("ben", "cleo", "otto"):
        status, page = seen(cast, name, f"/algorithms/{row.id}/")
        assert status == 200
        assert bytes(row.digest).hex() in page
        assert ("Aurora" in page, "Ana" in page, "Alma" in page) == (False, False, False)
        assert (made.CANARY in page) is bool(many)
        status, said = seen(cast, name, f"/algorithms/{row.id}/text/")
        assert (status, made.CANARY in said) == ((200, True) if many else (404, False))
        assert row.title in seen(cast, name, "/algorithms/")[1]


def test_pia_sees_digest_and_buckets_and_never_the_text(cast: Cast, now: datetime) -> None:
    row = made.put(cast, "reviewed", now=now)
    made.tried(row, now=now)
    _, page = seen(cast, "pia", f"/algorithms/{row.id}/")
    assert bytes(row.digest).hex() in page
    assert "10-99" in page
    for hidden in (made.CANARY, "Aurora", "Ana", "Alma", "one-card"):
        assert hidden not in page
    assert step(cast, "pia", row, step="activate", digest=bytes(row.digest).hex()) == 302
    assert state_of(row) == "active"


def test_the_way_through_the_pages(cast: Cast, now: datetime) -> None:
    row = made.put(cast, "submitted", now=now)
    digest = bytes(row.digest).hex()
    assert step(cast, "alma", row, step="approve", digest=digest) == 302
    points = [name for name, _ in made.POINTS]
    few = {"step": "review", "digest": digest, "reason": REASON, "points": points[1:]}
    assert step(cast, "dora", row, **few) == 422
    assert state_of(row) == "approved"
    assert step(cast, "dora", row, **few | {"points": points}) == 302
    assert step(cast, "ana", row, step="dry-run") == 302
    assert step(cast, "pia", row, step="activate", digest=digest) == 422
    as_owner()
    made.tried(row, now=now)
    assert step(cast, "pia", row, step="activate", digest=digest) == 302
    assert step(cast, "abel", row, step="withdraw", reason="no") == 422
    assert step(cast, "abel", row, step="withdraw", reason=REASON) == 302
    assert state_of(row) == "withdrawn"
    _, page = seen(cast, "ana", f"/algorithms/{row.id}/")
    for said in ("Approved", "Reviewed", "Put in force", "Withdrawn", REASON, "Alma"):
        assert said in page
    # As words: a form's random token may hold three letters in a row.
    assert re.search(r"\b(Dora|Pia)\b", page) is None


@pytest.mark.parametrize(
    ("name", "state"), [("alma", "submitted"), ("abel", "submitted"), ("dora", "approved")]
)
def test_what_waits_for_a_word_is_said_on_the_start_page(
    cast: Cast, now: datetime, name: str, state: str
) -> None:
    said = "1 algorithm waits for your word."
    assert said not in seen(cast, name, "/")[1]
    as_owner()
    made.put(cast, state, now=now)
    assert said in seen(cast, name, "/")[1]
    for other in ("ana", "cleo", "otto", "pia"):
        assert said not in seen(cast, other, "/")[1]


def test_each_fault_stands_at_its_line_and_nothing_is_kept(cast: Cast) -> None:
    client = browser(cast.ana)
    start = client.get("/algorithms/new/").context["form"]["text"].value()
    spoiled = start.replace("flat|gte: 6", "flat|gte: 4").replace("version: 1", "version: one")
    at = 1 + [line.startswith("version") for line in spoiled.splitlines()].index(True)
    as_owner()
    response = client.post("/algorithms/new/", {"text": spoiled, "step": "keep"})
    assert response.status_code == 422
    assert f'<th scope="row">{at}</th>' in response.content.decode()
    as_owner()
    assert Algorithm.objects.count() == 0
    response = client.post("/algorithms/new/", {"text": start, "step": "keep"})
    assert response.status_code == 302
    as_owner()
    assert Algorithm.objects.get().state == "draft"


def test_lists_cost_the_same_however_long(
    cast: Cast, now: datetime, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = browser(cast.alma)
    client.get("/algorithms/")
    for many in (1, 6):
        as_owner()
        for _ in range(many):
            made.put(cast, "submitted", now=now)
            made.put(cast, "active", now=now)
        as_owner()
        with django_assert_num_queries(11):
            assert client.get("/algorithms/").status_code == 200
        as_owner()
        row = made.put(cast, "reviewed", now=now)
        for _ in range(many):
            made.tried(row, now=now)
        as_owner()
        with django_assert_num_queries(13):
            assert client.get(f"/algorithms/{row.id}/").status_code == 200


def test_the_schema_is_published(client: Client) -> None:
    schema = client.get("/schemas/algorithm.json").json()
    assert schema["$id"] == "http://testserver/schemas/algorithm.json"
    assert schema["additionalProperties"] is False


def sent_today(cast: Cast, user: User, seed: int) -> tuple[pool.Sent, Extract]:
    """An extract that somebody's machine has sent, and what was in it."""
    now = timezone.now()
    given = extract(seed, day=now.date())
    who = machine(user, scopes=("extracts", "tokens"), name="extractor")
    with acting(who.acting()):
        return pool.send(who, parts(given), now=now), given


@needs_the_extra
def test_the_pool_shows_days_and_digests_and_no_row_to_anybody(cast: Cast) -> None:
    ours, given = sent_today(cast, cast.ana, 1)
    theirs, others = sent_today(cast, cast.ben, 2)
    secrets = [row.cluster for row in (*given.clusters, *others.clusters)]
    secrets += [token for row in given.clusters for token in row.payment]
    for name in EVERYBODY:
        status, page = seen(cast, name, "/pool/")
        assert status == 200
        assert "Nobody." in page
        assert (ours.digest in page) is (name not in ("ben", "cleo")), name
        assert (theirs.digest in page) is (name in ("ben", "dora", "otto", "pia")), name
        if name in ("dora", "otto", "pia"):
            assert "Aurora" not in page
            assert "Borealis" not in page
        page += seen(cast, name, "/pool/extracts/")[1] + seen(cast, name, "/")[1]
        assert not [one for one in secrets if one in page], name


@needs_the_extra
def test_what_aurora_sent_is_shown_in_words_to_who_asked_alone(cast: Cast) -> None:
    ours, given = sent_today(cast, cast.ana, 1)
    asked = f"/pool/extracts/{ours.id}/ask/"
    for name in ("ben", "cleo", "dora", "otto", "pia"):
        assert browser(getattr(cast, name)).post(asked).status_code == 404, name
    where = browser(cast.abel).post(asked)["Location"]
    _, waits = seen(cast, "abel", where)
    assert "This page follows by itself." in waits
    as_owner()
    with acting(Acting(), role="worker"):
        assert pool.make(now=timezone.now()) == 1
    status, page = seen(cast, "abel", where)
    assert status == 200
    assert "In all" in page
    assert page.count("<details") == len(given.clusters) + len(given.templates)
    assert "hx-get" not in page
    for token in (given.clusters[0].cluster, *given.clusters[0].payment):
        assert token not in page
    for name in ("ana", "alma", "ben", "cleo", "dora", "otto", "pia"):
        assert seen(cast, name, where)[0] == 404, name
    part = browser(cast.abel).get(where, headers={"HX-Request": "true"}).content.decode()
    assert part.startswith('<div id="words">')


@needs_the_extra
def test_the_list_of_extracts_costs_the_same_however_long(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = browser(cast.abel)
    client.get("/pool/extracts/")
    for seed in (1, 2):
        as_owner()
        sent_today(cast, cast.ana, seed) if seed == 1 else refuse(cast)
        as_owner()
        with django_assert_num_queries(9):
            page = client.get("/pool/extracts/").content.decode()
    assert "extract.soon" in page


def refuse(cast: Cast) -> None:
    """A second extract of the same day, too soon: its digest stays."""
    now = timezone.now()
    who = machine(cast.ana, scopes=("extracts", "tokens"), name="extractor again")
    with acting(who.acting()), pytest.raises(Refused):
        pool.send(who, parts(extract(2, day=now.date())), now=now)


def test_where_the_pool_is_off_its_pages_say_so(cast: Cast, settings: LazySettings) -> None:
    settings.POOL_PUBLIC_KEY = b""
    pool.is_on.cache_clear()
    try:
        for page in ("/pool/", "/pool/extracts/"):
            assert "The pool is off" in seen(cast, "ana", page)[1]
    finally:
        pool.is_on.cache_clear()
