"""Sealed pages behind nginx: as without it in all that a client sees, and nothing else is open."""

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from exchange.management import processes, proxy
from exchange.management.processes import Program
from tests.running import Running, exchange, free_port, wait_for
from tests.shell import sharing

OBJECTS = "/taxii2/forum/collections/holding/objects/"
# What tells of the server and not of the page.
OWN_WORDS = {"server", "date", "connection", "transfer-encoding"}


class Answer(NamedTuple):
    """An answer as it came over the socket."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Site:
    """One exchange with two front doors: its web server, and nginx before another one.

    Before the same stands an nginx that finds no file of any page.
    """

    running: Running
    proxied: int
    bare: int

    @property
    def direct(self) -> int:
        return urlsplit(self.running.base_url).port or 80

    def ask(self, port: int, path: str, *, by: str = "Borealis", **headers: str) -> Answer:
        """One GET with these headers and no others."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if by:
            given["Authorization"] = f"Bearer {self.running.secrets[by]}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", path, headers=given)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def both(self, path: str, *, by: str = "Borealis", **headers: str) -> tuple[Answer, Answer]:
        """The same request at both doors."""
        return (
            self.ask(self.direct, path, by=by, **headers),
            self.ask(self.proxied, path, by=by, **headers),
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    room = tmp_path_factory.mktemp("nginx")
    with exchange(room) as running:
        behind, proxied, bare = free_port(), free_port(), free_port()
        env = {**running.env, "SEALED_LOCATION": "/sealed/"}
        web = processes.web(env, room / "log", bind=f"127.0.0.1:{behind}")
        nginx = proxy.program(room / "nginx", env, port=proxied, upstream=f"127.0.0.1:{behind}")
        nowhere = {**env, "SEALED_DIR": str(room / "nothing")}
        blind = proxy.program(room / "blind", nowhere, port=bare, upstream=f"127.0.0.1:{behind}")
        running.supervisor.start(
            Program("behind", web.argv, web.env, None),
            nginx,
            Program("blind", blind.argv, blind.env, None),
        )
        found = Site(running, proxied, bare)
        wait_for("nginx is there", lambda: is_there(found))
        nets = [f"10.{n // 250}.{n % 250}.0/24" for n in range(1_000)]
        running.contribute([sharing.range_indicator(net) for net in nets])
        page = f"{OBJECTS}?limit=1000"
        wait_for("a full page", lambda: b'{"more"' in running.get(page, by="Borealis")[1][:9])
        yield found


def shown(answer: Answer) -> dict[str, list[str]]:
    """The headers that tell of a page; the order inside of a policy says nothing."""
    told = {name: value for name, value in answer.headers.items() if name not in OWN_WORDS}
    return {name: sorted(value.split("; ")) for name, value in told.items()}


def is_there(site: Site) -> bool:
    """Whether both servers answer through nginx."""
    try:
        return site.ask(site.proxied, "/healthz", by="").status == 200
    except OSError:
        return False


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd", "gzip;q=0.5, identity;q=0.1"])
def test_a_sealed_page_has_the_same_headers_and_bytes(site: Site, encoding: str) -> None:
    site.both(f"{OBJECTS}?limit=1000", Accept_Encoding=encoding)  # made by whoever comes first
    direct, proxied = site.both(f"{OBJECTS}?limit=1000", Accept_Encoding=encoding)
    assert (direct.status, proxied.status) == (200, 200)
    assert "etag" in direct.headers
    assert proxied.body == direct.body
    assert shown(proxied) == shown(direct)


@pytest.mark.parametrize(
    "path",
    [
        f"{OBJECTS}?limit=2",
        f"{OBJECTS}?match[type]=indicator&limit=5",
        f"{OBJECTS}?limit=0",
        f"{OBJECTS}x/",
        "/taxii2/",
        "/taxii2/nothing/",
        "/taxii2/forum/collections/holding/manifest/?limit=3",
    ],
)
def test_all_else_is_passed_on_as_it_is(site: Site, path: str) -> None:
    direct, proxied = site.both(path)
    assert (proxied.status, proxied.body) == (direct.status, direct.body)
    assert shown(proxied) == shown(direct)


def test_an_unchanged_page_is_304_at_both_doors(site: Site) -> None:
    tag = site.ask(site.direct, f"{OBJECTS}?limit=1000").headers["etag"]
    for answer in site.both(f"{OBJECTS}?limit=1000", If_None_Match=tag):
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)


def test_a_part_of_a_page_is_not_to_be_had(site: Site) -> None:
    for answer in site.both(f"{OBJECTS}?limit=1000", Range="bytes=0-10"):
        assert (answer.status, "accept-ranges" in answer.headers) == (200, False)
        json.loads(answer.body)


def test_the_files_cannot_be_asked_for_from_outside(site: Site) -> None:
    site.ask(site.proxied, f"{OBJECTS}?limit=1000")
    folder = site.running.room / "sealed"
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*.json*")]
    assert files
    for name in files[:4]:
        for path in (
            f"/sealed/{name}",
            f"//sealed/{name}",
            f"/taxii2/../sealed/{name}",
            f"/taxii2/..%2fsealed/{name}",
            f"/%73ealed/{name}",
            f"/sealed/./{name}",
        ):
            for by in ("", "Borealis"):
                answer = site.ask(site.proxied, path, by=by)
                assert answer.status in (400, 404), path
                assert b'"objects"' not in answer.body


def test_who_may_read_is_checked_for_each_request(site: Site) -> None:
    page = f"{OBJECTS}?limit=1000"
    tag = site.ask(site.proxied, page).headers["etag"]
    for headers in ({}, {"If_None_Match": tag}, {"X_Accel_Redirect": "/sealed/"}):
        direct, proxied = site.both(page, by="", **headers)
        assert (proxied.status, proxied.body) == (401, direct.body)
        assert "x-accel-redirect" not in proxied.headers


def test_a_page_that_went_in_this_moment_is_to_be_asked_for_again(site: Site) -> None:
    answer = site.ask(site.bare, f"{OBJECTS}?limit=1000")
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/taxii+json;version=2.1"
    assert answer.headers["retry-after"] == "1"
    assert json.loads(answer.body)["http_status"] == "503"
    # Not from outside: nobody gets there but by a page that Django let through.
    assert site.ask(site.bare, "/sealed/x.json").status == 404


def test_no_process_ended_by_itself(site: Site) -> None:
    assert site.running.supervisor.deaths() == ()
