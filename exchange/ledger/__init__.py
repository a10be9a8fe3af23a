"""The ledger: what is recorded, numbered, published, and proven (signing-and-ledger, section 6)."""

from exchange.ledger.intake import enter_release, record
from exchange.ledger.keys import announce, jwks, vkeys
from exchange.ledger.reading import (
    MOST_OPENINGS,
    checkpoint,
    consistency,
    entries,
    opening,
    openings,
    openings_of,
    proof,
    published_size,
    tile,
)
from exchange.ledger.receipts import receive_hour
from exchange.ledger.sequencer import integrate, origin, publish
from exchange.ledger.statements import state_day

__all__ = [
    "MOST_OPENINGS",
    "announce",
    "checkpoint",
    "consistency",
    "enter_release",
    "entries",
    "integrate",
    "jwks",
    "opening",
    "openings",
    "openings_of",
    "origin",
    "proof",
    "publish",
    "published_size",
    "receive_hour",
    "record",
    "state_day",
    "tile",
    "vkeys",
]
