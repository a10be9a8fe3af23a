"""What is committed is numbered, signed, and proven to whom it concerns; nothing else is."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from pytest_django import Settings

from exchange import ledger
from exchange.ledger import batch, check, export, restore, sequencer
from exchange.models import (
    LedgerAccount,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerEvent,
    LedgerHead,
    LedgerIntake,
    LedgerSlot,
    ReleaseItem,
    ReleaseRecipient,
    SigningKey,
)
from exchange.proof import jcs, keys, merkle, note
from exchange.proof.entry import Opening
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.signers import signer_of
from indicators.models import Contribution
from members.auth import Principal
from members.models import Member
from tests.shell.ledger_material import (
    NOON,
    SIGNER,
    Failing,
    Faulty,
    Labs,
    contribute,
    make_labs,
    release_to,
    sequence,
)

pytestmark = pytest.mark.django_db

OTHER = signer_of(Ed25519PrivateKey.generate())
VERIFIERS = [note.Verifier("testserver/ledger", note.LOG, SIGNER.public)]


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    """A last-checkpoint file for each test."""
    settings.LEDGER_DIR = tmp_path / "ledger"


@pytest.fixture
def labs() -> Labs:
    return make_labs()


def analyst_of(member: Member) -> Principal:
    return Principal(member_id=member.id, roles=frozenset({"analyst"}), name="Ana")


def openings(member: Member, slot: str = "to", **query: int) -> tuple[Opening, ...]:
    return ledger.openings(analyst_of(member), slot=slot, **query)


def fields(opening: Opening) -> dict[str, Any]:
    """What an opening says, after all its checks and against the log."""
    proven = note.verify_proof(ledger.proof(opening.index), opening.leaf, VERIFIERS)
    assert proven.index == opening.index
    return dict(opening.check())


# Integrate


def test_a_batch_is_padded_numbered_and_taken_off_the_queue(labs: Labs) -> None:
    release_to(labs, [labs.borealis, labs.cirrus])
    assert ledger.integrate(now=NOON) == 2
    assert list(LedgerEntry.objects.order_by("idx").values_list("idx", flat=True)) == [*range(16)]
    assert LedgerEntry.objects.filter(kind="pad").count() == 14
    assert LedgerSlot.objects.count() == 48
    assert not LedgerIntake.objects.exists()
    assert LedgerHead.objects.get().size == 16
    assert ledger.integrate(now=NOON) == 0  # nothing waits: the log stays as it is
    assert check.problems(full=True) == ()


@pytest.mark.parametrize(
    ("count", "width"),
    [(1, 16), (16, 16), (17, 64), (65, 256), (257, 1024), (1024, 1024), (1025, 2048), (5000, 5120)],
)
def test_only_a_few_widths_show(count: int, width: int) -> None:
    assert batch.padded(count) == width


def test_a_recall_never_overtakes_its_release(labs: Labs) -> None:
    recipients = [labs.borealis, labs.cirrus]
    rows = [release_to(labs, recipients, kind=kind) for kind in ("release", "recall") * 10]
    sequence()
    for n, _ in enumerate(recipients):
        refs = [parts[n].pk for parts in rows]
        entries = LedgerEntry.objects.filter(ref__in=refs, kind__in=("release", "recall"))
        assert list(entries.order_by("idx").values_list("ref", flat=True)) == refs


def test_recipients_of_one_batch_are_mixed(labs: Labs) -> None:
    parts = [batch.Part("release", n, {}, to=labs.borealis.id) for n in range(50)]
    parts += [batch.Part("release", n, {}, to=labs.cirrus.id) for n in range(50)]
    mixed = list(batch.shuffled(parts))
    assert [part.to for part in mixed] != [part.to for part in parts]
    for member in (labs.borealis, labs.cirrus):
        assert [part.ref for part in mixed if part.to == member.id] == [*range(50)]


def test_each_account_counts_for_itself(labs: Labs) -> None:
    for _ in range(3):
        release_to(labs, [labs.borealis, labs.cirrus], count=2)
        sequence()
    release_to(labs, [labs.borealis])
    sequence()
    assert [fields(one)["seq"] for one in openings(labs.borealis)] == [1, 2, 3, 4]
    assert [fields(one)["seq"] for one in openings(labs.cirrus)] == [1, 2, 3]
    assert [fields(one)["seq"] for one in openings(labs.aurora, "from")] == [*range(1, 8)]
    running = ReleaseRecipient.objects.filter(recipient=labs.borealis).order_by("idx")
    assert list(running.values_list("running", flat=True)) == [0, 2, 4, 6]
    account = LedgerAccount.objects.get(member=labs.borealis, slot="to")
    assert (account.seq, account.running) == (4, 7)


def test_another_process_at_work_is_left_alone(labs: Labs) -> None:
    release_to(labs, [labs.borealis])
    with connection.copy().cursor() as other:  # a connection of its own
        other.execute("SELECT pg_advisory_lock(%s)", [0x57454C47])
        try:
            assert ledger.integrate(now=NOON) is None
            assert ledger.publish(SIGNER, now=NOON) is None
        finally:
            other.connection.close()
    assert LedgerIntake.objects.count() == 1


# Slots


def test_recipient_and_contributor_are_told_the_same_release(labs: Labs) -> None:
    release_to(labs, [labs.borealis])
    sequence()
    (to,), (told,) = openings(labs.borealis), openings(labs.aurora, "from")
    got, gave = fields(to), fields(told)
    assert got["to"] == gave["to"] == str(labs.borealis.id)
    assert gave["from"] == str(labs.aurora.id)
    assert got["index"] == gave["index"] == to.index
    assert got["time"] == "2026-11-24T12:00:00.000Z"
    assert "from" not in got
    assert "policy" not in got


def test_a_release_of_several_comes_with_its_list(labs: Labs) -> None:
    release_to(labs, [labs.borealis], count=3)
    sequence()
    for opening in (*openings(labs.borealis), *openings(labs.aurora, "from")):
        assert len(opening.renditions()) == 3


def test_the_circle_stands_for_those_whom_the_contributor_may_not_know(labs: Labs) -> None:
    release_to(labs, [labs.borealis], told=False)
    release_to(labs, [None])
    sequence()
    (told,) = openings(labs.aurora, "from")
    assert fields(told)["to"] == f"circle:{labs.circle.id}"
    assert len(openings(labs.borealis)) == 1


def test_who_holds_it_already_gets_no_second_opening(labs: Labs) -> None:
    (row,) = release_to(labs, [labs.borealis], listed=False)
    sequence()
    assert openings(labs.borealis) == ()
    (told,) = openings(labs.aurora, "from")
    assert fields(told)["to"] == str(labs.borealis.id)
    row.refresh_from_db()
    assert row.idx == told.index
    assert (row.to_seq, row.running) == (None, None)


def test_what_concerns_all_is_shown_to_all(labs: Labs) -> None:
    assert ledger.announce("bundle", b"\x02" * 32, now=NOON)
    assert not ledger.announce("bundle", b"\x02" * 32, now=NOON)
    sequence()
    for member in (labs.aurora, labs.cirrus):
        (opening,) = openings(member, "all", after=-1)
        assert fields(opening)["purpose"] == "bundle"
    assert openings(labs.aurora) == ()


def test_a_new_key_retires_the_one_before(labs: Labs) -> None:
    ledger.announce("bundle", b"\x02" * 32, now=NOON)
    ledger.announce("bundle", b"\x03" * 32, now=NOON + timedelta(days=300))
    ledger.announce("ledger", SIGNER.public, now=NOON)
    status = SigningKey.objects.filter(purpose="bundle").order_by("starts_at")
    assert list(status.values_list("status", flat=True)) == ["retired", "active"]
    document = ledger.jwks()["keys"]
    assert isinstance(document, list)
    assert [key["weir_purpose"] for key in document] == ["bundle", "bundle"]
    assert note.parse_vkeys(ledger.vkeys(now=NOON)) == tuple(VERIFIERS)


def test_an_unknown_kind_is_refused(labs: Labs) -> None:
    with pytest.raises(Refused, match="no entries of that kind"):
        ledger.record("gossip", slots={}, now=NOON)


def test_slots_are_sealed_at_rest(labs: Labs) -> None:
    (row,) = release_to(labs, [labs.borealis])
    sequence()
    name = str(row.release_id).encode()
    assert not any(name in bytes(slot.sealed) for slot in LedgerSlot.objects.all())
    assert not any(bytes(event.slots)[:1] == b"{" for event in LedgerEvent.objects.all())


# Publish


def test_nothing_is_visible_before_its_checkpoint(labs: Labs) -> None:
    release_to(labs, [labs.borealis])
    ledger.integrate(now=NOON)
    assert ledger.published_size() == 0
    assert openings(labs.borealis) == ()
    with pytest.raises(NotFound):
        ledger.proof(0)
    with pytest.raises(NotFound):
        ledger.tile(0, "000.p/16")
    ledger.publish(SIGNER, now=NOON)
    assert ledger.published_size() == 16
    assert len(openings(labs.borealis)) == 1


@pytest.mark.parametrize("signer", [Failing(), Faulty()])
def test_a_bad_signer_delays_and_publishes_nothing(labs: Labs, signer: Any) -> None:
    (row,) = release_to(labs, [labs.borealis])
    ledger.integrate(now=NOON)
    with pytest.raises((OSError, Refused)):
        ledger.publish(signer, now=NOON)
    assert not LedgerCheckpoint.objects.exists()
    assert check.last_kept() is None
    release_to(labs, [labs.cirrus])
    assert ledger.integrate(now=NOON) == 1  # only publishing stands still
    assert ledger.publish(SIGNER, now=NOON) == 32
    row.refresh_from_db()
    assert row.added_at is not None


def test_times_rise_and_count_each_recipients_own_objects(labs: Labs) -> None:
    first = [release_to(labs, [labs.borealis, labs.cirrus], count=n) for n in (2, 3)]
    sequence()
    second = release_to(labs, [labs.borealis])
    sequence(now=NOON - timedelta(hours=1))  # the clock went back
    rows = {row.pk: row for row in ReleaseRecipient.objects.all()}
    for n in range(2):
        parts = sorted((rows[each[n].pk] for each in first), key=lambda row: row.idx or 0)
        assert parts[0].added_at == NOON
        assert parts[1].added_at == NOON + timedelta(microseconds=parts[0].release.count)
    assert rows[second[0].pk].added_at == NOON + timedelta(microseconds=6)
    checkpoint = LedgerCheckpoint.objects.order_by("size").first()
    assert checkpoint is not None
    assert checkpoint.spread == 5


def test_a_contribution_has_its_place_among_its_members_own(labs: Labs) -> None:
    ids = [contribute(labs, count=4), contribute(labs, count=2)]
    sequence()
    rows = [Contribution.objects.get(pk=pk) for pk in ids]
    assert [row.running for row in rows] == [0, 4]
    assert [row.added_at for row in rows] == [NOON, NOON + timedelta(microseconds=4)]
    assert all(row.idx is not None for row in rows)


def test_checkpoints_are_consistent_with_one_another(labs: Labs) -> None:
    for _ in range(5):
        release_to(labs, [labs.borealis] * 1)
        sequence()
    heads = [
        note.open_checkpoint(row.note, VERIFIERS)[0]
        for row in LedgerCheckpoint.objects.order_by("size")
    ]
    for old in heads:
        for new in heads[heads.index(old) :]:
            path = [keys.unb64(line) for line in ledger.consistency(old.size, new.size).split()]
            merkle.verify_consistency(old.size, new.size, path, old.root, new.root)


# Reading


def test_nobody_opens_the_slots_of_another(labs: Labs) -> None:
    release_to(labs, [labs.borealis])
    sequence()
    index = openings(labs.borealis)[0].index
    assert ledger.opening(analyst_of(labs.borealis), index)["slot"] == "to"
    assert ledger.opening(analyst_of(labs.aurora), index)["slot"] == "from"
    with pytest.raises(NotFound):
        ledger.opening(analyst_of(labs.cirrus), index)
    with pytest.raises(NotFound):
        ledger.opening(analyst_of(labs.borealis), index, "from")
    with pytest.raises(Refused):
        ledger.openings(analyst_of(labs.borealis), slot="audit", after=-1)
    with pytest.raises(Forbidden):
        ledger.openings(Principal(member_id=labs.borealis.id), slot="to")


def test_the_forums_officer_opens_what_auditors_are_shown(labs: Labs) -> None:
    release_to(labs, [labs.borealis])
    sequence()
    otto = Principal(roles=frozenset({"forum-officer"}), name="Otto")
    shown = ledger.openings(otto, slot="audit", after=-1)
    assert [fields(one)["index"] for one in shown] == [*range(16)]
    assert sorted({str(fields(one)["kind"]) for one in shown}) == ["pad", "release"]


def test_an_opening_is_found_by_the_digest_of_its_rendition(labs: Labs) -> None:
    parts = [release_to(labs, [labs.borealis])[0] for _ in range(2)]
    digests = [
        bytes(ReleaseItem.objects.get(release_id=part.release_id).rendition.digest)
        for part in parts
    ]
    assert ledger.openings_of(analyst_of(labs.borealis), digests[0]) == ()  # not published yet
    sequence()
    for part, digest in zip(parts, digests, strict=True):
        (got,) = ledger.openings_of(analyst_of(labs.borealis), digest)
        (gave,) = ledger.openings_of(analyst_of(labs.aurora), digest)
        assert (got.slot, gave.slot) == ("to", "from")
        assert fields(got)["release"] == fields(gave)["release"] == str(part.release_id)
        assert ledger.openings_of(analyst_of(labs.cirrus), digest) == ()


def test_openings_come_in_pages(labs: Labs) -> None:
    for _ in range(5):
        release_to(labs, [labs.borealis])
    sequence()
    first = openings(labs.borealis, limit=3)
    rest = openings(labs.borealis, after=3)
    assert [fields(one)["seq"] for one in (*first, *rest)] == [1, 2, 3, 4, 5]


def test_tiles_are_those_of_the_leaves(labs: Labs) -> None:
    release_to(labs, [labs.borealis])
    sequence()
    bundle = ledger.entries("000.p/16")
    leaves = [bundle[at + 2 : at + 34] for at in range(0, len(bundle), 34)]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    assert ledger.tile(0, "000.p/16") == b"".join(hashes)
    assert ledger.tile(0, "000.p/3") == b"".join(hashes[:3])
    checkpoint, _ = note.open_checkpoint(ledger.checkpoint(), VERIFIERS)
    assert checkpoint.root == merkle.root(hashes)
    for level, name in ((0, "000"), (0, "000.p/17"), (1, "000.p/1"), (0, "001.p/1"), (9, "000")):
        with pytest.raises(NotFound):
            ledger.tile(level, name)


# Statements


def test_each_member_gets_a_statement_of_each_day(labs: Labs) -> None:
    release_to(labs, [labs.borealis])
    sequence()
    midnight = NOON + timedelta(hours=12)
    assert ledger.state_day(now=midnight + timedelta(seconds=2)) == 3
    assert ledger.state_day(now=midnight + timedelta(hours=1)) == 0
    assert ledger.state_day(now=midnight + timedelta(days=2)) == 6  # two days were missed
    sequence(now=midnight)
    _, got, *_ = (fields(one) for one in openings(labs.borealis))
    assert got["kind"] == "statement"
    assert (got["day"], got["received"]) == ("2026-11-24", {"first": 1, "last": 1, "count": 1})
    none, *_ = (fields(one) for one in openings(labs.cirrus))
    assert none["received"] == {"count": 0, "first": None, "last": None}


# Starting up


def diverge(sql: str) -> None:
    """What an operator does who switches the triggers off."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(sql)
        cursor.execute("SET session_replication_role = origin")


@pytest.fixture
def log(labs: Labs) -> Labs:
    for _ in range(2):
        release_to(labs, [labs.borealis])
        sequence()
    check.start_up()
    return labs


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE ledger_head SET root = sha256('x')", "not that of its tiles"),
        ("UPDATE ledger_head SET size = 31", "The head says 31 entries"),
        ("UPDATE ledger_tile SET hashes = substring(hashes FOR 512)", "not as it was"),
        ("UPDATE ledger_checkpoint SET root = sha256('x') WHERE size = 32", "another root"),
        ("DELETE FROM ledger_entry WHERE idx = 31", "the last one has number 30"),
    ],
)
def test_a_log_that_differs_is_not_signed(log: Labs, sql: str, words: str) -> None:
    diverge(sql)
    with pytest.raises(Refused, match=words) as refused:
        check.start_up()
    assert refused.value.code == "ledger.diverged"


def test_a_database_from_before_the_last_checkpoint_is_refused(log: Labs) -> None:
    newest = sequencer.last_checkpoint_file().read_text()
    text = note.Checkpoint("testserver/ledger", 48, b"\x01" * 32).text()
    sequencer.last_checkpoint_file().write_text(note.sign_note(text, "testserver/ledger", SIGNER))
    with pytest.raises(Refused, match="restored from before"):
        check.start_up()
    fork = note.Checkpoint("testserver/ledger", 32, b"\x01" * 32).text()
    sequencer.last_checkpoint_file().write_text(note.sign_note(fork, "testserver/ledger", SIGNER))
    with pytest.raises(Refused, match="another root"):
        check.start_up()
    sequencer.last_checkpoint_file().write_text(newest.replace("testserver", "other.example"))
    with pytest.raises(Refused, match="is of the log other.example"):
        check.start_up()
    sequencer.last_checkpoint_file().write_text(newest)
    check.start_up()


def test_a_restored_database_takes_the_lost_tail_from_an_export(log: Labs, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    assert export.write(folder) == 32
    diverge("DELETE FROM ledger_entry WHERE idx >= 16")
    diverge("DELETE FROM ledger_slot WHERE idx >= 16")
    diverge("DELETE FROM ledger_checkpoint WHERE size > 16")
    diverge("UPDATE ledger_account SET seq = 1")
    diverge("UPDATE ledger_tile SET hashes = substring(hashes FOR 512)")
    root = LedgerCheckpoint.objects.get(size=16).root
    diverge("DELETE FROM ledger_head")
    LedgerHead.objects.create(size=16, root=root)
    with pytest.raises(Refused, match="restored from before"):
        check.start_up()
    tail = restore.tail_from(folder)
    with pytest.raises(Refused):
        restore.resume(tail, [b"\x05" * 32], now=NOON)
    assert restore.resume(tail, [SIGNER.public], now=NOON) == 16
    check.start_up()
    sequence()
    told = [fields(one) for one in openings(log.cirrus)]
    assert [one["kind"] for one in told] == ["erase"]
    after = [fields(one)["seq"] for one in openings(log.borealis)]
    assert after == [1, 18]  # 1 + 16 that may have been its own: a gap, never a number twice


def test_what_a_witness_has_seen_must_be_of_this_log(log: Labs) -> None:
    ledger.announce("ledger", SIGNER.public, now=NOON)
    sequence()

    def shown(size: int, root: bytes, *, by: Any = SIGNER) -> str:
        text = note.Checkpoint("testserver/ledger", size, root).text()
        return note.sign_note(text, "testserver/ledger", by)

    check.start_up(seen=[ledger.checkpoint(), ledger.checkpoint(16)])
    with pytest.raises(Refused, match="restored from before"):
        check.start_up(seen=[shown(96, b"\x01" * 32)])
    with pytest.raises(Refused, match="has seen another tree of 32"):
        check.start_up(seen=[shown(32, b"\x01" * 32)])
    # Only our own key's word stops us, nobody else's.
    check.start_up(seen=["", "nonsense", shown(96, b"\x01" * 32, by=OTHER)])


def test_a_log_whose_end_is_gone_goes_on_under_a_new_name(log: Labs, settings: Settings) -> None:
    lost = note.Checkpoint("testserver/ledger", 64, b"\x01" * 32)
    known = note.sign_note(lost.text(), "testserver/ledger", SIGNER)
    sequencer.last_checkpoint_file().write_text(known)
    with pytest.raises(Refused, match="LEDGER_NUMBER"):
        restore.open_anew(known, [SIGNER.public], now=NOON)
    settings.LEDGER_NUMBER = 2
    with pytest.raises(Refused, match="is of the log testserver/ledger,"):
        check.start_up()
    with pytest.raises(Refused):
        restore.open_anew(known, [b"\x05" * 32], now=NOON)
    with pytest.raises(Refused, match="find that one|name that one"):
        restore.open_anew(ledger.checkpoint(32), [SIGNER.public], now=NOON)
    assert restore.open_anew(known, [SIGNER.public], now=NOON) == 32
    check.start_up()
    sequence()
    head = note.parse_checkpoint(ledger.checkpoint().partition("\n\n")[0] + "\n")
    assert (head.origin, head.size) == ("testserver/ledger/2", 48)
    (told,) = openings(log.cirrus, "all", after=-1)
    said = told.check()
    assert told.index == 32  # the first under the new name
    assert said["before"] == {
        "origin": "testserver/ledger",
        "size": 64,
        "root": keys.b64(b"\x01" * 32),
    }
    release_to(log, [log.borealis])
    sequence()
    assert [one.check()["seq"] for one in openings(log.borealis)] == [1, 2, 35]


def test_nothing_lost_needs_no_new_name(log: Labs, settings: Settings) -> None:
    known = ledger.checkpoint()
    settings.LEDGER_NUMBER = 2
    with pytest.raises(Refused, match="Nothing of that checkpoint is lost"):
        restore.open_anew(known, [SIGNER.public], now=NOON)


def test_check_and_export_as_commands(
    log: Labs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("ledger_check", "--full")
    assert "agrees with itself" in capsys.readouterr().out
    call_command("ledger_export", str(tmp_path / "out"))
    assert (tmp_path / "out" / "tile" / "0" / "000.p" / "32").stat().st_size == 1024
    diverge("UPDATE ledger_entry SET leaf = sha256('x') WHERE idx = 5")
    with pytest.raises(CommandError, match="differs in"):
        call_command("ledger_check", "--full")
    said = capsys.readouterr().out
    assert "ledger_entry 5: the leaf does not follow from its slots." in said
    assert "ledger_tile 0/0: it does not follow from the entries, from entry 5 on." in said


def test_what_was_erased_leaves_its_leaf(log: Labs) -> None:
    index = openings(log.borealis)[0].index
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE weir_erasure")
        cursor.execute("UPDATE ledger_slot SET sealed = '' WHERE idx = %s AND slot = 'to'", [index])
        cursor.execute("RESET ROLE")
    assert index not in [one.index for one in openings(log.borealis)]
    told = ledger.opening(analyst_of(log.aurora), index)
    assert jcs.encode(told)
    # Whoever may erase and records no entry of it is seen: the rest of the tree stands.
    said = f"The slot to of entry {index} was emptied, and no entry records that."
    assert check.problems(full=True) == (said,)
