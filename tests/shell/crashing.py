"""Who writes while everything is killed, and what must hold of the log afterwards."""

import random
import threading
import time
from pathlib import Path

from django.db import connections
from django.db.utils import Error

from exchange import ledger
from exchange.ledger import check
from exchange.models import LedgerEntry, LedgerIntake, ReleaseRecipient
from exchange.proof import note
from tests.shell.ledger_material import contribute, make_labs, release_to
from tests.shell.test_sequencer_crash import assert_no_gaps, assert_one_history


class Writing:
    """Releases and contributions in transactions that overlap; what a crash takes is tried anew."""

    def __init__(self, writers: int) -> None:
        self.labs = make_labs()
        self.wrote: list[int] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write) for _ in range(writers)]

    def start(self) -> None:
        """Until `stop`."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return when the last has ended."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        dice = random.Random()  # noqa: S311 - no secret
        labs = self.labs
        while not self._over.is_set():
            try:
                some = [labs.aurora, labs.borealis, labs.cirrus][: dice.randint(1, 3)]
                made = release_to(labs, some, count=dice.randint(1, 3))
                self.wrote += [row.pk for row in made]
                contribute(labs, count=1)
            except Error:  # the server is away; whether it had committed, the log will tell
                connections.close_all()
                time.sleep(0.1)
            time.sleep(dice.random() / 20)
        connections.close_all()


def keep_signed(folder: Path, signed: dict[int, str]) -> None:
    """Remember the newest head that was signed, whether or not its transaction came to its end."""
    path = folder / "last-checkpoint"
    if path.exists():
        text = path.read_text("utf-8")
        size = note.parse_checkpoint(text.partition("\n\n")[0] + "\n").size
        assert signed.setdefault(size, text.partition("\n\n")[0]) == text.partition("\n\n")[0]


def is_published() -> bool:
    """Nothing waits, and all of it lies under a checkpoint."""
    last = LedgerEntry.objects.order_by("-idx").first()
    waits = LedgerIntake.objects.exists()
    return not waits and last is not None and ledger.signed_size() == last.idx + 1


def check_all(writing: Writing, signed: dict[int, str]) -> int:
    """Contiguous, each release once, no gap in any account, one history, no differences."""
    entries = list(LedgerEntry.objects.order_by("idx").values_list("idx", "kind", "ref"))
    assert [idx for idx, _, _ in entries] == [*range(len(entries))]
    recorded = sorted(ref for _, kind, ref in entries if kind == "release" and ref is not None)
    parts = sorted(ReleaseRecipient.objects.values_list("id", flat=True))
    assert recorded == parts  # each that is committed once, and nothing else
    assert set(writing.wrote) <= set(parts)  # what was answered with success is there
    assert_no_gaps(writing.labs)
    assert_one_history()
    for size, text in signed.items():
        stated = note.parse_checkpoint(text + "\n")
        assert check.root_at(size) == stated.root
    assert check.problems(full=True) == ()
    return len(entries)
