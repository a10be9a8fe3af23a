"""Members' witnesses cosign checkpoints; a forum may wait for them before anything is seen."""

from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError
from pytest_django import Settings

from exchange import ledger
from exchange.ledger import check, sequencer, witnesses
from exchange.models import LedgerCosignature, LedgerGate, LedgerWitness
from exchange.proof import jcs, note
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.signers import Signer, signer_of
from members.auth import Principal
from members.models import Member
from members.scope import Acting, acting
from tests.shell.ledger_material import (
    NOON,
    SIGNER,
    Labs,
    contribute,
    make_labs,
    release_to,
    sequence,
)

pytestmark = pytest.mark.django_db

LOG = note.Verifier("testserver/ledger", note.LOG, SIGNER.public)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def labs(settings: Settings, tmp_path: Path) -> Labs:
    settings.LEDGER_DIR = tmp_path / "ledger"
    return make_labs()


def key_of(member: Member) -> Signer:
    seed = sha256(f"witness of {member.slug}".encode()).digest()
    return signer_of(Ed25519PrivateKey.from_private_bytes(seed))


def name_of(member: Member) -> str:
    return f"{member.slug}.example/witness"


def vkey_of(member: Member) -> str:
    return note.Verifier(name_of(member), note.WITNESS, key_of(member).public).vkey()


def enter(*members: Member) -> None:
    for member in members:
        witnesses.add(member, vkey_of(member), now=NOON)


def asks(member: Member) -> Principal:
    return Principal(member_id=member.id, roles=frozenset({"analyst"}), name=member.name)


def line_of(member: Member, *, size: int | None = None, at: datetime = NOON) -> str:
    text = ledger.checkpoint(size).partition("\n\n")[0] + "\n"
    return note.cosignature_line(text, name_of(member), key_of(member), at=int(at.timestamp()))


def cosign(member: Member, *, size: int | None = None, at: datetime = NOON) -> int:
    """What the member's agent posts, as the web takes it."""
    head = note.parse_checkpoint(ledger.checkpoint(size).partition("\n\n")[0] + "\n")
    body = f"{head.size}\n{line_of(member, size=size, at=at)}"
    with acting(Acting(member.id)):
        return ledger.cosign(asks(member), body, now=at)


def execute(sql: str, *, role: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute(sql)


def known() -> list[note.Verifier]:
    return list(note.parse_vkeys(ledger.vkeys(now=NOON)))


def test_a_cosigned_checkpoint_carries_the_witnesses_lines(labs: Labs) -> None:
    enter(labs.borealis, labs.cirrus)
    ledger.announce("ledger", SIGNER.public, now=NOON)
    size = sequence()
    assert cosign(labs.borealis) == cosign(labs.cirrus, at=NOON + MINUTE) == size
    head, signatures = note.open_checkpoint(ledger.checkpoint(), known())
    assert head.size == size
    assert {each.verifier.name for each in signatures} == {
        "testserver/ledger",
        "borealis.example/witness",
        "cirrus.example/witness",
    }
    assert note.cosigned_at(signatures, 2) == (NOON + MINUTE).timestamp()
    assert note.parse_proof(ledger.proof(3)).note == ledger.checkpoint()


def test_the_newest_with_enough_cosignatures_is_found(labs: Labs) -> None:
    enter(labs.aurora, labs.borealis)
    first = sequence()
    assert cosign(labs.aurora) == cosign(labs.borealis) == first
    release_to(labs, [labs.borealis])
    second = sequence()
    cosign(labs.aurora)
    sizes = {
        count: note.parse_checkpoint(
            ledger.checkpoint(cosigned=count).partition("\n\n")[0] + "\n"
        ).size
        for count in (1, 2)
    }
    assert sizes == {1: second, 2: first}
    with pytest.raises(NotFound):
        ledger.checkpoint(cosigned=3)


def test_witnesses_that_come_at_different_times_find_the_same_checkpoint(labs: Labs) -> None:
    for n in range(3):
        release_to(labs, [labs.borealis])
        sequence(now=NOON + n * MINUTE)
    early = ledger.checkpoint(before=NOON + 2 * MINUTE)
    assert early == ledger.checkpoint(32)
    with pytest.raises(NotFound):
        ledger.checkpoint(before=NOON)


def test_only_a_known_key_of_the_callers_own_member_counts(labs: Labs) -> None:
    enter(labs.borealis)
    size = sequence()
    line = line_of(labs.borealis)
    with pytest.raises(Forbidden):  # a key that nobody entered
        cosign(labs.cirrus)
    with acting(Acting(labs.cirrus.id)), pytest.raises(Forbidden):  # another's signature
        ledger.cosign(asks(labs.cirrus), f"{size}\n{line}", now=NOON)
    with acting(Acting(labs.borealis.id)), pytest.raises(NotFound):
        ledger.cosign(asks(labs.borealis), f"15\n{line}", now=NOON)
    assert not LedgerCosignature.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "0" + text,
        lambda text: text.partition("\n")[0] + "\n",
        lambda text: text + text.partition("\n")[2] * 9,
        lambda text: text[:-8] + "AAAA==\n",
        lambda text: text.replace("—", "-"),
    ],
)
def test_a_bad_line_is_refused(labs: Labs, change: object) -> None:
    enter(labs.borealis)
    size = sequence()
    body = change(f"{size}\n{line_of(labs.borealis)}")  # type: ignore[operator] # one of the above
    with acting(Acting(labs.borealis.id)), pytest.raises(Refused):
        ledger.cosign(asks(labs.borealis), body, now=NOON)
    assert not LedgerCosignature.objects.exists()


def test_a_signature_over_another_tree_is_refused(labs: Labs) -> None:
    enter(labs.borealis)
    size = sequence() or 0
    other = note.Checkpoint(ledger.origin(), size, b"\x01" * 32).text()
    line = note.cosignature_line(
        other, name_of(labs.borealis), key_of(labs.borealis), at=int(NOON.timestamp())
    )
    with acting(Acting(labs.borealis.id)), pytest.raises(Refused) as refused:
        ledger.cosign(asks(labs.borealis), f"{size}\n{line}", now=NOON)
    assert refused.value.code == "signature.bad"


def test_a_witness_neither_backdates_nor_goes_back(labs: Labs) -> None:
    enter(labs.borealis)
    first = sequence()
    release_to(labs, [labs.borealis])
    sequence()
    for wrong in (NOON - 6 * MINUTE, NOON + 6 * MINUTE):
        body = f"{first}\n{line_of(labs.borealis, size=first, at=wrong)}"
        with acting(Acting(labs.borealis.id)), pytest.raises(Refused) as refused:
            ledger.cosign(asks(labs.borealis), body, now=NOON)
        assert refused.value.code == "cosign.time"
    cosign(labs.borealis)
    cosign(labs.borealis)  # the same again changes nothing
    assert LedgerCosignature.objects.count() == 1
    with pytest.raises(Refused) as refused:
        cosign(labs.borealis, size=first)
    assert refused.value.code == "cosign.older"


def test_a_members_new_witness_takes_the_place_of_the_old(labs: Labs) -> None:
    enter(labs.borealis)
    sequence()
    other = note.Verifier("siem.borealis.example", note.WITNESS, key_of(labs.cirrus).public)
    witnesses.add(labs.borealis, other.vkey(), now=NOON)
    sequence()
    with pytest.raises(Refused, match="in use"):
        witnesses.add(labs.cirrus, other.vkey(), now=NOON)
    assert [each.name for each in witnesses.verifiers()] == ["siem.borealis.example"]
    assert len(witnesses.verifiers(since=NOON - MINUTE)) == 2  # what it signed is still read
    told = [one.check() for one in ledger.openings(asks(labs.cirrus), slot="all", after=-1)]
    # Two of them stand in one batch, whose order says nothing.
    assert sorted((one["purpose"], one["status"]) for one in told) == [
        ("witness", "active"),
        ("witness", "active"),
        ("witness", "retired"),
    ]


def test_the_operator_enters_and_ends_a_witness(labs: Labs) -> None:
    call_command("witness", "borealis", vkey_of(labs.borealis))
    assert LedgerWitness.objects.get().name == name_of(labs.borealis)
    call_command("witness", "borealis")
    assert LedgerWitness.objects.get().ended_at is not None
    with pytest.raises(CommandError, match="has no witness"):
        call_command("witness", "borealis")
    with pytest.raises(CommandError, match="no such member"):
        call_command("witness", "dunmore")
    with pytest.raises(CommandError, match="type 4"):
        call_command("witness", "borealis", LOG.vkey())


def test_the_quorum_is_more_than_half_and_at_least_two(labs: Labs, settings: Settings) -> None:
    assert witnesses.quorum() == 2
    enter(labs.borealis)
    assert witnesses.quorum() == 2
    enter(labs.aurora, labs.cirrus)
    assert witnesses.quorum() == 2
    settings.LEDGER_QUORUM = 3
    assert witnesses.quorum() == 3


def test_an_hour_below_quorum_is_an_alarm(labs: Labs) -> None:
    sequence()
    release_to(labs, [labs.borealis])
    sequence()
    late = NOON + timedelta(minutes=61)
    assert not ledger.witnessed(now=late).is_late  # nobody has entered a witness yet
    enter(labs.borealis, labs.cirrus)
    cosign(labs.borealis)
    assert not ledger.witnessed(now=NOON + timedelta(minutes=59)).is_late
    assert ledger.witnessed(now=late).is_late
    cosign(labs.cirrus)
    found = ledger.witnessed(now=late)
    assert (found.active, found.quorum, found.size, found.is_late) == (2, 2, 16, False)


# The gate


def test_nothing_is_seen_before_enough_have_cosigned(labs: Labs, settings: Settings) -> None:
    release_to(labs, [labs.borealis])
    first = sequence()
    settings.LEDGER_GATE = "cosigned"
    enter(labs.borealis, labs.cirrus)
    release_to(labs, [labs.borealis])
    second = sequence()
    assert ledger.published_size() == first  # what was shown stays shown
    assert ledger.signed_size() == second  # witnesses read what they are to sign
    assert len(ledger.openings(asks(labs.borealis), slot="to")) == 1
    cosign(labs.borealis)
    assert not sequencer.open_gate()
    cosign(labs.cirrus)
    assert sequencer.open_gate()
    assert ledger.published_size() == second
    assert len(ledger.openings(asks(labs.borealis), slot="to")) == 2


def test_a_cosigned_log_goes_on_without_a_new_entry(labs: Labs, settings: Settings) -> None:
    settings.LEDGER_GATE = "cosigned"
    enter(labs.borealis, labs.cirrus)
    release_to(labs, [labs.borealis])
    sequence()
    assert ledger.published_size() == 0
    cosign(labs.borealis)
    cosign(labs.cirrus)
    sequence()  # nothing is new, and still it opens
    assert ledger.published_size() == 16


def test_a_forum_that_waits_no_longer_shows_all(labs: Labs, settings: Settings) -> None:
    settings.LEDGER_GATE = "cosigned"
    release_to(labs, [labs.borealis])
    sequence()
    settings.LEDGER_GATE = "published"
    sequence()
    assert ledger.published_size() == 16
    assert not LedgerGate.objects.exists()


def test_the_gate_never_closes(labs: Labs) -> None:
    LedgerGate.objects.create(size=16)
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerGate.objects.update(size=0)


# The heartbeat


def test_a_beat_is_a_padded_batch_also_when_nothing_happened(labs: Labs) -> None:
    assert ledger.integrate(now=NOON, is_beat=True) == 0
    assert ledger.publish(SIGNER, now=NOON) == 16
    contribute(labs, count=1)
    assert ledger.integrate(now=NOON, is_beat=True) == 1
    assert ledger.publish(SIGNER, now=NOON) == 32
    assert check.problems(full=True) == ()


# Who may write


@pytest.mark.parametrize("role", ["weir_web", "weir_worker"])
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO ledger_cosignature (size, witness_id, line, at, kept_at)"
        " SELECT 16, id, 'x', now(), now() FROM ledger_witness",
        "UPDATE ledger_witness SET ended_at = now()",
        "INSERT INTO ledger_gate (id, size) VALUES (1, 99)",
        "DELETE FROM ledger_cosignature",
    ],
)
def test_only_the_sequencer_and_the_owner_write(labs: Labs, role: str, sql: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        execute(sql, role=role)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger_cosignature SET line = 'x'",
        "DELETE FROM ledger_cosignature",
        "DELETE FROM ledger_witness",
        "UPDATE ledger_witness SET public = sha256('x')",
        "UPDATE ledger_event SET kind = 'x'",
        "DELETE FROM ledger_event",
    ],
)
def test_what_was_signed_and_said_stays(labs: Labs, sql: str) -> None:
    enter(labs.borealis)
    sequence()
    cosign(labs.borealis)
    with pytest.raises(IntegrityError):
        execute(sql, role="weir")


def test_the_web_cannot_sign_for_another(labs: Labs) -> None:
    enter(labs.borealis)
    sequence()
    named = LedgerWitness.objects.get().pk
    with acting(Acting(labs.cirrus.id)), connection.cursor() as cursor:
        cursor.execute("SELECT weir_cosign(%s, 16, 'x', now(), now())", [named])
        assert cursor.fetchone() == (False,)
    assert not LedgerCosignature.objects.exists()


def test_the_sequencer_opens_the_gate_by_its_role(labs: Labs, settings: Settings) -> None:
    settings.LEDGER_GATE = "cosigned"
    enter(labs.borealis, labs.cirrus)
    with acting(Acting(), role="sequencer"):
        sequence()
    cosign(labs.borealis)
    cosign(labs.cirrus)
    with acting(Acting(), role="sequencer"):
        assert sequencer.open_gate()
    assert jcs.encode({"size": ledger.published_size()}) == b'{"size":16}'
