"""What the ledger costs: a release with and without its rows, proofs, sequencing, publishing."""

import os
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from django.conf import settings
from django.db import connection, connections, transaction

from exchange import ledger, release
from exchange.ledger import check, sequencer
from exchange.management import processes
from exchange.management.bench import forum, material
from exchange.management.bench.report import Report, timed, typical
from exchange.management.processes import ProcessFailed, Supervisor, wait_until
from exchange.models import LedgerEntry, LedgerEvent, LedgerHead, LedgerIntake, ReleaseRecipient
from exchange.proof import merkle
from exchange.signers import signer_for

LEAVES = 1_000_000
MEMBERS = 100
MANY = 500
TIMES = 50
CHUNK = 65_536
BUSY = 100  # entries in a second from elsewhere, while a release is measured
PROOFS = 500
PUBLISHED = 300
WRITERS = 8
LATER = timedelta(hours=2)  # every window has opened by then


def run(sizes: Sequence[int], report: Report) -> None:
    """`--objects LEAVES [TIMES]`: the size of the log, and how often each release is made."""
    leaves, times, *_ = (*sizes, *(LEAVES, TIMES)[len(sizes) :])
    now = datetime.now(UTC)
    forum.found(now=now)
    where = forum.circle("Bench", MEMBERS, now=now)
    _warm_up(where)
    with _sequenced():
        small = _releases(where, times, report, "at the beginning of the log")
        _intake(report)
    _grow(leaves)
    with _sequenced():
        large = _releases(where, times, report, f"behind {leaves:,} leaves")
        for count, (before, after) in {1: (small[0], large[0]), MANY: (small[1], large[1])}.items():
            report.ratio(
                f"releasing {count}, behind {leaves:,} leaves to none",
                after / before,
                beside=f"{after * 1000:.1f} ms, {before * 1000:.1f} ms",
                at_most=1.05,
            )
        _proofs(report, leaves)
        _published(report)
    _sequencing(report)
    _checking(report)


# A release


def _warm_up(where: forum.Forum) -> None:
    for number in range(6):
        _release(where, MANY if number % 2 else 1, with_rows=True)


def _releases(where: forum.Forum, times: int, report: Report, place: str) -> tuple[float, float]:
    """Medians of one object and of many, with its intake rows, while the sequencer is busy."""
    report.title(f"Releasing to {MEMBERS} members in 3 audiences, {place}")
    found = []
    with _busy():
        for count, bar in ((1, 1.6), (MANY, 1.05)):
            rows: dict[bool, list[float]] = {True: [], False: []}
            for number in range(2 * times):
                has_rows = (number + number // 2) % 2 == 0  # in turn, and neither always first
                rows[has_rows].append(_release(where, count, with_rows=has_rows))
            usual, bare = typical(rows[True]), typical(rows[False])
            report.ratio(
                f"{count} with its rows in the ledger's intake, to without",
                usual / bare,
                beside=f"{usual * 1000:.1f} ms, {bare * 1000:.1f} ms, median of {times}",
                at_most=bar,
            )
            found.append(usual)
    return found[0], found[1]


def _release(where: forum.Forum, count: int, *, with_rows: bool) -> float:
    """The seconds of one release's transaction."""
    now = datetime.now(UTC)
    objects = material.indicators(count, seed=random.SystemRandom().getrandbits(40))
    sent = where.give(objects, now=now)
    entered = ledger.enter_release
    if not with_rows:
        ledger.enter_release = lambda recipient_rows: None
    try:
        return timed(lambda: _freed(sent, now + LATER))
    finally:
        ledger.enter_release = entered


def _freed(sent: UUID, now: datetime) -> None:
    if not release.release_contribution(sent, now=now):
        raise ProcessFailed("nothing was released")


@contextmanager
def _sequenced() -> Iterator[None]:
    """A sequencer as an operator starts it."""
    with TemporaryDirectory(prefix="weir-bench-") as folder:
        log = Path(folder)
        with Supervisor(log) as supervisor:
            supervisor.start(processes.sequencer(os.environ))
            if not wait_until(_is_published, seconds=120):
                raise ProcessFailed(processes.last_lines(log / "sequencer.log"))
            yield
            if supervisor.deaths():
                raise ProcessFailed(str(supervisor.deaths()[0]))


def _is_published() -> bool:
    head = LedgerHead.objects.first()
    return bool(head and head.size and head.size == ledger.signed_size()) and not (
        LedgerIntake.objects.exists()
    )


@contextmanager
def _busy() -> Iterator[None]:
    """Entries from elsewhere, from a process of their own: the sequencer always has some."""
    fork = get_context("fork")
    over = fork.Event()
    connections.close_all()
    child = fork.Process(target=_record_on, args=(over,))
    child.start()
    try:
        yield
    finally:
        over.set()
        child.join()


def _record_on(over: Event) -> None:
    member = ReleaseRecipient.objects.filter(recipient__isnull=False).values_list(
        "recipient_id", flat=True
    )[0]
    while not over.wait(1 / BUSY):
        ledger.record("read", by=member, slots={"from": {"role": "bench"}}, now=datetime.now(UTC))
    os._exit(0)


# The intake, the sequencer, what is read


def _intake(report: Report) -> None:
    """Bare rows, each committed for itself, beside the running sequencer."""
    wait_until(lambda: not LedgerIntake.objects.exists(), seconds=120)  # none is entered twice
    parts = list(_unnumbered()[: 750 * WRITERS])
    report.title("Bare rows for the intake, beside the running sequencer")
    with ThreadPoolExecutor(WRITERS) as pool:
        took = timed(lambda: list(pool.map(_enter, [parts[n::WRITERS] for n in range(WRITERS)])))
    report.rate(
        "rows, each a transaction",
        len(parts) / took,
        beside=f"{len(parts):,} from {WRITERS} connections, durable",
        at_least=1500,
    )
    if not wait_until(lambda: not LedgerIntake.objects.exists(), seconds=120):
        left = list(LedgerIntake.objects.values_list("id", "kind", "ref")[:5])
        raise ProcessFailed(f"the sequencer did not keep up: {left}")


def _unnumbered() -> Sequence[int]:
    rows = ReleaseRecipient.objects.filter(idx__isnull=True).order_by("id")
    return list(rows.values_list("id", flat=True))


def _enter(parts: Sequence[int]) -> None:
    for part in parts:
        ledger.enter_release([part])
    connections.close_all()


def _grow(leaves: int) -> None:
    """A log of so many leaves, which say nothing: entries and tiles by COPY, one checkpoint."""
    signer, now = signer_for(settings.SIGNER_LEDGER), datetime.now(UTC)
    with transaction.atomic(), connection.cursor() as cursor:
        head = LedgerHead.objects.select_for_update().get(pk=1)
        while head.size < leaves:
            count = min(CHUNK, leaves - head.size)
            made = [secrets.token_bytes(merkle.HASH) for _ in range(count)]
            with cursor.copy("COPY ledger_entry (idx, kind, leaf) FROM STDIN") as copy:
                for n, leaf in enumerate(made, head.size):
                    copy.write_row((n, "lost", leaf))
            sequencer.grow(head, [merkle.leaf_hash(leaf) for leaf in made])
    ledger.publish(signer, now=now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _proofs(report: Report, leaves: int) -> None:
    draw = random.SystemRandom()
    found = sorted(
        timed(lambda: ledger.proof(draw.randrange(leaves)))  # drawn within: it costs nothing
        for _ in range(PROOFS)
    )
    report.title(f"Reading a log of {leaves:,} leaves")
    beside = f"{PROOFS} at random"
    report.time("proof of an entry, p50", typical(found), beside=beside, at_most=0.010)
    report.time("proof of an entry, p99", found[PROOFS * 99 // 100], beside=beside, at_most=0.050)


def _published(report: Report) -> None:
    """From the commit of an entry to the checkpoint above it."""
    found = []
    report.title("From an entry's commit to the checkpoint above it")
    with _busy():
        for _ in range(PUBLISHED):
            time.sleep(random.SystemRandom().random() / 5)
            ledger.record("read", slots={"audit": {"role": "bench"}}, now=datetime.now(UTC))
            start = time.perf_counter()
            event = LedgerEvent.objects.latest("id").pk
            while not LedgerEntry.objects.filter(
                kind="read", ref=event, idx__lt=ledger.signed_size()
            ).exists():
                time.sleep(0.002)
            found.append(time.perf_counter() - start)
    found.sort()
    beside = f"{PUBLISHED} times, {BUSY} other entries in a second"
    report.time("entry to published checkpoint, p50", typical(found), beside=beside)
    report.time(
        "entry to published checkpoint, p99",
        found[PUBLISHED * 99 // 100],
        beside=beside,
        at_most=1.0,
    )


def _sequencing(report: Report) -> None:
    """How fast what waits is numbered, of releases to many."""
    parts = _unnumbered()
    ledger.enter_release(parts)
    report.title("Numbering what waits")
    rounds = 0

    def integrate() -> None:
        nonlocal rounds
        while ledger.integrate(now=datetime.now(UTC)):
            rounds += 1

    took = timed(integrate)
    beside = f"{len(parts):,} in {rounds} batches"
    report.rate("entries", len(parts) / took, beside=beside, at_least=5000)
    ledger.publish(signer_for(settings.SIGNER_LEDGER), now=datetime.now(UTC))


def _checking(report: Report) -> None:
    size = LedgerEntry.objects.count()
    report.title("The full check")
    found: list[str] = []
    took = timed(lambda: found.extend(check.each_problem(full=True)))
    report.time("ledger_check --full", took, beside=f"{size:,} entries, {len(found)} differences")
    for line in found[:5]:
        report.say(f"    {line}")
        report.missed.append(line)
