"""Search as a way to look where one may not: at fields that were removed, at others, at people."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from exchange import search, tokens
from exchange.models import ServedNote, TokenCall, TokenDay
from exchange.policy import observables
from members import onboarding
from members.models import User
from tests.doors.clients import client_of
from tests.doors.stage import as_owner
from tests.shell import sharing
from tests.shell.sharing import NOON, Way

pytestmark = pytest.mark.django_db
BACKEND = "django.contrib.auth.backends.ModelBackend"
MARKER = "marker-of-a-removed-field"


@pytest.fixture
def way(settings: LazySettings, tmp_path: Any) -> Iterator[Way]:
    cast = sharing.set_up(settings, tmp_path)
    yield Way(cast, cast.relay_watch)
    as_owner()


def everything(user: User, value: str) -> list[tuple[int, bytes]]:
    """All that the doors of search say of a value, its own words and times of the page apart."""
    machine, person = client_of(user, "api-read"), Client()
    as_owner()
    person.force_login(user, backend=BACKEND)
    body = json.dumps({"values": [value]})
    answers = [
        machine.get("/api/search/", {"q": value, "facets": "true"}),
        machine.get("/api/search/", {"word": value}),
        machine.post("/api/lookups/", body, content_type="application/json"),
        person.get("/search/", {"q": value}),
        person.post("/search/list/", {"values": value, "as": "csv"}),
    ]
    as_owner()
    return [(one.status_code, plain(one.content, value)) for one in answers]


def plain(body: bytes, value: str) -> bytes:
    """Without the page's own secret, and with the field empty that still holds what was asked."""
    bare = re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", body)
    return re.sub(re.escape(value.encode()), b"?", bare)


def test_a21_what_was_refused_held_or_removed_is_found_at_no_door(way: Way) -> None:
    way.pass_on(
        sharing.range_indicator(description=MARKER, labels=[MARKER], name=MARKER),
        sharing.sdo("threat-actor", name=MARKER),
        sharing.sdo("course-of-action", name=MARKER),
        sharing.campaign(objective=MARKER, aliases=[MARKER]),
        {"type": "artifact", "spec_version": "2.1", "id": MARKER, "url": MARKER},
    )
    for user in (way.cast.ana, way.cast.ben, way.cast.cleo):
        nowhere = "marker-of-nothing-at-all"
        assert everything(user, MARKER) == everything(user, nowhere)


def test_cleo_learns_nothing_by_counting(way: Way) -> None:
    before = everything(way.cast.cleo, "203.0.113.7")
    way.pass_on(*(sharing.range_indicator() for _ in range(5)))
    assert everything(way.cast.cleo, "203.0.113.7") == before
    assert search.facets(way.cast.as_(way.cast.cleo), search.Query()).of("kind") == ()


@pytest.mark.parametrize(
    "value",
    ["%", "_", "203.0.113.%", "relay%", "*.example", ".*", "^relay", "relay.example'OR'1'='1"]
    + [
        "{indicator}",
        "relay.example\\",
        "'; DROP TABLE exchange_searchvalue; --",
        "$1",
        "%s",
        "%%",
    ],
)
def test_a_wildcard_a_pattern_or_a_quote_is_only_itself(way: Way, value: str) -> None:
    way.pass_on(sharing.range_indicator(), sharing.domain_indicator())
    sharing.leave(now=NOON + timedelta(minutes=20))
    who = way.cast.as_(way.cast.ben)
    (answer,) = search.look_up(who, [value], via="api", now=NOON)
    assert answer.hits == ()
    for status, body in everything(way.cast.ben, value):
        assert status in (200, 400, 422)
        assert b"203.0.113.0" not in body
        assert b"indicator--" not in body


@pytest.mark.parametrize(
    "value",
    ["rel\u0430y.example", "\uff52elay.example", "relay\u3002example", "relay.example\u200b"]
    + [
        "\u202erelay.example",
        "203.0.113.\u0667",
        "\uff12\uff10\uff13.0.113.7",
        "re\u0301lay.example",
    ],
)
def test_a_look_alike_is_not_what_it_looks_like(way: Way, value: str) -> None:
    way.pass_on(sharing.range_indicator(), sharing.domain_indicator())
    sharing.leave(now=NOON + timedelta(minutes=20))
    who = way.cast.as_(way.cast.ben)
    good, odd = search.look_up(who, ["relay.example", value], via="api", now=NOON)
    assert (good.state, odd.state, odd.hits) == ("hit", "unknown", ())


def test_search_makes_no_token_and_moves_no_quota(way: Way) -> None:
    address = "buyer@mail.example"
    way.pass_on(
        sharing.range_indicator(
            pattern=f"[email-addr:value = '{address}']",
            extensions=sharing.context("identity-token", "S3"),
        )
    )
    sharing.leave(now=NOON + timedelta(hours=1))
    held, nobody = (everything(way.cast.ben, one) for one in (address, "other@mail.example"))
    assert held == nobody
    assert not TokenDay.objects.exists()
    assert not TokenCall.objects.exists()
    assert not hasattr(search, tokens.__name__)


def test_guessed_tokens_of_another_circle_match_nothing(way: Way) -> None:
    """Cleo has tokens of the forum's circle; those of the relay watch are others, and not hers."""
    way.pass_on(
        sharing.range_indicator(
            pattern="[email-addr:value = 'buyer@mail.example']",
            extensions=sharing.context("identity-token", "S3"),
        )
    )
    sharing.leave(now=NOON + timedelta(hours=1))
    (held,) = [one for one in sharing.feed(way.cast.borealis) if b"keyed-token" in one.body]
    (value,) = [one for one in observables.of(json.loads(held.body)) if len(one.text) == 64]
    cleo = way.cast.as_(way.cast.cleo)
    (answer,) = search.look_up(cleo, [value.text], via="api", now=NOON)
    assert (answer.state, answer.hits) == ("miss", ())


@pytest.mark.parametrize(
    "value",
    ["[" * 5_000, "a." * 1_000 + "example", "1" * 2_000, "https://a.example/" + "a/" * 900]
    + [
        ":" * 2_000,
        "203.0.113.7/" + "9" * 500,
        "((((" * 500,
        "\x00",
        "-" * 2_048,
        "+" + "1 " * 999,
    ],
)
def test_no_value_makes_the_parser_explode_or_fail(way: Way, value: str) -> None:
    who = way.cast.as_(way.cast.ben)
    answers = search.look_up(who, [value] * 200, via="api", now=NOON)
    assert {one.state for one in answers} <= {"miss", "unknown", "refused"}
    for status, _ in everything(way.cast.ben, value):
        assert status in (200, 400, 422)


def test_a24_a_file_of_hits_runs_nothing(way: Way) -> None:
    way.pass_on(sharing.range_indicator())
    person = Client()
    person.force_login(way.cast.ben, backend=BACKEND)
    listed = "\n".join(['=HYPERLINK("x")', "\u202e203.0.113.7", '"203.0.113.7"', "'203.0.113.8"])
    answer = person.post("/search/list/", {"values": listed, "as": "csv"})
    as_owner()
    sheet = answer.content.decode()
    assert "203.0.113.7" in sheet
    assert not re.search(r'(^|,)"*[=+@\-\t]', sheet, re.MULTILINE)
    assert "\u202e" not in sheet


def test_what_is_searched_for_stands_in_no_log(
    way: Way, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """What a member hunts for is its own business, the operator's least of all."""
    caplog.set_level("DEBUG")
    hunted = "hunted-by-ben.example"
    everything(way.cast.ben, hunted)
    everything(way.cast.ben, f"ben@{hunted}")
    said = capfd.readouterr()
    ours = [one for one in caplog.records if one.name != "django.db.backends"]
    assert hunted not in said.out + said.err + str([one.getMessage() for one in ours])


def test_who_left_takes_no_search_along(way: Way) -> None:
    way.pass_on(sharing.range_indicator())
    assert b"indicator--" in everything(way.cast.ben, "203.0.113.7")[0][1]
    onboarding.leave_circle(way.cast.borealis, way.cast.relay_watch, now=NOON)
    before = ServedNote.objects.count()
    nowhere = everything(way.cast.ben, "192.0.2.77")
    assert everything(way.cast.ben, "203.0.113.7") == nowhere
    assert ServedNote.objects.count() == before
