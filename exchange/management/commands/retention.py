"""What the clocks of retention would take out now; without --dry-run, take it out."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from exchange import retention


class Command(BaseCommand):
    """`manage.py retention --dry-run`: one line for each clock, in numbers only."""

    help = "Report what the clocks of retention would take out, or take it out."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Nothing goes in a dry run."""
        parser.add_argument("--dry-run", action="store_true", help="count, and take nothing out")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """The worker does the same each hour."""
        now = timezone.now()
        if not options["dry_run"]:
            for name, count in retention.work(now=now).items():
                self.stdout.write(f"{name}: {count:,} taken out")
            return
        for line in retention.report(now=now):
            more = " or more" if line.is_more else ""
            self.stdout.write(
                f"{line.clock.name}: {line.due:,}{more} of before {line.before:%Y-%m-%d}"
                f" ({line.days:,} days)"
            )
