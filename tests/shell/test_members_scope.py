"""One statement in one journey: with the rights of whoever asks, which end with it."""

from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, transaction

from members import scope
from members.scope import Acting

pytestmark = pytest.mark.django_db(transaction=True)
_WHO = """
SELECT current_user::text, coalesce(current_setting('weir.member', true), ''),
coalesce(current_setting('weir.roles', true), '')
"""
LAB = UUID("6f4c3d0e-6a52-4d1c-8f0e-0f6f5b1f0c11")


def nobody() -> tuple[str, str, str]:
    """What a statement sees that is asked for nobody: the tests' own role."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user::text")
        return (cursor.fetchone()[0], "", "")


def end_connection() -> None:
    """As when the server starts anew between two requests."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])


def test_the_rights_of_a_statement_end_with_it() -> None:
    assert scope.ask(Acting(LAB, roles=("analyst",)), _WHO) == [("weir_web", str(LAB), "analyst")]
    assert scope.fetch(_WHO) == [nobody()]
    other = uuid4()
    assert scope.ask(Acting(other), _WHO) == [("weir_web", str(other), "")]


def test_a_statement_that_fails_leaves_no_rights_and_changes_nothing() -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        scope.ask(Acting(LAB), "SELECT set_config('weir.roles', 'operator', false), 1 / 0")
    assert scope.fetch(_WHO) == [nobody()]


def test_inside_of_a_transaction_it_belongs_to_it() -> None:
    with transaction.atomic():
        assert scope.ask(Acting(LAB), _WHO) == [("weir_web", str(LAB), "")]
        assert scope.fetch(_WHO) == [nobody()]
    with scope.acting(Acting(LAB)):
        assert scope.ask(Acting(LAB), _WHO) == [("weir_web", str(LAB), "")]


def test_what_is_asked_first_comes_over_a_connection_that_has_broken() -> None:
    assert scope.first("SELECT 1") == [(1,)]
    end_connection()
    assert scope.first("SELECT 1") == [(1,)]


def test_in_the_middle_of_a_transaction_nothing_is_asked_twice() -> None:
    @transaction.atomic
    def asked() -> None:
        scope.fetch("SELECT 1")
        end_connection()
        scope.first("SELECT 1")

    with pytest.raises(psycopg.OperationalError):
        asked()
    assert scope.first("SELECT 1") == [(1,)]
