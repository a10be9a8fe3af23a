"""Pack the command that members run at home for the pool."""

from argparse import ArgumentParser
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from indicators.extract import wheel


class Command(BaseCommand):
    """`manage.py extractor_build [<folder>]`."""

    help = "Write the wheel of weir-extract, which one pip command installs."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to: pip wants a wheel under its own name."""
        parser.add_argument("folder", type=Path, nargs="?", default=Path())

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Write it and say its digest, which the page Help shows too."""
        packed = wheel.archive()
        place = options["folder"] / wheel.NAME
        place.write_bytes(packed)
        self.stdout.write(f"{sha256(packed).hexdigest()}  {place}")
