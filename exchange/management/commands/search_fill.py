"""Index the renditions that were made before there was an index; go on where it was stopped."""

from django.core.management.base import BaseCommand

from exchange import search


class Command(BaseCommand):
    """Part by part, each in a transaction of its own; beside a running exchange."""

    help = "Index the renditions that were made before there was an index."

    def handle(self, *args: object, **options: object) -> None:
        """Until none is left."""
        total = 0
        while done := search.fill():
            total += done
            self.stdout.write(f"{total:,} renditions indexed")
        self.stdout.write("Nothing is left to index.")
