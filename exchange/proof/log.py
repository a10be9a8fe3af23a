"""Follow a log: its newest checkpoint grows from the last, whoever signs it, whatever is in it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from exchange.proof import merkle, note, records
from exchange.proof.entry import Opening
from exchange.proof.note import LOG, WITNESS, Checkpoint, Signature, Verifier
from exchange.proof.records import Recorded
from exchange.proof.refused import Refused
from exchange.proof.remote import Remote
from exchange.proof.state import State

LEAST = 2  # witnesses, where there are any
_MOST = 40  # moments at which a checkpoint of the old key is looked for


class Contradiction(Refused):
    """Signed evidence: the notes contradict each other, whoever says what."""

    def __init__(self, code: str, sentence: str, *notes: str, path: str = "") -> None:
        super().__init__(code, sentence, path)
        self.notes = notes


@dataclass(slots=True)
class View:
    """One state of the log as the exchange shows it now, with the tiles that were asked for."""

    remote: Remote
    signed: str
    point: Checkpoint
    signatures: tuple[Signature, ...] = ()
    witnesses: tuple[Verifier, ...] = ()
    active: tuple[Verifier, ...] = ()
    _tiles: dict[merkle.Tile, bytes] = field(default_factory=dict)

    def read(self, level: int, n: int) -> bytes:
        """A tile, fetched once."""
        if (level, n) not in self._tiles:
            self._tiles[level, n] = self.remote.tile(level, n, self.point.size)
        return self._tiles[level, n]

    def prove(self, opening: Opening) -> note.Proven:
        """Refuse unless the opening's leaf stands at its index, under the checkpoint."""
        index, size = opening.index, self.point.size
        try:
            path = merkle.inclusion(index, size, self.read)
            merkle.verify_inclusion(
                merkle.leaf_hash(opening.leaf), index, size, path, self.point.root
            )
        except Refused as refused:
            if not refused.code.startswith("merkle."):
                raise
            raise Contradiction(
                "entry.absent",
                "An opening's leaf is not in the log at its place.",
                self.signed,
                path=f"entry {index}",
            ) from None
        return note.Proven(index, self.point, self.signatures)


def newest(remote: Remote, state: State, given: Iterable[Verifier]) -> tuple[View, State]:
    """The newest checkpoint, signed by a log that is trusted."""
    # 1. who is trusted: own copies, what the state knows, at first what the exchange says
    # 2. the log has signed     3. its origin is the known one
    # 4. (the caller) it grew from the stored one: follow
    signed = remote.text("/ledger/checkpoint")
    trusted = _trusted(remote, state, given)  # 1
    try:
        point, signatures = note.open_checkpoint(signed, trusted)  # 2
    except Refused as refused:
        if refused.code not in ("note.unsigned", "checkpoint.origin") or not state.note:
            raise
        trusted = (*trusted, *_announced(remote, state, trusted))
        try:
            point, signatures = note.open_checkpoint(signed, trusted)
        except Refused:
            raise _unknown_key(state.note, signed) from None
    if state.origin and point.origin != state.origin:  # 3
        raise Contradiction(
            "checkpoint.other", "The checkpoint is of another log than before.", state.note, signed
        )
    view = View(remote, signed, point, signatures)
    vkeys = tuple(sorted({each.vkey() for each in trusted}))
    return view, replace(state, origin=point.origin, vkeys=vkeys)


def follow(view: View, before: str) -> None:
    """Refuse unless the view's tree begins with the one of a checkpoint that was checked before."""
    if not before:
        return
    old, new = parsed(before), view.point
    if new.size < old.size:
        raise Contradiction("log.shrunk", "The log has shrunk.", before, view.signed)
    try:
        path = view.remote.consistency(old.size, new.size) if old.size < new.size else ()
        merkle.verify_consistency(old.size, new.size, path, old.root, new.root)
    except Refused as refused:
        if refused.code.startswith("exchange."):
            raise
        raise Contradiction(
            "log.fork",
            "The log tells two stories: what was signed before is not the beginning of what is "
            "signed now.",
            before,
            view.signed,
        ) from None


def parsed(signed: str) -> Checkpoint:
    """The checkpoint in a note that was checked before."""
    return note.parse_checkpoint(signed.partition("\n\n")[0] + "\n")


def told_to_all(view: View) -> tuple[Recorded, ...]:
    """The entries that everyone is shown: keys, witnesses, floors; each proven."""
    return tuple(recorded(view, one) for one in view.remote.openings("all", -1))


def recorded(view: View, opening: Opening) -> Recorded:
    """An opening that agrees with itself and is in the log."""
    fields, named = opening.check(), opening.renditions()
    proven = view.prove(opening)
    discloses = opening.slot == "to" and fields.get("kind") in records.DISCLOSING
    return Recorded(
        opening.index,
        opening.leaf,
        named if discloses else (),
        proven,
        opening.slot,
        fields,
        named,
    )


def learn(view: View, state: State, told: Iterable[Recorded]) -> State:
    """Who signs from now on, as the log itself tells: its own keys and its witnesses."""
    rows = sorted(told, key=lambda one: one.index)
    statuses: dict[str, str] = {}
    for each in rows:
        vkey, status = each.fields.get("vkey"), each.fields.get("status")
        if each.fields.get("purpose") != records.WITNESS or not isinstance(vkey, str):
            continue
        # Within a batch the order is mixed; one that has ended never comes back.
        if statuses.get(vkey, "active") == "active":
            statuses[vkey] = str(status)
    found = {vkey: note.parse_vkey(vkey) for vkey in statuses}
    view.witnesses = tuple(one for one in found.values() if one.kind == WITNESS)
    view.active = tuple(one for one in view.witnesses if statuses[one.vkey()] == "active")
    trusted, revoked = set(state.vkeys), set(state.revoked)
    for key in records.history(rows):
        if key.purpose == "ledger":
            vkey = Verifier(view.point.origin, LOG, key.public).vkey()
            trusted.add(vkey)
            if key.status == "revoked":
                revoked.add(vkey)
    left = tuple(sorted(trusted - revoked))
    return replace(state, vkeys=left, revoked=tuple(sorted(revoked)))


def quorum_of(view: View, asked: int | None) -> int:
    """How many must have cosigned: as asked, else more than half of the active, at least two."""
    if asked is not None:
        return asked
    return max(LEAST, len(view.active) // 2 + 1) if view.active else 0


def cosigned_at(view: View, signed: str, quorum: int) -> int | None:
    """The second at which enough witnesses had signed a checkpoint of this log."""
    verifiers = [*view.witnesses, *_logs(signed, view)]
    try:
        signatures = note.open_note(signed, verifiers).signatures
    except Refused as refused:
        if refused.code == "note.unsigned":
            return None
        raise
    return note.cosigned_at(signatures, max(1, quorum))


def _logs(signed: str, view: View) -> list[Verifier]:
    return [] if signed != view.signed else [one.verifier for one in view.signatures]


def _trusted(remote: Remote, state: State, given: Iterable[Verifier]) -> tuple[Verifier, ...]:
    own = tuple(one for one in given if one.kind == LOG)
    known = note.parse_vkeys("\n".join(state.vkeys))
    if own or known:
        return tuple(dict.fromkeys((*own, *known)))
    lines = note.parse_vkeys(remote.text("/ledger/keys"))
    return tuple(one for one in lines if one.kind == LOG)


def _announced(remote: Remote, state: State, trusted: tuple[Verifier, ...]) -> tuple[Verifier, ...]:
    """A key that the log announced under a key that is trusted, before it changed to it."""
    # 1. a checkpoint from about when the new key was told of, that a trusted key signed
    # 2. it grew from the stored one     3. it has the entry that announces the new key
    told = [one for one in remote.openings("all", -1) if _is_of_log(one)]
    for moment in sorted({each for one in told for each in _moments(one)}, reverse=True)[:_MOST]:
        try:
            older = remote.text(f"/ledger/checkpoint?before={moment}")
            point, signatures = note.open_checkpoint(older, trusted)  # 1
        except Refused as refused:
            if refused.code in ("note.unsigned", "checkpoint.origin", "exchange.404"):
                continue
            raise
        view = View(remote, older, point, signatures)
        follow(view, state.note)  # 2
        rows = [recorded(view, one) for one in told if one.index < point.size]  # 3
        found = tuple(Verifier(point.origin, LOG, key.public) for key in records.history(rows))
        if set(found) - set(trusted):
            return found
    return ()


def _unknown_key(*notes: str) -> Contradiction:
    return Contradiction(
        "checkpoint.key",
        "The checkpoint is signed with a key that the log has not announced. Ask the forum for its "
        "new key by another way, and pass it with --vkeys.",
        *notes,
    )


def _is_of_log(opening: Opening) -> bool:
    fields = opening.check()
    return (fields.get("kind"), fields.get("purpose")) == ("key", "ledger")


def _moments(opening: Opening) -> set[int]:
    """When a key was told of, and when it was to begin: a second later, each."""
    fields = opening.check()
    jwk = fields.get("jwk")
    stated = (fields.get("at"), jwk.get("weir_nbf") if isinstance(jwk, dict) else None)
    return {one + 1 for one in stated if type(one) is int and 0 <= one < 2**40}
