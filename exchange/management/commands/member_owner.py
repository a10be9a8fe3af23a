"""`manage.py member_owner`: state who stands behind a member, so that affiliates count as one."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.proof.refused import Refused
from members import onboarding
from members.auth import principal_of
from members.models import Member, User


class Command(BaseCommand):
    """Run it with the owner's database role, in the name of the forum's operator."""

    help = "State the ultimate owner of a member; an empty name says that it is its own."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The member, its owner, and who states it."""
        parser.add_argument("member", help="the member's slug")
        parser.add_argument("owner")
        parser.add_argument("--by", required=True, help="the operator's e-mail address")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """One member, one owner."""
        member = Member.objects.filter(slug=options["member"]).first()
        user = User.objects.filter(email=options["by"].lower(), is_active=True).first()
        if member is None or user is None:
            raise CommandError("There is no such member or no such person.")
        try:
            onboarding.set_owner(member, options["owner"], by=principal_of(user))
        except Refused as refused:
            raise CommandError(refused.sentence) from None
        self.stdout.write(f"{member.name}: {options['owner'].strip() or 'its own'}")
