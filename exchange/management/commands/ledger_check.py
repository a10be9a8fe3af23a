"""Compare the ledger with itself: numbers, leaves, tiles, roots, checkpoints."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.ledger import check, covered


class Command(BaseCommand):
    """`manage.py ledger_check [--full]`: prints what differs, and then ends with an error."""

    help = "Compare the ledger with itself and print what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """In full it reads every entry."""
        parser.add_argument(
            "--full",
            action="store_true",
            help="every slot from what it records, leaves from slots, tiles from leaves, all roots",
        )
        parser.add_argument(
            "--tables",
            action="store_true",
            help="which tables it follows, and of all others why not",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Print each problem on a line of its own."""
        count = 0
        if options["tables"]:
            for table, why in (*covered.UNDER.items(), *covered.OUTSIDE.items()):
                where = "under the log" if table in covered.UNDER else "outside"
                self.stdout.write(f"{table}: {where}: {why}")
            return
        for problem in check.each_problem(full=bool(options["full"])):
            self.stdout.write(problem)
            count += 1
        if count:
            raise CommandError(f"The ledger differs in {count} places.")
        self.stdout.write("The ledger agrees with itself.")
