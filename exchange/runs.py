"""Runs: the active algorithms over the pool, in a process of its own, and what comes of them.

1. only if something is new: an extract, an algorithm, a dispute, or the day; dry runs that wait
   come after it, in a child of their own, so that none of them takes a finding's time or memory
2. a child opens the seals and applies each algorithm in a process of its own (`detection.opening`);
   it is given the key of each day through its pipe, and has nothing else
3. an algorithm that failed is suspended, the others go on
4. what is found is contributed, or becomes its member's draft
5. the run, its inputs' digests, and each algorithm stand in the ledger
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import IO, Any
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import connection, transaction

from exchange import algorithms, children, contribute, findings, ledger, pool
from exchange.algorithms import Active, Wanted
from exchange.children import Bounds
from exchange.findings import Told
from exchange.models import Finding, Run
from exchange.policy import tokens
from exchange.proof import jcs
from exchange.proof.refused import Forbidden, NotFound
from exchange.telemetry import count as count_one
from members.auth import Principal

MODULE = "indicators.detection.opening"
MEMORY = 6 << 30  # of a run's processes, each
SECONDS = 270
MOST_SAID = 256 << 20  # octets of its answer
ALGORITHM_SECONDS = 30
DRY_SECONDS = 150  # of all dry runs of a run; what was not begun by then waits for the next
ALGORITHM_MEMORY = 2 << 30  # beyond what the rows take
LISTED = 20
_LENGTH = 8
_LOCK = 0x57455255
_ENGINES = ("duckdb", "ibis-framework", "pyarrow", "scipy", "pysigma")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limit:
    """What one algorithm of a run may use."""

    seconds: int = ALGORITHM_SECONDS
    memory: int = ALGORITHM_MEMORY


@dataclass(frozen=True, slots=True)
class Alarm:
    """What the operator has to look at: a code of ours, and which algorithm, if it was one."""

    run: UUID
    number: int
    at: datetime
    code: str  # giant-group, crowded-member, run-failed, algorithm-time, algorithm-memory ...
    algorithm: str
    version: int | None
    is_seen: bool


@dataclass(frozen=True, slots=True)
class Done:
    """One run as who watches over the pool sees it: nothing of any row."""

    id: UUID
    number: int
    at: datetime
    state: str
    extracts: int
    engine: str
    inputs: str
    algorithms: tuple[tuple[str, int, str], ...]  # id, version, why it failed


def work(*, now: datetime, limit: Limit | None = None) -> UUID | None:
    """Run if anything is new; the run that was made."""
    if not (pool.is_on() and settings.POOL_KEY):
        return None
    with _alone() as is_mine:
        if not is_mine:
            return None
        findings.forget(now)
        wanted = algorithms.wanted()
        active = algorithms.active(now)
        disputed = findings.disputed()
        digest = _inputs(active, disputed, now=now)
        newest = Run.objects.order_by("-number").first()
        is_same = newest is not None and bytes(newest.inputs) == digest
        if is_same and not wanted:  # 1
            return None
        made = None
        if not is_same:
            head = _head(active, findings.before(now), disputed, limit or Limit(), now=now)
            count, said = _asked(head, now=now)  # 2
            made = _conclude(active, digest, count, said, now=now)
        if wanted:
            # A dry run is no run: it makes no finding, and stands in no ledger.
            head = _head((), (), frozenset(), limit or Limit(), now=now)
            head["wanted"] = [{"id": str(one.id), "text": one.text} for one in wanted]
            _, said = _asked(head, now=now)
            _answer(wanted, said, now=now)
        return made


def newest(principal: Principal) -> tuple[Done, ...]:
    """The newest runs, for who watches over the pool."""
    _must_watch(principal)
    return tuple(
        Done(
            id=row.id,
            number=row.number,
            at=row.at,
            state=row.state,
            extracts=row.extracts,
            engine=row.engine,
            inputs=bytes(row.inputs).hex(),
            algorithms=tuple((one["id"], one["version"], one["trouble"]) for one in row.algorithms),
        )
        for row in Run.objects.order_by("-number")[:LISTED]
    )


def alarms(principal: Principal) -> tuple[Alarm, ...]:
    """What went wrong in the newest runs, and nobody has seen yet."""
    _must_watch(principal)
    rows = Run.objects.filter(seen_at__isnull=True).order_by("-number")[:LISTED]
    return tuple(alarm for row in rows for alarm in _alarms_of(row))


def see(principal: Principal, run_id: UUID, *, now: datetime) -> None:
    """The operator has seen what a run's alarms say."""
    if not principal.may("manage-members"):
        raise Forbidden("Only the forum's operator does this.")
    if not Run.objects.filter(pk=run_id).update(seen_at=now, seen_by_id=principal.user_id):
        raise NotFound


def _must_watch(principal: Principal) -> None:
    if principal.member_id is not None or not principal.roles:
        raise NotFound


def _alarms_of(row: Run) -> Iterator[Alarm]:
    codes = {
        "giant-group": row.state == Run.State.STOPPED,
        "run-failed": row.state == Run.State.FAILED,
        "crowded-member": row.left_out > 0,
    }
    for code, is_so in codes.items():
        if is_so:
            yield Alarm(row.id, row.number, row.at, code, "", None, is_seen=False)
    for one in row.algorithms:
        if one["trouble"]:
            code = f"algorithm-{one['trouble']}"
            yield Alarm(row.id, row.number, row.at, code, one["id"], one["version"], is_seen=False)


# --- what a run reads ----------------------------------------------------------------------------


@contextmanager
def _alone() -> Iterator[bool]:
    """One run at a time, by the connection's own lock: a run is more than one transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        is_mine = bool(cursor.fetchone()[0])
    try:
        yield is_mine
    finally:
        if is_mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _inputs(active: Sequence[Active], disputed: frozenset[str], *, now: datetime) -> bytes:
    """The digest of all that a run would read; the day is in it, for what waits for one."""
    said = {
        "pool": pool.standing(now=now).hex(),
        "algorithms": [one.digest for one in active],
        "disputed": sorted(disputed),
        "day": now.astimezone(UTC).date().isoformat(),
    }
    return sha256(jcs.encode(said)).digest()


def _head(
    active: Sequence[Active],
    before: Sequence[Finding],
    disputed: frozenset[str],
    limit: Limit,
    *,
    now: datetime,
) -> dict[str, Any]:
    today = now.astimezone(UTC).date()
    return {
        "epoch": tokens.epoch(now),
        "seconds": limit.seconds,
        "dry_seconds": DRY_SECONDS,
        "memory": limit.memory,
        "key": base64.b64encode(_key_of(settings.POOL_KEY)).decode(),
        "algorithms": [{"digest": one.digest, "text": one.text} for one in active],
        "before": {row.name: base64.b64encode(bytes(row.memory)).decode() for row in before},
        # What said something today says nothing more before tomorrow.
        "settled": [row.name for row in before if row.changed_at.astimezone(UTC).date() >= today],
        "disputed": sorted(disputed & {row.name for row in before}),
        "wanted": [],
    }


@cache
def _key_of(key: bytes) -> bytes:
    """With which the run's process seals what it remembers; nobody else has it."""
    return HKDF(SHA256(), 32, salt=None, info=b"weir-findings/v1").derive(key)


def _asked(head: dict[str, Any], *, now: datetime) -> tuple[int, dict[str, Any]]:
    """How many extracts were read, and what the child said; nothing, where it did not end well."""
    count = 0

    def feed(sink: IO[bytes]) -> None:
        nonlocal count
        _frame(sink, json.dumps(head).encode())
        for one in pool.inputs(now=now):
            count += 1
            place = base64.b64encode(one.aad).decode()
            about = {"owner": one.owner, "day": one.day.isoformat(), "aad": place}
            _frame(sink, json.dumps({**about, "member": str(one.member_id)}).encode())
            _frame(sink, one.key)
            _frame(sink, one.sealed)
        _frame(sink, b"")

    said = children.ask(MODULE, feed, Bounds(MEMORY, SECONDS), most=MOST_SAID)
    try:
        return count, dict(json.loads(said))
    except ValueError:
        return count, {}


def _frame(sink: IO[bytes], octets: bytes) -> None:
    sink.write(len(octets).to_bytes(_LENGTH))
    sink.write(octets)


# --- what comes of it ----------------------------------------------------------------------------


def _answer(wanted: Sequence[Wanted], said: Mapping[str, Any], *, now: datetime) -> None:
    tried = {one["id"]: one for one in said.get("tried", ())}
    for wish in wanted:
        one = tried.get(str(wish.id), {"trouble": "broken"})
        if tried and str(wish.id) not in tried:
            continue  # there was no time left for it: it waits for the next run
        if one["trouble"]:
            algorithms.fail(wish.id, trouble=one["trouble"], now=now)
            continue
        algorithms.answer(
            wish.id,
            rows=one["rows"],
            members=one["members"],
            look_alikes=min(200, one["look_alikes"]),
            now=now,
        )


def _conclude(
    active: Sequence[Active], digest: bytes, count: int, said: Mapping[str, Any], *, now: datetime
) -> UUID:
    """The run's row, its entry in the ledger, and each finding on its way."""
    failed: Mapping[str, str] = said.get("failed", {})
    with transaction.atomic():
        run = _row(active, digest, count, said, now=now)
        for one in active:
            if one.digest in failed:  # 3
                algorithms.suspend(one.id, trouble=failed[one.digest], now=now)
        _record(run, active, now=now)  # 5
        sent = findings.keep(list(_told(said)), run, now=now)  # 4
    contribute.take_in_each(sent, now=now)
    count_one(f"run.{run.state}")
    log.info("run.made", run=str(run.id), extracts=count, state=run.state, failed=len(failed))
    return run.id


def _row(
    active: Sequence[Active], digest: bytes, count: int, said: Mapping[str, Any], *, now: datetime
) -> Run:
    failed: Mapping[str, str] = said.get("failed", {})
    state = Run.State.DONE if said else Run.State.FAILED
    if said.get("is_stopped"):
        state = Run.State.STOPPED
    last = Run.objects.order_by("-number").values_list("number", flat=True).first() or 0
    return Run.objects.create(
        number=last + 1,
        at=now,
        state=state,
        inputs=digest,
        extracts=count,
        rows=said.get("rows", 0),
        largest=said.get("largest", 0),
        left_out=said.get("left_out", 0),
        engine=_engine(),
        algorithms=[
            {
                "id": str(one.document_id),
                "version": one.version,
                "digest": one.digest,
                "trouble": failed.get(one.digest, ""),
            }
            for one in active
        ],
    )


def _record(run: Run, active: Sequence[Active], *, now: datetime) -> None:
    """An entry that shows no member anything: what was read by digests, and by what it was read."""
    audit = {
        "decision": "pool-run",
        "run": str(run.id),
        "state": run.state,
        "inputs": bytes(run.inputs).hex(),
        "engine": run.engine,
        "algorithms": [[str(one.document_id), one.version, one.digest] for one in active],
    }
    ledger.record("decision", slots={"audit": audit}, now=now)


def _told(said: Mapping[str, Any]) -> Iterator[Told]:
    for one in said.get("found", ()):
        yield Told(
            name=one["name"],
            memory=base64.b64decode(one["memory"]),
            owner=UUID(one["owner"]) if one["owner"] else None,
            is_known=one["is_known"],
            is_new=one["is_new"],
            algorithms=tuple((name, number) for name, number in one["algorithms"]),
            bases=tuple(one["bases"]),
            phases=tuple(one["phases"]),
            said=one["said"],
        )


@cache
def _engine() -> str:
    """The engine and its libraries, with their versions."""
    found = []
    for name in _ENGINES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
