"""Write the holds of an outcome, each with its place in the queue.

Contributors take turns: each next hold of one member stands one turn behind its last that waits,
and a member with none joins at the turn that counsel is at. So a flood from one member stands
behind one hold of everybody else's, whatever its age. Only a person's act ends a hold.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db.models import Max

from exchange import ledger
from exchange.models import Hold, Outcome
from exchange.policy.outcomes import HoldReason
from exchange.proof import jcs

_BATCH = 2_000
_NAMED = ("hold", "class", "rule")


@dataclass(frozen=True, slots=True)
class Held:
    """An outcome with the reasons for which a person must judge it."""

    outcome: Outcome
    stix_type: str
    reasons: tuple[HoldReason, ...]


def write(held: Iterable[Held], *, now: datetime) -> None:
    """One hold for each reason, each behind its member's last."""
    rows = [_row(one, reason, now=now) for one in held for reason in one.reasons]
    if not rows:
        return
    last: dict[UUID, int] = defaultdict(int)
    last |= _last_turns({row.member_id for row in rows})
    present = turn_now()
    for row in rows:
        row.turn = last[row.member_id] = max(last[row.member_id] + 1, present)
    Hold.objects.bulk_create(rows, batch_size=_BATCH)
    _record(rows, now=now)


def _record(rows: Iterable[Hold], *, now: datetime) -> None:
    """One entry for each contributor: that something of its own waits for a person, and why."""
    of_member: dict[UUID, list[list[str]]] = defaultdict(list)
    for row in rows:
        of_member[row.member_id].append([str(row.id), row.field_class, row.rule])
    for member_id, opened in of_member.items():
        digest = sha256(jcs.encode(opened)).hexdigest()
        fields: dict[str, Any] = {
            "decision": "open",
            "holds": {"count": len(opened), "sha256": digest},
        }
        if len(opened) == 1:
            fields = {"decision": "open", **dict(zip(_NAMED, opened[0], strict=True))}
        ledger.record("decision", by=member_id, slots={"from": fields, "audit": fields}, now=now)


def turn_now() -> int:
    """The turn that counsel is at: the first that still waits for a judgement."""
    first = (
        Hold.objects.filter(state=Hold.State.OPEN, outcome__replaced=False)
        .order_by("turn")
        .values_list("turn", flat=True)
        .first()
    )
    return first or 1


def _last_turns(member_ids: Iterable[UUID]) -> dict[UUID, int]:
    waiting = Hold.objects.filter(
        member_id__in=list(member_ids), state__in=[Hold.State.OPEN, Hold.State.ASKED]
    )
    return dict(waiting.values_list("member_id").annotate(Max("turn")))


def _row(one: Held, reason: HoldReason, *, now: datetime) -> Hold:
    return Hold(
        outcome=one.outcome,
        member_id=one.outcome.member_id,
        circle_id=one.outcome.circle_id,
        field_class=reason.field_class,
        rule=reason.rule,
        reason=reason.reason,
        basis=reason.basis,
        places=list(reason.places),
        stix_type=one.stix_type,
        approvers=list(reason.approvers),
        opened_at=now,
    )
