"""Go on after a restore: take back the end of the log, or open it anew under another name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import connection, transaction
from django.db.models import F

from exchange.ledger import check, intake
from exchange.ledger.export import tiles_of
from exchange.ledger.naming import origin, origins
from exchange.ledger.parts import event_parts
from exchange.ledger.sequencer import LEDGER_LOCK, append_first, grow, last_checkpoint_file
from exchange.models import LedgerAccount, LedgerEntry, LedgerHead, LedgerIntake
from exchange.proof import keys, merkle, note
from exchange.proof.refused import Refused
from members.models import Member

_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Tail:
    """What a replica, a mirror or an export still has of the log: its leaves and newest head."""

    leaves: tuple[bytes, ...]
    checkpoint: note.Checkpoint
    signed: str


def tail_from(folder: Path) -> Tail:
    """Read an export: its leaves must lead to the root of its checkpoint."""
    signed = (folder / "checkpoint").read_text("utf-8")
    checkpoint = check.parsed(signed)
    leaves: list[bytes] = []
    for n, width in tiles_of(checkpoint.size):
        data = (folder / merkle.tile_path("entries", n, width)).read_bytes()
        leaves += [data[at + 2 : at + 34] for at in range(0, len(data), 34)]
    if merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]) != checkpoint.root:
        raise Refused("resume.tail", "The entries in this folder do not lead to its checkpoint.")
    return Tail(tuple(leaves), checkpoint, signed)


@transaction.atomic
def resume(tail: Tail, publics: Sequence[bytes], *, now: datetime) -> int:
    """Take back the entries that a restore lost, as leaves that say nothing more; how many.

    1. nobody else is at it          2. the export is signed by us, and the newest that was
    3. it goes on from what we have  4. leaves, tiles, head       5. no number is given twice
    """
    _alone()  # 1
    known = [note.Verifier(origin(), note.LOG, public) for public in publics]
    note.open_checkpoint(tail.signed, known)  # 2
    kept = check.last_kept()
    if kept is not None and kept.size > tail.checkpoint.size:
        raise Refused("resume.older", f"A checkpoint of {kept.size} was signed: find that one.")
    for problem in check.head_problems():
        raise Refused("resume.broken", problem)
    LedgerHead.objects.get_or_create(pk=1, defaults={"size": 0, "root": merkle.EMPTY_ROOT})
    head = LedgerHead.objects.select_for_update().get(pk=1)
    hashes = [merkle.leaf_hash(leaf) for leaf in tail.leaves]
    if head.size > len(hashes) or merkle.root(hashes[: head.size]) != bytes(head.root):  # 3
        raise Refused("resume.fork", "The database and this export are two different logs.")
    lost = len(hashes) - head.size
    if lost:
        _take_back(head, tail, hashes)  # 4, 5
        _tell(head.size - lost, head.size, now=now)
    return lost


def _take_back(head: LedgerHead, tail: Tail, hashes: list[bytes]) -> None:
    first = head.size
    LedgerEntry.objects.bulk_create(
        (
            LedgerEntry(idx=first + n, kind="lost", leaf=leaf)
            for n, leaf in enumerate(tail.leaves[first:])
        ),
        batch_size=_CHUNK,
    )
    grow(head, hashes[first:])
    _skip(len(hashes) - first)


def _skip(lost: int) -> None:
    """Who had which of them is not known, so each account skips as many as there were: a gap is
    seen and explained, a number given twice would be a second story."""
    ids = Member.everyone.values_list("id", flat=True)
    accounts = [LedgerAccount(member_id=one, slot=slot) for one in ids for slot in ("to", "from")]
    LedgerAccount.objects.bulk_create(accounts, ignore_conflicts=True)
    LedgerAccount.objects.update(seq=F("seq") + lost)


def _alone() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LEDGER_LOCK])
        if not cursor.fetchone()[0]:
            raise Refused("resume.running", "A sequencer is running: stop it first.")


def _tell(first: int, end: int, *, now: datetime) -> None:
    indexes = {"first": first, "last": end - 1}
    for member_id in Member.objects.values_list("id", flat=True):
        intake.record(
            "erase",
            to=member_id,
            slots={"to": {"indexes": indexes, "ground": "lost in a restore"}, "audit": indexes},
            now=now,
        )


@transaction.atomic
def open_anew(known: str, publics: Sequence[bytes], *, now: datetime) -> int:
    """Go on under a new name where the end of the log is truly gone; how many entries are.

    1. nobody else is at it       2. the settings have a new name, the note is of one before
    3. something is lost indeed   4. no number is given twice, and the first entry of the new
    name tells what was lost      5. the old name's last checkpoint is put aside
    """
    _alone()  # 1
    earlier = origins()[1:]
    old = [note.Verifier(name, note.LOG, public) for name in earlier for public in publics]
    if not old:  # 2
        raise Refused("resume.number", "Set LEDGER_NUMBER to the number of the new name first.")
    before, _ = note.open_checkpoint(known, old)
    kept = check.last_kept()
    if kept is not None and kept.size > before.size:
        raise Refused("resume.older", f"A checkpoint of {kept.size} was signed: name that one.")
    for problem in check.head_problems():
        raise Refused("resume.broken", problem)
    head = LedgerHead.objects.select_for_update().filter(pk=1).first()
    if head is None or check.root_at(before.size) == before.root:  # 3
        raise Refused("resume.whole", "Nothing of that checkpoint is lost: no new name is needed.")
    lost = max(0, before.size - head.size)
    _skip(lost)  # 4
    fields = {
        "purpose": "ledger",
        "status": "opened",
        "origin": origin(),
        "before": {"origin": before.origin, "size": before.size, "root": keys.b64(before.root)},
        "at": int(now.timestamp()),
    }
    event_id = intake.record("key", slots={"to": fields, "audit": fields}, now=now)
    LedgerIntake.objects.filter(kind="key", ref=event_id).delete()
    append_first(head, event_parts([event_id])[event_id], now=now)
    if kept is not None:  # 5
        last_checkpoint_file().rename(f"{last_checkpoint_file()}.{len(earlier)}")
    return lost
