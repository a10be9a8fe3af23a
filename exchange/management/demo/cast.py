"""The cast of the demo: five labs, two circles, people in each role."""

from dataclasses import dataclass
from datetime import datetime

from exchange import algorithms, constants, ledger, policies, release
from exchange.policy import terms
from exchange.signers import signer_for
from indicators.detection import shipped
from members import onboarding
from members.auth import Principal, principal_of
from members.models import Acceptance, Circle, Member, User

LABS = ("Aurora", "Borealis", "Cirrus", "Ember", "Fjord")
RELAY_WATCH = ("Aurora", "Borealis", "Ember")
PEOPLE = (
    ("Ana", ("analyst", "administrator"), "Aurora"),
    ("Abel", ("officer",), "Aurora"),
    ("Alma", ("counsel",), "Aurora"),
    ("Ben", ("analyst", "administrator"), "Borealis"),
    ("Cleo", ("analyst", "administrator"), "Cirrus"),
    ("Dora", ("counsel",), None),
    ("Otto", ("officer",), None),
    ("Pia", ("operator",), None),
)
_TERMS = (
    "Members share technical facts about extraction campaigns for network and information "
    "security only. Each member reviews what it receives and decides alone what to do."
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody, by name."""

    labs: dict[str, Member]
    people: dict[str, User]
    forum: Circle
    relay_watch: Circle

    def principal(self, name: str) -> Principal:
        """Somebody of the cast, as the verbs know them."""
        return principal_of(self.people[name])


def found(*, now: datetime, window_seconds: int, signers: dict[str, str]) -> None:
    """Found the forum of the cast, once: floor, keys, members, circles, people, constants."""
    for purpose, uri in signers.items():
        ledger.announce(purpose, signer_for(uri).public, now=now)
    if Member.objects.exists():
        return
    constants.found("Weir demo forum", now=now)
    document = terms.shipped_floor(window_seconds=window_seconds)
    policies.found(document, clock=lambda: now)
    algorithms.ship([text for _, text in shipped.texts()], now=now)
    labs = {
        name: onboarding.create_member(name, verified_domains=[f"{name.lower()}.example"], now=now)
        for name in LABS
    }
    onboarding.create_circle("Forum", list(labs.values()), is_forum=True, now=now)
    onboarding.create_circle("Relay watch", [labs[name] for name in RELAY_WATCH], now=now)
    people = {name: _person(name, roles, labs.get(lab or "")) for name, roles, lab in PEOPLE}
    agreement = onboarding.publish_agreement(
        "1", _TERMS, purpose="network-and-information-security", now=now
    )
    # Ember and Fjord have nobody here: theirs came on paper, and the operator entered it.
    Acceptance.objects.bulk_create(
        Acceptance(agreement=agreement, member=lab, accepted_by=people["Pia"], accepted_at=now)
        for lab in labs.values()
    )
    release.constants_to([lab.id for lab in labs.values()], now=now)


def present() -> Cast:
    """The cast as it was founded."""
    return Cast(
        labs={row.name: row for row in Member.objects.all()},
        people={row.name: row for row in User.objects.all()},
        forum=Circle.objects.get(is_forum=True),
        relay_watch=Circle.objects.get(slug="relay-watch"),
    )


def _person(name: str, roles: tuple[str, ...], member: Member | None) -> User:
    domain = f"{member.slug}.example" if member else "forum.example"
    return onboarding.create_person(
        onboarding.Person(f"{name.lower()}@{domain}", name, roles, member)
    )
