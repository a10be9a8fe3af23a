"""Is the ledger what it was: before anything is signed, and in full."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Max

from exchange.ledger import full as everything
from exchange.ledger.naming import origin
from exchange.ledger.sequencer import last_checkpoint_file, read_tiles
from exchange.models import LedgerCheckpoint, LedgerEntry, LedgerHead, SigningKey
from exchange.proof import merkle, note
from exchange.proof.refused import Refused


def start_up(*, seen: Iterable[str] = ()) -> None:
    """Refuse to go on unless head, tiles, checkpoint and the last file agree (section 6.10).

    `seen` are notes that witnesses show: what a key of ours signed there must be of this log.
    """
    for problem in (*problems(full=False), *_seen_problems(seen)):
        raise Refused("ledger.diverged", f"{problem} Nothing is signed: see ledger_resume.")


def problems(*, full: bool) -> tuple[str, ...]:
    """What differs, one sentence each; in full, leaves from slots and tiles from leaves too."""
    return tuple(each_problem(full=full))


def each_problem(*, full: bool) -> Iterator[str]:
    """The same, one after the other while it is looked for."""
    # The file is read first: whatever it holds was committed before, so this snapshot has it.
    kept = last_kept()
    with _snapshot():
        yield from head_problems()
        yield from _kept_problems(kept)
        if full:
            yield from everything.differences()


@contextmanager
def _snapshot() -> Iterator[None]:
    """One state of the database, although a sequencer may be at work."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def last_kept() -> note.Checkpoint | None:
    """The newest checkpoint that was written outside of the database."""
    path = last_checkpoint_file()
    if not path.exists():
        return None
    return parsed(path.read_text("utf-8"))


def parsed(signed: str) -> note.Checkpoint:
    """What a note states, its signatures not looked at."""
    return note.parse_checkpoint(signed.partition("\n\n")[0] + "\n")


def head_problems() -> Iterator[str]:
    """Whether entries, tiles, head and newest checkpoint are of one log."""
    head = LedgerHead.objects.filter(pk=1).first()
    size, root = (head.size, bytes(head.root)) if head else (0, merkle.EMPTY_ROOT)
    last = LedgerEntry.objects.aggregate(last=Max("idx"))["last"]
    if size != (0 if last is None else last + 1):
        yield f"The head says {size} entries, the last one has number {last}."
    newest = LedgerCheckpoint.objects.order_by("-size").first()
    try:
        if merkle.edge_root(read_tiles(merkle.edge_of(size)), size) != root:
            yield f"The root of the head of {size} entries is not that of its tiles."
        elif newest is not None and newest.size > size:
            yield f"A checkpoint of {newest.size} was published, the tree has {size} entries."
        elif newest is not None and root_at(newest.size) != bytes(newest.root):
            yield f"The checkpoint of {newest.size} has another root than the tree at that size."
    except Refused as refused:
        yield refused.sentence


def _seen_problems(seen: Iterable[str]) -> Iterator[str]:
    head = LedgerHead.objects.filter(pk=1).first()
    size = head.size if head else 0
    keys = SigningKey.objects.filter(purpose="ledger").values_list("public", flat=True)
    known = [note.Verifier(origin(), note.LOG, bytes(key)) for key in keys]
    for signed in seen:
        try:
            shown, _ = note.open_checkpoint(signed, known)
        except Refused:
            continue  # no key of ours signed it: nobody's word stops us but our own
        if shown.size > size:
            yield (
                f"A witness has seen a checkpoint of {shown.size}, the database has {size} "
                "entries: it was restored from before."
            )
        elif root_at(shown.size) != shown.root:
            yield f"A witness has seen another tree of {shown.size} entries."


def _kept_problems(kept: note.Checkpoint | None) -> Iterator[str]:
    if kept is None:
        return
    head = LedgerHead.objects.filter(pk=1).first()
    size = head.size if head else 0
    if kept.origin != origin():
        yield f"The last checkpoint file is of the log {kept.origin}, this one is {origin()}."
    elif kept.size > size:
        yield (
            f"A checkpoint of {kept.size} was signed, the database has {size} entries: "
            "it was restored from before."
        )
    elif root_at(kept.size) != kept.root:
        yield f"The checkpoint of {kept.size} that was signed has another root than the tree."


def root_at(size: int) -> bytes:
    """The root as the tiles have it; nothing where a tile is too short."""
    try:
        return merkle.root_at(size, lambda level, n: read_tiles([(level, n)]).get((level, n), b""))
    except Refused:
        return b""
