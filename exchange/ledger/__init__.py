"""The ledger: what is recorded, numbered, published, and proven (signing-and-ledger, section 6)."""

from exchange.ledger.intake import enter_release, record, row_of
from exchange.ledger.keys import announce, is_known, is_revoked, jwks, vkeys
from exchange.ledger.naming import origin
from exchange.ledger.pace import Pace
from exchange.ledger.reading import (
    MOST_OPENINGS,
    checkpoint,
    consistency,
    contributed,
    entries,
    list_aad,
    opening,
    openings,
    openings_at,
    openings_of,
    proof,
    proofs,
    published_size,
    signed_size,
    tile,
)
from exchange.ledger.receipts import receive_hour
from exchange.ledger.sequencer import integrate, publish
from exchange.ledger.statements import state_day
from exchange.ledger.witnesses import Witnessed, cosign, witnessed

__all__ = [
    "MOST_OPENINGS",
    "Pace",
    "Witnessed",
    "announce",
    "checkpoint",
    "consistency",
    "contributed",
    "cosign",
    "enter_release",
    "entries",
    "integrate",
    "is_known",
    "is_revoked",
    "jwks",
    "list_aad",
    "opening",
    "openings",
    "openings_at",
    "openings_of",
    "origin",
    "proof",
    "proofs",
    "publish",
    "published_size",
    "receive_hour",
    "record",
    "row_of",
    "signed_size",
    "state_day",
    "tile",
    "vkeys",
    "witnessed",
]
