"""Members come, are suspended and leave: from that moment nothing is read, sent or released."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import Error as DatabaseError
from django.test import Client

from exchange import delivery, membership
from exchange.models import Delivery, LedgerEntry, Missing, Subscription
from exchange.proof.refused import Forbidden, NotFound, Refused
from members import onboarding
from members.models import Acceptance, CircleMember, Member, User
from members.scope import acting
from tests.shell.sharing import (
    NOON,
    Way,
    analyst_of,
    bodies,
    campaign,
    feed,
    indicates,
    leave,
    range_indicator,
    sequence,
    set_up,
)

pytestmark = pytest.mark.django_db
WHY = "decided by the forum's board"
LATER = NOON + timedelta(minutes=15)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def subscribe(member: Member, way: Way, **how: object) -> Subscription:
    """A subscription that works."""
    return Subscription.objects.create(
        member=member,
        name="SIEM",
        url=f"https://siem.{member.slug}.example/in",
        state="active",
        created_at=NOON,
        **how,
    )


def states(sub: Subscription) -> list[str]:
    """The states of a subscription's deliveries."""
    return list(Delivery.objects.filter(subscription=sub).values_list("state", flat=True))


def test_who_leaves_a_circle_reads_nothing_of_it_and_what_waits_ends(way: Way) -> None:
    cast, pia = way.cast, way.cast.as_(way.cast.pia)
    onboarding.join_circle(cast.fjord, cast.relay_watch, now=NOON)
    everything = subscribe(cast.ember, way)
    of_circle = subscribe(cast.ember, way, circle=cast.relay_watch)
    others = subscribe(cast.borealis, way)
    root = campaign()
    way.pass_on(range_indicator(), indicates(range_indicator()["id"], root["id"]))
    way.pass_on(range_indicator("198.51.100.0/24"), circle=cast.forum)
    assert Missing.objects.filter(recipient=cast.ember).exists()
    delivery.make_ready(now=NOON)
    membership.leave_circle(pia, cast.ember.id, cast.relay_watch.id, reason=WHY, now=LATER)
    assert [one["type"] for one in bodies(feed(cast.ember))] == ["indicator"]
    assert sorted(states(everything)) == ["cancelled", "ready"]
    assert states(of_circle) == ["cancelled"]
    assert states(others) == ["ready", "ready"]
    assert Subscription.objects.get(pk=of_circle.pk).state == "removed"
    assert Subscription.objects.get(pk=everything.pk).state == "active"
    assert not Missing.objects.filter(recipient=cast.ember).exists()
    way.pass_on(range_indicator("192.0.2.0/24"), now=LATER)
    assert len(feed(cast.ember)) == 1


def test_who_leaves_the_forum_keeps_its_contributions_in_the_others_holdings(way: Way) -> None:
    cast, pia = way.cast, way.cast.as_(way.cast.pia)
    way.pass_on(range_indicator(), by=cast.ben)
    sub = subscribe(cast.borealis, way)
    way.pass_on(range_indicator("198.51.100.0/24"))
    membership.leave(pia, cast.borealis.id, reason=WHY, now=LATER)
    with pytest.raises(NotFound):
        feed(cast.borealis)
    assert len(feed(cast.ember)) == 2
    assert states(sub) == ["cancelled"]
    assert Subscription.objects.get(pk=sub.pk).state == "removed"
    assert not CircleMember.objects.filter(member=cast.borealis, left_at__isnull=True).exists()
    with pytest.raises(Refused):
        membership.activate(pia, cast.borealis.id, reason=WHY, now=LATER)


def test_a_suspension_cancels_what_waits_and_ends_with_everything_readable(way: Way) -> None:
    cast, pia = way.cast, way.cast.as_(way.cast.pia)
    sub = subscribe(cast.ember, way)
    way.pass_on(range_indicator())
    membership.suspend(pia, cast.ember.id, reason=WHY, now=NOON)
    assert states(sub) == ["cancelled"]
    way.pass_on(range_indicator("198.51.100.0/24"), now=LATER)
    with pytest.raises(NotFound):
        feed(cast.ember)
    membership.activate(pia, cast.ember.id, reason=WHY, now=LATER)
    assert len(feed(cast.ember)) == 1
    assert Subscription.objects.get(pk=sub.pk).state == "active"


def test_each_act_is_in_the_members_own_ledger_with_its_reason(way: Way) -> None:
    pia = way.cast.as_(way.cast.pia)
    membership.suspend(pia, way.cast.ember.id, reason=WHY, now=NOON)
    membership.activate(pia, way.cast.ember.id, reason=WHY, now=NOON)
    sequence(now=NOON)
    told = LedgerEntry.objects.filter(from_member=way.cast.ember, kind="decision")
    assert told.count() == 2


def test_only_the_operator_changes_who_takes_part_and_says_why(way: Way) -> None:
    cast = way.cast
    for user in (cast.ana, cast.abel, cast.dora, cast.otto):
        with pytest.raises(Forbidden):
            membership.suspend(cast.as_(user), cast.ember.id, reason=WHY, now=NOON)
    with pytest.raises(Refused):
        membership.suspend(cast.as_(cast.pia), cast.ember.id, reason="so", now=NOON)
    with pytest.raises(Refused):
        membership.leave_circle(
            cast.as_(cast.pia), cast.ember.id, cast.forum.id, reason=WHY, now=NOON
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE members_member SET state = 'suspended'",
        "UPDATE members_circlemember SET left_at = now()",
        "SELECT weir_end_waiting('00000000-0000-0000-0000-000000000000', NULL, true)",
    ],
)
def test_the_database_lets_the_webs_role_change_nothing_for_anyone_else(
    way: Way, statement: str
) -> None:
    for user in (way.cast.ana, way.cast.dora):
        with (
            pytest.raises(DatabaseError),
            transaction.atomic(),
            acting(way.cast.as_(user).acting()),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def test_a_member_is_admitted_with_its_key_its_seat_and_the_constants(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "agreement.txt"
    text.write_text("Receive, match, decide alone.", encoding="utf-8")
    call_command("agreement_publish", "2", str(text), "defence")
    call_command(
        "member_admit", "Gannet", "Gil", "gil@gannet.example", domain=["gannet.example"],
        agreement="2", entered_by=way.cast.pia.email,
    )  # fmt: skip
    sequence(now=NOON)
    made = Member.objects.get(name="Gannet")
    assert Acceptance.objects.get(member=made).accepted_by == way.cast.pia
    assert "/sign-in/" in capsys.readouterr().out
    assert User.objects.get(member=made).email == "gil@gannet.example"
    assert LedgerEntry.objects.get(to_member=made).kind == "release"
    way.pass_on(range_indicator(), circle=way.cast.forum, now=LATER)
    assert len(feed(made)) == 1


def test_pia_suspends_on_her_page_with_a_reason_and_a_confirmation(way: Way) -> None:
    client = Client()
    client.force_login(way.cast.pia, backend="django.contrib.auth.backends.ModelBackend")
    page = f"/members/{way.cast.ember.id}/"
    given = {"act": "suspend", "circle": "", "reason": WHY}
    assert client.post(page, given).status_code == 422
    assert _state(way) == "active"
    assert client.post(page, {**given, "sure": "on"}).status_code == 302
    assert _state(way) == "suspended"
    shown = client.get(page).content.decode()
    assert "End its suspension" in shown
    again = client.post(page, {**given, "act": "suspend", "sure": "on"})
    assert again.status_code == 422


def _state(way: Way) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', 'none', true)")
    return Member.objects.get(pk=way.cast.ember.pk).state


def test_a_release_that_commits_after_somebody_left_does_not_name_it(way: Way) -> None:
    onboarding.join_circle(way.cast.fjord, way.cast.relay_watch, now=NOON)
    way.give(range_indicator())
    onboarding.leave_circle(way.cast.ember, way.cast.relay_watch, now=NOON)
    leave(now=NOON)
    entries = LedgerEntry.objects.filter(to_member=way.cast.ember)
    assert entries.count() == 1  # the constants
    assert feed(way.cast.borealis)
    assert analyst_of(way.cast.ember)
