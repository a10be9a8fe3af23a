"""What runs use: the algorithms in force with their text, and the dry runs that wait for a run.

Called by the worker of the pool alone. It takes texts and gives back buckets, codes and nothing
else: no row of the pool is ever an argument here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber

from exchange import ledger
from exchange.algorithms.sealed import open_text
from exchange.models import Algorithm, AlgorithmAct, AlgorithmText, DryRun
from exchange.proof.refused import Refused

_State = Algorithm.State
MEMBERS = ("0", "1", "2+")
# Rows hit, and members with a hit, as an answer may say them.
DECADES = ("0", "1", "2-9", "10-99", "100-999", "1k-9k", "10k-99k", "100k-999k", "1M-up")
TROUBLES = ("time", "memory", "broken", "refused")


@dataclass(frozen=True, slots=True)
class Active:
    """One algorithm that a run has to apply: its document, as it was approved."""

    id: UUID
    document_id: UUID
    version: int
    member_id: UUID | None
    kind: str
    runs_on: str
    digest: str
    text: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """One dry run that waits: the document that is to be tried on the pool."""

    id: UUID
    algorithm_id: UUID
    digest: str
    text: str


def active(now: datetime) -> tuple[Active, ...]:
    """The algorithms in force at a moment, by id; those past their last day are not.

    An algorithm acts forward: whoever runs asks anew for each run.
    """
    rows = AlgorithmText.objects.filter(
        algorithm__state=_State.ACTIVE, algorithm__valid_until__gte=now.astimezone(UTC).date()
    ).select_related("algorithm")
    return tuple(_active(row) for row in rows.order_by("algorithm__document_id"))


def _active(row: AlgorithmText) -> Active:
    one = row.algorithm
    return Active(
        id=one.id,
        document_id=one.document_id,
        version=one.version,
        member_id=one.member_id,
        kind=one.kind,
        runs_on=one.runs_on,
        digest=bytes(one.digest).hex(),
        text=open_text(row),
    )


@transaction.atomic
def suspend(algorithm_id: UUID, *, trouble: str, now: datetime) -> bool:
    """Stop an algorithm whose run failed, and raise the operator's alarm; others go on.

    Counsel lifts it. Says whether it was in force until now.
    """
    if trouble not in TROUBLES:
        raise Refused("algorithm.trouble", f"One of {', '.join(TROUBLES)}.")
    row = Algorithm.objects.select_for_update().filter(pk=algorithm_id, state=_State.ACTIVE).first()
    if row is None:
        return False
    Algorithm.objects.filter(pk=row.pk).update(
        state=_State.SUSPENDED, trouble=trouble, changed_at=now
    )
    AlgorithmAct.objects.create(
        algorithm=row, member_id=row.member_id, role="machine", act="suspend", at=now
    )
    record(row, "suspended", now=now)
    return True


def record(row: Algorithm, act: str, *, by: Sequence[UUID | None] = (), now: datetime) -> None:
    """A `policy` of the ledger: by which document findings are made is shown to all, as floors are.

    The document's id, version and digest, never its text or whose it is.
    """
    fields = {
        "policy": "algorithm",
        "algorithm": str(row.document_id),
        "version": str(row.version),
        "digest": bytes(row.digest).hex(),
        "act": act,
        "valid_until": row.valid_until.isoformat() if row.valid_until else "",
    }
    approvers = [str(one) for one in by if one is not None]
    ledger.record(
        "policy", slots={"to": fields, "audit": {**fields, "approvers": approvers}}, now=now
    )


# --- dry runs ------------------------------------------------------------------------------------


def wanted(limit: int = 10) -> tuple[Wanted, ...]:
    """The dry runs that wait: each member's oldest first, then each one's next, and so on.

    So no member waits for all of another's. What is no longer as it was asked for has ended.
    """
    turn = Window(RowNumber(), partition_by="member_id", order_by=("asked_at", "id"))
    rows = _waiting().filter(digest=F("algorithm__digest")).annotate(turn=turn)
    rows = rows.select_related("algorithm", "algorithm__text").order_by("turn", "asked_at", "id")
    return tuple(
        Wanted(row.id, row.algorithm_id, bytes(row.digest).hex(), open_text(row.algorithm.text))
        for row in rows[:limit]
    )


def answer(wish: UUID, *, rows: str, members: str, look_alikes: int, now: datetime) -> bool:
    """The three buckets of a dry run: rows hit, members with a hit, look-alike cases hit.

    Says whether it still waited; a bucket that is none of the closed words is refused.
    """
    if rows not in DECADES or members not in MEMBERS or not 0 <= look_alikes <= 200:
        raise Refused("dry-run.bucket", "A dry run is answered in its closed buckets.")
    return bool(
        _waiting()
        .filter(pk=wish)
        .update(
            state=DryRun.State.DONE,
            rows_bucket=rows,
            members_bucket=members,
            look_alikes_hit=str(look_alikes),
            answered_at=now,
        )
    )


def fail(wish: UUID, *, trouble: str, now: datetime) -> bool:
    """A dry run that came to no end: why, as a code of ours."""
    if trouble not in TROUBLES:
        raise Refused("algorithm.trouble", f"One of {', '.join(TROUBLES)}.")
    ended = {"state": DryRun.State.FAILED, "trouble": trouble, "answered_at": now}
    return bool(_waiting().filter(pk=wish).update(**ended))


def _waiting() -> QuerySet[DryRun]:
    return DryRun.objects.filter(state=DryRun.State.WAITING)
