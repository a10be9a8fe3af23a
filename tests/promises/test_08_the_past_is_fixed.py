"""Promise 8: nobody changes or drops a ledger entry without every member being able to prove it."""

from pathlib import Path

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError
from pytest_django import Settings

from exchange import ledger
from exchange.ledger import check
from exchange.models import LedgerCheckpoint, LedgerEntry
from exchange.proof import keys, merkle, note
from exchange.proof.refused import Refused
from members.auth import Principal
from members.scope import Acting, DatabaseRole, acting
from tests.shell.ledger_material import NOON, SIGNER, Labs, make_labs, release_to, sequence

pytestmark = pytest.mark.django_db

TABLES = (
    "ledger_entry",
    "ledger_slot",
    "ledger_tile",
    "ledger_head",
    "ledger_checkpoint",
    "ledger_account",
)


@pytest.fixture
def labs(settings: Settings, tmp_path: Path) -> Labs:
    settings.LEDGER_DIR = tmp_path / "ledger"
    made = make_labs()
    for _ in range(2):
        release_to(made, [made.borealis, made.cirrus])
        sequence()
    return made


def execute(sql: str, *, role: str = "weir") -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute(sql)
        cursor.execute("RESET ROLE")


@pytest.mark.parametrize(
    "sql",
    [
        *(f"DELETE FROM {table}" for table in TABLES),  # noqa: S608 - the names above
        "UPDATE ledger_entry SET leaf = sha256('x') WHERE idx = 3",
        "UPDATE ledger_entry SET to_seq = to_seq + 100",
        "UPDATE ledger_slot SET sealed = sha256('x') WHERE idx = 3",
        "UPDATE ledger_slot SET sealed = ''",
        "UPDATE ledger_tile SET hashes = sha256('x')",
        "UPDATE ledger_tile SET hashes = substring(hashes FOR 32)",
        "UPDATE ledger_tile SET n = n + 1",
        "UPDATE ledger_head SET size = 16",
        "UPDATE ledger_head SET root = sha256('x')",
        "UPDATE ledger_checkpoint SET note = 'x'",
        "UPDATE ledger_account SET seq = seq - 1",
        "INSERT INTO ledger_checkpoint SELECT 8, root, note, now(), 0 FROM ledger_checkpoint",
        "INSERT INTO ledger_checkpoint SELECT 64, root, note, at, 0 FROM ledger_checkpoint"
        " WHERE size = 32",
    ],
)
def test_the_database_refuses_its_owner(labs: Labs, sql: str) -> None:
    before = [bytes(leaf) for leaf in LedgerEntry.objects.values_list("leaf", flat=True)]
    with pytest.raises(IntegrityError):
        execute(sql)
    assert before == [bytes(leaf) for leaf in LedgerEntry.objects.values_list("leaf", flat=True)]
    assert check.problems(full=True) == ()


@pytest.mark.parametrize("role", ["weir_web", "weir_worker"])
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO ledger_entry (idx, kind, leaf) VALUES (99, 'release', sha256('x'))",
        "INSERT INTO ledger_checkpoint SELECT 99, root, note, now(), 0 FROM ledger_checkpoint",
        "UPDATE ledger_head SET size = 99",
        "UPDATE ledger_tile SET hashes = hashes || sha256('x')",
        "DELETE FROM ledger_intake",
        "TRUNCATE ledger_entry",
    ],
)
def test_only_the_sequencer_writes(labs: Labs, role: str, sql: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        execute(sql, role=role)


def test_only_erasure_empties_a_slot_and_the_leaf_stays(labs: Labs) -> None:
    slot = "UPDATE ledger_slot SET sealed = '' WHERE idx = 3"
    for role in ("weir_web", "weir_worker", "weir_sequencer"):
        with pytest.raises((ProgrammingError, IntegrityError)):
            execute(slot, role=role)
    with pytest.raises(IntegrityError):
        execute("UPDATE ledger_slot SET digest = '' WHERE idx = 3", role="weir_erasure")
    execute(slot, role="weir_erasure")
    execute("DELETE FROM ledger_slot WHERE idx = 4 AND slot = 'to'", role="weir_erasure")
    assert ledger.proof(3)


def test_the_web_shows_slots_to_their_members_only(labs: Labs) -> None:
    def count(sql: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchone()[0])

    with acting(Acting(labs.borealis.id)):
        assert count("SELECT count(*) FROM ledger_slot") == 2
        assert count("SELECT count(*) FROM ledger_entry") == 2
        assert count("SELECT count(*) FROM ledger_leaf") == 32
        assert count("SELECT count(*) FROM ledger_digest") == 96
        who = Principal(member_id=labs.borealis.id, roles=frozenset({"analyst"}))
        shown = ledger.openings(who, slot="to")
        assert [one.check()["seq"] for one in shown] == [1, 2]
        assert note.parse_proof(ledger.proof(shown[0].index)).index == shown[0].index
        assert len(ledger.entries("000.p/32")) == 32 * 34
    with acting(Acting()):
        assert count("SELECT count(*) FROM ledger_slot") == 0
    with acting(Acting(roles=("forum-officer",))):
        assert count("SELECT count(*) FROM ledger_slot WHERE slot <> 'audit'") == 0


def test_the_sequencer_needs_no_more_than_its_role(labs: Labs) -> None:
    release_to(labs, [labs.borealis])
    execute("DROP TABLE new_entry, new_slot")  # of this session, made under another role
    with acting(Acting(), role="sequencer"):
        check.start_up()
        ledger.announce("ledger", SIGNER.public, now=NOON)
        assert sequence() == 48


def test_whoever_may_record_needs_not_to_read_it(labs: Labs) -> None:
    roles: tuple[DatabaseRole, ...] = ("web", "worker")
    for role in roles:
        with acting(Acting(roles=("forum-counsel",)), role=role):
            ledger.record("read", by=labs.aurora.id, slots={"from": {"role": role}}, now=NOON)
    assert ledger.integrate(now=NOON) == 2


def test_what_the_owner_changes_behind_the_triggers_is_named(labs: Labs) -> None:
    old = note.open_checkpoint(ledger.checkpoint(), [verifier()])[0]
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE ledger_entry SET leaf = sha256('x') WHERE idx = 7")
    found = check.problems(full=True)
    assert "ledger_entry 7: the leaf does not follow from its slots." in found
    assert "ledger_tile 0/0: it does not follow from the entries, from entry 7 on." in found
    # The tiles are made to fit as well, and the head: now the checkpoint speaks against it.
    leaves = [
        bytes(leaf) for leaf in LedgerEntry.objects.order_by("idx").values_list("leaf", flat=True)
    ]
    tiles, root = merkle.append({}, 0, [merkle.leaf_hash(leaf) for leaf in leaves])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_tile SET hashes = %s", [tiles[0, 0]])
        cursor.execute("UPDATE ledger_head SET root = %s", [root])
        cursor.execute("SET session_replication_role = origin")
    with pytest.raises(Refused, match="has another root than the tree"):
        check.start_up()
    # And a member who kept the checkpoint proves it, whatever is signed from now on.
    release_to(labs, [labs.borealis])
    ledger.integrate(now=NOON)
    ledger.publish(SIGNER, now=NOON)
    new = note.open_checkpoint(ledger.checkpoint(), [verifier()])[0]
    path = [keys.unb64(line) for line in ledger.consistency(old.size, new.size).split()]
    with pytest.raises(Refused):
        merkle.verify_consistency(old.size, new.size, path, old.root, new.root)


def verifier() -> note.Verifier:
    return note.Verifier(ledger.origin(), note.LOG, SIGNER.public)


def test_every_entry_is_proven_under_every_checkpoint(labs: Labs) -> None:
    for size in LedgerCheckpoint.objects.values_list("size", flat=True):
        for entry in LedgerEntry.objects.filter(idx__lt=size):
            leaf = bytes(entry.leaf)
            proven = note.verify_proof(ledger.proof(entry.idx, size), leaf, [verifier()])
            assert (proven.index, proven.checkpoint.size) == (entry.idx, size)
