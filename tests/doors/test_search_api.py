"""Search over REST: the closed forms, the refusals by place, and what Cleo is told."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange.models import Rendition, ServedNote
from tests.doors.clients import client_of
from tests.doors.stage import Stage, as_owner, set_stage

pytestmark = pytest.mark.django_db
HELD = "203.0.113.7"


@pytest.fixture
def stage(settings: LazySettings, tmp_path: Any) -> Iterator[Stage]:
    settings.LEDGER_DIR = tmp_path / "ledger"
    yield set_stage(timezone.now())
    as_owner()


def search(client: Client, query: str) -> Any:
    answer = client.get(f"/api/search/{query}")
    as_owner()
    return answer


def look_up(client: Client, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/api/lookups/", data=data, content_type="application/json")
    as_owner()
    return answer


def test_ben_gets_the_exact_bytes_of_what_he_holds(stage: Stage) -> None:
    ben = client_of(stage.cast.ben, "api-read")
    answer = search(ben, f"?value={HELD}&facets=true")
    body = bytes(Rendition.objects.get(stix_type="indicator").body)
    assert answer.content.endswith(b'"objects":[%s]}' % body)
    found = answer.json()
    assert (found["more"], found["total"], found["facets"]["type"]) == (False, 1, {"indicator": 1})
    assert answer["Cache-Control"] == "private, no-store"
    told = look_up(ben, {"values": [HELD, "192.0.2.7", "what?", "ben@mail.example"]}).json()
    assert told["hits"] == 1
    assert [one["state"] for one in told["values"]] == ["hit", "miss", "unknown", "refused"]
    assert told["values"][0]["objects"] == [{"id": found["objects"][0]["id"], "type": "indicator"}]
    assert set(ServedNote.objects.values_list("via", flat=True)) == {"api"}


def test_pages_go_on_by_next(stage: Stage) -> None:
    ben = client_of(stage.cast.ben, "api-read")
    whole = search(ben, "").json()["objects"]
    walked, query = [], "?limit=1"
    while True:
        page = search(ben, query).json()
        walked += page["objects"]
        if not page["more"]:
            break
        query = f"?limit=1&before={page['next']}"
    assert walked[: len(whole)] == whole
    assert len({one["id"] for one in walked}) == len(walked)


def test_cleo_is_told_the_same_of_what_ben_holds_and_of_nothing(stage: Stage) -> None:
    cleo = client_of(stage.cast.cleo, "api-read")
    of_ben = str(Rendition.objects.get(stix_type="indicator").stix_id)
    nowhere = f"indicator--{uuid4()}"
    before = ServedNote.objects.count()
    for there, missing in ((HELD, "192.0.2.7"), (of_ben, nowhere)):
        answers = [search(cleo, f"?value={one}&facets=true") for one in (there, missing)]
        answers += [search(cleo, f"?q={one}&facets=true") for one in (there, missing)]
        assert len({(one.status_code, one.content) for one in answers}) == 1
        told = [look_up(cleo, {"values": [one]}) for one in (there, missing)]
        assert len({(one.status_code, one.content) for one in told}) == 1
    assert ServedNote.objects.count() == before


@pytest.mark.parametrize(
    ("query", "code", "path"),
    [
        ("?pattern=x", "query.unknown", "query"),
        ("?value=what%3F", "value.unknown", "value"),
        ("?value=a.example&value=b.example", "query.twice", "value"),
        ("?value=a.example&q=b", "query.twice", "q"),
        ("?value=ana%40mail.example", "value.personal", "value"),
        ("?q=%2B49+30+123456", "value.personal", "q"),
        ("?value=10.0.0.0/8", "value.wide", "value"),
        ("?q=" + "a" * 3000, "value.long", "q"),
        ("?word=" + "a" * 65, "query.word", "word"),
        ("?word=" + "+".join("abcdefghi"), "query.word", "word"),
        ("?word=%00", "query.word", "word"),
        ("?q=a%00b", "query.word", "q"),
        ("?type=Indicator", "query.type", "type"),
        ("?type=%27", "query.type", "type"),
        ("?kind=egress", "query.kind", "kind"),
        ("?phase=late", "query.phase", "phase"),
        ("?from=2026-13-01", "query.date", "from"),
        ("?to=yesterday", "query.date", "to"),
        ("?to=9999-12-31", "query.date", "to"),
        ("?valid=2026-11-24T00:00Z", "query.date", "valid"),
        ("?confidence=101", "query.number", "confidence"),
        ("?confidence=-1", "query.number", "confidence"),
        ("?limit=0", "query.number", "limit"),
        ("?limit=1001", "query.number", "limit"),
        ("?before=" + "9" * 40, "query.number", "before"),
        ("?before=%D9%A3", "query.number", "before"),
        ("?version=first", "query.version", "version"),
        ("?facets=yes", "query.facets", "facets"),
    ],
)
def test_another_query_is_refused_by_its_place(
    stage: Stage, query: str, code: str, path: str
) -> None:
    answer = search(client_of(stage.cast.ben, "api-read"), query)
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["path"]) == (code, path)


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b"{", "body.json", ""),
        (b'{"values": ["\\ud800"]}', "body.json", ""),
        ([], "body.form", ""),
        ({"values": ["a.example"], "kind": "domain"}, "body.form", ""),
        ({"values": "a.example"}, "body.form", "values"),
        ({"values": ["a.example", 7]}, "body.form", "values[1]"),
        ({"values": []}, "lookup.size", "values"),
        ({"values": ["a.example"] * 10_001}, "lookup.size", "values"),
    ],
)
def test_another_list_is_refused_by_its_place(
    stage: Stage, body: Any, code: str, path: str
) -> None:
    answer = look_up(client_of(stage.cast.ben, "api-read"), body)
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["path"]) == (code, path)


def test_a_list_of_ten_thousand_is_answered_and_a_huge_one_refused_unread(stage: Stage) -> None:
    ben = client_of(stage.cast.ben, "api-read")
    told = look_up(ben, {"values": [f"10.1.{n // 256}.{n % 256}" for n in range(9_999)] + [HELD]})
    assert told.json()["hits"] == 1
    assert len(told.json()["values"]) == 10_000
    assert look_up(ben, {"values": ["a" * 3_000_000]}).status_code == 413


@pytest.mark.parametrize("scope", ["taxii-write", "api-write", "ledger-read", "tokens"])
def test_another_scope_searches_nothing(stage: Stage, scope: str) -> None:
    machine = client_of(stage.cast.ben, scope)
    assert search(machine, f"?value={HELD}").status_code == 403
    assert look_up(machine, {"values": [HELD]}).status_code == 403
    assert search(Client(), f"?value={HELD}").status_code == 401
    assert look_up(Client(), {"values": [HELD]}).status_code == 401
