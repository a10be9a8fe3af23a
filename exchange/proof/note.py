"""Sign and open C2SP notes: checkpoints, cosignatures, and proofs that carry them.

Text is split at newlines only: other line breaks that Unicode knows are ordinary characters here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from exchange.proof import keys, merkle
from exchange.proof.keys import Signer, b64, unb64
from exchange.proof.refused import Refused

LOG = 0x01  # Ed25519 over the text
WITNESS = 0x04  # Ed25519 cosignature: over a time and the text
KINDS = (LOG, WITNESS)
MOST_LINES = 100
PROOF_HEAD = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public key of a log or a witness, and the name that it signs under."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes by which a signature line names its key."""
        text = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return sha256(text).digest()[:4]

    def vkey(self) -> str:
        """The key as one line of text."""
        key = bytes([self.kind]) + self.public
        return f"{self.name}+{self.key_id.hex()}+{b64(key)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was checked; `at` is the time of a cosignature, in seconds."""

    verifier: Verifier
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the good signatures of known keys under it; there is at least one."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its name, how many entries it has, and their root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Proof:
    """A tlog-proof as it was sent, nothing checked yet."""

    index: int
    path: tuple[bytes, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Proven:
    """Where an entry stands, in which state of the log, and who signed that state."""

    index: int
    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]


# Keys


def parse_vkey(text: str) -> Verifier:
    """Read a verifier key of any kind; the key id in it must be its own."""
    name, _, rest = text.partition("+")
    key_id, _, key = rest.partition("+")
    data = unb64(key)
    verifier = Verifier(name, data[0] if data else 0, data[1:])
    if not _is_name(name) or verifier.key_id.hex() != key_id:
        raise Refused("note.vkey", "A verifier key does not carry its own key id.")
    if verifier.kind in KINDS and len(verifier.public) != 32:
        raise Refused("note.vkey", "An Ed25519 key has 32 bytes.")
    return verifier


def parse_vkeys(text: str) -> tuple[Verifier, ...]:
    """Read verifier keys, one a line; kinds that are not known yet are passed over."""
    found = [parse_vkey(line) for line in text.split("\n") if line]
    return tuple(verifier for verifier in found if verifier.kind in KINDS)


def _is_name(name: str) -> bool:
    # Printable: stricter than C2SP, since names end up on terminals.
    return bool(name) and name.isprintable() and not {" ", "+"} & set(name)


# Signing


def log_line(text: str, name: str, signer: Signer) -> str:
    """The signature line of a log under a text; ends with its newline."""
    verifier = Verifier(name, LOG, signer.public)
    return _line(verifier, signer.sign(text.encode()))


def cosignature_line(text: str, name: str, signer: Signer, *, at: int) -> str:
    """The signature line of a witness that saw this checkpoint at that second."""
    verifier = Verifier(name, WITNESS, signer.public)
    return _line(verifier, at.to_bytes(8, "big") + signer.sign(_cosigned(text, at)))


def sign_note(text: str, name: str, signer: Signer) -> str:
    """A text with one signature under it; further lines are added at its end."""
    if not text.endswith("\n"):
        raise Refused("note.form", "The text of a note ends with a newline.")
    return text + "\n" + log_line(text, name, signer)


def _line(verifier: Verifier, signature: bytes) -> str:
    return f"— {verifier.name} {b64(verifier.key_id + signature)}\n"


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


# Opening


def open_note(note: str, verifiers: Iterable[Verifier]) -> Note:
    """Check a note: unknown keys' lines are passed over, a known key's bad line refuses it all."""
    text, lines = _split(note)
    known = tuple(verifiers)
    checked = [check_line(line, text, known) for line in lines]
    # Of several lines of one key the first counts, so that nobody is two witnesses.
    first: dict[Verifier, Signature] = {}
    for signature in filter(None, checked):
        first.setdefault(signature.verifier, signature)
    if not first:
        raise Refused("note.unsigned", "No known key has signed this note.")
    return Note(text, tuple(first.values()))


def check_line(line: str, text: str, verifiers: Iterable[Verifier]) -> Signature | None:
    """Check one signature line (without its newline); None where its key is not known."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = unb64(encoded)
    if dash != "—" or not _is_name(name) or len(data) < 5:
        raise Refused("note.form", "A signature line is not in its form.")
    key_id, signature = data[:4], data[4:]
    known = {each for each in verifiers if (each.name, each.key_id) == (name, key_id)}
    if len(known) > 1:
        raise Refused("note.ambiguous", "Two known keys have the same name and key id.")
    return _checked(known.pop(), signature, text) if known else None


def _checked(verifier: Verifier, signature: bytes, text: str) -> Signature:
    if verifier.kind == LOG:
        keys.verify(verifier.public, signature, text.encode())
        return Signature(verifier)
    if verifier.kind != WITNESS or len(signature) != 8 + 64:
        raise Refused("note.form", "A cosignature is not in its form.")
    at = int.from_bytes(signature[:8], "big")
    keys.verify(verifier.public, signature[8:], _cosigned(text, at))
    return Signature(verifier, at)


def _split(note: str) -> tuple[str, list[str]]:
    body, _, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not body or lines.pop() or not 0 < len(lines) <= MOST_LINES:
        raise Refused("note.form", "This is not a signed note.")
    # Control characters and stray surrogates could make one note look like another.
    if any(c != "\n" and (c < " " or "\ud800" <= c <= "\udfff") for c in note):
        raise Refused("note.form", "A note holds a character that no note may hold.")
    return body + "\n", lines


def cosigned_at(signatures: Iterable[Signature], quorum: int) -> int | None:
    """The second at which the quorum of witnesses was reached; each name counts once."""
    times: dict[str, int] = {}
    for signature in signatures:
        if signature.at is not None:
            name = signature.verifier.name
            times[name] = min(signature.at, times.get(name, signature.at))
    return sorted(times.values())[quorum - 1] if 0 < quorum <= len(times) else None


# Checkpoints


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the three lines of a checkpoint; there is exactly one spelling of each."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise Refused("checkpoint.form", "A checkpoint has three lines.")
    origin, size, root = lines[0], _decimal(lines[1]), unb64(lines[2])
    if not _is_name(origin) or len(root) != merkle.HASH:
        raise Refused("checkpoint.form", "The checkpoint's origin or root is not in its form.")
    return Checkpoint(origin, size, root)


def open_checkpoint(
    note: str, verifiers: Iterable[Verifier]
) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """Check a checkpoint: a known log of just that name must have signed it."""
    opened = open_note(note, verifiers)
    checkpoint = parse_checkpoint(opened.text)
    signed_by = [(each.verifier.kind, each.verifier.name) for each in opened.signatures]
    if (LOG, checkpoint.origin) not in signed_by:
        raise Refused("checkpoint.origin", "The log that the checkpoint names has not signed it.")
    return checkpoint, opened.signatures


def _decimal(text: str) -> int:
    plain = text.isascii() and text.isdigit() and len(text) < 20
    if not plain or str(int(text)) != text or int(text) >= 2**63:
        raise Refused("checkpoint.number", "A number is not in its only decimal form.")
    return int(text)


# Proofs


def proof_text(index: int, path: Sequence[bytes], note: str) -> str:
    """The tlog-proof: where an entry stands under the checkpoint in this note."""
    head = [PROOF_HEAD, f"index {index}", *map(b64, path)]
    return "\n".join(head) + "\n\n" + note


def parse_proof(text: str) -> Proof:
    """Read a tlog-proof; its optional `extra` line is not used by our log and refused."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 2 or lines[0] != PROOF_HEAD or not lines[1].startswith("index "):
        raise Refused("proof.form", "This is not a tlog-proof.")
    path = tuple(map(unb64, lines[2:]))
    if len(path) > 63 or any(len(step) != merkle.HASH for step in path):
        raise Refused("proof.form", "This is not a tlog-proof.")
    return Proof(_decimal(lines[1].removeprefix("index ")), path, note)


def verify_proof(text: str, leaf: bytes, verifiers: Iterable[Verifier]) -> Proven:
    """Check that an entry (its 32-byte leaf) is in the log, and tell where and by whose word."""
    proof = parse_proof(text)
    checkpoint, signatures = open_checkpoint(proof.note, verifiers)
    leaf_hash = merkle.leaf_hash(leaf)
    merkle.verify_inclusion(leaf_hash, proof.index, checkpoint.size, proof.path, checkpoint.root)
    return Proven(proof.index, checkpoint, signatures)
