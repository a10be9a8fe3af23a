"""Abuse of policies: over-sharing through a change (A4), and the race with a tightening (A5)."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from exchange import audiences, delivery, policies, release, review
from exchange.models import (
    Attempt,
    Delivery,
    FloorPolicy,
    Hold,
    MemberPolicyVersion,
    ReleaseRecipient,
    Subscription,
)
from exchange.policy import documents, terms
from members.models import Member
from members.scope import acting
from tests.cast import Cast, make_floor
from tests.shell import sharing
from tests.shell.sharing import NOON, Way, feed, leave

LATER = NOON + timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = sharing.set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def denying(cast: Cast, version: int = 1) -> dict[str, Any]:
    """Aurora sends nothing to Ember."""
    return {"version": version, "deny_recipients": [str(cast.ember.id)]}


# --- A4: over-share through a changed policy -----------------------------------------------------


@pytest.mark.django_db
def test_a04_a_members_loosening_shows_nothing_old(way: Way) -> None:
    abel = way.cast.as_(way.cast.abel)
    sharing.own_policy(abel, denying(way.cast), now=NOON)
    way.pass_on(sharing.range_indicator())
    assert len(feed(way.cast.borealis)) == 1
    sharing.own_policy(abel, {"version": 2}, now=LATER)
    leave(now=LATER)
    assert feed(way.cast.ember, now=LATER) == ()
    way.pass_on(sharing.range_indicator("192.0.2.0/24"), now=LATER + MINUTE)
    assert len(feed(way.cast.ember, now=LATER + MINUTE)) == 1


@pytest.mark.django_db
def test_a04_a_looser_floor_shows_nothing_old(way: Way) -> None:
    sharing.new_floor(way.cast, floor(2, drop_properties=["indicator.confidence"]), now=NOON)
    way.pass_on(sharing.range_indicator(confidence=70))
    old = [one.body for one in feed(way.cast.borealis)]
    assert old
    assert b"confidence" not in old[0]
    document = floor(3)
    sharing.previewed(way.cast.as_(way.cast.dora), document, now=LATER)
    sharing.new_floor(way.cast, document, now=LATER)
    leave(now=LATER)
    assert [one.body for one in feed(way.cast.borealis, now=LATER)] == old
    way.pass_on(sharing.range_indicator("192.0.2.0/24", confidence=70), now=LATER + MINUTE)
    assert b"confidence" in feed(way.cast.borealis, now=LATER + MINUTE)[-1].body


@pytest.mark.django_db
def test_a04_what_waits_under_a_looser_policy_was_decided_by_the_stricter_one_no_more(
    way: Way,
) -> None:
    """Forward only means releases: what has not left yet leaves under the policy of its window."""
    abel = way.cast.as_(way.cast.abel)
    way.give(sharing.domain_indicator(), now=NOON + MINUTE)
    sharing.own_policy(abel, denying(way.cast), now=NOON + 2 * MINUTE)
    leave(now=NOON + timedelta(minutes=15))
    assert feed(way.cast.ember, now=NOON + timedelta(minutes=15)) == ()
    assert len(feed(way.cast.borealis, now=NOON + timedelta(minutes=15))) == 1


def floor(version: int, **changes: Any) -> dict[str, Any]:
    """The shipped floor as a later version, with parts changed."""
    return {**terms.shipped_floor(), "version": version, **changes}


# --- A5: tightened while the fan-out runs --------------------------------------------------------


@dataclass(slots=True)
class Other:
    """Another process with a connection of its own."""

    thread: threading.Thread
    failed: list[BaseException]

    def join(self) -> None:
        self.thread.join(30)
        assert not self.thread.is_alive()
        assert self.failed == []


def meanwhile(act: Callable[[], object]) -> Other:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - told to the test that waits for it
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return Other(thread, failed)


def wait_for_somebody_to_wait() -> None:
    """Until another connection waits for the lock of the policies."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waited")


@pytest.mark.django_db(transaction=True)
def test_a05_a_release_that_waited_for_a_tightening_decides_by_it(way: Way) -> None:
    way.give(sharing.range_indicator())
    with transaction.atomic():
        audiences.lock_policies()
        other = meanwhile(lambda: release.open_windows(now=NOON))
        wait_for_somebody_to_wait()
        # Later than the time that the release had read before it began to wait.
        sharing.member_policy(way.cast.aurora, now=LATER, **denying(way.cast))
    other.join()
    got = set(ReleaseRecipient.objects.filter(member=way.cast.aurora).values_list("recipient_id"))
    assert got == {(way.cast.aurora.id,), (way.cast.borealis.id,)}


@pytest.mark.django_db(transaction=True)
def test_a05_a_release_that_waited_for_a_stricter_floor_decides_by_it(way: Way) -> None:
    way.give(sharing.range_indicator(confidence=70))
    with transaction.atomic():
        audiences.lock_policies()
        other = meanwhile(lambda: leave(now=NOON))
        wait_for_somebody_to_wait()
        make_floor(LATER, version=2, drop_properties=["indicator.confidence"])
    other.join()
    (one,) = feed(way.cast.borealis)
    assert b"confidence" not in one.body


@pytest.mark.django_db(transaction=True)
def test_a05_a_tightening_waits_for_the_releases_under_way(way: Way) -> None:
    abel = way.cast.as_(way.cast.abel)
    draft_id = policies.draft(abel, documents.write(denying(way.cast)), now=NOON)
    policies.submit(abel, draft_id, now=NOON)
    digest = policies.draft_of(abel, draft_id).digest
    read: list[str] = []

    def clock() -> datetime:
        read.append("after the lock")
        return LATER

    with transaction.atomic():
        audiences.hold_policies_still()
        other = meanwhile(lambda: policies.activate(abel, draft_id, digest=digest, clock=clock))
        wait_for_somebody_to_wait()
        assert read == []
        assert not MemberPolicyVersion.objects.exists()
    other.join()
    assert read == ["after the lock"]
    assert MemberPolicyVersion.objects.get().effective_at == LATER


@dataclass(slots=True)
class Endpoint:
    """An endpoint whose name is looked up once for each push: what is asked for would leave."""

    asked: list[str]
    act: Callable[[], object] = lambda: None

    def __call__(self, host: str, _: int) -> Iterator[str]:
        self.asked.append(host)
        self.act()
        return iter(())


def pushed_to(lab: Member) -> Subscription:
    return Subscription.objects.create(
        member=lab,
        name="SIEM",
        url=f"https://siem.{lab.slug}.example/in",
        state="active",
        created_at=NOON,
    )


def states(lab: Member) -> list[str]:
    rows = Delivery.objects.filter(member=lab).order_by("id")
    return list(rows.values_list("state", flat=True))


def drain(row: Subscription, act: Callable[[], object] = lambda: None) -> list[str]:
    """Send what waits; the names that were looked up to send it."""
    endpoint = Endpoint([], act)
    delivery.make_ready(now=NOON)
    Subscription.objects.filter(pk=row.pk).update(next_at=None)
    delivery.drain(row.id, resolver=endpoint)
    return endpoint.asked


@pytest.mark.django_db
def test_a05_a_push_not_yet_sent_does_not_leave_under_the_old_policy(way: Way) -> None:
    to_ember, to_borealis = pushed_to(way.cast.ember), pushed_to(way.cast.borealis)
    way.pass_on(sharing.range_indicator())
    sharing.member_policy(way.cast.aurora, now=NOON, **denying(way.cast))
    assert drain(to_ember) == []
    assert states(way.cast.ember) == ["cancelled"]
    assert not Attempt.objects.exists()
    # Who may still have it is sent it: the policy is another, and makes no difference for it.
    assert drain(to_borealis) == ["siem.borealis.example"]
    assert len(feed(way.cast.ember)) == 1  # what was released is served until it is replaced


@pytest.mark.django_db
def test_a05_of_a_push_only_what_would_be_less_is_left_out(way: Way) -> None:
    to_borealis = pushed_to(way.cast.borealis)
    way.pass_on(sharing.range_indicator(), sharing.range_indicator("192.0.2.0/24", confidence=70))
    make_floor(NOON, version=2, drop_properties=["indicator.confidence"])
    assert drain(to_borealis) == []
    assert drain(to_borealis) == ["siem.borealis.example"]
    rows = Delivery.objects.filter(member=way.cast.borealis).order_by("id")
    assert [(row.state, len(row.left_out)) for row in rows] == [("cancelled", 0), ("ready", 1)]


@pytest.mark.django_db
def test_a05_a_looser_policy_stops_no_push(way: Way) -> None:
    sharing.member_policy(way.cast.aurora, now=NOON, version=1, dates="month")
    to_borealis = pushed_to(way.cast.borealis)
    way.pass_on(sharing.range_indicator())
    sharing.member_policy(way.cast.aurora, now=NOON, version=2)
    assert drain(to_borealis) == ["siem.borealis.example"]


@pytest.mark.django_db
def test_a05_what_counsel_released_stays_released_under_a_new_version_of_the_floor(
    way: Way,
) -> None:
    sent = way.give(sharing.sdo("malware", name="x", is_family=False))
    for person in (way.cast.dora, way.cast.alma):
        for hold in Hold.objects.filter(outcome__contribution_id=sent):
            who = way.cast.as_(person)
            review.act(who, [hold.id], act="release", reason="seen and judged", now=NOON)
    to_borealis = pushed_to(way.cast.borealis)
    leave(now=LATER)
    make_floor(LATER, version=2)
    assert drain(to_borealis) == ["siem.borealis.example"]


@pytest.mark.django_db
def test_a05_what_one_approved_waits_for_the_second_whom_a_new_floor_asks(way: Way) -> None:
    sent = way.give(sharing.sdo("malware", name="x", is_family=False))
    other = way.give(sharing.sdo("vulnerability", name="CVE-2024-12345"))
    holds = {hold.field_class: hold for hold in Hold.objects.all()}
    dora, alma = way.cast.as_(way.cast.dora), way.cast.as_(way.cast.alma)
    for hold, people in ((holds["C13"], (dora, alma)), (holds["C12"], (dora,))):
        for who in people:
            review.act(who, [hold.id], act="release", reason="seen and judged", now=NOON)
    release.set_free(now=NOON)
    both = ["forum-counsel", "contributor-counsel"]
    approvers = {**terms.shipped_floor()["approvers"], "C12": both}
    sharing.new_floor(way.cast, floor(2, approvers=approvers), now=NOON)
    leave(now=LATER)
    assert sharing.outcomes(sent) == ["accepted"]
    assert sharing.outcomes(other) == ["held"]
    assert {one.stix_type for one in feed(way.cast.borealis, now=LATER)} == {"malware"}
    review.act(alma, [holds["C12"].id], act="release", reason="seen and judged", now=LATER)
    leave(now=LATER + timedelta(hours=1))
    assert sharing.outcomes(other) == ["accepted"]


@pytest.mark.django_db
def test_a05_no_member_asks_for_approvers(way: Way) -> None:
    with (
        acting(way.cast.as_(way.cast.ben).acting()),
        pytest.raises(ProgrammingError, match="Only who puts a floor in force"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT weir_ask_approvers('C13', ARRAY['nobody'])")


@pytest.mark.django_db(transaction=True)
def test_a05_a_tightening_waits_for_the_push_that_has_begun(way: Way) -> None:
    """So that its time is later than the last byte that left under the old policy."""
    to_ember = pushed_to(way.cast.ember)
    way.pass_on(sharing.range_indicator())
    abel = way.cast.as_(way.cast.abel)
    draft_id = policies.draft(abel, documents.write(denying(way.cast)), now=NOON)
    policies.submit(abel, draft_id, now=NOON)
    digest = policies.draft_of(abel, draft_id).digest
    others: list[Other] = []

    def tighten() -> None:
        others.append(meanwhile(lambda: policies.activate(abel, draft_id, digest=digest)))
        wait_for_somebody_to_wait()
        assert not MemberPolicyVersion.objects.exists()

    assert drain(to_ember, tighten) == ["siem.ember.example"]
    others[0].join()
    assert MemberPolicyVersion.objects.count() == 1
    assert drain(to_ember) == []


# --- a legal basis that lapses -------------------------------------------------------------------


def with_bases(version: int, until: str | None) -> dict[str, Any]:
    """The floor whose legal bases all end on a day."""
    began = {"from": "2015-12-18", "until": until}
    bases = terms.shipped_floor()["legal_bases"]
    return floor(version, legal_bases=[{**basis, **began} for basis in bases])


def lapse(cast: Cast, until: str) -> None:
    """All legal bases of the floor end on a day."""
    document = with_bases(2, until)
    sharing.previewed(cast.as_(cast.dora), document, now=NOON)
    sharing.new_floor(cast, document, now=NOON)


@pytest.mark.django_db
def test_n20_set_the_end_date_and_deliveries_hold(way: Way) -> None:
    to_borealis = pushed_to(way.cast.borealis)
    way.pass_on(sharing.range_indicator())
    lapse(way.cast, "2020-12-31")
    way.give(sharing.range_indicator("192.0.2.0/24"), now=LATER)
    assert leave(now=LATER) == 0
    assert drain(to_borealis) == []
    assert states(way.cast.borealis) == ["ready"]
    assert len(feed(way.cast.borealis, now=LATER)) == 1  # pulls of what was released go on
    renewed = with_bases(3, None)
    sharing.previewed(way.cast.as_(way.cast.dora), renewed, now=LATER)
    sharing.new_floor(way.cast, renewed, now=LATER)
    assert leave(now=LATER + MINUTE) == 1
    assert drain(to_borealis) == ["siem.borealis.example"]
    assert len(feed(way.cast.borealis, now=LATER + MINUTE)) == 2


@pytest.mark.django_db
def test_n20_a_basis_ends_by_its_own_date(way: Way) -> None:
    lapse(way.cast, "2026-11-24")
    way.pass_on(sharing.range_indicator())
    tomorrow = NOON + timedelta(days=1)
    way.give(sharing.range_indicator("192.0.2.0/24"), now=tomorrow)
    assert leave(now=tomorrow) == 0
    assert len(feed(way.cast.borealis, now=tomorrow)) == 1
    assert FloorPolicy.objects.count() == 2
