"""`manage.py bench <name>`: measure, in a database of its own that is thrown away."""

import os
import secrets
import shutil
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.core.management import execute_from_command_line
from django.core.management.base import BaseCommand, CommandError
from psycopg import sql

from exchange.management import environment, processes, services


class Command(BaseCommand):
    """Make a database, hand over to `bench_run`, drop the database."""

    help = (
        "Measure: `extract` (a member's log, `--objects EVENTS`),"
        " `intake` (from POST to stored), `latency` (from POST to visible), `policy`"
        " (deciding and rendering), `pool` (what members find together, alone and in clear, and"
        " what extracts give away: `--objects 4` for forums of four), `pool-run` (one run over a"
        " full pool, `--objects MEMBERS DAYS`),"
        " `preview` (a draft floor over what is stored),"
        " `taxii` (what clients read: the full walk is"
        " `bench taxii --objects 100000`, a short one 20000), `superseded` (pages where most was"
        " replaced), `ledger` (its cost, with `--objects LEAVES TIMES`), `detectors` (over a"
        " member's log of 100 million account-days). Prints ratios, and the bars they must meet."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which benchmark, and how large."""
        parser.add_argument("name", help="which benchmark, for example policy")
        parser.add_argument("--objects", type=int, nargs="*", default=[], help="how many objects")
        parser.add_argument("--recipients", type=int, help="of a preview")
        parser.add_argument("--audiences", type=int, help="of a preview, at most 4")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """PostgreSQL from its wheel, or the server in DATABASE_URL: never a database in use."""
        room = Path(tempfile.mkdtemp(prefix="weir-bench-"))
        try:
            with services.running(room) as addresses, _database(addresses) as url:
                self._run(room, {**addresses, "DATABASE_URL": url}, options)
        except processes.ProcessFailed as failed:
            raise CommandError(str(failed)) from None
        finally:
            shutil.rmtree(room, ignore_errors=True)

    def _run(self, room: Path, addresses: dict[str, str], options: dict[str, Any]) -> None:
        os.environ |= environment.complete(
            secrets.token_bytes(32),
            base_url="http://127.0.0.1",
            directory=room,
            addresses=addresses,
        )
        execute_from_command_line(["manage.py", "migrate", "--verbosity=0", "--skip-checks"])
        sizes = ["--objects", *map(str, options["objects"])] if options["objects"] else []
        for name in ("recipients", "audiences"):
            sizes += [f"--{name}", str(options[name])] if options[name] else []
        execute_from_command_line(
            ["manage.py", "bench_run", options["name"], *sizes, "--skip-checks"]
        )


@contextmanager
def _database(addresses: dict[str, str]) -> Iterator[str]:
    """A new database on the server, so that what is measured touches nobody's data."""
    name = f"weir_bench_{secrets.token_hex(6)}"
    with psycopg.connect(addresses["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlunsplit(urlsplit(addresses["DATABASE_URL"])._replace(path=f"/{name}"))
        finally:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)
