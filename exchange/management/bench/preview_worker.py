"""A process of its own that works at one preview, and says at its end how large it became."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import django

django.setup()

from exchange import replay  # noqa: E402 - only after the set-up


def main() -> None:
    """Decide parts until there is none left; then the peak of its memory, in octets."""
    while replay.work(UUID(sys.argv[1]), now=datetime.now(UTC)):
        pass
    sys.stdout.write(f"{_peak()}\n")


def _peak() -> int:
    # Not getrusage: its peak is inherited from whoever forked this process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
