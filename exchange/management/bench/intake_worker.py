"""A process of its own that takes contributions in, so that the kernel can say what it took."""

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import django

django.setup()

from django.db import connection  # noqa: E402 - only after the set-up

from exchange import contribute  # noqa: E402 - only after the set-up
from exchange.management.bench import backend  # noqa: E402 - only after the set-up

_PAUSE = 0.02


def main() -> None:
    """Take in what waits until the file named is there and nothing waits any more."""
    over = Path(sys.argv[1])
    contribute.waiting()  # connected, everything loaded
    at_first = before = backend.seconds(connection)
    taken: list[tuple[float, int]] = []
    started = time.process_time()
    while True:
        is_over = over.exists()
        waiting = contribute.waiting()
        for contribution_id in waiting:
            if contribute.accept(contribution_id, now=datetime.now(UTC)):
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                taken.append((time.time(), peak))
                break
        if is_over and not waiting:
            break
        if not waiting:
            time.sleep(_PAUSE)
    before = backend.seconds(connection) - at_first
    spent = time.process_time() - started
    print(json.dumps({"taken": taken, "seconds": spent, "behind": before}))  # noqa: T201 - read by who started it


if __name__ == "__main__":
    main()
