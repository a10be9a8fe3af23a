"""The ledger: what is recorded, numbered, published, and proven (signing-and-ledger, section 6)."""

from exchange.ledger.intake import enter_release, record

__all__ = ["enter_release", "record"]
