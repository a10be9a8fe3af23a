"""What a superuser changes is named: by the full check, and by the member whom it concerns.

Each change is made in a log of several tiles, looked at by the members, and taken back.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone

from exchange import ledger
from exchange.ledger import check, receipts, statements
from exchange.models import LedgerEntry, ReleaseItem, ReleaseRecipient
from exchange.signers import signer_for
from members.models import User
from tests.doors.clients import secret_of
from tests.doors.verifying import SCOPES, Desk, entry_of, tampering

pytestmark = pytest.mark.django_db(transaction=True)

BEATS = 40  # 16 entries of padding each: three tiles of entries
TABLES = (
    "ledger_entry",
    "ledger_slot",
    "ledger_tile",
    "ledger_head",
    "ledger_checkpoint",
    "exchange_rendition",
    "exchange_release",
    "exchange_releaserecipient",
    "exchange_releaseitem",
)
_SWAP = (
    "UPDATE {table} SET idx = -1 WHERE idx = {entry}",
    "UPDATE {table} SET idx = {entry} WHERE idx = {other}",
    "UPDATE {table} SET idx = {other} WHERE idx = -1",
)
_FULL = ("--full",)
_PULL = ("--full", "--pull")


@dataclass(frozen=True)
class Case:
    """One change, what `ledger_check --full` says of it, and what the members' verifiers say."""

    statements: tuple[str, ...]
    check: str
    ben: tuple[str, ...] = ()
    ana: tuple[str, ...] = ()
    asked: tuple[str, ...] = _FULL


# Any member's full check names the first tile that does not hash to its checkpoint.
TREE = {
    "leaf changed": Case(
        ("UPDATE ledger_entry SET leaf = sha256('x') WHERE idx = {far}",),
        "ledger_entry {far}",
        ("tile 0/1", "entry {far}"),
    ),
    "leaves reordered": Case(
        (
            "UPDATE ledger_entry SET idx = -1 WHERE idx = {far}",
            "UPDATE ledger_entry SET idx = {far} WHERE idx = {far} + 1",
            "UPDATE ledger_entry SET idx = {far} + 1 WHERE idx = -1",
        ),
        "ledger_entry {far}",
        ("tile 0/1", "entry {far}"),
    ),
    "tile changed": Case(
        (
            "UPDATE ledger_tile SET hashes = overlay(hashes placing sha256('x') from 65)"
            " WHERE level = 0 AND n = 1",
        ),
        "ledger_tile 0/1",
        ("Tile 0/1",),
    ),
    "tiles reordered": Case(
        (
            "UPDATE ledger_tile SET n = 9 WHERE level = 0 AND n = 0",
            "UPDATE ledger_tile SET n = 0 WHERE level = 0 AND n = 1",
            "UPDATE ledger_tile SET n = 1 WHERE level = 0 AND n = 9",
        ),
        "ledger_tile 0/0",
        ("Tile 0/0",),
    ),
    "upper tile changed": Case(
        (
            "UPDATE ledger_tile SET hashes = overlay(hashes placing sha256('x') from 1)"
            " WHERE level = 1 AND n = 0",
        ),
        "ledger_tile 1/0",
        ("Tile 1/0",),
    ),
    "leaf and tile changed": Case(
        (
            "UPDATE ledger_entry SET leaf = sha256('x') WHERE idx = {far}",
            "UPDATE ledger_tile SET hashes = overlay(hashes placing"
            " sha256('\\x00'::bytea || sha256('x')) from ({far} - 256) * 32 + 1)"
            " WHERE level = 0 AND n = 1",
        ),
        "ledger_entry {far}",
        ("Tile 0/1",),
    ),
}

# The member to whom it was opened names the entry.
OPENED = {
    "slot's content": Case(
        ("UPDATE ledger_slot SET sealed = {forged} WHERE idx = {entry} AND slot = 'to'",),
        "ledger_slot to of entry {entry}",
        ("entry {entry} ",),
    ),
    "slot that no longer opens": Case(
        ("UPDATE ledger_slot SET sealed = sha256('x') WHERE idx = {entry} AND slot = 'to'",),
        "ledger_slot to of entry {entry}",
        ("entry {entry} ",),
    ),
    "contributor's slot": Case(
        ("UPDATE ledger_slot SET sealed = {forged_from} WHERE idx = {entry} AND slot = 'from'",),
        "ledger_slot from of entry {entry}",
        ana=("entry {entry} ",),
    ),
    "slots reordered": Case(
        tuple(sql.replace("{table}", "ledger_slot") for sql in _SWAP),
        "ledger_slot to of entry {entry}",
        ("entry {entry} ",),
    ),
    "slot dropped": Case(
        ("DELETE FROM ledger_slot WHERE idx = {entry} AND slot = 'to'",),
        "ledger_slot of entry {entry}",
        ("numbers {seq} to {seq} of slot to", "entry.gap"),
        ("entry {entry} ",),
    ),
    "slot shown to another": Case(
        ("UPDATE ledger_slot SET member_id = '{cirrus}' WHERE idx = {entry} AND slot = 'to'",),
        "ledger_slot to of entry {entry}",
        ("numbers {seq} to {seq} of slot to", "entry.gap"),
    ),
    "slot of padding shown": Case(
        ("UPDATE ledger_slot SET member_id = '{borealis}' WHERE idx = {pad} AND slot = 'to'",),
        "ledger_slot to of entry {pad}",  # it has no number among those of Borealis: never shown
    ),
    "rendition changed": Case(
        (
            "UPDATE exchange_rendition SET body = convert_to(replace(convert_from(body, 'UTF8'),"
            " '203.0.', '192.0.'), 'UTF8') WHERE id = {rendition}",
        ),
        "exchange_rendition {rendition}",
        ("entry {entry},", "object.changed"),
        asked=_PULL,
    ),
    "rendition changed with its digest": Case(
        (
            "UPDATE exchange_rendition SET body = convert_to(replace(convert_from(body, 'UTF8'),"
            " '203.0.', '192.0.'), 'UTF8') WHERE id = {rendition}",
            "UPDATE exchange_rendition SET digest = sha256(body) WHERE id = {rendition}",
        ),
        "exchange_releaseitem of release {release}",
        ("entry {entry},", "object.changed"),
        asked=_PULL,
    ),
    "rendition dropped": Case(
        ("DELETE FROM exchange_rendition WHERE id = {rendition}",),
        "exchange_releaseitem of release {release}",
        ("entry {entry},", "object.missing"),
        asked=_PULL,
    ),
    "renditions reordered": Case(
        (
            "UPDATE exchange_releaseitem SET rendition_id = {second} WHERE id = {item}",
            "UPDATE exchange_releaseitem SET rendition_id = {rendition} WHERE id = {second_item}",
            "DELETE FROM exchange_releaserecipient WHERE id = {second_part}",
        ),
        "exchange_releaseitem of release {release}",
        ("entry {entry},", "object.missing"),
        asked=_PULL,
    ),
    "release unserved": Case(
        ("UPDATE exchange_releaserecipient SET idx = NULL WHERE id = {part}",),
        "exchange_releaserecipient {part}",
        ("entry {entry},", "object.missing"),
        asked=_PULL,
    ),
    "release of another recipient": Case(
        ("UPDATE exchange_releaserecipient SET recipient_id = '{cirrus}' WHERE id = {part}",),
        "exchange_releaserecipient {part}",
        ("entry {entry},", "object.missing"),
        asked=_PULL,
    ),
    "release dropped": Case(
        (
            "DELETE FROM exchange_releaserecipient WHERE release_id = '{release}'",
            "DELETE FROM exchange_releaseitem WHERE release_id = '{release}'",
            "DELETE FROM exchange_release WHERE id = '{release}'",
        ),
        "exchange_releaserecipient {part}",
        ("entry {entry},", "object.missing"),
        asked=_PULL,
    ),
    "receipt's slot": Case(
        ("UPDATE ledger_slot SET sealed = {forged_receipt} WHERE idx = {receipt} AND slot = 'to'",),
        "ledger_slot to of entry {receipt}",
        ("entry {receipt} ",),
    ),
    "receipt dropped": Case(
        (
            "DELETE FROM ledger_slot WHERE idx = {receipt}",
            "UPDATE ledger_entry SET to_member_id = NULL, to_seq = NULL WHERE idx = {receipt}",
        ),
        "ledger_slot of entry {receipt}",
        ("entry.gap",),
    ),
}


@dataclass
class Log:
    """What the cases speak of, and the members that look."""

    desk: Desk
    names: dict[str, object]
    secrets: dict[User, str]
    monkeypatch: pytest.MonkeyPatch

    def seen_by(self, user: User, *asked: str) -> str:
        """What a member's verifier says, with the state that it has kept."""
        assert user.member is not None
        self.monkeypatch.setenv("WEIR_CREDENTIAL", self.secrets[user])
        self.desk.state = self.desk.folder / f"{user.member.slug}.kept"
        code = self.desk.check(*asked)
        return self.desk.said if code == 1 else f"exit code {code}: {self.desk.said}"

    def named(self, wanted: tuple[str, ...], said: str) -> list[str]:
        """Which of these words are missing."""
        return [one for one in wanted if one.format(**self.names) not in said]


@pytest.fixture
def log(desk: Desk, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Log:
    """A log of three tiles with releases, statements and a receipt, checked whole by all three."""
    statements.state_day(now=timezone.now())
    people = (desk.cast.ben, desk.cast.ana, desk.cast.cleo)
    secrets = {user: secret_of(user, *SCOPES) for user in people}
    log = Log(desk, {}, secrets, monkeypatch)
    assert "exit code 0" in log.seen_by(desk.cast.ben, *_PULL)  # read: there will be a receipt
    receipts.receive_hour(now=timezone.now() + timedelta(hours=1))
    desk.publish()
    for _ in range(BEATS):
        ledger.integrate(now=timezone.now(), is_beat=True)
    ledger.publish(signer_for(settings.SIGNER_LEDGER), now=timezone.now())
    row = entry_of(desk.cast.borealis)
    part = ReleaseRecipient.objects.get(idx=row.idx)
    item = ReleaseItem.objects.filter(release=part.release).earliest("id")
    others = LedgerEntry.objects.filter(to_member=desk.cast.borealis, kind="release")
    other = others.exclude(idx=row.idx).latest("idx")
    second = ReleaseRecipient.objects.get(idx=other.idx)
    second_item = ReleaseItem.objects.filter(release=second.release).earliest("id")
    receipt = entry_of(desk.cast.borealis, kind="receipt")
    pad = LedgerEntry.objects.filter(kind="pad").latest("idx")
    log.names |= {
        "far": 300,
        "entry": row.idx,
        "seq": row.to_seq,
        "other": other.idx,
        "part": part.pk,
        "release": part.release_id,
        "item": item.pk,
        "rendition": item.rendition_id,
        "second": second_item.rendition_id,
        "second_item": second_item.pk,
        "second_part": second.pk,
        "receipt": receipt.idx,
        "pad": pad.idx,
        "cirrus": desk.cast.cirrus.id,
        "borealis": desk.cast.borealis.id,
        "forged": _forged(row.idx, "to"),
        "forged_from": _forged(row.idx, "from"),
        "forged_receipt": _forged(receipt.idx, "to"),
    }
    assert check.problems(full=True) == ()
    for user in people:
        assert "exit code 0" in log.seen_by(user, *_PULL), desk.said
    return log


def _forged(index: int, slot: str) -> str:
    """A slot that opens, and says something else."""
    aad = f"slot:{index}:{slot}".encode()
    sealed = ledger.intake.seal().seal(b"s" * 32 + b'{"v":1}', aad=aad)
    return f"'\\x{sealed.hex()}'::bytea"


@contextmanager
def changed(log: Log, case: Case) -> Iterator[None]:
    """As the database's superuser, and afterwards all as it was."""
    with tampering() as execute:
        for table in TABLES:
            execute(f"CREATE TEMPORARY TABLE kept_{table} AS SELECT * FROM {table}")  # noqa: S608
        for sql in case.statements:
            assert execute(sql.format(**log.names)), sql
    try:
        yield
    finally:
        with tampering() as execute:
            for table in TABLES:
                execute(f"DELETE FROM {table}")  # noqa: S608
                execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")  # noqa: S608
                execute(f"DROP TABLE kept_{table}")


def test_a_changed_leaf_or_tile_is_named_by_every_member(log: Log) -> None:
    """Also by Cleo, to whom nothing was opened; with both notes, since a second was signed."""
    before = json.loads((log.desk.folder / "cirrus.kept").read_text())["note"]
    log.desk.give("198.51.100.0/24")
    after = ledger.checkpoint()
    assert before != after
    passed_over = []
    for name, case in TREE.items():
        with changed(log, case):
            found = check.problems(full=True)
            if not any(one.startswith(case.check.format(**log.names)) for one in found):
                passed_over.append((name, "ledger_check", found[:3]))
            for user in log.secrets:
                said = log.seen_by(user, *_FULL)
                missing = log.named(case.ben, said)
                missing += [note for note in (before, after) if note.strip() not in said]
                if missing:
                    passed_over.append((name, user.name, (*missing, said)))
    assert passed_over == []
    assert check.problems(full=True) == ()


def test_what_was_opened_to_a_member_is_named_by_its_verifier(log: Log) -> None:
    passed_over = []
    for name, case in OPENED.items():
        with changed(log, case):
            found = check.problems(full=True)
            if not any(one.startswith(case.check.format(**log.names)) for one in found):
                passed_over.append((name, "ledger_check", found[:3]))
            for user, wanted in ((log.desk.cast.ben, case.ben), (log.desk.cast.ana, case.ana)):
                said = log.seen_by(user, *case.asked) if wanted else ""
                if log.named(wanted, said):
                    passed_over.append((name, user.name, (said,)))
    assert passed_over == []
    for user in log.secrets:
        assert "exit code 0" in log.seen_by(user, *_PULL), log.desk.said


def test_the_connection_is_a_superusers(log: Log) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (True,)
