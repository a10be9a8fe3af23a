"""What a TAXII client gets: walks, polls and single objects, beside the pages as plain files."""

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from django.conf import settings

from exchange.management import processes, proxy
from exchange.management.bench import holding, machine
from exchange.management.bench.report import Report
from exchange.management.processes import Supervisor

SIZES = (100_000,)
PAGE = 1_000
ROUNDS = 5
POLLS = 2_000
CLIENTS = 8
MEDIA = "application/taxii+json;version=2.1"
OBJECTS = "/taxii2/forum/collections/holding/objects/"
PLAIN = "/static-pages/"


@dataclass(frozen=True, slots=True)
class Site:
    """An exchange on this machine: the proxy's port, the web server's, and the asker's secret."""

    proxied: int
    direct: int
    secret: str
    room: Path
    pids: Callable[[], list[int]]

    def client(self, port: int) -> "Client":
        """A kept connection."""
        return Client(port, self.secret)


class Client:
    """One kept connection to a server, with a credential."""

    def __init__(self, port: int, secret: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = {"Accept": MEDIA, "Authorization": f"Bearer {secret}"}

    def get(self, path: str) -> tuple[bytes, http.client.HTTPResponse]:
        """The body of one GET; anything but 200 ends the benchmark."""
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise processes.ProcessFailed(f"{path} answered {answer.status}")
        return body, answer


@dataclass(frozen=True, slots=True)
class Walked:
    """One walk through a holding."""

    bodies: tuple[bytes, ...]
    objects: int
    seconds: float
    last: str

    @property
    def rate(self) -> float:
        """Pages in a second."""
        return len(self.bodies) / self.seconds


def run(sizes: Sequence[int], report: Report) -> None:
    """A holding read in every way."""
    count = (sizes or SIZES)[0]
    held = holding.fill(count, now=datetime.now(UTC))
    with running(held.secret) as site:
        report.title(f"{count:,} objects of {held.octets:,} octets, in pages of {PAGE:,}")
        walked = _walks(site, report)
        _crowd(site, report)
        _polls(site, walked.last, report)
        _single(site, walked, report)


def _walks(site: Site, report: Report) -> Walked:
    """The same pages as files from nginx, sealed behind nginx, and from Django alone.

    In turns, so that what else the machine does meets all three; each by its best time.
    """
    first = _walk(site.client(site.direct), keep=True)  # seals them
    pages = site.room / "pages"
    pages.mkdir()
    for number, body in enumerate(first.bodies):
        (pages / f"{number}.json").write_bytes(body)
    count = len(first.bodies)
    ways: dict[str, Callable[[], float]] = {
        "as files": lambda: _plain(site, count),
        "behind nginx": lambda: _walk(site.client(site.proxied)).rate,
        "Django alone": lambda: _walk(site.client(site.direct)).rate,
    }
    for way in ways.values():  # every process has read its code and made its plans
        way()
    rates: dict[str, float] = dict.fromkeys(ways, 0.0)
    cpus: dict[str, float] = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            before = machine.cpu(site.pids())
            rates[name] = max(rates[name], way())
            cpus[name] += (machine.cpu(site.pids()) - before) / ROUNDS / count
    plain = rates["as files"]
    beside = (
        f"{count} pages, parsed with orjson, {cpus['as files'] * 1000:.1f} ms of nginx's CPU each"
    )
    report.rate("pages as files from nginx", plain, beside=beside)
    for name, bar, most in (("behind nginx", 0.40, 0.004), ("Django alone", 0.15, 0.012)):
        beside = f"{rates[name]:,.0f} pages/s"
        report.share(f"sealed, {name}", rates[name] / plain, beside=beside, at_least=bar)
        beside = "web server, PostgreSQL, proxy"
        report.time(f"server CPU a page, {name}", cpus[name], beside=beside, at_most=most)
    return first


def _crowd(site: Site, report: Report) -> None:
    """Eight clients at once, each a process of its own."""
    start = time.perf_counter()
    given = [(site.proxied, site.secret)] * CLIENTS
    with ProcessPoolExecutor(CLIENTS, mp_context=get_context("fork")) as pool:
        pages = sum(pool.map(walk_pages, given))
    minutes = (time.perf_counter() - start) / 60
    beside = f"{pages} pages, no error"
    report.rate(
        f"{CLIENTS} clients, sealed pages",
        pages / minutes,
        beside=beside,
        at_least=5000,
        unit="min",
    )


def walk_pages(given: tuple[int, str]) -> int:
    """One client's walk; how many pages."""
    return len(_walk(Client(*given), seconds=15).bodies)


def _polls(site: Site, last: str, report: Report) -> None:
    path = f"{OBJECTS}?added_after={last}"
    _timed_calls(site, path, report, "nothing new")
    start = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        total = sum(pool.map(poll, [(site.direct, site.secret, path)] * 2))
    rate = total / (time.perf_counter() - start)
    report.rate("polls of 2 clients", rate, beside="2 workers", at_least=700)


def poll(given: tuple[int, str, str]) -> int:
    """One client that asks all the time."""
    port, secret, path = given
    one = Client(port, secret)
    for _ in range(POLLS):
        one.get(path)
    return POLLS


def _single(site: Site, walked: Walked, report: Report) -> None:
    ids = [str(orjson.loads(body)["objects"][7]["id"]) for body in walked.bodies[:50]]
    _timed_calls(site, f"{OBJECTS}{ids[len(ids) // 2]}/", report, "object by id")


def _timed_calls(site: Site, path: str, report: Report, name: str) -> None:
    one = site.client(site.direct)
    for _ in range(100):
        one.get(path)
    before, times = machine.cpu(site.pids()), []
    for _ in range(POLLS):
        start = time.perf_counter()
        one.get(path)
        times.append(time.perf_counter() - start)
    cpu = (machine.cpu(site.pids()) - before) / POLLS * 1000
    times.sort()
    beside = f"p99 {times[POLLS * 99 // 100] * 1000:.1f} ms, {cpu:.2f} ms of server CPU"
    report.time(f"{name}, p50", times[POLLS // 2], beside=beside, at_most=0.003)


def _plain(site: Site, count: int) -> float:
    one = site.client(site.proxied)
    start = time.perf_counter()
    for number in range(count):
        orjson.loads(one.get(f"{PLAIN}{number}.json")[0])
    return count / (time.perf_counter() - start)


def _walk(one: Client, *, seconds: float = 0, keep: bool = False) -> Walked:
    """To the end; with `seconds`, again and again until they are over.

    What is measured keeps no body: memory that is not used again would be asked for page by page.
    """
    start, bodies, objects, last = time.perf_counter(), [], 0, ""
    following = ""
    while True:
        body, answer = one.get(f"{OBJECTS}?limit={PAGE}{following}")
        found = orjson.loads(body)
        bodies.append(body if keep else b"")
        objects += len(found["objects"])
        last = answer.headers["X-TAXII-Date-Added-Last"] or ""
        following = f"&next={found['next']}" if found.get("more") else ""
        over = time.perf_counter() - start
        if not following and over >= seconds:
            return Walked(tuple(bodies), objects, over, last)


@contextmanager
def running(secret: str) -> Iterator[Site]:
    """A web server, the same behind nginx, and who asks them."""
    direct, proxied = machine.free_port(), machine.free_port()
    with TemporaryDirectory(prefix="weir-bench-") as folder:
        room = Path(folder)
        env = {**os.environ, "ALLOWED_HOSTS": "127.0.0.1", "SEALED_DIR": str(settings.SEALED_DIR)}
        with Supervisor(room / "log") as supervisor:
            web = processes.web(env, room / "log", bind=f"127.0.0.1:{direct}")
            # The same again for the proxy, which sends the files itself.
            behind = f"unix:{room}/web.sock"
            other = processes.web({**env, "SEALED_LOCATION": "/sealed/"}, room / "log", bind=behind)
            nginx = proxy.program(room, env, port=proxied, upstream=behind)
            supervisor.start(web, processes.Program("behind", other.argv, other.env, None), nginx)
            supervisor.wait_ready()
            time.sleep(2)
            roots = [supervisor.pid(name) for name in ("web", "behind", "nginx")]
            yield Site(
                proxied,
                direct,
                secret,
                room,
                lambda: machine.family([*roots, machine.postmaster()]),
            )
