"""`manage.py forum_create`: found a real forum with what is shipped, and its operator."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from exchange import algorithms, constants, ledger, policies
from exchange.models import FloorPolicy
from exchange.policy import terms
from exchange.signers import signer_for
from indicators.detection import shipped
from members import onboarding

LINK_LASTS = timedelta(days=7)


class Command(BaseCommand):
    """Once for each exchange; run it with the owner's database role and all three signers."""

    help = "Found the forum: its identity, floor, algorithms, keys, and its operator."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The forum's name, and who runs it."""
        parser.add_argument("name")
        parser.add_argument("operator_name")
        parser.add_argument("operator_email")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """All of it or nothing."""
        if FloorPolicy.objects.exists():
            raise CommandError("This exchange has its forum already.")
        now = timezone.now()
        constants.found(options["name"], now=now)
        policies.found(terms.shipped_floor(), clock=lambda: now)
        algorithms.ship([text for _, text in shipped.texts()], now=now)
        for purpose in ("bundle", "delivery", "ledger"):
            uri = getattr(settings, f"SIGNER_{purpose.upper()}")
            if not uri:
                raise CommandError(f"SIGNER_{purpose.upper()} is not set: see deploy/env.example")
            ledger.announce(purpose, signer_for(uri).public, now=now)
        onboarding.create_circle("Forum", [], is_forum=True, now=now)
        person = onboarding.Person(
            options["operator_email"], options["operator_name"], ("operator",)
        )
        user = onboarding.create_person(person)
        secret = onboarding.sign_in_link(user, now=now, lasts=LINK_LASTS)
        self.stdout.write(f"{settings.WEIR_BASE_URL}/sign-in/{secret}/")
