"""`manage.py member_admit`: let a member into the forum, with its administrator."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from exchange import membership
from exchange.proof.refused import Refused
from members.models import Agreement, User


class Command(BaseCommand):
    """Run it with the owner's database role: a member's data key is made here."""

    help = "Admit a member: its seat, its data key, the constants, and its administrator."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who comes, and whether its agreement came on paper."""
        parser.add_argument("name")
        parser.add_argument("administrator_name")
        parser.add_argument("administrator_email")
        parser.add_argument("--domain", action="append", default=[], help="a verified domain")
        parser.add_argument("--agreement", help="the version that it has accepted on paper")
        parser.add_argument("--entered-by", help="address of the forum's person who enters that")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """All of it or nothing; the link is shown this once."""
        agreed = None
        if options["agreement"]:
            agreement = Agreement.objects.filter(version=options["agreement"]).first()
            person = User.objects.filter(
                email=(options["entered_by"] or "").lower(), member__isnull=True
            ).first()
            if agreement is None or person is None:
                raise CommandError("Name a published agreement, and who of the forum enters it.")
            agreed = (agreement, person)
        try:
            made = membership.admit(
                options["name"],
                (options["administrator_name"], options["administrator_email"]),
                verified_domains=options["domain"],
                agreed=agreed,
                now=timezone.now(),
            )
        except Refused as refused:
            raise CommandError(refused.sentence) from None
        self.stdout.write(f"{settings.WEIR_BASE_URL}/sign-in/{made.secret}/")
