"""`manage.py demo`: the main job on real parts, told as it happens."""

import http.client
import io
import os
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes
from typing import Any
from urllib.parse import urlsplit

from django.core.management import execute_from_command_line
from django.core.management.base import BaseCommand, CommandError

from exchange.management import environment, processes, services
from exchange.management.demo import receiver

ROOT = Path(__file__).resolve().parents[3]
SUBSCRIBED = ("borealis", "ember")
PORT, HOOK_PORT = 8000, 8443


class Command(BaseCommand):
    """Start everything, tell the story, stay up until Ctrl-C."""

    help = "Run the whole exchange here, and watch one campaign go through it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What a newcomer may want to change."""
        parser.add_argument("--bundle", help="contribute this STIX file instead of the campaign")
        parser.add_argument("--port", type=int, help=f"of the web pages, {PORT} if not said")
        parser.add_argument("--dir", default=str(ROOT / ".weir"), help="where all data is kept")
        parser.add_argument("--once", action="store_true", help="end when the story is told")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """Services, then processes, then the story; Ctrl-C ends all of them in order."""
        # A shell without job control starts its background with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        started = time.monotonic()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # told as it happens, into a file too
        room = Path(options["dir"]).resolve()
        room.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_file(options["bundle"])
        try:
            with processes.ending_on_signals(), services.running(room) as addresses:
                self._run(room, addresses, options, started)
        except KeyboardInterrupt:
            self.stdout.write("\nStopped: every process that the demo started has ended.")
        except processes.ProcessFailed as failed:
            raise CommandError(str(failed)) from None

    def _run(
        self,
        room: Path,
        addresses: dict[str, str],
        options: dict[str, Any],
        started: float,
    ) -> None:
        port = _kept_port(room, options["port"])
        base_url = f"http://127.0.0.1:{port}"
        env = environment.complete(
            _seed(room), base_url=base_url, directory=room, addresses=addresses
        )
        hook_port = _free_port(HOOK_PORT)
        certificate = receiver.make_certificate(room / "received", now=datetime.now(UTC))
        env["OUTBOUND_EXEMPT"] = f"127.0.0.1:{hook_port}={certificate}"
        os.environ.update(env)
        self.stdout.write("PostgreSQL and Valkey are up. Making tables, and the forum of the cast.")
        execute_from_command_line(["manage.py", "migrate", "--verbosity=0", "--skip-checks"])
        execute_from_command_line(["manage.py", "demo_story", "--found", "--skip-checks"])
        log_dir = room / "log"
        with processes.Supervisor(log_dir) as supervisor:
            others = {one.name: one for one in processes.exchange(env, log_dir, bind=base_url[7:])}
            self._open_page(supervisor, others.pop("web"), base_url, started)
            hook = _receiver(env, room / "received", hook_port, base_url)
            supervisor.start(hook, *others.values())
            supervisor.wait_ready(seconds=60)
            story = ["manage.py", "demo_story", f"--hooks=https://127.0.0.1:{hook_port}"]
            story += [f"--received={room / 'received'}", "--skip-checks"]
            story += [f"--bundle={options['bundle']}"] if options["bundle"] else []
            execute_from_command_line(story)
            self._stay(supervisor, once=options["once"])

    def _open_page(
        self,
        supervisor: processes.Supervisor,
        web: processes.Program,
        base_url: str,
        started: float,
    ) -> None:
        """The page first: whoever waits can look around while the rest starts."""
        supervisor.start(web)
        processes.wait_until(lambda: bool(supervisor.deaths()) or _answers(base_url), seconds=60)
        supervisor.wait_ready(seconds=1)
        self.stdout.write(
            f"\n  The page is up after {time.monotonic() - started:.0f} s:  {base_url}/\n"
            "  (plain http on loopback, for this demo only)"
        )
        execute_from_command_line(["manage.py", "demo_story", "--first-link", "--skip-checks"])

    def _stay(self, supervisor: processes.Supervisor, *, once: bool) -> None:
        if once:
            return
        self.stdout.write("\nEverything stays up. Ctrl-C stops it all.")
        while not supervisor.deaths():
            time.sleep(0.5)
        raise processes.ProcessFailed("\n".join(str(death) for death in supervisor.deaths()))


def _answers(base_url: str) -> bool:
    parts = urlsplit(base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/sign-in/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _receiver(env: dict[str, str], folder: Path, port: int, issuer: str) -> processes.Program:
    argv = (sys.executable, "-m", "exchange.management.demo.receiver", str(folder), str(port))

    def is_ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    public = {name: env[name] for name in env if "KEY" not in name and "SIGNER" not in name}
    return processes.Program("receiver", (*argv, issuer, *SUBSCRIBED), public, is_ready)


def _seed(room: Path) -> bytes:
    """From it every key of this demo is derived, so that a second run can read the first's data."""
    path = room / "seed"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(token_bytes(32))
    return path.read_bytes()


def _check_file(name: str | None) -> None:
    if name is not None and not Path(name).is_file():
        raise CommandError(f"There is no file {name}.")


def _kept_port(room: Path, wanted: int | None) -> int:
    """The port of the first run: it is part of the exchange's name, and its ledger bears that."""
    kept = room / "port"
    before = int(kept.read_text(encoding="ascii")) if kept.exists() else None
    if before is not None and wanted not in (None, before):
        raise CommandError(f"The ledger in {room} is that of port {before}: say another --dir.")
    fixed = before or wanted
    port = _free_port(fixed or PORT)
    if fixed is not None and port != fixed:
        raise CommandError(f"Port {fixed} is taken by another program.")
    kept.write_text(str(port), encoding="ascii")
    return port


def _free_port(wanted: int) -> int:
    """The port, or another where that one is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CommandError("There is no free port on loopback.")
