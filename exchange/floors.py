"""Put a floor in force: it waits for the releases under way, and the ledger tells every member."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from exchange import audiences, ledger
from exchange.models import FloorPolicy
from exchange.policy import terms
from exchange.proof.refused import Refused


@transaction.atomic
def activate(
    document: Mapping[str, Any],
    *,
    drafted_by: UUID | None,
    activated_by: UUID | None,
    now: datetime,
) -> FloorPolicy:
    """The floor that this document describes holds from now on.

    Drafted by the forum's counsel and activated by its operator: two people. A forum's first floor,
    the shipped one, has neither. Raises `Refused` for a document that is no floor.
    """
    floor = terms.Floor.parse(document)
    is_first = not FloorPolicy.objects.exists()
    if not is_first and (None in (drafted_by, activated_by) or drafted_by == activated_by):
        raise Refused("floor.two-people", "A floor is drafted and activated by two people.")
    audiences.lock_policies()
    row = FloorPolicy.objects.create(
        document=dict(document),
        digest=bytes.fromhex(floor.digest),
        version=str(floor.version),
        drafted_by_id=drafted_by,
        activated_by_id=activated_by,
        effective_at=now,
    )
    approvers = [str(one) for one in (drafted_by, activated_by) if one is not None]
    fields = {"policy": "floor", "digest": floor.digest, "version": str(floor.version)}
    ledger.record(
        "policy", slots={"to": fields, "audit": {**fields, "approvers": approvers}}, now=now
    )
    return row
