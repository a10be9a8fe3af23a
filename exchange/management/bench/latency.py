"""From the POST of one object to the moment at which a recipient can read it, under steady load."""

import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import orjson
from django.db import connection

from exchange.management import processes
from exchange.management.bench import forum, machine, material, taxii
from exchange.management.bench.report import Report
from exchange.management.processes import ProcessFailed, Supervisor
from indicators.models import Contribution
from members import credentials, onboarding
from members.auth import principal_of
from members.credentials import Wanted
from members.models import Member

TIMES = 200
MEMBERS = 100
OTHERS = 20  # contributions in a second beside what is measured, from as many hands as POSTING
POSTING = 4
GAP = 1.0  # seconds between two that are measured, half more or less
PAUSE = 0.01  # between two looks of the recipient
PATIENCE = 60.0
MOST_BEHIND = 2.0  # seconds: more would mean that more comes in than is taken in
TYPICAL, LONGEST = 0.2, 1.0
_PARTS = ("web", "quick", "worker", "courier", "beat", "sequencer")


@dataclass(frozen=True, slots=True)
class Place:
    """A whole exchange that runs, and the secrets of those who speak to it."""

    port: int
    supervisor: Supervisor
    measured: str
    others: tuple[str, ...]
    reader: str
    inbox: str

    def seconds(self) -> dict[str, float]:
        """The seconds of a core that each part has used."""
        found = {name: machine.cpu(machine.family([self.supervisor.pid(name)])) for name in _PARTS}
        return found | {"PostgreSQL": machine.cpu(machine.family([machine.postmaster()]))}


def run(sizes: Sequence[int], report: Report) -> None:
    """Post one at a time while others contribute, and look for each as a recipient does."""
    times = (sizes or (TIMES,))[0]
    now = datetime.now(UTC)
    forum.found(now=now)
    where = forum.circle("Bench", MEMBERS, contributors=1 + POSTING, now=now)
    with _running(where) as place:
        with _others(place) as posted:
            _visible(place, 5)  # everything is loaded and connected
            report.title(f"One S1 object to {MEMBERS} members, {OTHERS} others in a second")
            before, sent, begun = place.seconds(), posted(), time.perf_counter()
            found = sorted(_visible(place, times))
            took = time.perf_counter() - begun
            after, sent = place.seconds(), posted() - sent
            waiting = Contribution.objects.filter(state="pending").count()
        if place.supervisor.deaths():
            raise ProcessFailed(str(place.supervisor.deaths()[0]))
    _say(report, found)
    spent = {name: after[name] - before[name] for name in after}
    shares = ", ".join(f"{name} {seconds / took:.0%}" for name, seconds in spent.items())
    each = sum(spent.values()) / (sent + times)
    report.rate(
        "others, posted meanwhile", sent / took, beside=f"{waiting} not taken in at the end"
    )
    report.time("computed for each contribution, in all", each, beside=f"of a core: {shares}")
    report.time(
        "not yet taken in at the end, as time of the others",
        waiting / OTHERS,
        beside=f"{waiting} contributions",
        at_most=MOST_BEHIND,
    )


def _say(report: Report, found: Sequence[float]) -> None:
    middle, late = found[len(found) // 2], found[len(found) * 99 // 100]
    beside = f"{len(found)} times, the longest {found[-1] * 1000:,.0f} ms"
    report.time("posted to visible, p50", middle, beside=beside, at_most=TYPICAL)
    report.time("posted to visible, p99", late, beside=beside, at_most=LONGEST)


def _visible(place: Place, times: int) -> list[float]:
    """How long each took from the first byte of its POST to the page on which it stands."""
    draw = random.SystemRandom()
    contributor = taxii.Client(place.port, place.measured)
    reader = taxii.Client(place.port, place.reader)
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    found = []
    for obj, mark in _ranges(times, draw):
        time.sleep(GAP * (0.5 + draw.random()))
        reader.connection.close()
        start = time.perf_counter()
        _post(contributor, place.inbox, obj)
        while True:
            body, answer = reader.get(f"{taxii.OBJECTS}?added_after={since}")
            since = answer.headers["X-TAXII-Date-Added-Last"] or since
            if mark in body:
                break
            if time.perf_counter() - start > PATIENCE:
                raise ProcessFailed(f"nothing to be seen after {PATIENCE:.0f} s")
            time.sleep(PAUSE)
        found.append(time.perf_counter() - start)
    return found


def _post(one: taxii.Client, path: str, obj: dict[str, Any]) -> None:
    body = orjson.dumps({"objects": [obj]})
    one.connection.close()  # the server ends what is idle: each comes on a connection of its own
    one.connection.request("POST", path, body, {**one.headers, "Content-Type": taxii.MEDIA})
    answer = one.connection.getresponse()
    answer.read()
    if answer.status != 202:
        raise ProcessFailed(f"a contribution was answered with {answer.status}")


def _ranges(times: int, draw: random.SystemRandom) -> Iterator[tuple[dict[str, Any], bytes]]:
    """S1 objects, each with a network that no other has."""
    for obj in material.indicators(3 * times, seed=draw.getrandbits(32), text=material.LONG)[::3]:
        high, low = draw.randrange(256), draw.randrange(256)
        network = f"10.{draw.randrange(256)}.{high}.{low & 0xF0}/28"
        yield obj | {"pattern": f"[ipv4-addr:value = '{network}']"}, network.encode()


@contextmanager
def _others(place: Place) -> Iterator[Any]:
    """So many contributions of one S2 object in a second, from a process of their own."""
    fork = get_context("fork")
    over, posted = fork.Event(), fork.Value("q", 0)
    connection.close()
    child = fork.Process(target=_post_all, args=(place, over, posted))
    child.start()
    try:
        yield lambda: posted.value
    finally:
        over.set()
        child.join()
    if child.exitcode:
        raise ProcessFailed("the others could not contribute")


def _post_all(place: Place, over: Event, posted: Any) -> None:  # noqa: ANN401 - a synchronized int
    start, failed = time.perf_counter(), []

    def post_on(number: int) -> None:
        one = taxii.Client(place.port, place.others[number])
        for step in count():
            (obj,) = material.indicators(2, seed=POSTING * step + number, text=material.LONG)[1:]
            due = start + (POSTING * step + number) / OTHERS
            if over.wait(max(0.0, due - time.perf_counter())):
                return
            try:
                _post(one, place.inbox, obj)
            except (OSError, ProcessFailed) as error:
                failed.append(error)
                return
            with posted.get_lock():
                posted.value += 1

    threads = [Thread(target=post_on, args=(number,)) for number in range(POSTING)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(len(failed))


@contextmanager
def _running(where: forum.Forum) -> Iterator[Place]:
    """Every process of an exchange, as an operator starts them."""
    port = machine.free_port()
    writers = where.labs[: 3 * (1 + POSTING) : 3]
    secrets = [_secret(lab) for lab in (*writers, where.labs[1])]
    with TemporaryDirectory(prefix="weir-bench-") as folder:
        log = Path(folder) / "log"
        with Supervisor(log) as supervisor:
            env = {**os.environ, "ALLOWED_HOSTS": "127.0.0.1"}
            supervisor.start(*processes.exchange(env, log, bind=f"127.0.0.1:{port}"))
            supervisor.wait_ready()
            inbox = f"/taxii2/forum/collections/inbox-{where.circle.slug}/objects/"
            yield Place(port, supervisor, secrets[0], tuple(secrets[1:-1]), secrets[-1], inbox)


def _secret(lab: Member) -> str:
    address = f"{lab.slug}@bench.example"
    person = onboarding.create_person(onboarding.Person(address, "Machine", ("analyst",), lab))
    scopes = ("taxii-read", "taxii-write")
    return credentials.mint(principal_of(person), Wanted("bench", scopes), now=datetime.now(UTC))[1]
