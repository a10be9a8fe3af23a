"""One run over a full pool: from sealed extracts to findings that are decided and released.

Every day of every member is drawn, sent by the ordinary way in, and judged and sealed there. No row
stands for two days, which is the most that a pool of this size can hold; each day a campaign is
in a row of a few members.
"""

import json
import os
import random
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.db import connection

from exchange import algorithms, contribute, pool, runs
from exchange.management.bench import backend, forum
from exchange.management.bench.report import Report, timed
from exchange.management.processes import ProcessFailed
from exchange.models import Finding, Outcome, Run
from indicators.detection import dummies, manifest, parquet, rules, schema, shipped
from indicators.detection.values import ClusterRow, Manifest, TemplateRow
from members import credentials, onboarding
from members.auth import Principal, principal_of
from members.credentials import Wanted
from members.models import Member

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MEMBERS, DAYS = 20, 45
TOGETHER = 4  # members that a campaign is at, another on each day
SENDERS = 2
MOST_WHOLE, MOST_RUN = 10.0, 5.0
_PAUSE = 0.01
_WORKER = "exchange.management.bench.pool_run_worker"
_CLIENTS = 8
_CAMPAIGN: dict[str, Any] = {
    "size": "30-99",
    "payers": "10-29",
    "devices": "3-4",
    "flat": 9,
    "mid": 10,
    "short": 8,
    "fresh": 10,
    "mismatch": 10,
    "pivot": 8,
    "start_peak": 8,
    "start_days": 2,
    "methods": ("rubric-grading", "tool-trace-capture"),
}
Parts = tuple[bytes, bytes, bytes]


def run(sizes: Sequence[int], report: Report) -> None:
    """So many members, so many days: a run over the first of them, then one over all."""
    if not pool.is_on():
        raise ProcessFailed("the pool is off: it needs the extra `pool`")
    members, days = (*sizes, *(MEMBERS, DAYS)[len(sizes) :])[:2]
    first = NOON - timedelta(days=days - 1)
    forum.found(now=first)
    onboarding.create_circle("Forum", [], is_forum=True, now=first)
    algorithms.ship([text for _, text in shipped.texts()], now=first)
    labs = forum.circle("Bench", members, now=first).labs
    report.title(f"Runs over {members} members x {schema.ROWS} rows, and x {days} days")
    took = timed(partial(_send_all, labs, [first]))
    written, _, spent = _run(members, 1, now=first)
    beside = f"{members * schema.ROWS:,} rows; {spent.whole:,.1f} s of a core"
    report.time("a run over one day, findings written", written, beside=beside, at_most=MOST_RUN)
    took += timed(partial(_send_all, labs, [first + timedelta(days=n) for n in range(1, days)]))
    report.rate("extracts sent and sealed", members * days / took, beside=f"{took:,.0f} s in all")
    written, released, spent = _run(members, days, now=NOON)
    rows = f"{members * days * schema.ROWS:,} rows"
    report.time("a run over all days, findings written", written, beside=rows)
    beside = f"{days} findings to {members} members"
    report.time("to released findings", released, beside=beside, at_most=MOST_WHOLE)
    report.figure("computed for it", spent.whole, "s of a core", beside=str(spent))
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    limit = runs.MEMORY >> 20
    report.figure("memory of the run", most, "MiB", beside=f"limit {limit:,} MiB", at_most=limit)


@dataclass(frozen=True, slots=True)
class _Spent:
    """Seconds of a core: of who asks for the run, its processes, the worker, the database."""

    asking: float
    running: float
    working: float
    behind: float

    @property
    def whole(self) -> float:
        return self.asking + self.running + self.working + self.behind

    def __str__(self) -> str:
        return (
            f"{self.running:,.1f} the run's processes, {self.asking:,.1f} who asks for it,"
            f" {self.working:,.1f} the worker beside it, {self.behind:,.1f} PostgreSQL"
        )


def _run(members: int, days: int, *, now: datetime) -> tuple[float, float, _Spent]:
    """Seconds until what was found is written, and until it is released; and what it took.

    A worker of the queue `quick` is beside it, as in an exchange: both take in what was found.
    """
    with tempfile.TemporaryDirectory() as room:
        over = Path(room) / "over"
        worker = _worker(over, now)
        behind, asking, running = backend.seconds(connection), time.process_time(), _ended()
        begun = time.perf_counter()
        try:
            runs.work(now=now)
            asking, running = time.process_time() - asking, _ended() - running
            while not _is_released():
                time.sleep(_PAUSE)
            released = time.perf_counter() - begun
        finally:
            over.touch()
        behind = backend.seconds(connection) - behind
        told = json.loads(worker.communicate()[0])
    if worker.returncode:
        raise ProcessFailed("the worker beside the run ended with an error")
    _check(members, days)
    # Written is what is contributed: the first of it is taken in after that.
    written = min(told["first"] or begun + released, begun + released) - begun
    return written, released, _Spent(asking, running, told["seconds"], behind + told["behind"])


def _worker(over: Path, now: datetime) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", _WORKER, str(over), now.isoformat()]
    env = os.environ | {"DATABASE_ROLE": "worker"}
    worker = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE)  # noqa: S603 - ours
    if worker.stdout is None:
        raise RuntimeError("a worker without a pipe")
    worker.stdout.readline()  # it is ready
    return worker


def _is_released() -> bool:
    """Whether all that was contributed has been taken in, and has left."""
    if contribute.waiting(limit=1):
        return False
    accepted = Outcome.objects.filter(outcome=Outcome.Kind.ACCEPTED)
    return not accepted.filter(released_at__isnull=True).exists()


def _check(members: int, days: int) -> None:
    """Whether the run was whole: everything read, each campaign found, and each released."""
    made = Run.objects.latest("number")
    failed = [one["id"] for one in made.algorithms if one["trouble"]]
    if made.state != Run.State.DONE or made.extracts != members * days or failed:
        raise ProcessFailed(f"the run ended as {made.state}, of {made.extracts} extracts; {failed}")
    found = Finding.objects.filter(member__is_exchange=True).count()
    left = Outcome.objects.filter(released_at__isnull=False).values("contribution").distinct()
    if (found, left.count()) != (days, days):
        raise ProcessFailed(f"{found} of {days} campaigns were found, {left.count()} released")


def _ended() -> float:
    """Seconds of a core of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _send_all(labs: Sequence[Member], days: Sequence[datetime]) -> None:
    with ThreadPoolExecutor(SENDERS) as senders:
        for sent in [senders.submit(_send, *one, days) for one in enumerate(labs)]:
            sent.result()


def _send(number: int, lab: Member, days: Sequence[datetime]) -> None:
    """One member's days, each sent on that day."""
    try:
        known, own = _machine(lab), drawn(number, NOON.date())
        for day in days:
            pool.send(known, own.sent(day.date()), now=day)
    finally:
        connection.close()


def _machine(lab: Member) -> Principal:
    """The credential of a member's extractor."""
    name = secrets.token_hex(8)
    whose = onboarding.Person(f"{name}@bench.example", "Machine", ("analyst",), lab)
    person = principal_of(onboarding.create_person(whose))
    scopes = ("extracts",)
    key, _ = credentials.mint(person, Wanted(name, scopes), now=NOON - timedelta(days=60))
    return Principal(member_id=lab.id, credential_id=key, scopes=frozenset(scopes), name=lab.name)


# --- what is sent --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drawn:
    """The groups of one member, as those of any day of it look."""

    member: int
    rows: tuple[ClusterRow, ...]
    templates: tuple[TemplateRow, ...]

    def sent(self, day: date) -> Parts:
        """Manifest and files of a day: the same facts, and everything that names a group anew."""
        draw = random.Random(f"{self.member} {day}")  # noqa: S311 - a log that nobody has
        common = random.Random(str(day))  # noqa: S311 - of the campaign, whoever sees it
        rows = [_renamed(one, day, draw) for one in self.rows]
        templates = [
            replace(one, bands=_hexes(draw, schema.BANDS, 16, ordered=False))
            for one in self.templates
        ]
        if self.member < TOGETHER:
            shared = {"payment": _hexes(common, 4, 64), "device": _hexes(common, 2, 64)}
            own = _hexes(draw, 8, 64)
            payment = tuple(sorted((*shared["payment"], *own)))
            rows[0] = replace(rows[0], **_CAMPAIGN, payment=payment, device=shared["device"])
        clusters, others = parquet.write_clusters(rows), parquet.write_templates(templates)
        said = Manifest(
            day=day,
            key_epoch=rules.epoch_of(day),
            extractor="1.0.0",
            algorithms=(),
            clusters=sha256(clusters).hexdigest(),
            templates=sha256(others).hexdigest(),
        )
        return manifest.write(said), clusters, others


def drawn(member: int, day: date) -> Drawn:
    """The groups of a member, by the forum's table of marginals, with templates of their own."""
    (card,) = (one.values for one in shipped.algorithms() if one.detector == "scorecard")
    source = dummies.Source(
        secret=sha256(f"bench {member}".encode()).digest(),
        epoch=rules.epoch_of(day),
        table=dummies.shipped(),
        card=card,
        carried=dummies.OPTIONAL,
        clients={f"{number:032x}": _CLIENTS - number for number in range(_CLIENTS)},
    )
    rows: list[ClusterRow] = []
    templates: list[TemplateRow] = []
    for number, one in enumerate(dummies.dummies(source, schema.ROWS, day=day)):
        first = len(templates)
        templates += [replace(form, template=first + n) for n, form in enumerate(one.templates)]
        used = tuple(range(first, len(templates)))
        rows.append(replace(one.row, row=number, templates=used))
    return Drawn(member, tuple(rows), tuple(templates))


def _renamed(row: ClusterRow, day: date, draw: random.Random) -> ClusterRow:
    moved: dict[str, Any] = {
        kind: _hexes(draw, len(getattr(row, kind)), 64) for kind in schema.KINDS
    }
    (cluster,) = _hexes(draw, 1, 16)
    stands = row.last_day - row.first_day
    last = min(day, row.last_day)
    first = max(last - stands, day - timedelta(days=schema.DAYS - 1))
    return replace(row, cluster=cluster, first_day=first, last_day=max(first, last), **moved)


def _hexes(
    draw: random.Random, count: int, digits: int, *, ordered: bool = True
) -> tuple[str, ...]:
    text = draw.randbytes(count * digits // 2).hex()
    found = [text[start : start + digits] for start in range(0, len(text), digits)]
    return tuple(sorted(found) if ordered else found)
