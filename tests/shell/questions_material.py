"""A year's worth of everything in small: what each of the twenty questions has an answer to."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import LazySettings

from exchange import contribute, lookback, recall, review
from exchange.models import Feedback, Hold, Rendition
from exchange.questions import book, stated
from exchange.questions.book import Put
from indicators.models import Version
from members import onboarding
from members.auth import Principal
from members.models import Member, User
from members.scope import Acting, acting
from tests.cast import Cast
from tests.shell import sharing
from tests.shell.sharing import NOON, Way

LATER = NOON + timedelta(hours=2)
MARKER = "we charge $2.50 per million tokens, zanzibar"
PERSON = "heron@zanzibar.example"


@dataclass(frozen=True, slots=True)
class Scene:
    """What was shared, and the names by which it is asked for."""

    cast: Cast
    way: Way
    campaign: str
    campaign_name: str
    indicator: str
    version: int
    recall: UUID

    def put(self, user: User, name: str, **filters: object) -> Put:
        """Somebody asks, with the database rights of a request."""
        who = self.cast.as_(user)
        with acting(who.acting()):
            given = {key: str(value) for key, value in filters.items()}
            return book.ask(who, name, given, now=LATER)

    def as_(self, member: Member, *roles: str, user: User | None = None) -> Principal:
        """Somebody of a lab that has nobody with this role."""
        return Principal(
            member_id=member.id,
            user_id=user.id if user else None,
            roles=frozenset(roles),
            name=member.name,
        )

    def ask(self, who: Principal, name: str, **filters: object) -> Put:
        """The same for a principal that is at hand."""
        with acting(who.acting()):
            return book.ask(who, name, {k: str(v) for k, v in filters.items()}, now=LATER)


def officer(member: Member, name: str) -> User:
    """An officer for a lab that has none in the cast."""
    return onboarding.create_person(
        onboarding.Person(f"{name}@{member.slug}.example", name.capitalize(), ("officer",), member)
    )


def set_scene(settings: LazySettings, folder: Path) -> Scene:
    """Aurora shares a campaign, has something held and released; Borealis says, Aurora recalls."""
    cast = sharing.set_up(settings, folder)
    way = Way(cast, cast.relay_watch)
    sharing.member_policy(cast.aurora, now=NOON, version=3)
    root = sharing.campaign()
    link = sharing.range_indicator(description="said in confidence, zanzibar")
    personal = sharing.domain_indicator(
        pattern=f"[email-addr:value = '{PERSON}']",
        extensions=sharing.context("account-cluster", "S3"),
    )
    way.pass_on(root, link, personal, sharing.indicates(link["id"], root["id"]))
    held = sharing.range_indicator("198.51.100.0/24", description=MARKER)
    sent = way.give(held)
    dora = cast.as_(cast.dora)
    with acting(dora.acting()):
        ids = list(Hold.objects.values_list("id", flat=True))
        review.act(dora, ids, act="release", reason="The text stays at home.", now=NOON)
    sharing.leave(now=NOON + timedelta(minutes=30))
    sharing.sequence(now=NOON + timedelta(minutes=31))
    sharing.feed(cast.borealis, now=NOON + timedelta(minutes=32))
    del sent
    said = Rendition.objects.get(stix_type="campaign")
    range_row = Rendition.objects.filter(stix_type="indicator").earliest("id")
    version = Version.objects.get(renditions=range_row)
    last = Rendition.objects.filter(stix_type="indicator").latest("id")
    assert last.object_id is not None
    Feedback.objects.create(
        object_id=last.object_id,
        member=cast.aurora,
        version_id=last.version_id or 0,
        circle=cast.relay_watch,
        disposition="false-positive",
        at=NOON + timedelta(minutes=40),
    )
    ana = cast.as_(cast.ana)
    with acting(ana.acting()):
        ordered = recall.order(
            ana, last.object_id, reason="false-positive", note="It is a bank.",
            now=NOON + timedelta(minutes=50),
        )  # fmt: skip
    recall.tell(ordered, now=NOON + timedelta(minutes=51))
    sharing.sequence(now=NOON + timedelta(minutes=52))
    with acting(Acting(), role="worker"):
        while lookback.work(now=LATER):
            pass
    body: dict[str, Any] = sharing.bodies(
        one for one in sharing.feed(cast.borealis) if one.stix_type == "campaign"
    )[0]
    return Scene(cast, way, said.stix_id, body["name"], range_row.stix_id, version.id, ordered)


def attest(scene: Scene, user: User) -> UUID:
    """An officer states that the range was passed on to an authority."""
    who = scene.cast.as_(user)
    with acting(who.acting()):
        return stated.attest(
            who,
            scene.indicator,
            whom="authority",
            tlp="amber+strict",
            passed_on=date(2026, 11, 24),
            words="To the national response team, by its portal.",
            now=LATER,
        )


def contribute_more(scene: Scene, *objects: dict[str, Any]) -> None:
    """A further contribution of Aurora's."""
    scene.way.pass_on(*objects)
    assert contribute
