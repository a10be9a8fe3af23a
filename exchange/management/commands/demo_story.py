"""`manage.py demo_story`: what `demo` tells once its processes run."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from exchange.management.demo import cast, story
from exchange.management.demo.scene import Parts, Scene

WINDOW_SECONDS = 15


class Command(BaseCommand):
    """Found the forum of the cast, let its analyst in, or tell the story of one contribution."""

    help = "The story of the demo; run `demo`, which starts what it needs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where the demo's parts are."""
        parser.add_argument("--found", action="store_true")
        parser.add_argument("--first-link", action="store_true")
        parser.add_argument("--hooks", default="")
        parser.add_argument("--received", default="")
        parser.add_argument("--bundle")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """One of the three."""
        if options["found"]:
            signers = {
                "bundle": settings.SIGNER_BUNDLE,
                "delivery": settings.SIGNER_DELIVERY,
                "ledger": settings.SIGNER_LEDGER,
            }
            cast.found(now=timezone.now(), window_seconds=WINDOW_SECONDS, signers=signers)
            return
        parts = Parts(
            base_url=settings.WEIR_BASE_URL,
            hooks=options["hooks"],
            received=Path(options["received"]),
            bundle=Path(options["bundle"]) if options["bundle"] else None,
        )
        scene = Scene(cast.present(), parts, self.stdout.write)
        if options["first_link"]:
            story.first_link(scene)
            return
        story.tell(parts, scene)
