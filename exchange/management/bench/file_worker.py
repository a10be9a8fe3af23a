"""A process of its own that takes one file in, in parts of a given size, and says its peak."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import django

django.setup()

from exchange import files  # noqa: E402 - only after the set-up
from exchange.files import reading  # noqa: E402


def main() -> None:
    """Work until there is nothing left; then the peak of its memory, in octets."""
    file_id = UUID(sys.argv[1])
    if len(sys.argv) > 2:
        reading.FULL = reading.SLICE = int(sys.argv[2])
    while files.work(file_id, now=datetime.now(UTC)):
        pass
    sys.stdout.write(f"{_peak()}\n")


def _peak() -> int:
    # Not getrusage: its peak is inherited from whoever forked this process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
