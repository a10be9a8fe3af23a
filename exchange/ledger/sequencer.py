"""The one that numbers what was committed, grows the tree, and signs its head.

Two transactions: a signature over a tree that was then rolled back would be a fork signed by us.
Killed at any point it leaves nothing or a whole batch; an unsigned head is signed next time.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from exchange.celery import nudge
from exchange.ledger import intake, witnesses
from exchange.ledger.batch import RELEASES, Account, Accounts, Entry, Part, number
from exchange.ledger.naming import origin
from exchange.ledger.parts import event_parts, release_parts
from exchange.models import (
    LedgerAccount,
    LedgerCheckpoint,
    LedgerGate,
    LedgerHead,
)
from exchange.proof import merkle, note
from exchange.proof.keys import Signer
from exchange.proof.refused import Refused
from members.scope import fetch

LEDGER_LOCK = 0x57454C47  # of the one process that sequences
BATCH = 5000
PUBLISHED = "weir_published"
LAST_CHECKPOINT = "last-checkpoint"

# Row-level security allows no COPY into its tables, so what is new is copied beside them first.
_STAGE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS new_entry (idx bigint, kind text, leaf bytea,
        to_member uuid, to_seq bigint, from_member uuid, from_seq bigint, ref bigint)
        ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE IF NOT EXISTS new_slot (idx bigint, slot text, member uuid,
        digest bytea, sealed bytea) ON COMMIT DELETE ROWS;
    DELETE FROM new_entry;  -- a second batch in one transaction
    DELETE FROM new_slot;
"""
_COPY_ENTRY = "COPY new_entry FROM STDIN"
_COPY_SLOT = "COPY new_slot FROM STDIN"
_KEEP = """
    INSERT INTO ledger_entry
        (idx, kind, leaf, to_member_id, to_seq, from_member_id, from_seq, ref)
        SELECT * FROM new_entry;
    INSERT INTO ledger_slot (idx, slot, member_id, digest, sealed) SELECT * FROM new_slot;
"""
_ACCOUNTS = """
    INSERT INTO ledger_account (member_id, slot, seq, running)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[])
    ON CONFLICT (member_id, slot) DO UPDATE SET seq = EXCLUDED.seq, running = EXCLUDED.running
"""
_TILES = """
    INSERT INTO ledger_tile (level, n, hashes)
    SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])
    ON CONFLICT (level, n) DO UPDATE SET hashes = EXCLUDED.hashes
"""
_READ_TILES = """
    SELECT tile.level, tile.n, tile.hashes
    FROM unnest(%s::smallint[], %s::bigint[]) AS wanted (level, n)
    JOIN ledger_tile tile ON tile.level = wanted.level AND tile.n = wanted.n
"""
_NUMBER_PARTS = """
    UPDATE exchange_releaserecipient part
    SET idx = new.idx, to_seq = new.seq, running = new.running
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS new (id, idx, seq, running)
    WHERE part.id = new.id
"""
_NUMBER_CONTRIBUTIONS = """
    UPDATE indicators_contribution row SET idx = new.idx, running = new.running
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS new (id, idx, running)
    WHERE row.id = new.id
"""
# The position among this party's objects of the checkpoint, and how many it got in all.
_SPREAD = """
    SELECT coalesce(max(total), 0) FROM (
        SELECT sum(act.count) AS total
        FROM ledger_entry entry
        JOIN exchange_releaserecipient part ON part.id = entry.ref
        JOIN exchange_release act ON act.id = part.release_id
        WHERE entry.kind IN ('release', 'recall') AND entry.idx >= %(first)s
            AND entry.idx < %(end)s AND entry.to_member_id IS NOT NULL
        GROUP BY entry.to_member_id
        UNION ALL
        SELECT sum(event.count) FROM ledger_entry entry
        JOIN ledger_event event ON event.id = entry.ref
        WHERE entry.kind = 'contribution' AND entry.idx >= %(first)s AND entry.idx < %(end)s
        GROUP BY entry.from_member_id
    ) AS each
"""
_STAMP_PARTS = """
    UPDATE exchange_releaserecipient part
    SET added_at = %(at)s + coalesce(new.before, 0) * interval '1 microsecond'
    FROM (
        SELECT own.id, own.running - min(own.running) OVER (PARTITION BY own.recipient_id) AS before
        FROM ledger_entry entry JOIN exchange_releaserecipient own ON own.id = entry.ref
        WHERE entry.kind IN ('release', 'recall') AND entry.idx >= %(first)s AND entry.idx < %(end)s
    ) AS new
    WHERE part.id = new.id
"""
_STAMP_CONTRIBUTIONS = """
    UPDATE indicators_contribution row
    SET added_at = %(at)s + new.before * interval '1 microsecond'
    FROM (
        SELECT event.contribution_id AS id, own.running
            - min(own.running) OVER (PARTITION BY event.from_member_id) AS before
        FROM ledger_entry entry JOIN ledger_event event ON event.id = entry.ref
        JOIN indicators_contribution own ON own.id = event.contribution_id
        WHERE entry.kind = 'contribution' AND entry.idx >= %(first)s AND entry.idx < %(end)s
    ) AS new
    WHERE row.id = new.id
"""


@transaction.atomic
def integrate(*, now: datetime, is_beat: bool = False) -> int | None:
    """Number one batch; how many were waiting, or None where another process is at it.

    At a beat of LEDGER_HEARTBEAT padding is a batch too.

    1. the lock          2. the head           3. what is committed       4. padding, order
    5. numbers, slots    6. rows, accounts     7. tiles, root, head
    """
    if not _is_ours():  # 1
        return None
    head = _head()  # 2
    parts = _taken()  # 3
    if not parts and not is_beat:
        return 0
    accounts = _accounts(parts)
    entries = number(parts, head.size, accounts, now=now)  # 4, 5
    _append(head, entries, accounts)  # 6, 7
    return len(parts)


def append_first(head: LedgerHead, part: Part, *, now: datetime) -> None:
    """One entry that nothing comes before in its batch; in the caller's transaction, alone."""
    accounts = _accounts([part])
    _append(head, number([part], head.size, accounts, now=now, is_ordered=True), accounts)


def _append(head: LedgerHead, entries: Sequence[Entry], accounts: Accounts) -> None:
    _keep(entries)
    _move_on(accounts)
    _number_rows(entries)
    grow(head, [merkle.leaf_hash(entry.leaf) for entry in entries])


def publish(signer: Signer, *, now: datetime) -> int | None:
    """Sign the head and set free what lies under it; the published size, None without a change.

    What the signer raises is raised on, and nothing was published.
    """
    size = _publish(signer, now=now)
    is_more = size is not None if _gate() is None else open_gate()
    if is_more:
        nudge("exchange.tasks.seal_waiting", queue="deliver")
    return size


@transaction.atomic
def open_gate() -> bool:
    """Show what enough witnesses have cosigned, where the forum waits for them (LEDGER_GATE).

    Where it no longer does, all that is published is shown, and the gate taken away.
    """
    gate = _gate() if _is_ours() else None
    if gate is None:
        return False
    before, is_waiting = gate.size, settings.LEDGER_GATE == "cosigned"
    reached = witnesses.cosigned_size(witnesses.quorum()) if is_waiting else _newest()
    gate.size = max(before, reached or 0)
    if gate.size > before:
        with connection.cursor() as cursor:
            cursor.execute("SELECT weir_supersede(%s, %s)", [before, gate.size])
            cursor.execute("SELECT pg_notify(%s, %s)", [PUBLISHED, str(gate.size)])
        gate.save(update_fields=["size"])
    if not is_waiting:
        gate.delete()
    return gate.size > before


def _gate() -> LedgerGate | None:
    """The gate; where it was just set, what was shown before stays shown."""
    if settings.LEDGER_GATE != "cosigned":
        return LedgerGate.objects.first()
    return LedgerGate.objects.get_or_create(pk=1, defaults={"size": _newest()})[0]


def _newest() -> int:
    sizes = LedgerCheckpoint.objects.order_by("-size").values_list("size", flat=True)
    return sizes.first() or 0


@transaction.atomic
def _publish(signer: Signer, *, now: datetime) -> int | None:
    if not _is_ours():
        return None
    head, gate = _head(), _gate()
    last = LedgerCheckpoint.objects.order_by("-size").first()
    first = last.size if last else 0
    if head.size == first:
        return None
    root = bytes(head.root)
    signed = _signed(note.Checkpoint(origin(), head.size, root), signer)
    # Kept outside of the database first: what anyone may have seen is never forgotten by a restore.
    keep_last(signed)
    at = now if last is None else max(now, last.at + timedelta(microseconds=1 + last.spread))
    span: dict[str, int | datetime] = {"first": first, "end": head.size, "at": at}
    with connection.cursor() as cursor:
        cursor.execute(_SPREAD, span)
        (spread,) = cursor.fetchone()
        LedgerCheckpoint.objects.create(
            size=head.size, root=root, note=signed, at=at, spread=int(spread)
        )
        cursor.execute(_STAMP_PARTS, span)
        cursor.execute(_STAMP_CONTRIBUTIONS, span)
        if gate is None:
            cursor.execute("SELECT weir_supersede(%(first)s, %(end)s)", span)
            cursor.execute("SELECT pg_notify(%s, %s)", [PUBLISHED, str(head.size)])
    return head.size


def keep_last(signed: str) -> None:
    """Write the newest checkpoint to its file, whole or not at all."""
    folder = settings.LEDGER_DIR
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = folder / f"{LAST_CHECKPOINT}.{os.getpid()}"
    with fresh.open("w", encoding="utf-8") as file:
        file.write(signed)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(last_checkpoint_file())
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def last_checkpoint_file() -> Path:
    """Where the newest checkpoint stands outside of the database."""
    return Path(settings.LEDGER_DIR) / LAST_CHECKPOINT


def read_tiles(tiles: Iterable[merkle.Tile]) -> dict[merkle.Tile, bytes]:
    """These tiles as stored; one that is not there is left out."""
    wanted = list(tiles)
    if not wanted:
        return {}
    levels, numbers = [level for level, _ in wanted], [n for _, n in wanted]
    return {(level, n): hashes for level, n, hashes in fetch(_READ_TILES, [levels, numbers])}


def grow(head: LedgerHead, leaf_hashes: Sequence[bytes]) -> None:
    """Append leaves to the tiles, and move the head there."""
    edge = read_tiles(merkle.edge_of(head.size))
    if merkle.edge_root(edge, head.size) != bytes(head.root):
        raise Refused("ledger.diverged", "The tiles do not lead to the head of the ledger.")
    changed, root = merkle.append(edge, head.size, leaf_hashes)
    with connection.cursor() as cursor:
        cursor.execute(
            _TILES,
            [
                [level for level, _ in changed],
                [n for _, n in changed],
                list(changed.values()),
            ],
        )
    head.size += len(leaf_hashes)
    head.root = root
    head.save(update_fields=["size", "root"])


def _is_ours() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LEDGER_LOCK])
        return bool(cursor.fetchone()[0])


def _head() -> LedgerHead:
    LedgerHead.objects.get_or_create(pk=1, defaults={"size": 0, "root": merkle.EMPTY_ROOT})
    return LedgerHead.objects.select_for_update().get(pk=1)


def _taken() -> list[Part]:
    """Take rows off the queue, in the order in which they were written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM ledger_intake WHERE id IN "
            "(SELECT id FROM ledger_intake ORDER BY id LIMIT %s) RETURNING id, kind, ref",
            [BATCH],
        )
        rows = sorted(cursor.fetchall())
    releases = release_parts([ref for _, kind, ref in rows if kind == "release"])
    events = event_parts([ref for _, kind, ref in rows if kind != "release"])
    return [(releases if kind == "release" else events)[ref] for _, kind, ref in rows]


def _accounts(parts: Iterable[Part]) -> Accounts:
    members = {member for part in parts for member in (part.to, part.by) if member}
    rows = LedgerAccount.objects.filter(member_id__in=members)
    return {(row.member_id, row.slot): Account(row.seq, row.running) for row in rows}


def _keep(entries: Sequence[Entry]) -> None:
    seal = intake.seal()
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        with cursor.copy(_COPY_ENTRY) as copy:
            for each in entries:
                part = each.part
                copy.write_row(
                    (
                        each.index,
                        part.kind,
                        each.leaf,
                        part.to,
                        each.to_seq,
                        part.by,
                        each.from_seq,
                        part.ref,
                    )
                )
        with cursor.copy(_COPY_SLOT) as copy:
            for each in entries:
                shown = {"to": each.part.to, "from": each.part.by}
                for slot in each.slots:
                    aad = slot_aad(each.index, slot.name)
                    sealed = seal.seal(slot.salt + slot.value, aad=aad)
                    copy.write_row(
                        (each.index, slot.name, shown.get(slot.name), slot.digest, sealed)
                    )
        cursor.execute(_KEEP)


def slot_aad(index: int, slot: str) -> bytes:
    """Where the content of a slot belongs."""
    return b"slot:%d:" % index + slot.encode()


def _move_on(accounts: Accounts) -> None:
    columns: tuple[list[Any], ...] = ([], [], [], [])
    for (member, slot), account in accounts.items():
        for column, value in zip(
            columns, (member, slot, account.seq, account.running), strict=True
        ):
            column.append(value)
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNTS, columns)


def _number_rows(entries: Sequence[Entry]) -> None:
    parts = [each for each in entries if each.part.kind in RELEASES]
    contributions = [each for each in entries if each.part.contribution_id]
    with connection.cursor() as cursor:
        if parts:
            cursor.execute(
                _NUMBER_PARTS,
                [
                    [each.part.ref for each in parts],
                    [each.index for each in parts],
                    [each.to_seq for each in parts],
                    [each.to_running if each.part.to else None for each in parts],
                ],
            )
        if contributions:
            cursor.execute(
                _NUMBER_CONTRIBUTIONS,
                [
                    [each.part.contribution_id for each in contributions],
                    [each.index for each in contributions],
                    [each.from_running for each in contributions],
                ],
            )


def _signed(checkpoint: note.Checkpoint, signer: Signer) -> str:
    """The checkpoint with our signature, which was checked: a faulty signer publishes nothing."""
    name = checkpoint.origin
    signed = note.sign_note(checkpoint.text(), name, signer)
    note.open_checkpoint(signed, [note.Verifier(name, note.LOG, signer.public)])
    return signed
