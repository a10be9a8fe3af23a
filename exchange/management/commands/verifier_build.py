"""Pack the command by which members verify what they received."""

from argparse import ArgumentParser
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from exchange.proof import pack


class Command(BaseCommand):
    """`manage.py verifier_build [<file>]`."""

    help = "Write weir-verify.pyz: one file that needs Python 3.11 and cryptography."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to."""
        parser.add_argument("file", type=Path, nargs="?", default=Path("weir-verify.pyz"))

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Write it and say its digest, which the page Archives shows too."""
        packed = pack.archive("verify")
        options["file"].write_bytes(packed)
        self.stdout.write(f"{sha256(packed).hexdigest()}  {options['file']}")
