"""Read openings with their proofs, and the history of the exchange's keys that they tell.

A file of records is UTF-8 text: one record behind the other, nothing between them. A record is an
opening in one line (it begins with `{`), then the tlog-proof of its entry, up to the next line that
begins with `{` or the end of the file. A proof without a note below its path stands under the
checkpoint that came with the file.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from exchange.proof import entry, merkle, note
from exchange.proof.jws import STATUSES, Key, KeySet, parse_jwk
from exchange.proof.note import Checkpoint, Signature, Verifier
from exchange.proof.refused import Refused

DISCLOSING = ("release", "recall")
WITNESS = "witness"  # the purpose of a key that is a member's, not the exchange's


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a verifier believes: the exchange's keys, its log, and how many of its witnesses."""

    keys: KeySet
    verifiers: tuple[Verifier, ...]
    quorum: int = 0

    @property
    def majority(self) -> int:
        """How many witnesses make a bundle of a revoked key stand."""
        names = {each.name for each in self.verifiers if each.kind == note.WITNESS}
        return max(self.quorum, len(names) // 2 + 1, 2)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry that is in the log: what its slot says, and the objects that it discloses."""

    index: int
    leaf: bytes
    items: tuple[entry.Item, ...]
    proven: note.Proven
    slot: str = "to"
    fields: Mapping[str, object] = field(default_factory=dict)
    named: tuple[entry.Item, ...] = ()  # in a contributor's slot too


@dataclass(slots=True)
class Checker:
    """Checks records against one's trust; a checkpoint that stands under many is opened once."""

    trust: Trust
    checkpoint: str = ""
    _opened: dict[str, tuple[Checkpoint, tuple[Signature, ...]]] = field(default_factory=dict)

    def read(self, records: str) -> Iterator[Recorded]:
        """What the records prove; the first that does not hold is refused."""
        # 1. each opening agrees with itself      2. its leaf is in the log, at its index
        # 3. witnesses, if asked for
        for opening_line, proof in split(records):
            opening = entry.parse_opening(opening_line)
            fields, named = opening.check(), opening.renditions()  # 1
            proven = self._proven(proof, opening.leaf)  # 2
            if proven.index != opening.index:
                raise Refused("archive.index", "A proof is of another entry than its opening.")
            quorum = self.trust.quorum
            if quorum and note.cosigned_at(proven.signatures, quorum) is None:  # 3
                raise Refused("archive.quorum", "Too few witnesses have cosigned a checkpoint.")
            # A contributor's slot names its own original, not what a recipient has.
            discloses = opening.slot == "to" and fields.get("kind") in DISCLOSING
            items = named if discloses else ()
            yield Recorded(opening.index, opening.leaf, items, proven, opening.slot, fields, named)

    def open(self, signed: str) -> tuple[Checkpoint, tuple[Signature, ...]]:
        """A checkpoint that the log has signed."""
        if signed not in self._opened:
            self._opened[signed] = note.open_checkpoint(signed, self.trust.verifiers)
        return self._opened[signed]

    def _proven(self, text: str, leaf: bytes) -> note.Proven:
        proof = note.parse_proof(text)
        point, signatures = self.open(proof.note or self.checkpoint)
        merkle.verify_inclusion(
            merkle.leaf_hash(leaf), proof.index, point.size, proof.path, point.root
        )
        return note.Proven(proof.index, point, signatures)


def split(text: str) -> Iterator[tuple[str, str]]:
    """The records of a file: each opening and its proof."""
    if not text.startswith("{"):
        raise Refused("archive.proofs", "A file of proofs does not begin with an opening.")
    for record in re.split(r"^(?=\{)", text, flags=re.MULTILINE)[1:]:
        opening, _, proof = record.partition("\n")
        yield opening, proof


def join(opening: str, index: int, path: Sequence[bytes], signed: str = "") -> str:
    """One record; without a note it stands under the checkpoint beside it."""
    return f"{opening}\n{note.proof_text(index, path, signed)}"


def seen_at(recorded: Iterable[Recorded], trust: Trust) -> int | None:
    """When the majority of witnesses had seen every one of these; None if they have not."""
    times = [note.cosigned_at(each.proven.signatures, trust.majority) for each in recorded]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None


def check_one_story(recorded: Iterable[Recorded]) -> None:
    """Two roots of one size, or two leaves at one index, are signed evidence of a fork."""
    told: dict[tuple[str, str, int], bytes] = {}
    for each in recorded:
        point = each.proven.checkpoint
        for what, number, value in (
            ("size", point.size, point.root),
            ("index", each.index, each.leaf),
        ):
            if told.setdefault((point.origin, what, number), value) != value:
                raise Refused("archive.fork", "The ledger tells two stories: keep this archive.")


def history(recorded: Iterable[Recorded]) -> tuple[Key, ...]:
    """The exchange's keys as the ledger tells of them, each as far as its life has come.

    A key's life goes one way, so the order of its entries does not count: in one batch it is mixed.
    """
    found: dict[str, Key] = {}
    for each in _of_keys(recorded):
        if each.fields.get("purpose") == WITNESS:
            continue
        key = _key(each.fields)
        known = found.setdefault(key.kid, key)
        if known.purpose != key.purpose:
            raise Refused("keys.purpose", "The ledger tells of one key for two purposes.")
        if _age(key) > _age(known):
            found[key.kid] = key
    return tuple(found.values())


def _age(key: Key) -> int:
    return STATUSES.index(key.status) if key.status else 0


def witnesses(recorded: Iterable[Recorded]) -> frozenset[Verifier]:
    """The keys of all members' witnesses that the ledger ever told of."""
    told = [each.fields.get("vkey") for each in _of_keys(recorded)]
    found = [note.parse_vkey(vkey) for vkey in told if isinstance(vkey, str)]
    return frozenset(one for one in found if one.kind == note.WITNESS)


def _of_keys(recorded: Iterable[Recorded]) -> list[Recorded]:
    rows = [each for each in recorded if each.slot == "to" and each.fields.get("kind") == "key"]
    return sorted(rows, key=lambda one: one.index)


def _key(fields: Mapping[str, object]) -> Key:
    jwk, status, at = fields.get("jwk"), fields.get("status"), fields.get("at")
    if not isinstance(jwk, dict) or type(at) is not int:
        raise Refused("keys.entry", "An entry that tells of a key is not in its form.")
    key = parse_jwk(jwk)
    if (key.kid, key.purpose, key.status) != (fields.get("kid"), fields.get("purpose"), status):
        raise Refused("keys.entry", "An entry that tells of a key contradicts itself.")
    if status == "revoked" and key.revoked_at is None:
        key = replace(key, revoked_at=at)
    return key
