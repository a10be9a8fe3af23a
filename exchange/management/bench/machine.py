"""What the processes of an exchange on this machine compute, the database server with them."""

import os
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from django.db import connection


def cpu(pids: Sequence[int]) -> float:
    """Seconds of processor time that these processes have used."""
    total, ticks = 0.0, os.sysconf("SC_CLK_TCK")
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / ticks
    return total


def family(roots: Sequence[int]) -> list[int]:
    """Processes and their children: workers of the web server, backends of PostgreSQL."""
    listed = subprocess.run(  # noqa: S603 - our own arguments
        ["/usr/bin/pgrep", "-P", ",".join(map(str, roots))],
        capture_output=True,
        text=True,
        check=False,
    )
    return [*roots, *map(int, listed.stdout.split())]


def postmaster() -> int:
    """The process of the database server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int")
        (number,) = cursor.fetchone()
    return int(number)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
