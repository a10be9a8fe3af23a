"""`manage.py algorithms_ship`: put the algorithms of the product in force, or renew them."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from exchange import algorithms
from indicators.detection import shipped


class Command(BaseCommand):
    """For a forum that was founded before they came, after an update, and every five months."""

    help = "Put the shipped algorithms in force; what is in force and has time left stays."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """All of them or none; each that moved is in the ledger."""
        moved = algorithms.ship([text for _, text in shipped.texts()], now=timezone.now())
        self.stdout.write(f"{len(moved)} of {len(shipped.texts())} put in force.")
