"""Say to the database for whom a transaction acts, so that row-level security can judge."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import psycopg
from django.db import connection, transaction

DatabaseRole = Literal["web", "worker", "sequencer"]
Settings = tuple[str, str, str, str]
Given = Sequence[object] | Mapping[str, object]
_request: ContextVar[Settings | None] = ContextVar("weir_request", default=None)

_READ = """
SELECT current_user::text, coalesce(current_setting('weir.member', true), ''),
coalesce(current_setting('weir.user', true), ''), coalesce(current_setting('weir.roles', true), '')
"""
_SET = """
SELECT set_config('role', %s, true), set_config('weir.member', %s, true),
set_config('weir.user', %s, true), set_config('weir.roles', %s, true)
"""


@dataclass(frozen=True, slots=True)
class Acting:
    """For whom the database answers: a member, a person, and that person's roles."""

    member_id: UUID | None = None
    user_id: UUID | None = None
    roles: Iterable[str] = field(default=())


@contextmanager
def acting(who: Acting, *, role: DatabaseRole = "web") -> Iterator[None]:
    """Inside, the transaction has the rights of this database role, for this principal.

    Opens a transaction where none is; what was set before is set again at the end. In a request
    that acts for the same principal already, nothing is set.
    """
    wanted = _settings(who, role)
    if _request.get() == wanted:
        yield
        return
    with transaction.atomic(), _known(wanted):
        before = fetch(_READ)[0]
        fetch(_SET, wanted)
        yield
        # After an error the rollback restores the settings; after success it is done here.
        fetch(_SET, before)


@contextmanager
def request() -> Iterator[None]:
    """The transaction of one request; for whoever `enter` names in it, `acting` sets nothing."""
    with transaction.atomic(), _known(None):
        yield


@contextmanager
def _known(who: Settings | None) -> Iterator[None]:
    before = _request.set(who)
    try:
        yield
    finally:
        _request.reset(before)


def enter(who: Acting, *, role: DatabaseRole = "web") -> None:
    """Set role and principal for the rest of the request's transaction."""
    wanted = _settings(who, role)
    fetch(_SET, wanted)
    _request.set(wanted)


def fetch(statement: str, given: Given = ()) -> list[Any]:
    """The rows of a statement that is executed all the time: prepared, and bytes come as bytes."""
    connection.ensure_connection()
    _logged(statement)
    with psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement, given, prepare=True, binary=True).fetchall()


def ask(who: Acting, statement: str, given: Given = (), *, role: DatabaseRole = "web") -> list[Any]:
    """The rows of one statement that is executed all the time, with the rights of a principal.

    Outside of a transaction it is one by itself: the settings and the statement go to the database
    in one journey, and the settings end with it.
    """
    wanted = _settings(who, role)
    if _request.get() == wanted:
        return fetch(statement, given)
    if connection.in_atomic_block:
        with acting(who, role=role):
            return fetch(statement, given)
    connection.ensure_connection()
    _logged(statement)
    with connection.connection.pipeline():
        psycopg.Cursor(connection.connection).execute(_SET, wanted, prepare=True)
        cursor = psycopg.Cursor(connection.connection)
        cursor.execute(statement, given, prepare=True, binary=True)
    return cursor.fetchall()


def first(statement: str, given: Given = ()) -> list[Any]:
    """The rows of the first statement of a request, which changes nothing.

    On a connection that has broken since the last request it is asked once more, on a new one: so
    that no request has to try its connection first.
    """
    try:
        rows = fetch(statement, given)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        if connection.in_atomic_block or not connection.connection.closed:
            raise
        connection.close()
        rows = fetch(statement, given)
    connection.health_check_done = True  # type: ignore[attr-defined] # missing in the stubs
    return rows


def _logged(statement: str) -> None:
    if connection.queries_logged:
        connection.queries_log.append({"sql": statement, "time": ""})


def _settings(who: Acting, role: DatabaseRole) -> Settings:
    return (
        f"weir_{role}",
        str(who.member_id or ""),
        str(who.user_id or ""),
        ",".join(sorted(who.roles)),
    )
