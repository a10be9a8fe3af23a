"""A whole exchange of real processes for one test module; tests speak to it over HTTP only."""

import atexit
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exchange.management import environment, processes, services
from exchange.management.demo import receiver
from exchange.management.processes import Program, Supervisor

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0
SEED = b"a whole exchange, for one module"
HOOKS = ("borealis", "ember")
NONE_GIVEN = {"DATABASE_URL": "", "REDIS_URL": ""}


@dataclass(frozen=True, slots=True)
class Running:
    """Where the parts are, and how to speak to them."""

    room: Path
    env: dict[str, str]
    base_url: str
    hooks: str
    supervisor: Supervisor
    secrets: dict[str, str]

    def get(self, path: str, *, by: str = "", accept: str = "") -> tuple[int, bytes]:
        """One GET, with somebody's credential."""
        return self._ask("GET", path, None, by=by, media=accept)

    def post(self, path: str, body: bytes, *, by: str) -> tuple[int, bytes]:
        """One TAXII POST."""
        media = "application/taxii+json;version=2.1"
        return self._ask("POST", path, body, by=by, media=media)

    def _ask(
        self, method: str, path: str, body: bytes | None, *, by: str, media: str
    ) -> tuple[int, bytes]:
        parts = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        headers = {"Accept": media} if media else {}
        if body is not None:
            headers["Content-Type"] = media
        if by:
            headers["Authorization"] = f"Bearer {self.secrets[by]}"
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def contribute(self, objects: list[dict[str, Any]], *, alias: str = "inbox-forum") -> str:
        """Aurora contributes over TAXII; the id of the status."""
        body = json.dumps({"objects": objects}).encode()
        path = f"/taxii2/forum/collections/{alias}/objects/"
        status, answer = self.post(path, body, by="Aurora")
        assert status == 202, answer
        return str(json.loads(answer)["id"])

    def state_of(self, contribution: str) -> dict[str, Any]:
        """The status resource."""
        _, answer = self.get(f"/taxii2/forum/status/{contribution}/", by="Aurora")
        found: dict[str, Any] = json.loads(answer)
        return found

    def pushed(self, name: str) -> list[dict[str, Any]]:
        """What the receiver of a member verified, in the order of arrival."""
        path = self.room / "received" / f"{name}.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def bundles(self, name: str) -> dict[str, tuple[bytes, str]]:
        """The pushed bundles with their manifests, by bundle id."""
        folder = self.room / "received" / name
        return {
            path.stem: (path.read_bytes(), path.with_suffix(".jws").read_text(encoding="ascii"))
            for path in sorted(folder.glob("*.json"))
        }


def wait_for(what: str, is_true: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Ask until it is so; the deadline is for a broken exchange, not a measure of speed."""
    limit = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > limit:
            raise AssertionError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.1)


def environment_of(room: Path, port: int, hook_port: int) -> dict[str, str]:
    """Every setting of this exchange."""
    env = environment.complete(
        SEED,
        base_url=f"http://127.0.0.1:{port}",
        directory=room,
        addresses=services.addresses(room, NONE_GIVEN),
    )
    certificate = receiver.make_certificate(room / "received", now=datetime.now(UTC))
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | env | {"OUTBOUND_EXEMPT": f"127.0.0.1:{hook_port}={certificate}"}


@cache
def migrated() -> Path:
    """A database with the tables of today and nothing in it, made once for a run of the tests."""
    room = Path(tempfile.mkdtemp(prefix="weir-migrated-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    with services.running(room, durable=False, given=NONE_GIVEN):
        manage(environment_of(room, 0, 0), "migrate", "--verbosity=0", "--skip-checks")
    return room


@contextmanager
def exchange(room: Path, more: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Services, processes and the forum of the cast; windows open every second.

    `more` is added to the environment of every process.
    """
    port, hook_port = free_port(), free_port()
    env = environment_of(room, port, hook_port) | dict(more or {})
    is_migrated = services.copy_database(migrated(), room)
    with services.running(room, durable=True, given=NONE_GIVEN):
        if not is_migrated:
            manage(env, "migrate", "--verbosity=0", "--skip-checks")
        with Supervisor(room / "log") as supervisor:
            hooks = f"https://127.0.0.1:{hook_port}"
            start(supervisor, env, room, port, hook_port)
            founded = program(env, "found", hooks)
            running = Running(room, env, env["WEIR_BASE_URL"], hooks, supervisor, founded)
            wait_for("both webhooks verified", lambda: all(running.pushed(one) for one in HOOKS))
            yield running


def start(
    supervisor: Supervisor, env: dict[str, str], room: Path, port: int, hook_port: int
) -> None:
    """The receiver and the exchange's own processes."""
    argv = (sys.executable, "-m", "exchange.management.demo.receiver")
    public = {name: env[name] for name in env if "KEY" not in name and "SIGNER" not in name}

    def is_ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", hook_port)) == 0

    hook = (*argv, str(room / "received"), str(hook_port), env["WEIR_BASE_URL"], *HOOKS)
    supervisor.start(
        Program("receiver", hook, public, is_ready),
        *processes.exchange(env, room / "log", bind=f"127.0.0.1:{port}"),
    )
    supervisor.wait_ready(seconds=PATIENCE)


def manage(env: dict[str, str], *arguments: str) -> None:
    """A management command with the owner's rights."""
    argv = [sys.executable, "manage.py", *arguments]
    subprocess.run(argv, env=env, cwd=ROOT, check=True, capture_output=True)


def program(env: dict[str, str], *arguments: str) -> dict[str, Any]:
    """What a test asks of the exchange's database, in a process of its own."""
    argv = [sys.executable, "-m", "tests.running_program", *arguments]
    done = subprocess.run(argv, env=env, cwd=ROOT, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
