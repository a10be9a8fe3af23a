"""Algorithms of Aurora's at every step, for tests that begin in the middle of the way."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from exchange.algorithms import life, sealed
from exchange.models import Algorithm, AlgorithmText, DryRun
from exchange.web.algorithm_forms import POINTS
from indicators.detection import document
from members.models import User
from tests.cast import Cast
from tests.core.algorithm_material import DETECTOR, SIGMA, written

__all__ = ["ANSWER", "CANARY", "POINTS", "put", "text", "tried"]
# Stands in the words of a case: wherever it is shown, the text is.
CANARY = "Seen by the watch keeper at the seventh gate."
ANSWER = (
    b'{"faults":[],"cases":[{"name":"one-card","expect":"match","why":"Four share.",'
    b'"holds":true,"came":"a match"}],"mutants":[{"what":"min at 2","noticed":true}]}'
)


def text(runs_on: str = "both", *, version: int = 1, id: UUID | None = None) -> str:
    """A document with the canary in it, under an id of its own."""
    base: Mapping[str, Any] = SIGMA if runs_on == "log" else DETECTOR
    if runs_on == "pool":
        base = _pooled()
    made = {**base, "id": str(id or uuid4()), "version": version}
    made["tests"] = [{**case, "why": CANARY} for case in made["tests"]]
    return written(made).decode()


def _pooled() -> dict[str, Any]:
    rows = [{"row": n, "kind": "payment", "token": "card-1"} for n in range(4)]
    two = [{"row": n, "kind": "payment", "token": f"card-{n % 2}"} for n in range(4)]
    tests = []
    for case in DETECTOR["tests"]:
        given = {"row_token": rows if case["expect"] == "match" else two}
        tests.append({**case, "on": "pool", "rows": given})
    return {**DETECTOR, "runs_on": "pool", "tests": tests}


def put(
    cast: Cast,
    state: str,
    *,
    runs_on: str = "both",
    version: int = 1,
    id: UUID | None = None,
    author: User | None = None,
    now: datetime,
) -> Algorithm:
    """Ana's algorithm, or another's, in a state, as if all before it had been done."""
    author = author or cast.ana
    said = text(runs_on, version=version, id=id)
    found = document.parse(said.encode())
    steps = ["draft", "submitted", "approved", "reviewed", "active", "suspended"]
    reached = steps.index(state) if state in steps else len(steps)  # at its end
    row = Algorithm.objects.create(
        **life._facts(found),
        member=author.member,
        author=author,
        state=state,
        approved_by=cast.alma if reached > 1 else None,
        reviewed_by=cast.dora if reached > 2 else None,
        activated_by=cast.pia if reached > 3 else None,
        activated_at=now if reached > 3 else None,
        valid_until=(now + timedelta(days=90)).date() if reached > 3 else None,
        trouble="time" if state == "suspended" else "",
        created_at=now,
        changed_at=now,
    )
    answer = b""
    if reached:
        answer = sealed.seal_of(row.member_id).seal(ANSWER, aad=sealed.tests_aad(row.id))
    AlgorithmText.objects.create(
        algorithm=row, member=author.member, sealed=life._sealed(row, said), sealed_tests=answer
    )
    if reached > 2 and runs_on != "pool":
        life._give(row, said)
    return row


def tried(row: Algorithm, *, now: datetime) -> DryRun:
    """A dry run of it that has been answered."""
    assert row.author is not None
    return DryRun.objects.create(
        algorithm=row,
        member=row.member,
        user=row.author,
        document_id=row.document_id,
        digest=row.digest,
        day=now.date(),
        state="done",
        rows_bucket="10-99",
        members_bucket="2+",
        look_alikes_hit="0",
        asked_at=now,
        answered_at=now,
    )
