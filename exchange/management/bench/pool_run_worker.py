"""The worker of the queue `quick` beside a run: what is contributed it takes in, as it comes."""

import json
import logging
import sys
import time
from datetime import datetime
from pathlib import Path

import django

django.setup()

from django.db import connection  # noqa: E402 - only after the set-up

from exchange import contribute  # noqa: E402 - only after the set-up
from exchange.management.bench import backend  # noqa: E402 - only after the set-up

_PAUSE = 0.02


def main() -> None:
    """Take in what waits, until the file named is there; say when the first of it waited."""
    logging.getLogger().setLevel(logging.WARNING)  # the figures alone
    over, now = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
    contribute.waiting()  # connected, everything loaded
    behind, spent = backend.seconds(connection), time.process_time()
    first: float | None = None
    print(flush=True)  # noqa: T201 - who started it waits for it
    while not over.exists():
        waiting = contribute.waiting()
        if waiting and first is None:
            first = time.perf_counter()
        for contribution_id in waiting:
            contribute.take_in(contribution_id, now=now)
        if not waiting:
            time.sleep(_PAUSE)
    behind, spent = backend.seconds(connection) - behind, time.process_time() - spent
    print(json.dumps({"first": first, "seconds": spent, "behind": behind}))  # noqa: T201 - as above


if __name__ == "__main__":
    main()
