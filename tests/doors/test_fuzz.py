"""The doors for machines, asked at random by their own description and with broken bodies.

Whatever is sent: no server error, nothing that is not described, no word of what is kept back, and
no memory that is not given back. `WEIR_FUZZ` is the number of cases for each operation.
"""

import http.client
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
import yaml
from django.urls import get_resolver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import ROOT
from tests.running import Running, exchange, wait_for
from tests.shell import sharing

CASES = int(os.environ.get("WEIR_FUZZ", "12"))
CANARY = "canary-9f3c-never-leaves"
INDICATORS = "match[type]=indicator"
MEDIA = "application/taxii+json;version=2.1"
DESCRIPTION = yaml.safe_load((ROOT / "exchange" / "api" / "openapi.yaml").read_text("utf-8"))
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
OPERATIONS: dict[str, Any] = {
    one.label: one
    for found in SCHEMA.get_all_operations()
    if (one := found.ok()) is not None  # type: ignore[union-attr] # one that is not sound raises
}
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
)
QUICK = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    derandomize="WEIR_FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


LABS = ("Borealis", "Cirrus")
Names = dict[str, list[Any]]  # by the name of a parameter or a member of a body
# Nothing that the two hold is theirs to withdraw or recall; neither is told of one, or has a task.
NOT_THEIRS = {
    "DELETE /taxii2/forum/collections/{collection}/objects/{object_id}/",
    "POST /api/recalls/",
    "GET /api/recalls/{recall_id}/",
    "POST /api/recalls/received/{release_id}/",
    "POST /api/feedback/tasks/{task_id}/",
    "POST /api/extracts/",  # no generated body is an extract
}
SEEN: dict[str, set[int]] = {}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with exchange(tmp_path_factory.mktemp("fuzz")) as found:
        told = sharing.range_indicator(description=CANARY, name=CANARY, x_note=CANARY)
        kept = sharing.sdo("threat-actor", name=CANARY)
        sent = found.contribute([told, kept])
        wait_for("complete", lambda: found.state_of(sent)["status"] == "complete")
        wait_for("released", lambda: all(b'"indicator--' in _holding(found, lab) for lab in LABS))
        yield found


def _holding(running: Running, lab: str) -> bytes:
    path = f"/taxii2/forum/collections/holding/objects/?{INDICATORS}"
    return running.get(path, by=lab)[1]


def urls(patterns: Any, before: str = "") -> Iterator[str]:
    """Every address below some patterns, its parameters in braces."""
    for one in patterns:
        text = str(one.pattern)
        text = re.sub(r"\(\?P<(\w+)>\[\^/\]\+\)", r"{\1}", text)
        text = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", text)
        here = before + text.lstrip("^").removesuffix("$").replace("/?", "/")
        if hasattr(one, "url_patterns"):
            yield from urls(one.url_patterns, here)
        else:
            yield f"/{here}"


def test_the_description_leaves_no_address_of_the_doors_out() -> None:
    described = set(DESCRIPTION["paths"])
    here = {
        url for url in urls(get_resolver().url_patterns) if url.startswith(("/api/", "/taxii2"))
    }
    # Without its last slash discovery is the same; below both whatever else is asked is 404.
    here -= {"/taxii2", "/api/"}
    assert here == described


def test_anyone_can_read_the_description(running: Running) -> None:
    status, body = running.get("/api/openapi.yaml")
    assert status == 200
    assert yaml.safe_load(body) == DESCRIPTION


@pytest.fixture(scope="module")
def names(running: Running) -> dict[str, Names]:
    """What each lab could know: values of parameters that lead somewhere."""
    return {lab: names_of(running, lab) for lab in LABS}


def names_of(running: Running, lab: str) -> Names:
    """By the name of the parameter."""
    root = "/taxii2/forum/"
    page = json.loads(running.get(f"{root}collections/holding/objects/?limit=9", by=lab)[1])
    found = json.loads(running.get(f"{root}collections/holding/objects/?{INDICATORS}", by=lab)[1])
    ids = [one["id"] for one in (*page["objects"], *found["objects"])]
    inbox = f"{root}collections/inbox-forum/objects/"
    sent = json.loads(running.post(inbox, VALID, by=lab)[1])["id"]
    offer = json.loads(running.get("/api/tokens/", by=lab)[1])
    circle = offer["circles"][0]["id"]
    answer = running.post(f"/api/files/?circle={circle}&kind=stix", VALID, by=lab)[1]
    file_id = json.loads(answer)["id"]
    listed = json.loads(running.get(f"{root}collections/", by=lab)[1])["collections"]
    return {
        "collection": [one["alias"] for one in listed] + [one["id"] for one in listed],
        "object_id": ids,
        "stix_id": ids,
        "status_id": [sent],
        "contribution_id": [sent],
        "file_id": [file_id],
        "circle": [one["id"] for one in offer["circles"]],
        "epoch": [one["epoch"] for one in offer["epochs"]],
        "next": [page["next"]],
        "match[id]": [ids[-1], ",".join(ids)],
        "match[type]": ["indicator", "indicator,identity", "x-none"],
        "match[version]": ["all", "first,last", "2026-01-01T00:00:00Z"],
        "match[spec_version]": ["2.1", "2.0,2.1"],
        "value": ["203.0.113.7", "203.0.113.0/24"],
        "basis": ["fraudulent-identity"],
        "head": [["address", "seen"]],
        "columns": [["value", ""]],
    }


def aim(case: Any, names: Names, chance: Random) -> None:
    """Put what leads somewhere in the place of most of what was made up."""
    places = [case.path_parameters, case.query]
    places += [case.body] if isinstance(case.body, dict) else []
    for place in places:
        for name in set(place or ()) & set(names):
            if chance.random() < 0.7:
                place[name] = chance.choice(names[name])


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_what_the_description_allows_and_what_it_does_not(
    running: Running, names: dict[str, Names], label: str, lab: str
) -> None:
    operation = OPERATIONS[label]
    headers = {"Authorization": f"Bearer {running.secrets[lab]}"}
    cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if list(operation.query) or list(operation.body):
        cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @QUICK
    @given(case=cases, chance=st.randoms(use_true_random=False))
    def ask(case: Any, chance: Random) -> None:
        aim(case, names[lab], chance)
        answer = case.call(base_url=running.base_url, headers=headers)
        SEEN.setdefault(label, set()).add(answer.status_code)
        case.validate_response(answer, checks=list(CHECKS))
        assert CANARY.encode() not in answer.content
        assert CANARY not in str(answer.headers)

    ask()


def test_each_door_was_opened_and_shut() -> None:
    """Else the cases above would prove little."""
    shut = {label for label, told in SEEN.items() if not any(status < 300 for status in told)}
    assert shut <= NOT_THEIRS
    assert {400, 403, 404} <= set().union(*SEEN.values())


VALID = json.dumps({"objects": [sharing.range_indicator(), sharing.sdo("tool", name="x")]}).encode()
PIECES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\x00", b"\xff", b"null", b"NaN", b"1e999",
     b'"objects"', b"\\ud800", b"-", b"9" * 400, b"[" * 2_000, b'{"a":' * 500, "\u2028".encode()]
)  # fmt: skip


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A body that was sound, cut and patched in a few places, or nothing like one."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    body = VALID
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 40)))
        body = (
            body[:start] + draw(st.one_of(st.just(b""), PIECES, st.binary(max_size=8))) + body[end:]
        )
    return body


BODIES = (
    ("/taxii2/forum/collections/inbox-forum/objects/", MEDIA),
    ("/taxii2/forum/collections/own/objects/", MEDIA),
    ("/api/contributions/?circle=00000000-0000-4000-8000-000000000000", "application/json"),
    ("/api/lookups/", "application/json"),
    ("/api/tokens/", "application/json"),
)


@pytest.mark.parametrize(("path", "media"), BODIES)
def test_no_body_is_too_broken(running: Running, path: str, media: str) -> None:
    parts = urlsplit(running.base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {
        "Authorization": f"Bearer {running.secrets['Borealis']}",
        "Content-Type": media,
        "Accept": media,
    }

    @settings(QUICK, max_examples=5 * CASES)
    @given(body=broken(), length=st.sampled_from([0, 0, 0, -1]))
    def ask(body: bytes, length: int) -> None:
        shorter = {"Content-Length": str(max(0, len(body) + length))}
        connection.request("POST", path, body[: len(body) + length], {**headers, **shorter})
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status < 500, said
        assert answer.getheader("Content-Type", "").startswith(media)
        assert CANARY.encode() not in said
        json.loads(said)

    try:
        ask()
    finally:
        connection.close()


def test_nothing_grew_and_nothing_was_written_to_a_log(running: Running) -> None:
    assert running.supervisor.deaths() == ()
    web = running.supervisor.pid("web")
    before = memory(web)
    operation = OPERATIONS["GET /taxii2/forum/collections/{collection}/objects/"]
    headers = {"Authorization": f"Bearer {running.secrets['Borealis']}"}

    @settings(QUICK, max_examples=10 * CASES)
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.call(base_url=running.base_url, headers=headers)

    ask()
    # What was warm before stays as it is: 16 MB for two workers are fragments, not a leak.
    assert memory(web) - before < 16 * 1024
    for log in (running.room / "log").iterdir():
        assert CANARY not in log.read_text("utf-8", "replace")


def memory(parent: int) -> int:
    """Kilobytes that the workers of a web server hold for themselves."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = 0
    for child in children:
        status = Path(f"/proc/{child}/status").read_text()
        found += int(re.findall(r"^RssAnon:\s+(\d+)", status, re.MULTILINE)[0])
    return found
