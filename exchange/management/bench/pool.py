"""What the pool finds that no member finds alone, what extracts give away, what poison does.

The worlds are measured in a process of its own: it needs the extra `pool`, this command does not.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from exchange.management.bench.report import Report

WORLDS = "indicators.detection.world.bars"


def run(sizes: Sequence[int], report: Report) -> None:
    """The table of forums with so many members; without a choice 4, 8 and 16."""
    report.title("Five worlds for each number of members; no weight was fitted on them")
    command = [sys.executable, "-m", WORLDS, *map(str, sizes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worlds:  # noqa: S603 - ours
        for line in worlds.stdout or ():
            figure = json.loads(line)
            report.figure(figure.pop("name"), figure.pop("value"), figure.pop("unit"), **figure)
    if worlds.returncode:
        report.missed.append("the worlds were not measured")
