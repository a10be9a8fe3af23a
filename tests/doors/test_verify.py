"""A member's verifier against a live exchange, and against one whose past was changed."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from exchange import archive, ledger, recall
from exchange.ledger import receipts, statements
from exchange.models import LedgerSlot, ReleaseRecipient
from exchange.proof import verify
from exchange.proof.remote import CREDENTIAL
from exchange.signers import signer_for
from exchange.web import leaving
from indicators.models import ForumObject
from members import onboarding
from members.scope import acting
from tests.doors.clients import secret_of
from tests.doors.test_tokenise import ALONE, machine_of
from tests.doors.verifying import MINUTE, SCOPES, Desk, entry_of, rebuild, tampering
from tests.shell.sharing import range_indicator

pytestmark = pytest.mark.django_db(transaction=True)


# An honest exchange


def test_ben_checks_an_honest_exchange_and_goes_on_from_there(desk: Desk) -> None:
    assert desk.check() == 0
    assert "seen for the first time" in desk.said
    assert desk.check() == 0
    assert "0 openings up to number 4" in desk.said
    desk.give("198.51.100.0/24")
    assert desk.check() == 0
    assert "1 openings up to number 5, each in the log" in desk.said
    state = json.loads(desk.state.read_text())
    assert state["to"]["seq"] == 5
    assert "weir_" not in desk.state.read_text()  # the credential is not in it


def test_ben_compares_all_that_taxii_serves_him(desk: Desk) -> None:
    assert desk.check("--full", "--pull") == 0, desk.said
    assert "each compared with its entry" in desk.said
    assert "203.0.1" not in desk.said
    assert (desk.folder / "weir.state.tiles" / "tile" / "0" / "000").exists()


def test_a_recall_and_the_days_statement_are_no_faults(desk: Desk) -> None:
    target = ForumObject.objects.filter(member=desk.cast.aurora).order_by("created_at").first()
    assert target is not None
    recall.order(
        desk.cast.as_(desk.cast.abel),
        target.id,
        reason="error",
        note="a wrong range",
        now=timezone.now(),
    )
    recall.tell_waiting(now=timezone.now())
    desk.publish()
    statements.state_day(now=timezone.now())
    receipts.receive_hour(now=timezone.now() + timedelta(hours=1))
    desk.publish()
    assert desk.check("--full", "--pull") == 0, desk.said
    statements.state_day(now=timezone.now() + timedelta(days=1))
    desk.publish()
    assert desk.check() == 0


def test_witnesses_cosign_and_ben_counts_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.check() == 0
    assert "none is known to the log" in desk.said
    desk.cosign(desk.cast.ana)
    assert desk.check() == 1  # one is no quorum
    assert "quorum.none" in desk.said
    desk.cosign(desk.cast.ana, desk.cast.ben, desk.cast.cleo)
    assert desk.check() == 0, desk.said
    assert "2 witnesses: 2 of 3 (aurora.example/witness, borealis.example/witness" in desk.said
    monkeypatch.setattr("time.time", lambda: timezone.now().timestamp() + 2 * 3600)
    assert desk.check() == 1  # and two hours later nobody has cosigned what is newest
    assert "quorum.stale" in desk.said


def test_only_members_with_the_right_scope_are_answered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CREDENTIAL, "weir_nothing")
    assert desk.check() == 2
    assert "NOT CHECKED" in desk.said
    monkeypatch.delenv(CREDENTIAL)
    assert desk.check() == 2
    monkeypatch.setenv(CREDENTIAL, "weir_nothing")
    code = verify.main(["check", "--url", "http://exchange.example", "--state", str(desk.state)])
    assert code == 2  # a credential is never sent in the clear


# The packed file


def test_the_packed_file_needs_only_cryptography(desk: Desk) -> None:
    machine = machine_of(desk.cast.ben, desk.folder / "borealis", desk.url)
    packed = machine.folder / "weir-verify.pyz"
    call_command("verifier_build", str(packed))
    assert packed.read_bytes() == leaving.PACKED
    argv = [sys.executable, "-I", "-S", "-c", ALONE, str(machine.folder / "packages"), str(packed)]
    env = {CREDENTIAL: secret_of(desk.cast.ben, *SCOPES), "PATH": os.environ["PATH"]}
    state = machine.folder / "weir.state"
    asked = ["check", "--url", desk.url, "--state", str(state), "--full", "--pull"]
    done = subprocess.run([*argv, *asked], env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("Everything verifies.\n")
    desk.settings.LEDGER_DIR = desk.folder / "ledger"
    officer = onboarding.create_person(
        onboarding.Person("bella@borealis.example", "Bella", ("officer",), desk.cast.borealis)
    )
    who = desk.cast.as_(officer)
    archive_id = archive.order_part(who, "to", 1, now=timezone.now())
    signer = signer_for(desk.settings.SIGNER_BUNDLE)
    assert archive.make(archive_id, signer=signer, now=timezone.now())
    path = machine.folder / "taken.zip"
    with acting(who.acting()):
        path.write_bytes(archive.take(who, archive_id, now=timezone.now())[1])
    done = subprocess.run(
        [*argv, "archive", str(path)], env={}, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_the_page_gives_the_file_whose_digest_it_shows(desk: Desk) -> None:
    client = Client()
    client.force_login(desk.cast.ben, backend="django.contrib.auth.backends.ModelBackend")
    body = client.get("/archive/verifier/").content
    assert sha256(body).hexdigest() in client.get("/archive/").content.decode()
    assert 'id="proofs"' in client.get("/help/").content.decode()


# A changed past. Each of these is done as the database's superuser.


@pytest.mark.parametrize("slot", ["to"])
def test_a_changed_slot_is_named(desk: Desk, slot: str) -> None:
    assert desk.check("--full") == 0
    row = entry_of(desk.cast.borealis)
    other = LedgerSlot.objects.filter(slot=slot, member=desk.cast.borealis).exclude(idx=row.idx)
    held = ledger.openings(desk.cast.as_(desk.cast.ben), slot="to")
    assert {one.index for one in held} >= {row.idx}
    sealed = ledger.intake.seal().seal(b"s" * 32 + b"{}", aad=b"slot:%d:to" % row.idx)
    assert other.exists()
    with tampering() as execute:
        execute(
            "UPDATE ledger_slot SET sealed = %s WHERE idx = %s AND slot = 'to'", sealed, row.idx
        )
    assert desk.check("--full") == 1
    assert f"entry {row.idx}" in desk.said


def test_a_changed_leaf_is_named_by_its_tile_and_entry(desk: Desk) -> None:
    assert desk.check("--full") == 0
    row = entry_of(desk.cast.aurora)
    with tampering() as execute:
        execute("UPDATE ledger_entry SET leaf = %s WHERE idx = %s", b"x" * 32, row.idx)
    assert desk.check("--full") == 1
    assert f"entry {row.idx}" in desk.said
    assert "tile 0/0" in desk.said


def test_a_changed_tile_is_named_whoever_looks(desk: Desk) -> None:
    assert desk.check("--full") == 0
    with tampering() as execute:
        execute(
            "UPDATE ledger_tile SET hashes = overlay(hashes placing %s from 65) "
            "WHERE level = 0 AND n = 0",
            b"y" * 32,
        )
    for state in (desk.state, desk.folder / "fresh.state"):
        desk.state = state
        assert desk.check("--full") == 1
        assert "Tile 0/0" in desk.said or "entry" in desk.said


def test_a_rewritten_log_contradicts_the_checkpoint_that_ben_has(desk: Desk) -> None:
    """The operator changes an old entry, rebuilds every tile, and signs anew."""
    assert desk.check("--full") == 0
    old = json.loads(desk.state.read_text())["note"]
    row = entry_of(desk.cast.aurora)
    with tampering() as execute:
        execute("UPDATE ledger_entry SET leaf = %s WHERE idx = %s", b"z" * 32, row.idx)
        execute("DELETE FROM ledger_tile")
        execute("DELETE FROM ledger_checkpoint")
        execute("DELETE FROM ledger_head")
    rebuild()
    desk.publish()
    assert desk.check() == 1
    assert "log.fork" in desk.said
    new = ledger.checkpoint()
    for signed in (old, new):  # both notes: signed evidence that needs nobody's word
        assert signed.strip() in desk.said
    kept = list(desk.folder.glob("weir.state.evidence-*"))
    assert len(kept) == 1
    assert old.strip() in kept[0].read_text()
    assert json.loads(desk.state.read_text())["note"] == old  # and what Ben knew stays known


def test_a_log_that_shrank_is_seen(desk: Desk) -> None:
    first = ledger.checkpoint()
    desk.give("198.51.100.0/24")
    assert desk.check() == 0
    size = int(first.split("\n")[1])
    with tampering() as execute:
        execute("DELETE FROM ledger_checkpoint WHERE size > %s", size)
    assert desk.check() == 1
    assert "log.shrunk" in desk.said


def test_a_release_that_was_taken_out_leaves_a_gap(desk: Desk) -> None:
    row = entry_of(desk.cast.borealis)
    with tampering() as execute:
        execute("DELETE FROM ledger_slot WHERE idx = %s", row.idx)
        execute("UPDATE ledger_entry SET to_member_id = NULL WHERE idx = %s", row.idx)
    desk.give("198.51.100.0/24")
    assert desk.check() == 1
    assert "entry.gap" in desk.said


def test_a_changed_rendition_is_named_by_its_entry(desk: Desk) -> None:
    row = entry_of(desk.cast.borealis)
    part = ReleaseRecipient.objects.get(idx=row.idx)
    with tampering() as execute:
        changed = execute(
            "UPDATE exchange_rendition SET body = convert_to(replace(convert_from(body, 'UTF8'), "
            "'203.0.2.0/24', '203.0.9.0/24'), 'UTF8') WHERE id IN "
            "(SELECT rendition_id FROM exchange_releaseitem WHERE release_id = %s)",
            part.release_id,
        )
    assert changed
    assert desk.check("--pull") == 1
    assert f"entry {row.idx}" in desk.said
    assert "object.changed" in desk.said
    assert "203.0" not in desk.said


def test_a_release_that_is_no_longer_served_is_named_by_its_entry(desk: Desk) -> None:
    row = entry_of(desk.cast.borealis)
    with tampering() as execute:
        execute("UPDATE exchange_releaserecipient SET idx = NULL WHERE idx = %s", row.idx)
    assert desk.check("--pull") == 1
    assert f"entry {row.idx}" in desk.said
    assert "object.missing" in desk.said


def test_what_is_shown_and_not_recorded_is_refused(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "held"
    folder.mkdir()
    page = {"objects": [range_indicator("192.0.2.0/24")]}
    (folder / "page.json").write_text(json.dumps(page))
    assert desk.check("--objects", folder) == 1
    assert "object.unrecorded" in desk.said
    assert str(page["objects"][0]["id"]) in desk.said


def test_a_wrong_count_in_a_statement_is_seen(desk: Desk) -> None:
    statements.state_day(now=timezone.now())
    desk.publish()
    assert desk.check() == 0
    ledger.record(
        "statement",
        to=desk.cast.borealis.id,
        slots={
            "to": {
                "day": (timezone.now().date()).isoformat(),
                "received": {"first": 9, "last": 12, "count": 4},
                "contributed": {"first": None, "last": None, "count": 0},
            }
        },
        now=timezone.now(),
    )
    desk.publish()
    assert desk.check() == 1
    assert "statement.count" in desk.said


def test_a_backdated_entry_lies_outside_its_cosignatures(desk: Desk) -> None:
    desk.cosign(desk.cast.ana, desk.cast.cleo)
    assert desk.check() == 0, desk.said
    desk.give("198.51.100.0/24", timezone.now() - 11 * MINUTE)
    assert desk.check() == 1
    assert "entry.backdated" in desk.said
    row = entry_of(desk.cast.borealis)
    assert f"entry {row.idx}" in desk.said


def test_a_witness_signs_no_second_story(desk: Desk) -> None:
    desk.cosign(desk.cast.ana)
    row = entry_of(desk.cast.aurora)
    with tampering() as execute:
        execute("UPDATE ledger_entry SET leaf = %s WHERE idx = %s", b"z" * 32, row.idx)
        execute("DELETE FROM ledger_tile")
        execute("DELETE FROM ledger_checkpoint")
        execute("DELETE FROM ledger_head")
    rebuild()
    desk.publish()
    state = desk.folder / "aurora.state"
    common = [
        "witness",
        "--url",
        desk.url,
        "--state",
        str(state),
        "--name",
        "aurora.example/witness",
    ]
    common += ["--credential-file", str(desk.folder / "aurora.secret")]
    assert verify.main([*common, "--key", str(desk.folder / "aurora.key")]) == 1
    assert "log.fork" in desk.capsys.readouterr().out
