"""Say to the database for whom a transaction acts, so that row-level security can judge."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from django.db import connection, transaction

DatabaseRole = Literal["web", "worker", "sequencer"]

_READ = """
SELECT current_user, coalesce(current_setting('weir.member', true), ''),
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

    Opens a transaction where none is; what was set before is set again at the end.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_READ)
        before = cursor.fetchone()
        enter(who, role=role)
        yield
        # After an error the rollback restores the settings; after success it is done here.
        cursor.execute(_SET, before)


def enter(who: Acting, *, role: DatabaseRole = "web") -> None:
    """Set role and principal for the rest of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            _SET,
            [
                f"weir_{role}",
                str(who.member_id or ""),
                str(who.user_id or ""),
                ",".join(sorted(who.roles)),
            ],
        )
