"""A process of its own that works at one preview, so that the kernel can say what it took."""

import sys
from datetime import UTC, datetime
from uuid import UUID

import django

django.setup()

from exchange import replay  # noqa: E402 - only after the set-up


def main() -> None:
    """Decide parts until there is none left."""
    while replay.work(UUID(sys.argv[1]), now=datetime.now(UTC)):
        pass


if __name__ == "__main__":
    main()
