"""Recalled: not served from that moment, told at once, acknowledged, and for ever."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings

from exchange import (
    access,
    contribute,
    delivery,
    ledger,
    recall,
    release,
    reminders,
    revocation,
)
from exchange.models import (
    Bundle,
    Delivery,
    FloorPolicy,
    LedgerEntry,
    Recall,
    Rendition,
    Subscription,
)
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import ForumObject, Version
from members import onboarding
from members.models import Member, User
from members.scope import Acting, acting
from tests.cast import make_floor
from tests.promises.test_canaries import dump
from tests.shell.sharing import (
    NOON,
    Object,
    Way,
    analyst_of,
    bodies,
    campaign,
    domain_indicator,
    feed,
    indicates,
    leave,
    newer,
    range_indicator,
    sdo,
    sequence,
    set_up,
    stamp,
)

pytestmark = pytest.mark.django_db
NOTE = "It names a public resolver."
LATER = NOON + timedelta(minutes=5)
QUARTER = NOON + timedelta(minutes=15)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def object_of(obj: Object) -> UUID:
    """The forum's object of an original, whoever contributed it first."""
    names = {
        store.name_digest(lab, obj["id"]) for lab in Member.objects.values_list("id", flat=True)
    }
    row = ForumObject.objects.filter(id_digest__in=names).order_by("versions__id").first()
    assert row is not None
    return row.id


def order(way: Way, object_id: UUID, *, by: User | None = None, **how: Any) -> UUID:
    said = {"reason": "false-positive", "note": NOTE, "now": LATER, **how}
    return recall.order(way.cast.as_(by or way.cast.ana), object_id, **said)


def tell(*, now: datetime = LATER) -> None:
    """The worker's part, with the worker's rights, and one round of the sequencer."""
    with acting(Acting(), role="worker"):
        recall.tell_waiting(now=now)
    sequence(now=now)


def recalled(way: Way, obj: Object, **how: Any) -> UUID:
    made = order(way, object_of(obj), **how)
    tell()
    return made


def address(value: str = "198.51.100.9") -> Object:
    """An address by itself: its id in the forum follows from what it says."""
    return {
        "type": "ipv4-addr",
        "spec_version": "2.1",
        "id": "ipv4-addr--7d3c9bde-52ff-5b8f-8d3c-1f9a3a6b7c55",
        "value": value,
    }


def observed(*refs: str) -> Object:
    return sdo(
        "observed-data",
        first_observed=stamp(NOON),
        last_observed=stamp(NOON),
        number_observed=1,
        object_refs=list(refs),
    )


def subscription(member: Member, state: str = "active") -> Subscription:
    return Subscription.objects.create(
        member=member,
        name="SIEM",
        url=f"https://siem.{member.slug}.example/in",
        state=state,
        created_at=NOON,
    )


# --- the moment, and what each holder is told ----------------------------------------------------


def test_a_recalled_object_is_not_served_from_that_moment(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    assert len(feed(way.cast.ember)) == 1
    order(way, object_of(indicator))
    for lab in (way.cast.ember, way.cast.borealis, way.cast.aurora):
        assert feed(lab) == ()
    ana = way.cast.as_(way.cast.ana)
    own = next(one for one in access.collections(ana) if one.kind == "own")
    assert access.knows(ana, own, indicator["id"])


def test_each_holder_gets_one_revoked_version_without_old_values(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    (before,) = bodies(feed(way.cast.ember))
    recalled(way, indicator)
    (after,) = bodies(feed(way.cast.ember))
    assert (after["id"], after["revoked"], after["pattern"]) == (
        before["id"],
        True,
        "[file:size < 0]",
    )
    assert after["modified"] > before["modified"]
    assert "203.0.113" not in json.dumps(after)
    assert set(after) == {
        *("type", "spec_version", "id", "created", "modified", "created_by_ref", "revoked"),
        *("object_marking_refs", "pattern", "pattern_type", "valid_from"),
    }
    tell()
    assert len(feed(way.cast.ember)) == 1


def test_the_earlier_versions_are_gone_too(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    changed = newer(indicator, pattern="[ipv4-addr:value = '203.0.113.0/25']")
    way.pass_on(changed, now=NOON + timedelta(minutes=2))
    assert len(feed(way.cast.ember)) == 2
    recalled(way, indicator)
    (only,) = bodies(feed(way.cast.ember))
    assert only["revoked"]


def test_positions_never_move(way: Way) -> None:
    first, second = range_indicator(), range_indicator("198.51.100.0/24")
    way.pass_on(first)
    way.pass_on(second, now=NOON + timedelta(minutes=1))
    before = {one.stix_id: one.number for one in feed(way.cast.ember)}
    recalled(way, second)
    kept, told = feed(way.cast.ember)
    assert kept.number == before[kept.stix_id]
    assert told.number > max(before.values())


def test_the_recall_is_an_entry_that_names_what_it_undoes(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator, reason="leak")
    who = way.cast.as_(way.cast.ben)
    last = ledger.openings(who, slot="to")[-1].check()
    assert (last["kind"], last["reason"]) == ("recall", "leak")
    undone = ledger.opening(who, int(str(last["recalls"])), "to")
    assert json.loads(undone["value"])["kind"] == "release"
    assert json.loads(undone["value"])["id"] == last["id"]
    own = [one.check() for one in ledger.openings(way.cast.as_(way.cast.ana), slot="from")]
    told = [one for one in own if one["kind"] == "recall"]
    assert {one["to"] for one in told} == {
        str(lab.id) for lab in (way.cast.aurora, way.cast.borealis, way.cast.ember)
    }
    assert all(one["recalls"] is not None and one["id"] == indicator["id"] for one in told)


def test_a_recall_never_overtakes_its_release(way: Way) -> None:
    """Ordered before the release has a number: in one batch the release comes first."""
    indicator = range_indicator()
    way.give(indicator)
    release.open_windows(now=NOON)
    order(way, object_of(indicator))
    tell()
    kinds = LedgerEntry.objects.filter(
        to_member=way.cast.ember, kind__in=["release", "recall"]
    ).order_by("to_seq")
    assert list(kinds.values_list("kind", flat=True))[-2:] == ["release", "recall"]
    ember = analyst_of(way.cast.ember)
    ledgered = [one.check() for one in ledger.openings(ember, slot="to")]
    assert ledgered[-1]["recalls"] == ledgered[-2]["index"]
    (only,) = bodies(feed(way.cast.ember))
    assert only["revoked"]


def test_what_waits_and_never_left_just_stays(way: Way) -> None:
    waiting = campaign("S2")
    way.give(waiting, now=NOON + timedelta(minutes=1))
    recalled(way, waiting)
    leave(now=NOON + timedelta(minutes=20))
    assert feed(way.cast.ember, now=NOON + timedelta(minutes=20)) == ()
    assert Recall.objects.get().told_at == LATER


def test_a_version_that_waits_does_not_leave_after_the_recall(way: Way) -> None:
    """The recipient holds the earlier version; the newer one is due in the next window."""
    indicator = domain_indicator()
    way.pass_on(indicator)
    way.give(newer(indicator, pattern="[domain-name:value = 'other.example']"), now=LATER)
    recalled(way, indicator)
    leave(now=NOON + timedelta(minutes=20))
    (only,) = bodies(feed(way.cast.ember, now=NOON + timedelta(minutes=20)))
    assert only["revoked"]


def test_a_withdrawn_object_can_still_be_recalled(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    contribute.withdraw(way.cast.as_(way.cast.ana), indicator["id"], now=NOON)
    recalled(way, indicator)
    assert [one["revoked"] for one in bodies(feed(way.cast.ember))] == [True]
    midnight = NOON + timedelta(hours=12)
    revocation.revoke_due(now=midnight)
    sequence(now=midnight)
    assert len(feed(way.cast.ember)) == 1


def test_who_holds_it_through_two_circles_is_told_once_and_finds_it_in_both(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    way.pass_on(indicator, circle=way.cast.forum, now=NOON + timedelta(minutes=1))
    recalled(way, indicator)
    for lab in (way.cast.borealis, way.cast.ember, way.cast.cirrus, way.cast.fjord):
        assert [one["revoked"] for one in bodies(feed(lab))] == [True], lab.name
    ben = way.cast.as_(way.cast.ben)
    for one in access.collections(ben):
        if one.kind == "circle":
            page = access.page(ben, one, access.Query(types=("indicator",)), now=LATER)
            assert [json.loads(held.body)["revoked"] for held in page.items] == [True]


def test_who_left_the_circle_meanwhile_is_told_too(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    onboarding.leave_circle(way.cast.borealis, way.cast.relay_watch, now=NOON)
    assert feed(way.cast.borealis) == ()
    recalled(way, indicator)
    assert [one["revoked"] for one in bodies(feed(way.cast.borealis))] == [True]


def test_recalls_and_revocations_leave_when_the_legal_basis_has_lapsed(way: Way) -> None:
    first, second = range_indicator(), range_indicator("198.51.100.0/24")
    subscription(way.cast.borealis)
    way.pass_on(first)
    way.pass_on(second, now=NOON + timedelta(minutes=1))
    document = FloorPolicy.objects.get().document
    over = [{**one, "until": "2026-11-23"} for one in document["legal_bases"]]
    make_floor(NOON + timedelta(minutes=2), legal_bases=over)
    assert way.pass_on(range_indicator("192.0.2.0/24"), now=LATER)
    assert len(feed(way.cast.ember)) == 2
    recalled(way, second)
    contribute.withdraw(way.cast.as_(way.cast.ana), first["id"], now=LATER)
    midnight = NOON + timedelta(hours=12)
    revocation.revoke_due(now=midnight)
    sequence(now=midnight)
    assert sorted(one.get("revoked", False) for one in bodies(feed(way.cast.ember))) == [
        False,
        True,
        True,
    ]
    delivery.make_ready(now=midnight)
    recalls = Delivery.objects.filter(event="recall")
    assert set(recalls.values_list("state", flat=True)) == {"ready"}
    assert recalls.count() == 2


# --- who may -------------------------------------------------------------------------------------


def test_analyst_officer_and_counsel_of_the_contributor_may_and_the_forums_counsel(
    way: Way,
) -> None:
    cast = way.cast
    for n, person in enumerate((cast.ana, cast.abel, cast.alma, cast.dora)):
        indicator = range_indicator(f"203.0.{n}.0/24")
        way.pass_on(indicator, now=NOON + timedelta(minutes=n))
        recalled(way, indicator, by=person)
    assert [one["revoked"] for one in bodies(feed(cast.ember))] == [True] * 4


def test_nobody_else_may(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    for person in (way.cast.ben, way.cast.cleo):
        with pytest.raises(NotFound):
            order(way, object_of(indicator), by=person)
    for person in (way.cast.otto, way.cast.pia):
        with pytest.raises(Forbidden):
            order(way, object_of(indicator), by=person)
    assert len(feed(way.cast.ember)) == 1


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"reason": "because"}, "recall.reason"),
        ({"reason": "policy"}, "recall.reason"),
        ({"note": "short"}, "reason.missing"),
    ],
)
def test_a_reason_of_the_list_and_a_written_note(way: Way, how: Any, code: str) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    with pytest.raises(Refused) as refused:
        order(way, object_of(indicator), **how)
    assert refused.value.code == code
    order(way, object_of(indicator))
    with pytest.raises(Refused, match="recalled before"):
        order(way, object_of(indicator))


def test_a_recalled_id_comes_again_only_when_its_contributor_has_lifted_it(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    made = recalled(way, indicator)
    (gone,) = bodies(feed(way.cast.ember))
    again = newer(indicator, minutes=30)
    sent = way.pass_on(again, now=LATER)
    ((success, message),) = way.messages(sent)
    assert not success
    assert "Lift the recall" in message
    with pytest.raises(NotFound):
        recall.lift(way.cast.as_(way.cast.ben), made, now=LATER)
    recall.lift(way.cast.as_(way.cast.ana), made, now=LATER)
    way.pass_on(again, now=NOON + timedelta(minutes=40))
    old, new = bodies(feed(way.cast.ember, now=NOON + timedelta(minutes=40)))
    assert old == gone
    assert new["id"] != gone["id"]


# --- observables ---------------------------------------------------------------------------------


def test_of_a_recalled_observable_the_id_is_named(way: Way) -> None:
    one = address()
    way.pass_on(one)
    (held,) = bodies(feed(way.cast.ember))
    recalled(way, one)
    (notice,) = bodies(feed(way.cast.ember))
    assert notice["type"] == "note"
    assert [ref["external_id"] for ref in notice["external_references"]] == [held["id"]]
    assert one["value"] not in json.dumps(notice)
    told = reminders.told(analyst_of(way.cast.ember))
    assert [(one.stix_id, one.reason) for one in told] == [(held["id"], "false-positive")]


def test_what_refers_to_it_is_given_anew_without_it_or_revoked(way: Way) -> None:
    bad, good = address(), {**address("198.51.100.10"), "id": address()["id"][:-1] + "6"}
    both, alone = observed(bad["id"], good["id"]), observed(bad["id"])
    way.pass_on(bad, good, both, alone)
    before = {one["id"]: one for one in bodies(feed(way.cast.ember))}
    assert len(before) == 4
    lost = next(one for one in before.values() if one.get("value") == bad["value"])
    order(way, ForumObject.objects.get(pk=_object_named(lost["id"])).pk)
    tell()
    after = bodies(feed(way.cast.ember))
    assert lost["id"] not in {one["id"] for one in after}
    assert all(lost["id"] not in one.get("object_refs", ()) for one in after)
    datas = [one for one in after if one["type"] == "observed-data"]
    assert sorted(bool(one.get("revoked")) for one in datas) == [False, True]
    kept = next(one for one in datas if not one.get("revoked"))
    assert len(kept["object_refs"]) == 1
    assert kept["modified"] > before[kept["id"]]["modified"]
    assert next(one for one in after if one.get("value") == good["value"])


def _object_named(stix_id: str) -> UUID:
    found = Rendition.objects.filter(stix_id=stix_id).values_list("object_id", flat=True).first()
    assert found is not None
    return found


def test_equal_bytes_of_another_keep_standing_until_the_last_is_recalled(way: Way) -> None:
    cast = way.cast
    one = address()
    way.pass_on(one)
    (first,) = feed(cast.ember)
    way.pass_on(one, by=cast.ben, now=QUARTER)
    mine, theirs = (
        ForumObject.objects.get(member=lab, stix_type="ipv4-addr")
        for lab in (cast.aurora, cast.borealis)
    )
    order(way, mine.id)
    tell(now=QUARTER)
    # Ember keeps it where it was; its contributor is told as if all had lost it.
    assert feed(cast.ember) == (first,)
    assert [held["type"] for held in bodies(feed(cast.aurora))] == ["note"]
    told = [one.check() for one in ledger.openings(cast.as_(cast.ana), slot="from")]
    assert {one["to"] for one in told if one["kind"] == "recall"} == {
        str(lab.id) for lab in (cast.aurora, cast.borealis, cast.ember)
    }
    order(way, theirs.id, by=cast.ben)
    tell(now=QUARTER + timedelta(minutes=1))
    assert [held["type"] for held in bodies(feed(cast.ember))] == ["note"]
    assert len(feed(cast.aurora)) == 1


def test_whoever_recalls_second_is_told_nothing_of_the_other(way: Way) -> None:
    cast = way.cast
    one = address()
    way.pass_on(one)
    way.pass_on(one, by=cast.ben, now=QUARTER)
    theirs = ForumObject.objects.get(member=cast.borealis, stix_type="ipv4-addr")
    order(way, theirs.id, by=cast.ben, now=QUARTER)
    tell(now=QUARTER)
    ember = feed(cast.ember)
    assert [held["type"] for held in bodies(ember)] == ["ipv4-addr"]
    made = recall.recalls(cast.as_(cast.ben))[0]
    access.page(analyst_of(cast.ember), access.collections(analyst_of(cast.ember))[0],
                access.Query(), now=QUARTER + timedelta(minutes=1))  # fmt: skip
    states = {one.name: one.state for one in recall.recall(cast.as_(cast.ben), made.id).progress}
    assert states["Ember"] == "acknowledged"


# --- who is told what ----------------------------------------------------------------------------


def test_of_an_object_on_another_members_object_only_the_circle_is_named(way: Way) -> None:
    cast = way.cast
    indicator = range_indicator()
    way.pass_on(indicator)
    (held,) = bodies(feed(cast.borealis))
    sighting = sdo("sighting", sighting_of_ref=held["id"], count=12)
    way.pass_on(sighting, by=cast.ben, now=NOON + timedelta(minutes=20))
    leave(now=NOON + timedelta(hours=2))
    target = object_of(sighting)
    ben = cast.as_(cast.ben)
    effects = recall.effects(ben, target)
    assert (effects.is_foreign, effects.recipients, effects.deliveries) == (True, 0, 0)
    made = order(way, target, by=cast.ben)
    tell(now=NOON + timedelta(hours=3))
    for who in (ben, cast.as_(cast.dora)):
        shown = recall.recall(who, made).progress
        assert [one.name for one in shown] == ["the circle Relay watch"]
    told = [one.check() for one in ledger.openings(ben, slot="from")]
    assert {one["to"] for one in told if one["kind"] == "recall"} == {
        f"circle:{cast.relay_watch.id}"
    }


def test_effects_are_known_before_and_progress_after(way: Way) -> None:
    subscription(way.cast.borealis)
    one = address()
    way.pass_on(one, observed(one["id"]))
    ana = way.cast.as_(way.cast.ana)
    target = ForumObject.objects.get(stix_type="ipv4-addr").id
    effects = recall.effects(ana, target)
    assert (effects.recipients, effects.deliveries, effects.reissued) == (2, 1, 1)
    made = order(way, target)
    assert {one.state for one in recall.recall(ana, made).progress} == set()
    with acting(Acting(), role="worker"):
        recall.tell_waiting(now=LATER)
    assert {one.state for one in recall.recall(ana, made).progress} == {"waiting"}
    sequence(now=LATER)
    assert {one.state for one in recall.recall(ana, made).progress} == {"sent"}
    feed(way.cast.ember, now=LATER)
    states = {one.name: one.state for one in recall.recall(ana, made).progress}
    assert states == {"Borealis": "sent", "Ember": "acknowledged"}


def test_a_push_that_was_answered_is_an_acknowledgement(way: Way) -> None:
    subscription(way.cast.borealis)
    indicator = range_indicator()
    way.pass_on(indicator)
    made = recalled(way, indicator)
    Delivery.objects.filter(event="recall").update(state="delivered", done_at=LATER)
    shown = recall.recall(way.cast.as_(way.cast.ana), made).progress
    assert {one.name: one.state for one in shown} == {"Borealis": "acknowledged", "Ember": "sent"}


# --- deliveries ----------------------------------------------------------------------------------


def pushed(row: Delivery) -> list[str]:
    """The types in the bundle of a delivery, in its order."""
    packed = Bundle.objects.get(release=row.release, left_out=row.left_out)
    return [one["type"] for one in json.loads(bytes(packed.body))["objects"]]


def test_a_bundle_that_contains_it_is_stopped_and_the_rest_is_sent(way: Way) -> None:
    subscription(way.cast.borealis, state="paused")
    root, marked = campaign(), range_indicator()
    way.pass_on(root, marked, indicates(marked["id"], root["id"]))
    delivery.make_ready(now=NOON)
    (stopped,) = Delivery.objects.filter(event="bundle")
    assert pushed(stopped) == ["campaign", "indicator", "relationship"]
    order(way, object_of(marked))
    tell()
    delivery.make_ready(now=LATER)
    states = Delivery.objects.order_by("seq", "created_at").values_list("event", "state")
    assert sorted(states) == [("bundle", "cancelled"), ("bundle", "ready"), ("recall", "ready")]
    rest = Delivery.objects.get(event="bundle", state="ready")
    assert pushed(rest) == ["campaign", "relationship"]
    told = Delivery.objects.get(event="recall")
    assert pushed(told) == ["indicator"]


def test_a_bundle_of_nothing_else_is_just_stopped(way: Way) -> None:
    subscription(way.cast.borealis)
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator)
    delivery.make_ready(now=LATER)
    assert sorted(Delivery.objects.values_list("event", "state")) == [
        ("bundle", "cancelled"),
        ("recall", "ready"),
    ]


def test_a_replay_of_a_bundle_leaves_out_what_was_recalled(way: Way) -> None:
    subscription(way.cast.borealis)
    root, marked = campaign(), range_indicator()
    way.pass_on(root, marked)
    delivery.make_ready(now=NOON)
    sent = Delivery.objects.get()
    Delivery.objects.update(state="delivered", done_at=NOON)
    recalled(way, marked)
    delivery.replay(way.cast.as_(way.cast.ben), sent.id, now=LATER)
    delivery.make_ready(now=LATER)  # it gives way to the rest,
    delivery.make_ready(now=LATER)  # which is then packed
    again = Delivery.objects.filter(event="bundle", state="ready").get()
    assert pushed(again) == ["campaign"]
    assert again.replay_of_id == sent.id


# --- erasure -------------------------------------------------------------------------------------


def test_erasing_leaves_the_marker_nowhere(way: Way) -> None:
    marker = "cnry-relay.example"
    subscription(way.cast.borealis)
    other, marked = campaign(), domain_indicator(marker)
    way.pass_on(other, marked, now=NOON)
    leave(now=NOON + timedelta(minutes=15))
    delivery.make_ready(now=NOON + timedelta(minutes=15))
    assert marker.encode() in dump()
    order(way, object_of(marked), by=way.cast.abel, erases=True)
    tell()
    delivery.make_ready(now=LATER)
    assert marker.encode() not in dump()
    for lab in (way.cast.ember, way.cast.borealis, way.cast.aurora):
        assert marker not in json.dumps(bodies(feed(lab, now=LATER)))
    assert Version.objects.filter(object=object_of(marked)).exists()
    digests = Rendition.objects.filter(object=object_of(marked)).values_list("digest", flat=True)
    assert all(len(bytes(one)) == 32 for one in digests)


def test_the_ledger_says_what_was_erased_and_its_proofs_stand(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator, by=way.cast.alma, erases=True, reason="leak")
    with acting(Acting(), role="worker"):
        recall.tell_waiting(now=LATER)
    sequence(now=LATER + timedelta(minutes=1))
    ben = way.cast.as_(way.cast.ben)
    openings = [one.check() for one in ledger.openings(ben, slot="to")]
    given = next(one for one in openings if one["kind"] == "release" and "id" in one)
    erased = next(one for one in openings if one["kind"] == "erase")
    assert erased["erased"] == [given["index"]]
    assert ledger.proof(int(str(given["index"])))


def test_an_analyst_recalls_and_does_not_erase(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    with pytest.raises(Forbidden):
        order(way, object_of(indicator), erases=True)
    assert len(feed(way.cast.ember)) == 1
