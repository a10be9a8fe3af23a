"""The cast: five labs and eight people, two circles, always the same."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256

from django.contrib.auth.hashers import make_password

from exchange import constants
from exchange.models import FloorPolicy
from exchange.policy import terms
from exchange.proof import jcs
from members import onboarding
from members.auth import Principal, principal_of
from members.models import Acceptance, Circle, Member, User

PASSWORD = "quiet water runs deep"
LABS = ("Aurora", "Borealis", "Cirrus", "Ember", "Fjord")


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody, by name."""

    aurora: Member
    borealis: Member
    cirrus: Member
    ember: Member
    fjord: Member
    forum: Circle
    relay_watch: Circle
    ana: User
    abel: User
    alma: User
    ben: User
    cleo: User
    dora: User
    otto: User
    pia: User

    def as_(self, user: User) -> Principal:
        """Somebody of the cast, as the verbs know them."""
        return principal_of(user)

    def member(self, name: str) -> Member:
        """A lab by its name."""
        found: Member = getattr(self, name.lower())
        return found


def make_cast(now: datetime) -> Cast:
    """Found the forum with its floor, and let everybody in; Ember and Fjord have no people here."""
    constants.found("Weir forum", now=now)
    make_floor(now)
    labs = [
        onboarding.create_member(name, verified_domains=[f"{name.lower()}.example"], now=now)
        for name in LABS
    ]
    aurora, borealis, cirrus, ember, fjord = labs
    forum = onboarding.create_circle("Forum", labs, is_forum=True, now=now)
    relay_watch = onboarding.create_circle("Relay watch", [aurora, borealis, ember], now=now)
    agreement = onboarding.publish_agreement(
        "1", "Receive, match, decide alone.", purpose="defence against extraction", now=now
    )
    alma = _person("Alma", "counsel", aurora)
    ben = _person("Ben", "analyst", borealis)
    cleo = _person("Cleo", "analyst", cirrus)
    pia = _person("Pia", "operator", None)
    for person in (alma, ben, cleo):
        onboarding.accept_agreement(agreement, person, now=now)
    # Ember and Fjord have nobody here: theirs came on paper, and the operator entered it.
    Acceptance.objects.bulk_create(
        Acceptance(agreement=agreement, member=lab, accepted_by=pia, accepted_at=now)
        for lab in (ember, fjord)
    )
    for lab in labs:
        lab.refresh_from_db()
    return Cast(
        aurora=aurora,
        borealis=borealis,
        cirrus=cirrus,
        ember=ember,
        fjord=fjord,
        forum=forum,
        relay_watch=relay_watch,
        ana=_person("Ana", "analyst", aurora),
        abel=_person("Abel", "officer", aurora),
        alma=alma,
        ben=ben,
        cleo=cleo,
        dora=_person("Dora", "counsel", None),
        otto=_person("Otto", "officer", None),
        pia=pia,
    )


def make_floor(now: datetime, **changes: object) -> FloorPolicy:
    """The shipped floor in force from now on, with top-level parts changed where a test asks."""
    document = {**terms.shipped_floor(), **changes}
    return FloorPolicy.objects.create(
        document=document,
        digest=sha256(jcs.encode(document)).digest(),
        version=str(document["version"]),
        effective_at=now,
    )


@cache
def _hashed() -> str:
    """One password for everybody, hashed once: a hash costs what a password's should."""
    return make_password(PASSWORD)


def _person(name: str, role: str, member: Member | None) -> User:
    domain = f"{member.slug}.example" if member else "forum.example"
    person = onboarding.Person(f"{name.lower()}@{domain}", name, (role,), member)
    user = onboarding.create_person(person)
    user.password = _hashed()
    user.save(update_fields=["password"])
    return user
