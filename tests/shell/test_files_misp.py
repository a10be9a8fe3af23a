"""MISP events on their way in: converted apart, taken as any file, and what is left out told."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from exchange import children, files
from exchange.files import converting
from exchange.models import Outcome
from exchange.proof.refused import Refused
from indicators.converters.misp import events
from indicators.models import Contribution
from tests.shell import sharing
from tests.shell.sharing import Way
from tests.shell.test_files import choose, hand_in, lying, status, take, told

pytestmark = pytest.mark.django_db
CANARY = "canary-misp-41d0"
UUID = "5a5e5e5e-0000-4000-8000-00000000000"


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    settings.FILES_DIR = tmp_path / "files"
    cast = sharing.set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def attribute(n: int, kind: str, value: str, **more: Any) -> dict[str, Any]:
    given = {"type": kind, "value": value, "uuid": f"{UUID}{n}", "category": "Network activity"}
    return {**given, "timestamp": "1700000000", "to_ids": True, **more}


def event(*attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    head = {"info": "Relays", "uuid": f"{UUID}f", "date": "2026-01-01", "timestamp": "1700000000"}
    return {"Event": {**head, "Attribute": list(attributes), **more}}


def test_an_event_is_converted_taken_and_told(way: Way, settings: LazySettings) -> None:
    given = event(
        attribute(1, "ip-dst", "203.0.113.7"),
        attribute(2, "domain", "relay.example"),
        attribute(3, "no-such-type", CANARY),
        attribute(4, "ip-dst", f"{CANARY} is no address"),
    )
    sent = hand_in(way, json.dumps(given).encode(), name="event.json")
    assert status(way, sent).kind == "misp"
    take(sent)
    sharing.sequence(now=sharing.NOON)
    found = status(way, sent)
    assert found.state == "complete", found
    lines = told(way, sent)
    assert [(one.place, one.message) for one in lines[:2]] == [
        (3, "Attribute 3 (no-such-type), in event 1: the converter has no form for it."),
        (4, "Attribute 4 (ip-dst), in event 1: the converter has no form for it."),
    ]
    assert not any(CANARY in one.message for one in lines)
    assert {f"indicator--{UUID}1", f"indicator--{UUID}2"} <= {one.stix_id for one in lines}
    assert len(lines) == found.total == found.successes + found.failures
    assert lying(settings) == []


def test_real_events_are_taken(way: Way, shared_data: Path) -> None:
    for path in sorted((shared_data / "misp").glob("*.json"))[:3]:
        sent = hand_in(way, path.read_bytes(), name=path.name)
        take(sent)
        sharing.sequence(now=sharing.NOON)
        found = status(way, sent)
        assert (found.kind, found.state) == ("misp", "complete")
        assert found.successes > 20
        made_by = [
            one for one in told(way, sent, limit=1_000) if one.stix_id.startswith("identity")
        ]
        assert all("leave" in one.message or "released" in one.message for one in made_by)
    assert not Outcome.objects.filter(outcome="accepted", version__object__stix_type="other")


def test_two_events_in_the_answer_of_a_server(way: Way) -> None:
    body = {"response": [event(attribute(1, "domain", "a.example")), {"Event": {"uuid": "x"}}]}
    sent = hand_in(way, json.dumps(body).encode())
    take(sent)
    assert status(way, sent).successes > 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"Event": {"info": "x"', "body.json"),
        (b'{"Event": {"info": "x", "info": "y"}}', "json.duplicate-key"),
        (b'{"response": []}', "misp.form"),
        (b'{"Event": 7}', "misp.form"),
        (b'{"Event": ' + b"[" * 1_000_000, "body.json"),
        (b'{"Event": {"a": NaN}}', "json.number"),
        (b'{"Event": {"a": "\xff"}}', "file.encoding"),
        (b'{"Event": {}}', "file.nothing"),
    ],
)
def test_hostile_events_leave_nothing(
    way: Way, settings: LazySettings, body: bytes, code: str
) -> None:
    sent = hand_in(way, body, kind="misp")
    take(sent)
    assert (status(way, sent).state, status(way, sent).code) == ("refused", code)
    assert not Contribution.objects.exists()
    assert lying(settings) == []


def test_a_converter_that_dies_is_told_and_leaves_nothing(
    way: Way, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(event(attribute(1, "domain", "a.example"))).encode()
    for program in ("import os; os.abort()", "print('o{}')", "print('o' + 'x' * 20_000_000)"):
        monkeypatch.setattr(children, "_START", program)
        sent = hand_in(way, body)
        take(sent)
        assert status(way, sent).code == "misp.failed"
    monkeypatch.setattr(converting, "_BOUNDS", children.Bounds(memory=1 << 30, seconds=1))
    monkeypatch.setattr(children, "_START", "import time; time.sleep(60)")
    sent = hand_in(way, body)
    take(sent)
    assert status(way, sent).code == "misp.failed"
    assert lying(settings) == []


def test_the_converter_is_given_no_key_and_no_setting(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import json, os; print('f' + json.dumps([1, ','.join(sorted(os.environ))])); print('.')"
    )
    monkeypatch.setattr(children, "_START", program)
    sent = hand_in(way, json.dumps(event()).encode())
    take(sent)
    (line,) = told(way, sent)
    assert set(line.message.split(",")) <= {"LC_CTYPE", *children.ENVIRONMENT}


def test_without_the_extra_it_is_said_by_name(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converting, "find_spec", lambda name: None)
    chosen = choose(way.cast.as_(way.cast.ana), json.dumps(event()).encode())
    with pytest.raises(Refused) as refused:
        files.send(way.cast.as_(way.cast.ana), chosen, files.Sent(way.circle.id), now=sharing.NOON)
    assert refused.value.code == "misp.missing"
    assert "extra `misp`" in refused.value.sentence


def test_attributes_are_counted_through_all_events() -> None:
    first, second = (
        event(attribute(1, "x", "1"), attribute(2, "y", "2")),
        event(Object=[{"uuid": f"{UUID}9", "Attribute": [attribute(3, "z", "3")]}]),
    )
    assert [one.place for one in events.left_out(first, [f"a--{UUID}1"], number=1, before=0)] == [2]
    assert [one.place for one in events.left_out(second, [], number=2, before=2)] == [3]
    assert not list(events.left_out(second, [f"indicator--{UUID}9"], number=2, before=2))
