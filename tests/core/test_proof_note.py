"""C2SP notes: vkeys, checkpoints, cosignatures and proofs, by the published vectors."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.proof import merkle, note
from exchange.proof.note import LOG, WITNESS, Checkpoint, Verifier
from exchange.proof.refused import Refused
from exchange.signers import Signer, signer_of

ORIGIN = "exchange.example/ledger"
WITNESS_A = "member-a.example/witness"
LOG_VKEY = "exchange.example/ledger+0771af7e+AUnCb3QsbRAzmtPBWFaT1uAG5ivgtVB4GFhrdTj+CZ6U"
WITNESS_VKEY = "member-a.example/witness+7c88d618+BD+PFNpJVeH7rHh1BXsfAIiIxUKufeC/HTUY2BgzheRy"
LEAF_5 = bytes.fromhex("96c844053dbeb20f434d1221f425e083ef91df666b6e7eaa9d2e1681be617dc7")
BODY = """\
exchange.example/ledger
8
I6PGqnutFFJk1M/qBnBKnvUV9fCwlY2sQghKr59EFXY=
"""
LOG_LINE = (
    "— exchange.example/ledger B3GvfppkW3oi8PGBz3vyPuDHhE+mXeY/5Q+o3pxE3Xu2XSC8TMz6hXCN"
    "Xd7xIvd6PaiVD0wOypPDExaM16QYsOwbzA8=\n"
)
WITNESS_LINE = (
    "— member-a.example/witness fIjWGAAAAABrBGM8IYG+qjE03MAEGhaZtxxWchp+pf2T8rfmVTM9HH79RWgL"
    "wdj3K+8d/5u6nOjsDoKGPGSexPmdJv+1wLUOzzTODQ==\n"
)
NOTE = BODY + "\n" + LOG_LINE + WITNESS_LINE
PROOF = (
    """\
c2sp.org/tlog-proof@v1
index 5
dDQVvx02vJ7iG5XkZKvY5TjpjGtFb3bxykm0AOT4RJ8=
gTJ4RifZls3WF/lLmeNb8xiK6xR1X8MsePu0rIKtGgQ=
JBPq0PH2aY01HyicTJCK9GCkFqx+Xen+p+pgPJpaxCM=

"""
    + NOTE
)
AT = 1795449660


def signer(name: str) -> Signer:
    seed = hashlib.sha256(f"weir test vector {name}".encode()).digest()
    return signer_of(Ed25519PrivateKey.from_private_bytes(seed))


LEDGER_KEY, WITNESS_KEY = signer("ledger key 1"), signer("witness key a")
LOG_VERIFIER, WITNESS_VERIFIER = note.parse_vkey(LOG_VKEY), note.parse_vkey(WITNESS_VKEY)
BOTH = (LOG_VERIFIER, WITNESS_VERIFIER)


def refusal(call: Callable[..., object], *args: object) -> str:
    with pytest.raises(Refused) as refused:
        call(*args)
    return refused.value.code


def spoiled(line: str) -> str:
    """The same line with one bit of the signature turned."""
    head, _, encoded = line.rstrip("\n").rpartition(" ")
    data = bytearray(base64.b64decode(encoded))
    data[-1] ^= 1
    return f"{head} {base64.b64encode(data).decode()}\n"


def test_vectors_are_made_byte_for_byte() -> None:
    assert Verifier(ORIGIN, LOG, LEDGER_KEY.public).vkey() == LOG_VKEY
    assert Verifier(WITNESS_A, WITNESS, WITNESS_KEY.public).vkey() == WITNESS_VKEY
    checkpoint = note.parse_checkpoint(BODY)
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 8)
    assert checkpoint.text() == BODY
    signed = note.sign_note(BODY, ORIGIN, LEDGER_KEY)
    line = note.cosignature_line(BODY, WITNESS_A, WITNESS_KEY, at=AT)
    assert signed + line == NOTE
    proof = note.parse_proof(PROOF)
    assert note.proof_text(5, proof.path, NOTE) == PROOF


def test_the_proof_of_entry_5_verifies() -> None:
    proven = note.verify_proof(PROOF, LEAF_5, BOTH)
    assert (proven.index, proven.checkpoint.size) == (5, 8)
    assert [(each.verifier, each.at) for each in proven.signatures] == [
        (LOG_VERIFIER, None),
        (WITNESS_VERIFIER, AT),
    ]


def test_a_proof_of_another_index_leaf_or_root_is_refused() -> None:
    assert refusal(note.verify_proof, PROOF.replace("index 5", "index 4"), LEAF_5, BOTH) == (
        "merkle.inclusion"
    )
    assert refusal(note.verify_proof, PROOF, b"\x00" * 32, BOTH) == "merkle.inclusion"
    root_5 = bytes.fromhex("850b7a4e20512cac64cbdb73a608b8fcc918134280fe733c6a5de2f22035a12d")
    for size in (5, 8):
        other = note.sign_note(Checkpoint(ORIGIN, size, root_5).text(), ORIGIN, LEDGER_KEY)
        text = note.proof_text(5, note.parse_proof(PROOF).path, other)
        assert refusal(note.verify_proof, text, LEAF_5, BOTH) == "merkle.inclusion"


@pytest.mark.parametrize("line", [LOG_LINE, WITNESS_LINE])
def test_a_bad_line_of_a_known_key_refuses_the_whole_note(line: str) -> None:
    altered = NOTE.replace(line, spoiled(line))
    assert refusal(note.open_note, altered, BOTH) == "signature.bad"


def test_lines_of_unknown_keys_are_passed_over() -> None:
    altered = NOTE.replace(WITNESS_LINE, spoiled(WITNESS_LINE))
    assert [each.verifier for each in note.open_note(altered, [LOG_VERIFIER]).signatures] == [
        LOG_VERIFIER
    ]
    assert refusal(note.open_note, BODY + "\n" + WITNESS_LINE, [LOG_VERIFIER]) == "note.unsigned"


def test_a_changed_text_is_refused() -> None:
    assert refusal(note.open_note, NOTE.replace("\n8\n", "\n9\n"), BOTH) == "signature.bad"
    later = WITNESS_LINE.replace("AAAAABrBGM8", "AAAAABrBGM9")  # the time is signed too
    assert refusal(note.open_note, NOTE.replace(WITNESS_LINE, later), BOTH) == "signature.bad"


def test_one_key_counts_once_and_its_first_line_stands() -> None:
    again = note.cosignature_line(BODY, WITNESS_A, WITNESS_KEY, at=AT + 60)
    opened = note.open_note(NOTE + again, (*BOTH, LOG_VERIFIER))
    assert [each.at for each in opened.signatures] == [None, AT]


def test_quorum_is_reached_when_enough_names_have_signed() -> None:
    later = note.Signature(Verifier("b.example/w", WITNESS, b"\x01" * 32), AT + 60)
    same_name = note.Signature(Verifier(WITNESS_A, WITNESS, b"\x02" * 32), AT - 60)
    signatures = (*note.open_note(NOTE, BOTH).signatures, later, same_name)
    assert note.cosigned_at(signatures, 1) == AT - 60
    assert note.cosigned_at(signatures, 2) == AT + 60
    assert note.cosigned_at(signatures, 3) is None
    assert note.cosigned_at(signatures, 0) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        BODY,
        BODY + "\n",
        NOTE[:-1],
        BODY + "\n" + "\n" + LOG_LINE,
        BODY + "\n" + LOG_LINE + "\n" + WITNESS_LINE,
        NOTE.replace("\n8\n", "\n8\r\n"),
        NOTE.replace("\n8\n", "\n\ud8008\n"),
        NOTE + WITNESS_LINE * 100,
        NOTE + "- name AAAAAAAA\n",
        NOTE + "—  AAAAAAAA\n",
        NOTE + "— a+b AAAAAAAA\n",
        NOTE + "— name AAAA\n",
        NOTE + "— name ?\n",
        NOTE + "— näme\n",
        BODY + "\n" + "trailing\n" + LOG_LINE,
    ],
)
def test_what_is_not_a_note_is_refused(text: str) -> None:
    assert refusal(note.open_note, text, BOTH) in {
        "note.form",
        "base64.bad",
        "signature.bad",
        "note.unsigned",
    }


def test_a_cosignature_without_its_time_is_refused() -> None:
    line = note.log_line(BODY, WITNESS_A, WITNESS_KEY)
    _, _, encoded = line.rstrip("\n").rpartition(" ")
    data = WITNESS_VERIFIER.key_id + base64.b64decode(encoded)[4:]
    short = f"— {WITNESS_A} {base64.b64encode(data).decode()}"
    assert refusal(note.check_line, short, BODY, BOTH) == "note.form"


def test_two_keys_of_one_name_and_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    clash = Verifier(ORIGIN, LOG, b"\x00" * 32)
    # a collision of four bytes costs 2^32 tries, so it is brought about here
    monkeypatch.setattr(Verifier, "key_id", property(lambda _self: LOG_VERIFIER_ID))
    assert refusal(note.check_line, LOG_LINE.strip(), BODY, (LOG_VERIFIER, clash)) == (
        "note.ambiguous"
    )


LOG_VERIFIER_ID = LOG_VERIFIER.key_id


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace("\n8\n", "\n08\n"),
        BODY.replace("\n8\n", "\n+8\n"),
        BODY.replace("\n8\n", "\n٨\n"),
        BODY.replace("\n8\n", "\n\n"),
        BODY.replace("\n8\n", f"\n{2**63}\n"),
        BODY.replace("\n8\n", f"\n{10**30}\n"),
        BODY + "extension\n",
        BODY + "trailing",
        BODY[:-1],
        BODY.replace(ORIGIN, ""),
        BODY.replace(ORIGIN, "two words"),
        BODY.replace("FXY=", "FXZ="),  # spare bits: a second spelling
        BODY.replace("FXY=", "FXY"),
        BODY.replace("I6PGqnutFFJk1M/qBnBKnvUV9fCwlY2sQghKr59EFXY=", "I6PG"),
    ],
)
def test_checkpoints_have_one_spelling(body: str) -> None:
    assert refusal(note.parse_checkpoint, body)
    signed = note.sign_note(body, ORIGIN, LEDGER_KEY) if body.endswith("\n") else NOTE[:-1]
    assert refusal(note.open_checkpoint, signed, BOTH)


def test_a_checkpoint_is_signed_by_the_log_that_it_names() -> None:
    other = Verifier("other.example/ledger", LOG, LEDGER_KEY.public)
    signed = note.sign_note(BODY, other.name, LEDGER_KEY)
    assert refusal(note.open_checkpoint, signed, [other]) == "checkpoint.origin"
    assert refusal(note.open_checkpoint, BODY + "\n" + WITNESS_LINE, BOTH) == "checkpoint.origin"


def test_a_note_ends_with_a_newline() -> None:
    assert refusal(note.sign_note, "no newline", ORIGIN, LEDGER_KEY) == "note.form"


HEAD, _, REST = PROOF.partition("\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        NOTE,
        PROOF.replace("@v1", "@v2"),
        PROOF.replace("index 5", "index 05"),
        PROOF.replace("index 5", "extra AAAA\nindex 5"),
        PROOF.replace("dDQVvx02vJ7iG5XkZKvY5TjpjGtFb3bxykm0AOT4RJ8=", "AAAA"),
        f"{HEAD}\nindex 5\n" + "dDQVvx02vJ7iG5XkZKvY5TjpjGtFb3bxykm0AOT4RJ8=\n" * 64 + "\n" + NOTE,
    ],
)
def test_what_is_not_a_proof_is_refused(text: str) -> None:
    assert refusal(note.parse_proof, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        LOG_VKEY.replace("0771af7e", "0771af7f"),
        LOG_VKEY.replace("0771af7e", "0771AF7E"),
        LOG_VKEY.replace("exchange", "x change"),
        LOG_VKEY[:-4],
        Verifier(ORIGIN, LOG, b"short").vkey(),
    ],
)
def test_keys_that_are_not_their_own_are_refused(text: str) -> None:
    assert refusal(note.parse_vkey, text)


def test_kinds_of_keys_that_come_later_are_passed_over() -> None:
    later = Verifier(ORIGIN, 0x06, b"\x07" * 1312)
    text = "\n".join([LOG_VKEY, later.vkey(), WITNESS_VKEY, ""])
    assert note.parse_vkeys(text) == BOTH
    line = f"— {ORIGIN} {base64.b64encode(later.key_id + bytes(2428)).decode()}\n"
    assert len(note.open_note(NOTE + line, BOTH).signatures) == 2
    assert refusal(note.open_note, NOTE + line, (*BOTH, later)) == "note.form"


def test_the_leaf_of_the_proof_is_the_entry_not_its_hash() -> None:
    hashed = merkle.leaf_hash(LEAF_5)
    assert refusal(note.verify_proof, PROOF, hashed, BOTH) == "merkle.inclusion"
