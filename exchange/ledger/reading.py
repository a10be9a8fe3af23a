"""What members read of the log: commitments for all, openings for those whom an entry concerns."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Q, QuerySet

from exchange.ledger import intake, witnesses
from exchange.ledger.batch import RELEASES
from exchange.ledger.sequencer import read_tiles, slot_aad
from exchange.models import (
    KeptList,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerEvent,
    LedgerSlot,
    Release,
    ReleaseItem,
    ReleaseRecipient,
)
from exchange.proof import entry, jcs, keys, merkle, note
from exchange.proof.entry import Opening
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import Item
from members.auth import Principal
from members.roles import FORUM_OFFICER
from members.seals import for_member

MOST_OPENINGS = 1000


def published_size() -> int:
    """How many entries may be seen: what is visible has a smaller index.

    All under the newest checkpoint or, where the forum waits for its witnesses, all that they have
    cosigned.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_published()")
        return int(cursor.fetchone()[0])


def signed_size() -> int:
    """How many entries lie under the newest checkpoint: their commitments are everybody's."""
    sizes = LedgerCheckpoint.objects.order_by("-size").values_list("size", flat=True)
    return sizes.first() or 0


def checkpoint(
    size: int | None = None, *, cosigned: int = 0, before: datetime | None = None
) -> str:
    """The newest published checkpoint with all cosignatures so far, as a signed note.

    Or the one of that size; or the newest with so many cosignatures; or the newest from before a
    moment, so that witnesses who sign at different times sign the same one.
    """
    rows = LedgerCheckpoint.objects.order_by("-size")
    if cosigned:
        size = witnesses.cosigned_size(cosigned)
        if size is None:
            raise NotFound
    if size is not None:
        rows = rows.filter(size=size)
    if before is not None:
        rows = rows.filter(at__lt=before)
    row = rows.first()
    if row is None:
        raise NotFound
    return row.note + witnesses.lines(row.size)


def tile(level: int, name: str) -> bytes:
    """A tile as tlog-tiles names it, up to the published size."""
    n, width = merkle.parse_tile_path(name)
    if not 0 <= level < 8 or (signed_size() >> merkle.HEIGHT * level) < n * merkle.WIDTH + width:
        raise NotFound
    return _read(level, n)[: width * merkle.HASH]


def entries(name: str) -> bytes:
    """A bundle of entries: for each its length and its leaf."""
    n, width = merkle.parse_tile_path(name)
    first = n * merkle.WIDTH
    if signed_size() < first + width:
        raise NotFound
    return merkle.entry_bundle(leaves(first, first + width))


def leaves(first: int, end: int) -> list[bytes]:
    """The leaves of a range, which every member may read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT leaf FROM ledger_leaf WHERE idx >= %s AND idx < %s ORDER BY idx", [first, end]
        )
        return [bytes(leaf) for (leaf,) in cursor.fetchall()]


def proof(index: int, size: int | None = None) -> str:
    """The tlog-proof of an entry against the newest checkpoint, or the one of that size."""
    signed = checkpoint(size)
    at = note.parse_checkpoint(signed.partition("\n\n")[0] + "\n").size
    if not 0 <= index < at:
        raise NotFound
    # Nearly all that is needed, in one question: above the entry, and at the edge.
    levels = range((at.bit_length() + merkle.HEIGHT - 1) // merkle.HEIGHT)
    above = [(level, index >> merkle.HEIGHT * (level + 1)) for level in levels]
    tiles = read_tiles({*above, *merkle.edge_of(at)})

    def read(level: int, n: int) -> bytes:
        return tiles[level, n] if (level, n) in tiles else _read(level, n)

    return note.proof_text(index, merkle.inclusion(index, at, read), signed)


def consistency(old: int, size: int) -> str:
    """The hashes that lead from one published size to a later one, in base64, one a line."""
    if not 0 <= old <= size <= signed_size():
        raise NotFound
    path = merkle.consistency(old, size, _read)
    return "".join(keys.b64(step) + "\n" for step in path)


def opening(principal: Principal, index: int, slot: str | None = None) -> dict[str, Any]:
    """One opening of the caller's own, as its JSON members; `to` before `from` where both are."""
    rows = {row.slot: row for row in _shown(principal).filter(idx=index)}
    wanted = (slot,) if slot else ("to", "from", "audit")
    row = next((rows[name] for name in wanted if name in rows), None)
    if row is None:
        raise NotFound
    members: dict[str, Any] = orjson.loads(_openings([row])[0].text())
    return members


def openings(
    principal: Principal, *, slot: str, after: int = 0, limit: int = MOST_OPENINGS
) -> tuple[Opening, ...]:
    """The caller's own slots in `seq` order, from behind `after`.

    `all` are those that everyone is shown, `audit` the exchange's auditors': both by index, the
    first after -1.
    """
    rows = _shown(principal)
    limit = max(1, min(limit, MOST_OPENINGS))
    if slot in ("to", "from") and principal.member_id is not None:
        numbers = LedgerEntry.objects.filter(
            **{f"{slot}_member_id": principal.member_id, f"{slot}_seq__gt": after},
            idx__lt=published_size(),
        ).order_by(f"{slot}_seq")
        chosen = list(numbers.values_list("idx", flat=True)[:limit])
        mine = rows.filter(slot=slot, member_id=principal.member_id, idx__in=chosen)
        return _openings(mine.order_by("idx"), is_as_it_is=True)
    if slot == "all":
        # Named by their numbers, which an index of a handful knows.
        named = list(_concerns_all().values_list("idx", flat=True))
        rows = rows.filter(slot="to", member_id__isnull=True, idx__in=named)
    elif slot == "audit" and FORUM_OFFICER in principal.roles:
        rows = rows.filter(slot="audit")
    else:
        raise Refused("openings.slot", "You have openings in the slots to, from and all.", "slot")
    return _openings(rows.filter(idx__gt=after).order_by("idx")[:limit], is_as_it_is=True)


def openings_at(
    principal: Principal, places: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], Opening]:
    """The caller's openings of these slots, by index and slot; what it may not open is left out."""
    wanted = set(places)
    rows = _shown(principal).filter(idx__in={index for index, _ in wanted}).order_by("idx")
    made = _openings([row for row in rows if (row.idx, row.slot) in wanted])
    return {(one.index, one.slot): one for one in made}


def proofs(indexes: Iterable[int], size: int) -> dict[int, tuple[bytes, ...]]:
    """The inclusion paths of many entries in the tree of one published size."""
    read = cache(_read)
    return {index: merkle.inclusion(index, size, read) for index in indexes}


def openings_of(principal: Principal, digest: bytes) -> tuple[Opening, ...]:
    """The caller's openings that tell of a rendition with this digest."""
    member_id = principal.member_id
    if member_id is None:
        return ()
    releases = ReleaseItem.objects.filter(rendition__digest=digest).values("release_id")
    parts = ReleaseRecipient.objects.filter(release_id__in=releases, idx__isnull=False)
    mine = Q(recipient_id=member_id) | Q(member_id=member_id)
    indexes = [idx for idx in parts.filter(mine).values_list("idx", flat=True) if idx is not None]
    rows = _shown(principal).filter(idx__in=indexes, member_id=member_id)
    return _openings(rows.order_by("idx", "slot")[:MOST_OPENINGS])


def _concerns_all() -> QuerySet[LedgerEntry]:
    """The entries whose `to` slot is shown to all: keys and floors."""
    return LedgerEntry.objects.filter(
        kind__in=("key", "policy"), to_member__isnull=True, from_member__isnull=True
    )


def _shown(principal: Principal) -> QuerySet[LedgerSlot]:
    """The slots that the caller may open; what is not published is not there yet."""
    if not principal.may("read-ledger"):
        raise Forbidden("You may not read the ledger.")
    shown = Q(slot="to", member__isnull=True, idx__in=_concerns_all().values("idx"))
    if principal.member_id is not None:
        shown |= Q(member_id=principal.member_id)
    if FORUM_OFFICER in principal.roles:
        shown |= Q(slot="audit")
    # Erased content leaves an empty row behind.
    return LedgerSlot.objects.filter(shown, idx__lt=published_size()).exclude(sealed=b"")


def _openings(rows: Iterable[LedgerSlot], *, is_as_it_is: bool = False) -> tuple[Opening, ...]:
    """Openings as the rows have them; refused where a slot does not open.

    With `is_as_it_is` what was changed is shown as nothing, which does not lead to its leaf: so the
    verifier of its member names the entry, and goes on with all others.
    """
    chosen = list(rows)
    indexes = [row.idx for row in chosen]
    leaf_of, digests = _commitments(indexes)
    lists = _lists(chosen)
    seal = intake.seal()
    made = []
    for row in chosen:
        try:
            content = seal.open(bytes(row.sealed), aad=slot_aad(row.idx, row.slot))
        except Refused:
            if not is_as_it_is:
                raise
            content = bytes(entry.SALT)
        salt, value = content[: entry.SALT], content[entry.SALT :].decode()
        others = {name: each for name, each in digests[row.idx].items() if name != row.slot}
        if is_as_it_is:
            others = {name: bytes(32) for name in entry.SLOTS if name != row.slot} | others
        items = lists.get((row.idx, row.slot))
        made.append(Opening(row.idx, leaf_of[row.idx], row.slot, salt, value, others, items))
    return tuple(made)


def _commitments(
    indexes: Sequence[int],
) -> tuple[dict[int, bytes], dict[int, dict[str, bytes]]]:
    """Leaves and digests, which hide what they commit to and so may be read by anyone."""
    digests: dict[int, dict[str, bytes]] = {index: {} for index in indexes}
    with connection.cursor() as cursor:
        cursor.execute("SELECT idx, leaf FROM ledger_leaf WHERE idx = ANY(%s)", [list(indexes)])
        leaf_of = {index: bytes(leaf) for index, leaf in cursor.fetchall()}
        cursor.execute(
            "SELECT idx, slot, digest FROM ledger_digest WHERE idx = ANY(%s)", [list(indexes)]
        )
        for index, slot, digest in cursor.fetchall():
            digests[index][slot] = bytes(digest)
    return leaf_of, digests


def _lists(rows: Sequence[LedgerSlot]) -> dict[tuple[int, str], str]:
    """The lists to which the slots of several objects commit."""
    own = [row.idx for row in rows if row.slot in ("to", "from") and row.member_id]
    refs = {
        row.idx: row
        for row in LedgerEntry.objects.filter(idx__in=own, kind__in=(*RELEASES, "contribution"))
    }
    parts = dict(
        ReleaseRecipient.objects.filter(
            id__in=[one.ref for one in refs.values() if one.kind in RELEASES]
        ).values_list("id", "release_id")
    )
    releases = {row.id: row for row in Release.objects.filter(id__in=parts.values())}
    found: dict[tuple[int, str], str] = {}
    for row in rows:
        about = refs.get(row.idx)
        if about is None or about.ref is None or row.member_id is None:
            continue
        if about.kind == "contribution":
            listed = _contributed(about.ref, row.member_id)
        else:
            release = releases.get(parts.get(about.ref, UUID(int=0)))
            listed = _released(release, row) if release else None
        if listed is not None:
            found[row.idx, row.slot] = listed
    return found


def _released(release: Release, row: LedgerSlot) -> str | None:
    if row.slot == "to":
        listed = bytes(release.listing)
    elif row.member_id is not None and release.told:
        seal = for_member(row.member_id)
        listed = seal.open(bytes(release.told), aad=b"told:" + release.id.bytes)
    else:
        return None
    # One object stands in the slot itself.
    return listed.decode() if len(orjson.loads(listed)) > 1 else None


def _contributed(event_id: int, member_id: UUID) -> str | None:
    event = LedgerEvent.objects.filter(id=event_id).first()
    if event is None or event.contribution_id is None:
        return None
    kept = KeptList.objects.filter(contribution_id=event.contribution_id, member_id=member_id)
    for row in kept:  # an original was erased since
        return for_member(member_id).open(bytes(row.sealed), aad=list_aad(row.pk)).decode()
    return contributed(event.contribution_id, member_id)


def list_aad(contribution_id: UUID) -> bytes:
    """Where the kept list of a contribution belongs."""
    return b"list:" + contribution_id.bytes


def contributed(contribution_id: UUID, member_id: UUID) -> str | None:
    """Written anew from what is stored: [id, version, digest of what was contributed]."""
    items = Item.objects.filter(
        contribution_id=contribution_id, member_id=member_id, success=True
    ).order_by("position")
    ids = [row.version_id for row in items if row.version_id]
    objects = store.originals(member_id, ids)
    if any(row.version_id not in objects for row in items):
        return None
    rows = [objects[row.version_id] for row in items if row.version_id]
    return jcs.encode(
        [
            [str(obj["id"]), store.version_text(obj), sha256(jcs.encode(obj)).hexdigest()]
            for obj in rows
        ]
    ).decode()


def _read(level: int, n: int) -> bytes:
    return read_tiles([(level, n)]).get((level, n), b"")
