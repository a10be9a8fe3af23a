"""`manage.py bench_run`: what `bench` measures once it has a database to throw away."""

import gc
import logging
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import BaseCommand

from exchange.management.bench import (
    extract,
    intake,
    latency,
    ledger,
    policy,
    pool,
    pool_run,
    preview,
    questions,
    superseded,
    taxii,
)
from exchange.management.bench.report import Report


def _detectors(sizes: Sequence[int], report: Report) -> None:
    """Needs the extra `pool`; all others do without."""
    from exchange.management.bench import detectors  # noqa: PLC0415 - as said above

    detectors.run(sizes, report)


BENCHES: dict[str, Callable[..., None]] = {
    "detectors": _detectors,
    "extract": extract.run,
    "intake": intake.run,
    "latency": latency.run,
    "ledger": ledger.run,
    "policy": policy.run,
    "pool": pool.run,
    "pool-run": pool_run.run,
    "preview": preview.run,
    "questions": questions.run,
    "superseded": superseded.run,
    "taxii": taxii.run,
}
# What a benchmark asks for beside the number of objects.
MORE = {"preview": ("recipients", "audiences")}


class Command(BaseCommand):
    """One benchmark, in the database that the environment names."""

    help = "What `bench` runs; run `bench`, which makes a database for it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which one, and how large."""
        parser.add_argument("name", choices=sorted(BENCHES))
        parser.add_argument("--objects", type=int, nargs="*", default=[])
        parser.add_argument("--recipients", type=int, default=preview.RECIPIENTS)
        parser.add_argument("--audiences", type=int, default=preview.AUDIENCES)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """Print its figures; a bar that was missed ends with status 1."""
        logging.getLogger().setLevel(logging.WARNING)  # the figures alone
        gc.collect()
        gc.freeze()  # what was loaded to start is no part of any measurement
        report = Report(self.stdout.write, [])
        more = {name: options[name] for name in MORE.get(options["name"], ())}
        BENCHES[options["name"]](options["objects"], report, **more)
        if report.missed:
            sys.exit(1)
