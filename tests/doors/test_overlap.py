"""Two contribute much at once and a third polls: nothing is lost, double or out of order."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from exchange import contribute
from tests.running import Running, exchange, wait_for
from tests.shell import sharing

ROUNDS = 2
LARGE = 4 * contribute.QUICK
SMALL = 5
PAGE = 150
INBOX = "/taxii2/forum/collections/inbox-forum/objects/"
HOLDING = "/taxii2/forum/collections/holding/objects/"
MEDIA = "application/taxii+json;version=2.1"
HANDS = {"Aurora": 100, "Borealis": 101}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with exchange(tmp_path_factory.mktemp("overlap")) as found:
        yield found


def networks(lab: str, number: int, count: int) -> list[str]:
    """So many networks that nobody else and no other body has."""
    return [f"10.{HANDS[lab]}.{number}.{n}" for n in range(count // 2)] + [
        f"10.{HANDS[lab]}.{number + 100}.{n}" for n in range(count - count // 2)
    ]


def send(running: Running, lab: str) -> list[str]:
    """Large bodies and small ones in turn, each as soon as the last was answered; their marks.

    Half of each leaves at once, half with the next window.
    """
    marks = []
    for number in range(2 * ROUNDS):
        mine = networks(lab, number, SMALL if number % 2 else LARGE)
        objects = []
        for n, value in enumerate(mine):
            make = sharing.range_indicator
            given = {} if n % 2 else {"extensions": sharing.context("egress-range", "S2")}
            objects.append(make(value, **given))
        status, answer = running.post(INBOX, json.dumps({"objects": objects}).encode(), by=lab)
        assert status == 202, answer
        marks += mine
    return marks


def walk(running: Running, follow: str, over: threading.Event) -> list[dict[str, Any]]:
    """All that Cleo's machine gets, by `added_after` or by `next`, until it is over and no more."""
    parts = urlsplit(running.base_url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Accept": MEDIA, "Authorization": f"Bearer {running.secrets['Cirrus']}"}
    seen: list[dict[str, Any]] = []
    query = ""
    while True:
        is_last = over.is_set()
        connection.request("GET", f"{HOLDING}?limit={PAGE}{query}", headers=headers)
        answer = connection.getresponse()
        page = json.loads(answer.read())
        assert answer.status == 200, page
        seen += page.get("objects", [])
        if follow == "next" and page.get("more"):
            query = f"&next={page['next']}"
            continue
        if answer.headers["X-TAXII-Date-Added-Last"]:
            query = f"&added_after={answer.headers['X-TAXII-Date-Added-Last']}"
        if is_last and not page.get("more"):
            connection.close()
            return seen


def marks_of(objects: list[dict[str, Any]]) -> list[str]:
    """The networks in them that were sent here, in their order."""
    patterns = [one["pattern"] for one in objects if one["type"] == "indicator"]
    return [pattern.split("'")[1] for pattern in patterns if "'10.10" in pattern]


def test_two_large_contributions_at_the_same_time_and_a_poller_lose_nothing(
    running: Running,
) -> None:
    """Three processes take in, and what one of them began first may be committed last."""
    over = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        poller = pool.submit(walk, running, "added_after", over)
        try:
            senders = [pool.submit(send, running, lab) for lab in HANDS]
            sent = [mark for sender in senders for mark in sender.result()]
            at_end = threading.Event()
            at_end.set()
            wait_for(
                "everything released",
                lambda: len(marks_of(walk(running, "next", at_end))) >= len(sent),
            )
        finally:
            over.set()
        polled = poller.result()
    assert len(sent) == 2 * ROUNDS * (LARGE + SMALL)
    assert sorted(marks_of(polled)) == sorted(sent)
    # In the order in which whoever comes later is given them.
    held = walk(running, "next", at_end)
    assert [one["id"] for one in polled] == [one["id"] for one in held]
    assert running.supervisor.deaths() == ()
