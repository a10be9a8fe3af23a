"""Kill the sequencer and PostgreSQL at random points, and see that one whole log is left.

    .venv/bin/python -m tests.crash [KILLS]

On a PostgreSQL of its own, with durability on. Writers go on all the time; at the end every release
that was committed is in the log once, and whatever was ever signed is the beginning of it.
"""

import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import django
import psycopg

from exchange.management import environment, processes, services
from exchange.management.processes import ProcessFailed, Supervisor, wait_until

KILLS = 200
WRITERS = 3
PATIENCE = 120.0
# The broker is away all the time: what is lost of it are hints.
GIVEN = {"DATABASE_URL": "", "REDIS_URL": "redis://127.0.0.1:1/0"}


class Server:
    """A durable PostgreSQL that can be killed and started again in its folder."""

    def __init__(self, room: Path) -> None:
        self._room = room
        self._stack = ExitStack()

    def start(self) -> None:
        """Until it takes connections; backends of the one before may still have to end."""
        for attempt in range(20):
            try:
                self._stack.enter_context(services.running(self._room, durable=True, given=GIVEN))
                return
            except ProcessFailed:
                if attempt == 19:
                    raise
                time.sleep(0.5)

    def kill(self) -> None:
        """SIGKILL for the postmaster, and the start after it with its recovery."""
        pid_file = self._room / "postgres" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        self.stop()
        self.start()

    def stop(self) -> None:
        """What was started is no more."""
        self._stack.close()

    def kill_backend(self, dice: random.Random) -> None:
        """SIGKILL for one of its connections: PostgreSQL throws all out and recovers."""
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
            ).fetchall()
        if rows:
            os.kill(dice.choice(rows)[0], signal.SIGKILL)


def main(kills: int) -> None:
    """All of it in a room of its own, which is thrown away."""
    with tempfile.TemporaryDirectory(prefix="weir-crash-") as folder:
        room = Path(folder)
        os.environ |= environment.complete(
            secrets.token_bytes(32),
            base_url="http://127.0.0.1",
            directory=room,
            addresses=services.addresses(room, GIVEN),
        )
        django.setup()
        server = Server(room)
        server.start()
        try:
            _run(room, server, kills)
        finally:
            server.stop()


def _run(room: Path, server: Server, kills: int) -> None:
    from django.core.management import call_command  # noqa: PLC0415 - after the environment is set

    from tests.shell import crashing  # noqa: PLC0415

    call_command("migrate", verbosity=0, skip_checks=True)
    writing = crashing.Writing(WRITERS)
    signed: dict[int, str] = {}
    dice = random.Random()  # noqa: S311 - no secret
    started = time.monotonic()
    with Supervisor(room / "log") as supervisor:
        _start(supervisor, "one")
        _start(supervisor, "two")
        writing.start()
        for _ in range(kills):
            # Mostly at work, now and then while everything is still starting.
            if dice.random() < 0.7:
                _wait_for_more(room, signed)
            time.sleep(dice.random() * 0.3)
            _seen(room, signed)
            _kill(supervisor, server, dice)
        writing.stop()
        try:
            is_whole = _patient(crashing.is_published)
        finally:
            deaths = supervisor.deaths()
        if deaths or not is_whole:
            raise SystemExit(f"{deaths} {processes.last_lines(supervisor.log_of('one'))}")
        crashing.keep_signed(room / "ledger", signed)
        size = crashing.check_all(writing, signed)
    took = time.monotonic() - started
    sys.stdout.write(
        f"{kills} kills in {took:.0f} s: {size} entries, {len(writing.wrote)} parts of releases "
        f"committed, {len(signed)} heads seen; one log, nothing twice, nothing left out.\n"
    )


def _wait_for_more(room: Path, signed: dict[int, str]) -> None:
    before = len(signed)
    wait_until(lambda: len(_seen(room, signed)) > before, seconds=15)


def _seen(room: Path, signed: dict[int, str]) -> dict[int, str]:
    from tests.shell import crashing  # noqa: PLC0415

    crashing.keep_signed(room / "ledger", signed)
    return signed


def _start(supervisor: Supervisor, name: str) -> None:
    program = processes.sequencer(dict(os.environ))
    supervisor.start(processes.Program(name, program.argv, program.env))


def _kill(supervisor: Supervisor, server: Server, dice: random.Random) -> None:
    victim = dice.choice(("sequencer", "sequencer", "postmaster", "backend"))
    if victim == "sequencer":
        name = dice.choice(("one", "two"))
        supervisor.kill(name)
        _start(supervisor, name)
    elif victim == "postmaster":
        server.kill()
    else:
        try:
            server.kill_backend(dice)
        except psycopg.Error:  # it still recovers from the one before
            time.sleep(0.2)


def _patient(is_true: Callable[[], bool]) -> bool:
    from django.db import connection  # noqa: PLC0415
    from django.db.utils import Error  # noqa: PLC0415

    def asked() -> bool:
        try:
            return is_true()
        except Error:
            connection.close()
            return False

    return wait_until(asked, seconds=PATIENCE)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
