"""Slots that were emptied: an erasure where a published entry says so, damage where none does."""

from collections.abc import Iterator

import orjson

from exchange.ledger import intake
from exchange.ledger.sequencer import slot_aad
from exchange.models import LedgerEntry, LedgerSlot
from exchange.proof.entry import SALT
from exchange.proof.refused import Refused

_CHUNK = 5_000


def count() -> int:
    """How many slots were erased."""
    return LedgerSlot.objects.filter(sealed=b"").count()


def differences() -> Iterator[str]:
    """Each slot that is empty, and that no entry of kind `erase` names."""
    empty = LedgerSlot.objects.filter(sealed=b"").order_by("idx", "slot")
    rows = list(empty.values_list("idx", "slot"))
    if not rows:
        return
    named = _named()
    for index, slot in rows:
        if index not in named:
            yield f"The slot {slot} of entry {index} was emptied, and no entry records that."


def _named() -> set[int]:
    """The entries of which the audit slot of an `erase` entry says that their slots are erased."""
    seal = intake.seal()
    entries = LedgerEntry.objects.filter(kind="erase").values("idx")
    named: set[int] = set()
    for row in LedgerSlot.objects.filter(slot="audit", idx__in=entries).iterator(chunk_size=_CHUNK):
        try:
            content = seal.open(bytes(row.sealed), aad=slot_aad(row.idx, row.slot))
        except Refused:
            continue  # it is named by the check of the slots themselves
        fields = orjson.loads(content[SALT:])
        if fields.get("what") == "slots":
            named |= {one for one in fields.get("erased", ()) if type(one) is int}
    return named
