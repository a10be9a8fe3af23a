"""What makes an archive verify without us: openings, proofs, the newest checkpoint, all keys."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from exchange import ledger
from exchange.proof import jcs, note, records
from exchange.proof.archive import Evidence
from exchange.proof.entry import Opening, parse_opening
from exchange.proof.refused import Refused
from members.auth import Principal

Place = tuple[int, str]  # an entry's number in the log, and one of its slots


def gather(principal: Principal, places: Iterable[Place], *, now: datetime) -> Evidence:
    """The evidence of these entries, each of which the caller may open; all under one checkpoint.

    Records stand in the order of the log, and every key entry is told with them.
    """
    wanted = sorted(set(places))
    signed = ledger.checkpoint()
    size = size_of(signed)
    found: dict[Place, Opening] = {}
    for start in range(0, len(wanted), ledger.MOST_OPENINGS):
        found |= ledger.openings_at(principal, wanted[start : start + ledger.MOST_OPENINGS])
    for index, slot in wanted:
        if (index, slot) not in found or index >= size:
            raise Refused(
                "archive.unopened",
                "An entry of the answer is not yours to open, or is not published yet.",
                f"entry {index}, slot {slot}",
            )
    told = key_entries(principal, size)
    return Evidence(
        checkpoint=signed,
        vkeys=ledger.vkeys(now=now),
        jwks=jcs.encode(ledger.jwks()),
        keys=written(told, size),
        rows=written([found[place] for place in wanted], size),
    )


def size_of(signed: str) -> int:
    """How many entries lie under a checkpoint of our own."""
    return note.parse_checkpoint(signed.partition("\n\n")[0] + "\n").size


def by_index(found: Evidence) -> dict[int, str]:
    """The record of each `to` slot with the checkpoint below it, so that it stands alone."""
    each = records.split(found.rows) if found.rows else ()
    pairs = [(parse_opening(opening), f"{opening}\n{proof}") for opening, proof in each]
    return {one.index: record + found.checkpoint for one, record in pairs if one.slot == "to"}


def written(openings: Sequence[Opening], size: int) -> str:
    """The records of openings, under the checkpoint beside them."""
    paths = ledger.proofs((one.index for one in openings), size)
    return "".join(records.join(one.text(), one.index, paths[one.index]) for one in openings)


def key_entries(principal: Principal, size: int) -> list[Opening]:
    """The openings that tell of keys, which every member is shown."""
    found: list[Opening] = []
    after = -1
    while page := ledger.openings(principal, slot="all", after=after):
        after = page[-1].index
        found += [one for one in page if one.index < size and one.check().get("kind") == "key"]
    return found
