"""Tightened with `replace`: what was released is held to the new policy too, from one moment on."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.utils import timezone

from exchange import delivery, ledger, policies, recall, replacing
from exchange.models import Delivery, PolicyDraft, Preparation, Reissue, ReleaseItem, Subscription
from exchange.policy import documents, terms
from members.scope import Acting, acting
from tests.shell.sharing import (
    Object,
    Way,
    bodies,
    campaign,
    domain_indicator,
    feed,
    newer,
    range_indicator,
    sequence,
    set_up,
)
from tests.shell.test_recall import observed

pytestmark = pytest.mark.django_db


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


@pytest.fixture
def now() -> datetime:
    """The search of what is to be replaced asks the clock itself."""
    return timezone.now().replace(microsecond=0) + timedelta(hours=1)


def own_draft(way: Way, **settings: Any) -> UUID:
    """Abel writes and submits a version of Aurora's own policy."""
    abel = way.cast.as_(way.cast.abel)
    text = documents.write({"version": 2, "title": "Stricter", **settings})
    made = policies.draft(abel, text, now=timezone.now())
    policies.submit(abel, made, now=timezone.now())
    return made


def activate(way: Way, draft_id: UUID) -> None:
    row = PolicyDraft.objects.get(pk=draft_id)
    who = way.cast.as_(way.cast.alma if row.member_id else way.cast.pia)
    digest = bytes(row.digest).hex()
    assert policies.activate(who, draft_id, digest=digest, reach="replace") is None


def start() -> int:
    """The worker's part up to the commit that puts it in force."""
    with acting(Acting(), role="worker"):
        return policies.start_due()


def give_anew(now: datetime) -> None:
    with acting(Acting(), role="worker"):
        recall.tell_waiting(now=now)
    sequence(now=now)


def replaced(way: Way, now: datetime, **settings: Any) -> None:
    activate(way, own_draft(way, **settings))
    assert start() == 1
    give_anew(now)


def served(way: Way, lab: str, now: datetime) -> list[Object]:
    return bodies(feed(way.cast.member(lab), now=now))


def test_a_stricter_version_takes_the_place_of_what_was_released(way: Way, now: datetime) -> None:
    indicator = range_indicator(confidence=80)
    way.pass_on(indicator)
    (before,) = served(way, "Ember", now)
    assert before["confidence"]
    replaced(way, now, drop_classes=["confidence"])
    (after,) = served(way, "Ember", now)
    assert after["id"] == before["id"]
    assert after["modified"] > before["modified"]
    assert "confidence" not in after
    assert after["pattern"] == before["pattern"]


def test_nothing_is_served_as_it_was_from_the_moment_on(way: Way, now: datetime) -> None:
    """Between the commit and the worker's new versions there is nothing to see at all."""
    way.pass_on(range_indicator(confidence=80))
    activate(way, own_draft(way, drop_classes=["confidence"]))
    assert len(served(way, "Ember", now)) == 1
    assert start() == 1
    assert served(way, "Ember", now) == []
    assert Reissue.objects.filter(done_at__isnull=True).count() == 1
    give_anew(now)
    assert len(served(way, "Ember", now)) == 1
    assert not Reissue.objects.filter(done_at__isnull=True).exists()


def test_what_is_not_touched_keeps_its_position_and_its_bytes(way: Way, now: datetime) -> None:
    plain, sure = range_indicator(), range_indicator("198.51.100.0/24", confidence=80)
    way.pass_on(plain, sure)
    before = {one.stix_id: one for one in feed(way.cast.ember, now=now)}
    replaced(way, now, drop_classes=["confidence"])
    after = {one.stix_id: one for one in feed(way.cast.ember, now=now)}
    changed = [key for key in before if after[key] != before[key]]
    assert len(changed) == 1
    assert after[changed[0]].number > max(one.number for one in before.values())


def test_where_nothing_is_left_it_is_revoked(way: Way, now: datetime) -> None:
    way.pass_on(range_indicator(), domain_indicator())
    replaced(way, now, drop_kinds=["egress-range"])
    found = served(way, "Ember", now)
    assert sorted(one.get("revoked", False) for one in found) == [False, True]
    (gone,) = [one for one in found if one.get("revoked")]
    assert "203.0.113" not in json.dumps(gone)
    told = [one.check() for one in ledger.openings(way.cast.as_(way.cast.ben), slot="to")]
    assert told[-1]["kind"] == "recall"
    assert "reason" not in told[-1]


def test_one_recipient_denied_and_the_others_keep_what_they_have(way: Way, now: datetime) -> None:
    way.pass_on(range_indicator())
    before = feed(way.cast.borealis, now=now)
    replaced(way, now, deny_recipients=[str(way.cast.ember.id)])
    assert feed(way.cast.borealis, now=now) == before
    assert [one["revoked"] for one in served(way, "Ember", now)] == [True]


def test_older_versions_are_held_to_it_too(way: Way, now: datetime) -> None:
    indicator = range_indicator(confidence=80)
    way.pass_on(indicator)
    way.pass_on(newer(indicator, confidence=30), now=now - timedelta(minutes=40))
    assert len(served(way, "Ember", now)) == 2
    replaced(way, now, drop_classes=["confidence"])
    found = served(way, "Ember", now)
    assert all("confidence" not in one for one in found)
    assert len(found) == 1


def test_what_it_would_loosen_is_not_given_with_it(way: Way, now: datetime) -> None:
    """Released under a policy that sent no confidence; the new one sends it and drops phases."""
    replaced(way, now, drop_classes=["confidence"])
    phase = {"kill_chain_name": "model-extraction", "phase_name": "resale"}
    way.pass_on(range_indicator(confidence=80, lang="en", kill_chain_phases=[phase]), now=now)
    draft = own_draft(way, version=3, dates="month")
    row = PolicyDraft.objects.get(pk=draft)
    PolicyDraft.objects.filter(pk=draft).update(state="approved", reach="replace", starts_at=now)
    against = documents.digest(policies._newest(row) or {})
    PolicyDraft.objects.filter(pk=draft).update(
        against=against, approved_by=way.cast.alma, starts_at=timezone.now()
    )
    assert start() == 1
    give_anew(now)
    (found,) = served(way, "Ember", now)
    assert "confidence" not in found
    assert found["valid_from"].startswith(f"{found['valid_from'][:7]}-01T")


def test_an_observable_is_given_anew_under_another_id_with_what_refers_to_it(
    way: Way, now: datetime
) -> None:
    one = {
        "type": "url",
        "spec_version": "2.1",
        "id": "url--7d3c9bde-52ff-5b8f-8d3c-1f9a3a6b7c55",
        "value": "https://relay.example/a/b/c",
    }
    data = observed(one["id"])
    way.pass_on(one, data)
    before = {each["type"]: each for each in served(way, "Ember", now)}
    assert before["url"]["value"].endswith("/a/b")
    replaced(way, now, url_path_segments=1)
    after = {each["type"]: each for each in served(way, "Ember", now)}
    assert after["url"]["value"].endswith("/a")
    assert after["url"]["id"] != before["url"]["id"]
    assert after["observed-data"]["object_refs"] == [after["url"]["id"]]
    named = [ref["external_id"] for ref in after["note"]["external_references"]]
    assert named == [before["url"]["id"]]


def test_a_floor_reaches_every_member(way: Way, now: datetime) -> None:
    way.pass_on(range_indicator(confidence=80))
    way.pass_on(range_indicator("198.51.100.0/24", confidence=70), by=way.cast.ben)
    document = terms.shipped_floor()
    document["version"] = document["version"] + 1
    document["classes"]["confidence"]["treatment"] = "drop"
    dora = way.cast.as_(way.cast.dora)
    draft = policies.draft(dora, documents.write(document), now=timezone.now())
    policies.submit(dora, draft, now=timezone.now())
    activate(way, draft)
    assert start() == 1
    give_anew(now)
    found = served(way, "Ember", now)
    assert len(found) == 2
    assert all("confidence" not in one for one in found)


def test_a_waiting_push_of_it_is_stopped(way: Way, now: datetime) -> None:
    Subscription.objects.create(
        member=way.cast.borealis,
        name="SIEM",
        url="https://siem.borealis.example/in",
        state="paused",
        created_at=now,
    )
    way.pass_on(range_indicator(confidence=80), campaign())
    delivery.make_ready(now=now)
    replaced(way, now, drop_classes=["confidence"])
    first = Delivery.objects.order_by("created_at").first()
    assert first is not None
    subscription = first.subscription
    Subscription.objects.filter(pk=subscription.pk).update(state="active")
    lease = delivery._take_lease(subscription.pk)
    assert lease is not None
    row = delivery._next(subscription.pk, lease)
    first.refresh_from_db()
    assert first.state == "cancelled"
    assert row is None or row.release_id != first.release_id


def test_what_was_released_while_it_was_searched_is_found_under_the_lock(
    way: Way, now: datetime
) -> None:
    way.pass_on(range_indicator(confidence=80))
    draft = own_draft(way, drop_classes=["confidence"])
    activate(way, draft)
    row = PolicyDraft.objects.get(pk=draft)
    assert replacing.prepare(row, against=bytes(row.against or b""))
    way.pass_on(range_indicator("198.51.100.0/24", confidence=80), now=now)
    assert start() == 1
    assert served(way, "Ember", now) == []
    give_anew(now)
    assert all("confidence" not in one for one in served(way, "Ember", now))


def test_a_search_goes_on_where_its_worker_died(way: Way, now: datetime) -> None:
    for n in range(3):
        way.pass_on(range_indicator(f"203.0.{n}.0/24", confidence=80))
    draft = own_draft(way, drop_classes=["confidence"])
    activate(way, draft)
    row = PolicyDraft.objects.get(pk=draft)
    against = bytes(row.against or b"")
    made = replacing._started(row, against)
    assert replacing._step(made.id, row)
    alma = way.cast.as_(way.cast.alma)
    seen = replacing.progress(alma, draft)
    assert seen is not None
    assert (seen.done, seen.total, seen.is_ready) == (3, 3, False)
    assert replacing.prepare(row, against=against)
    assert Preparation.objects.get().done == 3
    assert start() == 1
    give_anew(now)
    assert len(served(way, "Ember", now)) == 3


def test_a_crash_before_the_commit_leaves_the_old_policy_and_all_it_serves(
    way: Way, now: datetime
) -> None:
    way.pass_on(range_indicator(confidence=80))
    before = feed(way.cast.ember, now=now)
    activate(way, own_draft(way, drop_classes=["confidence"]))

    class Killed(Exception):
        """The process ends before its transaction does."""

    def clock() -> datetime:
        calls.append(1)
        if len(calls) > 1:
            raise Killed
        return timezone.now()

    calls: list[int] = []
    with pytest.raises(Killed):
        policies.start_due(clock=clock)
    assert feed(way.cast.ember, now=now) == before
    assert not ReleaseItem.objects.filter(recalled=True).exists()
    assert start() == 1
    give_anew(now)
    assert "confidence" not in served(way, "Ember", now)[0]


def test_forward_touches_nothing_that_was_released(way: Way, now: datetime) -> None:
    way.pass_on(range_indicator(confidence=80))
    before = feed(way.cast.ember, now=now)
    draft = own_draft(way, drop_classes=["confidence"])
    digest = bytes(PolicyDraft.objects.get(pk=draft).digest).hex()
    assert policies.activate(way.cast.as_(way.cast.alma), draft, digest=digest)
    give_anew(now)
    assert feed(way.cast.ember, now=now) == before
