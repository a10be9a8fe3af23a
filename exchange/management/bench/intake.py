"""What it costs to take contributions in, from POST to stored, and from there to release."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import connection

from exchange import contribute, release
from exchange.management.bench import backend, forum, material
from exchange.management.bench.report import Report
from indicators.models import Contribution

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
OBJECTS = 100_000
EACH = 10_000  # objects in a post, of a tenth of all at most
TENTHS = 10
WORKERS = 2
LEAST_RATE = 5_000
LEAST_RELEASED = 1_000
MEMBERS = 100
MOST_GROWTH = 1.25
SETTLED = 2  # tenths after which a worker has everything that it keeps


# When a worker took each contribution in, and the most memory that it had held until then.
_Taken = Sequence[tuple[float, int]]


@dataclass(slots=True)
class _Spent:
    """Seconds of a core: of the process that posts, of the workers, of the database."""

    posting: float = 0.0
    working: float = 0.0
    behind: float = 0.0

    @property
    def whole(self) -> float:
        return self.posting + self.working + self.behind


def run(sizes: Sequence[int], report: Report) -> None:
    """Post, let two processes take in what is posted, and release one contribution of it."""
    forum.found(now=NOON)
    where = forum.circle("Intake", MEMBERS, now=NOON)
    for size in sizes or (OBJECTS,):
        _taken_in(where, size, report)
    _released(where, min(EACH, *sizes) if sizes else EACH, report)


def _taken_in(where: forum.Forum, size: int, report: Report) -> None:
    octets = material.octets(material.indicators(100, text=material.LONG))
    each = min(EACH, max(1, size // TENTHS))
    report.title(f"Intake of {size:,} indicators of {octets:,} octets in posts of {each:,}")
    connection.close()
    with tempfile.TemporaryDirectory() as room:
        over = Path(room) / "over"
        workers = [_worker(over) for _ in range(WORKERS)]
        spent, begun = _Spent(), time.perf_counter()
        behind = backend.seconds(connection)
        making = 0.0
        for start in range(0, size, each):
            made = time.perf_counter()
            count = min(each, size - start)
            objects = material.indicators(count, seed=start + size, text=material.LONG)
            body = forum.envelope(objects)
            del objects
            making += time.perf_counter() - made
            before = time.process_time()
            where.post(body, now=NOON)
            spent.posting += time.process_time() - before
        over.touch()
        told = [json.loads(worker.communicate()[0]) for worker in workers]
        took = time.perf_counter() - begun
    if any(worker.returncode for worker in workers):
        raise RuntimeError("a worker ended with an error")
    spent.working = sum(one["seconds"] for one in told)
    spent.behind = backend.seconds(connection) - behind + sum(one["behind"] for one in told)
    _say(report, size, spent, took=took, making=making)
    _memory(report, size, each, [one["taken"] for one in told])


def _say(
    report: Report,
    size: int,
    spent: _Spent,
    *,
    took: float,
    making: float,
) -> None:
    stored = sum(Contribution.objects.values_list("successes", flat=True))
    if stored < size:
        raise RuntimeError(f"{stored:,} of {size:,} objects were stored")
    each = {
        name: seconds / size * 1e6
        for name, seconds in (
            ("posting", spent.posting),
            ("working", spent.working),
            ("in PostgreSQL", spent.behind),
        )
    }
    beside = ", ".join(f"{value:,.0f} us {name}" for name, value in each.items())
    report.rate(
        "objects, by what both cores compute for them",
        WORKERS * size / spent.whole,
        beside=beside,
        at_least=LEAST_RATE,
    )
    report.rate(
        "objects, by the clock",
        size / took,
        beside=f"{took:,.1f} s in all, of which {making:,.1f} s went into making the bodies",
    )


def _memory(report: Report, size: int, each: int, taken: Sequence[_Taken]) -> None:
    """The most that each worker has held so far, at each tenth of all objects."""
    acts = sorted((at, number, peak) for number, one in enumerate(taken) for at, peak in one)
    so_far = [0] * len(taken)
    lines: list[list[int]] = []
    for done, (_, number, peak) in enumerate(acts, start=1):
        so_far[number] = peak
        if done * each >= size * (len(lines) + 1) / TENTHS:
            lines.append(list(so_far))
            held = ", ".join(f"{octets / 2**20:,.0f} MB" for octets in so_far)
            report.say(f"  most memory of each process after {done * each:>9,} objects: {held}")
    for number, (settled, last) in enumerate(zip(lines[SETTLED - 1], lines[-1], strict=True)):
        if settled:
            report.ratio(
                f"most memory of process {number + 1} at the end, to after two tenths",
                last / settled,
                beside=f"{last / 2**20:,.0f} MB",
                at_most=MOST_GROWTH,
            )


def _worker(over: Path) -> "subprocess.Popen[bytes]":
    env = os.environ | {"DATABASE_ROLE": "worker"}
    argv = [sys.executable, "-m", "exchange.management.bench.intake_worker", str(over)]
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE)  # noqa: S603 - ours


def _released(where: forum.Forum, size: int, report: Report) -> None:
    """One contribution from POST to its releases, in one process, nothing at the same time."""
    report.title(f"Contribution to release of {size:,} indicators, {MEMBERS} members, 3 audiences")
    body = forum.envelope(material.indicators(size, seed=7, text=material.LONG))
    later = NOON + timedelta(hours=2)
    marks = [_mark()]
    sent = where.post(body, now=NOON)
    marks.append(_mark())
    contribute.accept(sent, now=NOON)
    marks.append(_mark())
    release.release_contribution(sent, now=later)
    marks.append(_mark())
    steps = [b - a for a, b in zip(marks, marks[1:], strict=False)]
    beside = ", ".join(
        f"{seconds / size * 1e6:,.0f} us {name}"
        for name, seconds in zip(("posting", "taking in", "releasing"), steps, strict=True)
    )
    whole = marks[-1] - marks[0]
    report.rate("objects, on one core", size / whole, beside=beside, at_least=LEAST_RELEASED)


def _mark() -> float:
    return time.process_time() + backend.seconds(connection)
