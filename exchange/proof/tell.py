"""Say in plain words what was verified and what was not."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from exchange.proof import claims
from exchange.proof.archive import Checked, Verified
from exchange.proof.log import Contradiction, View
from exchange.proof.note import Checkpoint
from exchange.proof.records import Trust
from exchange.proof.refused import Refused
from exchange.proof.state import State

ALL = "Everything verifies."
REVOKED = (
    "The key that signed this archive is revoked: what it says of itself (kind, question, that "
    "nothing was left out) proves nothing any more. What lies in it stands by the ledger."
)


def refusal(refused: Refused, *, is_checked: bool = True) -> list[str]:
    """What does not verify, where, and the notes that contradict each other."""
    place = f" [{shown(refused.path)}]" if refused.path else ""
    verdict = "DOES NOT VERIFY" if is_checked else "NOT CHECKED"
    lines = [f"{verdict}: {refused.sentence} ({refused.code}){place}"]
    notes = refused.notes if isinstance(refused, Contradiction) else ()
    for number, signed in enumerate(notes, start=1):
        lines += [f"--- note {number} of {len(notes)}", signed.rstrip("\n"), "---"]
    return lines


def archive(found: Checked) -> Iterator[str]:
    """What a signed archive says, and how much of it the ledger proves."""
    one = found.described
    yield (
        f"{one.kind} from {one.iss}, made {moment(one.iat)}, signed with {found.signed_by.kid}; "
        f"ledger {one.ledger} at {one.size} entries, cosigned by {found.witnesses} witnesses"
    )
    for name, value in one.about.items():
        yield f"  {shown(name)}: {shown(value)}"
    yield f"{len(found.rows)} entries are proven to be in the ledger."
    if found.answer is not None:
        proven = sum(1 for row in found.answer.rows if row.marks)
        rest = len(found.answer.rows) - proven
        yield (
            f"The answer has {len(found.answer.rows)} rows: {proven} lead to entries of the "
            f"ledger, {rest} rest on the exchange's word alone."
        )
    if found.others:
        yield f"Listed beside: {', '.join(found.others)}."


def bundle(found: Verified) -> str:
    """A bundle that verifies, and where the ledger has it."""
    manifest, entries = found.manifest, found.entries
    indexes = claims.spell_ranges(each.index for each in entries)
    witnesses = min(
        len({signed.verifier.name for signed in each.proven.signatures if signed.at is not None})
        for each in entries
    )
    return (
        f"{manifest.id}: {manifest.count} objects from {manifest.iss}, sealed "
        f"{moment(manifest.iat)}; "
        f"entries {indexes} of {manifest.ledger}, cosigned by {witnesses} or more witnesses"
    )


def keys(trust: Trust, own: Mapping[str, Path | None]) -> Iterator[str]:
    """Which keys were believed, where they are not one's own copies."""
    if all(own.values()):
        return
    yield "Keys were taken from the archive itself: compare them with your own copies."
    yield from (f"  manifest key {key.kid}" for key in trust.keys.keys)
    yield from (f"  ledger key {verifier.vkey()}" for verifier in trust.verifiers)


def first(view: View, state: State) -> list[str]:
    """The first check believes what the exchange says: so it is shown, to be compared."""
    return [
        f"1 log {view.point.origin}: {view.point.size} entries, seen for the first time. Compare "
        "its key with what the forum told you, and with another member:",
        *(f"  {vkey}" for vkey in state.vkeys),
    ]


def grown(view: View, before: Checkpoint) -> list[str]:
    """It grew from what was seen before."""
    return [f"1 log {view.point.origin}: grew from {before.size} to {view.point.size} entries"]


def moment(seconds: int) -> str:
    """A second as people read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def shown(value: object) -> str:
    """Of what others wrote, what a terminal can show."""
    return "".join(char for char in str(value)[:300] if char.isprintable())
