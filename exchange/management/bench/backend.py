"""What PostgreSQL itself computes for one connection, where it runs on this machine."""

import os
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper


def seconds(connection: BaseDatabaseWrapper) -> float:
    """The seconds of a core that the process behind a connection has spent; 0 where it is away."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    fields = told.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
