"""What the database itself refuses about members, people and keys, and whom it obeys."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction

from members import onboarding, scope
from members.models import Credential, DataKey, Member, User, UserRole

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROLES_MIGRATION = Path(onboarding.__file__).parent / "migrations" / "0002_roles.py"


@pytest.fixture
def aurora() -> Member:
    """A lab."""
    return onboarding.create_member("Aurora", now=NOON)


def _person(role: str, member: Member | None) -> User:
    person = onboarding.Person(f"{uuid4().hex}@aurora.example", "Ana", (role,), member)
    return onboarding.create_person(person)


@pytest.mark.parametrize(
    ("role", "is_member", "allowed"),
    [
        ("counsel", True, True),
        ("counsel", False, True),
        ("officer", False, True),
        ("operator", False, True),
        ("operator", True, False),
        ("analyst", False, False),
        ("administrator", False, False),
        ("forum-counsel", False, False),
        ("root", True, False),
    ],
)
def test_no_person_has_roles_of_both_sides(
    aurora: Member, role: str, *, is_member: bool, allowed: bool
) -> None:
    user = User.objects.create_user("ana@aurora.example", member=aurora if is_member else None)
    if allowed:
        UserRole.objects.create(user=user, role=role)
    else:
        with pytest.raises(IntegrityError):
            UserRole.objects.create(user=user, role=role)


def test_nobody_changes_sides(aurora: Member) -> None:
    alma = _person("counsel", aurora)
    with pytest.raises(IntegrityError, match="stays with its member"):
        User.objects.filter(pk=alma.pk).update(member=None)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "gone"},
        {"state": "left"},  # without a time
        {"left_at": NOON},  # and still active
        {"tlp_ceiling": "white"},
    ],
)
def test_a_member_is_in_a_known_state(aurora: Member, change: Mapping[str, object]) -> None:
    with pytest.raises(IntegrityError):
        Member.objects.filter(pk=aurora.pk).update(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": []},
        {"scopes": ["taxii-read", "manage"]},
        {"expires_at": NOON + timedelta(days=400, seconds=1)},
        {"expires_at": NOON - timedelta(seconds=1)},
        {"expires_at": None},
    ],
)
def test_a_credential_is_scoped_and_ends(aurora: Member, change: Mapping[str, object]) -> None:
    fields: dict[str, object] = {
        "member": aurora,
        "name": "siem",
        "digest": bytes(32),
        "hint": "abcd",
        "scopes": ["taxii-read"],
        "created_by": _person("analyst", aurora),
        "created_at": NOON,
        "expires_at": NOON + timedelta(days=400),
    }
    with transaction.atomic():
        Credential.objects.create(**fields)
    with pytest.raises(IntegrityError):
        Credential.objects.create(**{**fields, "digest": b"1" * 32, **change})


@pytest.mark.parametrize("epoch", [0, 65_536])
def test_an_epoch_fits_in_two_bytes(aurora: Member, epoch: int) -> None:
    with pytest.raises(IntegrityError):
        DataKey.objects.create(member=aurora, epoch=epoch, wrapped=b"")


def _rights() -> dict[tuple[str, str], set[str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT role, relname, privilege FROM pg_class,"
            " unnest(ARRAY['weir_web', 'weir_worker', 'weir_sequencer']) role,"
            " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) privilege"
            " WHERE relkind = 'r' AND relname LIKE 'members\\_%%'"
            " AND has_table_privilege(role, pg_class.oid, privilege)",
            [],
        )
        found: dict[tuple[str, str], set[str]] = {}
        for role, table, privilege in cursor.fetchall():
            found.setdefault((role.removeprefix("weir_"), table[8:]), set()).add(privilege)
    return found


def test_web_and_sequencer_have_the_rights_they_need_and_no_more() -> None:
    rights = _rights()
    deleting = {key for key, has in rights.items() if has & {"DELETE", "TRUNCATE"}}
    # The worker lets clocks run out: links and invitations that nobody used.
    ageing = {("worker", "signinlink"), ("worker", "invitation")}
    assert deleting == {("web", "signinlink"), *ageing}
    writing = {table for (role, table), has in rights.items() if role == "web" and len(has) > 1}
    assert writing == {
        "acceptance",
        "circlemember",
        "credential",
        "invitation",
        "signinlink",
        "user",
        "userrole",
    }
    assert {table: has for (role, table), has in rights.items() if role == "sequencer"} == {
        table: {"SELECT"} for table in ("circle", "circlemember", "member")
    }


def test_an_owner_that_only_may_create_roles_can_act_as_them() -> None:
    spec = spec_from_file_location("roles", ROLES_MIGRATION)
    assert spec is not None
    assert spec.loader is not None
    migration = module_from_spec(spec)
    spec.loader.exec_module(migration)
    with connection.cursor() as cursor:
        for role in ("web", "worker", "sequencer"):
            cursor.execute(f"ALTER ROLE weir_{role} RENAME TO aside_{role}")
        cursor.execute("CREATE ROLE plain_owner CREATEROLE")
        cursor.execute("GRANT USAGE ON SCHEMA public TO plain_owner WITH GRANT OPTION")
        cursor.execute("SET LOCAL SESSION AUTHORIZATION plain_owner")
        for _ in range(2):  # a repeat changes nothing
            cursor.execute(migration.ROLES)
        for role in ("web", "worker", "sequencer"):
            cursor.execute(f"SET LOCAL ROLE weir_{role}")


def _settings() -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user, current_setting('weir.member', true),"
            " current_setting('weir.user', true), current_setting('weir.roles', true)"
        )
        return tuple(value or "" for value in cursor.fetchone())


def test_acting_ends_where_it_began_also_when_nested() -> None:
    outer, inner = scope.Acting(uuid4(), uuid4(), ["officer", "analyst"]), scope.Acting(uuid4())
    before = _settings()
    with scope.acting(outer):
        here = _settings()
        assert here == ("weir_web", str(outer.member_id), str(outer.user_id), "analyst,officer")
        with scope.acting(inner, role="worker"):
            assert _settings() == ("weir_worker", str(inner.member_id), "", "")
        assert _settings() == here
        with pytest.raises(DatabaseError), scope.acting(inner, role="sequencer"):
            Member.objects.update(name="nobody may")
        assert _settings() == here
    assert _settings() == before


def test_the_web_cannot_make_a_member(aurora: Member) -> None:
    acting = scope.acting(scope.Acting(aurora.id))
    with acting, pytest.raises(ProgrammingError), transaction.atomic():
        onboarding.create_member("Borealis", now=NOON)


def test_a_transaction_of_its_own_leaves_no_setting_behind(
    transactional_db: None,
) -> None:
    before = _settings()
    with scope.acting(scope.Acting(uuid4())):
        assert _settings()[0] == "weir_web"
    assert _settings() == before
