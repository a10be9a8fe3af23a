"""Pack the command by which members turn their values into tokens."""

from argparse import ArgumentParser
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from exchange.proof import pack


class Command(BaseCommand):
    """`manage.py tokenise_build [<file>]`."""

    help = "Write weir-tokenise.pyz: one file that needs Python 3.11 and cryptography."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to."""
        parser.add_argument("file", type=Path, nargs="?", default=Path("weir-tokenise.pyz"))

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Write it and say its digest, which the page Tokens shows too."""
        packed = pack.archive("tokenise")
        options["file"].write_bytes(packed)
        self.stdout.write(f"{sha256(packed).hexdigest()}  {options['file']}")
