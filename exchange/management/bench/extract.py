"""What weir-extract needs for a day's log: events a second of one core, and its peak of memory."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from exchange.management.bench.report import Report

SIZES = (5_000_000,)
LEAST_RATE = 100_000  # of processor time, so of one core
MOST_MEMORY = 1_000_000_000
_WORKER = "exchange.management.bench.extract_worker"


def run(sizes: Sequence[int], report: Report) -> None:
    """Generated logs of so many events, each folded by a process of its own."""
    for size in sizes or SIZES:
        room = Path(tempfile.mkdtemp(prefix="weir-bench-extract-"))
        try:
            log = _work("write", room / "log", size)
            found = _work("fold", room / "log", room / "state")
        finally:
            shutil.rmtree(room)
        said = f"{size:,} events of {found['accounts']:,.0f} accounts"
        report.title(f"Fold a log of {said} ({log['octets'] / 1e9:.1f} GB of Parquet)")
        beside = f"{found['cpu']:.1f} s of a core, {found['wall']:.1f} s in all, "
        beside += f"{found['prompts']:,.0f} prompts fingerprinted"
        rate = found["events"] / found["cpu"]
        report.rate("events of one core", rate, beside=beside, at_least=LEAST_RATE)
        peak = f"peak of {found['peak'] / 1e6:,.0f} MB, at most {MOST_MEMORY / 1e6:,.0f} MB"
        report.ratio(
            "memory, against what is allowed", found["peak"] / MOST_MEMORY, beside=peak, at_most=1.0
        )


def _work(*arguments: str | Path | int) -> dict[str, float]:
    argv = [sys.executable, "-m", _WORKER, *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, check=True)  # noqa: S603 - ours
    found: dict[str, float] = json.loads(done.stdout)
    return found
