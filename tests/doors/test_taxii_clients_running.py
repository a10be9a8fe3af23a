"""Clients that are not ours, unchanged, against a whole exchange of real processes."""

import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import stix2
from cytaxii2 import cytaxii2
from taxii2client.v21 import Collection, Server, as_pages

from tests.doors.clients import MEDIA
from tests.running import Running, exchange, wait_for
from tests.shell import sharing


class Answer(NamedTuple):
    """An answer as it came over the socket."""

    status: int
    headers: Message
    body: bytes


HOLDING = "/taxii2/forum/collections/holding/objects/"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with exchange(tmp_path_factory.mktemp("clients")) as found:
        yield found


@pytest.fixture(scope="module")
def given(running: Running) -> list[dict[str, Any]]:
    """A dozen ranges from Aurora, two of them in a second version, where Borealis can read them."""
    first = [sharing.range_indicator(f"198.18.{n}.0/24") for n in range(12)]
    publish(running, first)
    # Who changes an object before its window ends replaces it, and there is one version.
    wait_for("the first versions", lambda: len(ranges(running)) == 12)
    # What a rendition shows changes, so that its recipients get a second version.
    later = [sharing.newer(one, pattern="[ipv4-addr:value = '198.19.0.0/24']") for one in first[:2]]
    publish(running, later)
    wait_for("two second versions", lambda: len(ranges(running, "&match[version]=all")) == 14)
    return first


def publish(running: Running, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Contribute and wait until it can be read back."""
    sent = running.contribute(objects)
    wait_for("complete", lambda: running.state_of(sent)["status"] == "complete")
    status = running.state_of(sent)
    assert status["success_count"] == len(objects), status
    return status


def ranges(running: Running, query: str = "") -> list[dict[str, Any]]:
    """The indicators that Borealis holds."""
    path = f"{HOLDING}?match[type]=indicator{query}"
    found: list[dict[str, Any]] = json.loads(running.get(path, by="Borealis")[1]).get("objects", [])
    return found


def of(running: Running, lab: str, alias: str) -> Collection:
    """A collection as taxii2-client finds it: discovery, default root, collections."""
    server = Server(f"{running.base_url}/taxii2/", user="any", password=running.secrets[lab])
    return next(one for one in server.default.collections if one.alias == alias)


def ask(running: Running, path: str, **headers: str) -> Answer:
    """One GET with these headers and no others."""
    parts = urlsplit(running.base_url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


# --- taxii2-client -------------------------------------------------------------------------------


def test_taxii2_client_waits_for_completion_and_pages_to_the_end(
    running: Running, given: list[dict[str, Any]]
) -> None:
    """`wait_for_completion` polls the status once a second, and checks what it says."""
    inbox = of(running, "Aurora", "inbox-forum")
    sent = [sharing.range_indicator("192.0.2.0/24"), {"type": "campaign", "id": "none"}]
    status = inbox.add_objects({"objects": sent}, wait_for_completion=True, timeout=60)
    assert (status.status, status.success_count, status.failure_count) == ("complete", 1, 1)
    assert [one["id"] for one in status.successes] == [sent[0]["id"]]
    holding = of(running, "Borealis", "holding")
    for read in (holding.get_objects, holding.get_manifest):
        found = [one for page in as_pages(read, per_request=50) for one in page["objects"]]
        assert len(found) > 180
        assert len({one["id"] for one in found}) == len(found)
    start = datetime.now(UTC) - timedelta(days=1)
    newer = list(as_pages(holding.get_objects, per_request=5, type="indicator", added_after=start))
    assert sum(len(page["objects"]) for page in newer) >= len(given)


# --- cytaxii2 ------------------------------------------------------------------------------------


def test_cytaxii2_discovers_polls_and_contributes(
    running: Running, given: list[dict[str, Any]]
) -> None:
    """It sends a Content-Type with GET, calls `default` as it stands and reads JSON errors."""
    url = f"{running.base_url}/taxii2/"
    ben = cytaxii2.cytaxii2(url, "any", running.secrets["Borealis"])
    assert ben.discovery_request()["response"]["title"] == "Weir"
    assert ben.root_discovery()["response"]["versions"] == [MEDIA]
    listed = ben.collection_request()["response"]["collections"]
    holding = next(one for one in listed if one["alias"] == "holding")
    assert ben.collection_data_request(holding["id"])["response"] == holding
    polled: list[dict[str, Any]] = []
    following = None
    while True:
        page = ben.poll_request(holding["id"], limit=5, next=following, object_type="indicator")
        assert page["status_code"] == 200
        polled += page["response"]["objects"]
        following = page["response"].get("next")
        if following is None:
            break
    assert polled == ranges(running)
    one = ben.poll_request(holding["id"], object_id=polled[0]["id"])
    assert one["response"]["objects"] == [polled[0]]
    ana = cytaxii2.cytaxii2(url, "any", running.secrets["Aurora"])
    inbox = next(
        one
        for one in ana.collection_request()["response"]["collections"]
        if one["alias"] == "inbox-forum"
    )
    bundle = stix2.Bundle(stix2.IPv4Address(value="203.0.113.77")).serialize()
    posted = ana.inbox_request(inbox["id"], bundle)
    assert (posted["status_code"], posted["response"]["total_count"]) == (202, 1)


def test_cytaxii2_reads_what_is_refused(running: Running) -> None:
    url = f"{running.base_url}/taxii2/"
    stranger = cytaxii2.cytaxii2(url, "any", "nothing")
    refused = stranger.discovery_request()
    assert (refused["status_code"], refused["response"]["http_status"]) == (401, "401")
    ben = cytaxii2.cytaxii2(url, "any", running.secrets["Borealis"])
    nowhere = ben.poll_request(str(uuid4()))
    assert (nowhere["status_code"], nowhere["response"]["http_status"]) == (404, "404")
    bad = ben.poll_request("holding", limit=0)
    assert (bad["status_code"], bad["response"]["error_code"]) == (400, "query.malformed")


# --- stix2 ---------------------------------------------------------------------------------------


def test_stix2_gets_all_versions_and_queries_with_filters(
    running: Running, given: list[dict[str, Any]]
) -> None:
    source = stix2.TAXIICollectionSource(of(running, "Borealis", "holding"), items_per_page=7)
    found = source.query([stix2.Filter("type", "=", "indicator")])
    assert {one.id for one in found} == {one["id"] for one in ranges(running)}
    twice = ranges(running, "&match[version]=all")
    renewed = next(one["id"] for one in twice if [x["id"] for x in twice].count(one["id"]) == 2)
    newest = source.get(renewed)
    assert newest is not None
    versions = source.all_versions(renewed)
    assert len(versions) == 2
    assert max(one.modified for one in versions) == newest.modified
    exact = source.query(
        [
            stix2.Filter("id", "=", renewed),
            stix2.Filter("version", "=", "first"),
            stix2.Filter("pattern_type", "=", "stix"),  # the client's own sieve
        ]
    )
    assert [one.modified for one in exact] == [min(one.modified for one in versions)]
    assert source.get("indicator--00000000-0000-4000-8000-000000000000") is None
    several = source.query([stix2.Filter("type", "=", ["indicator", "marking-definition"])])
    assert {one.type for one in several} == {"indicator", "marking-definition"}
    assert source.query([stix2.Filter("type", "=", "malware")]) == []


def test_stix2_adds_through_a_sink_and_ana_reads_it_back(running: Running) -> None:
    made = stix2.IPv4Address(value="203.0.113.78")
    stix2.TAXIICollectionSink(of(running, "Aurora", "inbox-forum")).add(made)
    own = stix2.TAXIICollectionSource(of(running, "Aurora", "own"))
    wait_for("read back", lambda: own.get(made.id) is not None)
    assert own.get(made.id) == made


# --- habits of other clients ---------------------------------------------------------------------


def test_each_scheme_is_taken_in_any_case(running: Running) -> None:
    secret = running.secrets["Borealis"]
    pair = b64encode(f"any:{secret}".encode()).decode()
    for value in (f"basic {pair}", f"Basic {pair}", f"Bearer {secret}", f"Token {secret}"):
        for path in ("/taxii2/", "/taxii2"):
            answer = ask(running, path, Authorization=value)
            assert (answer.status, answer.headers["Content-Type"]) == (200, MEDIA)


ROUNDS, SIZE = 6, 5


def test_two_overlapping_contributions_and_pollers_lose_nothing(running: Running) -> None:
    """Two contribute at once, body after body; one poller goes by `next`, one by `added_after`."""
    stop = threading.Event()
    wanted = 2 * ROUNDS * SIZE
    with ThreadPoolExecutor(4) as pool:
        pollers = [pool.submit(poll, running, step, stop) for step in (by_next, by_added_after)]
        try:
            senders = [pool.submit(contribute, running, number) for number in (100, 101)]
            for sender in senders:
                sender.result()
            wait_for("released", lambda: len(mine(running)) >= wanted)
        finally:
            stop.set()
        walks = [poller.result() for poller in pollers]
    held = mine(running)
    assert len(held) == wanted
    for seen in walks:
        assert len(set(seen)) == len(seen)
        assert held <= set(seen)


def contribute(running: Running, number: int) -> None:
    """Many small bodies, each a transaction of its own."""
    for n in range(ROUNDS):
        nets = [f"10.{number}.{n}.{16 * m}/28" for m in range(SIZE)]
        running.contribute([sharing.range_indicator(net) for net in nets])


def poll(running: Running, step: Callable[[Answer], str], stop: threading.Event) -> list[str]:
    """The ids of all that comes, in small pages, until told to stop and then to the end."""
    seen: list[str] = []
    query, is_last, secret = "", False, running.secrets["Borealis"]
    while True:
        answer = ask(running, f"{HOLDING}?limit=3{query}", Authorization=f"Bearer {secret}")
        assert answer.status == 200
        page = json.loads(answer.body)
        seen += [one["id"] for one in page.get("objects", [])]
        query = step(answer) or query
        if page.get("more"):
            continue
        if is_last:
            return seen
        is_last = stop.is_set()


def by_added_after(answer: Answer) -> str:
    """Go on behind the last date."""
    last = answer.headers.get("X-TAXII-Date-Added-Last")
    return f"&added_after={last}" if last else ""


def by_next(answer: Answer) -> str:
    """Go on by `next`; behind the last date where there is none, as OpenCTI does."""
    following = json.loads(answer.body).get("next")
    return f"&next={following}" if following else by_added_after(answer)


def mine(running: Running) -> set[str]:
    """The ids of the ranges that the two contributors sent, as Borealis holds them."""
    return {one["id"] for one in ranges(running) if "value = '10.1" in one["pattern"]}


def test_no_process_ended_by_itself(running: Running) -> None:
    assert running.supervisor.deaths() == ()
