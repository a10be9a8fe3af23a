"""Withdrawn in the ordinary way: gone at home at once, revoked elsewhere with the next midnight."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange import access, contribute, revocation
from exchange.proof.refused import NotFound
from tests.shell.sharing import (
    NOON,
    Way,
    bodies,
    campaign,
    feed,
    newer,
    range_indicator,
    sequence,
    set_up,
)

pytestmark = pytest.mark.django_db
MIDNIGHT = NOON + timedelta(hours=12)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def test_a_withdrawn_object_is_revoked_at_midnight_and_not_before(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    ana, ember = way.cast.as_(way.cast.ana), way.cast.ember
    (before,) = bodies(feed(ember))
    contribute.withdraw(ana, indicator["id"], now=NOON)
    own = next(one for one in access.collections(ana) if one.kind == "own")
    assert not access.knows(ana, own, indicator["id"])

    revocation.revoke_due(now=MIDNIGHT - timedelta(seconds=1))
    sequence(now=MIDNIGHT - timedelta(seconds=1))
    assert len(feed(ember)) == 1

    revocation.revoke_due(now=MIDNIGHT)
    sequence(now=MIDNIGHT)
    first, last = bodies(feed(ember))
    assert first == before
    assert (last["id"], last["revoked"]) == (before["id"], True)
    assert last["modified"] > before["modified"]
    assert "203.0.113" not in str(last)
    assert revocation.revoke_due(now=MIDNIGHT) == 0


def test_a_withdrawn_name_comes_again_as_a_new_object(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    contribute.withdraw(way.cast.as_(way.cast.ana), indicator["id"], now=NOON)
    way.pass_on(indicator, now=NOON + timedelta(minutes=1))
    old, new = bodies(feed(way.cast.ember))
    assert old["id"] != new["id"]


def test_what_waits_for_its_window_never_leaves_once_withdrawn(way: Way) -> None:
    waiting = campaign("S2")
    way.give(waiting, now=NOON + timedelta(minutes=1))
    later = NOON + timedelta(minutes=16)
    contribute.withdraw(way.cast.as_(way.cast.ana), waiting["id"], now=later)
    assert way.pass_on(range_indicator(), now=later)
    assert [one["type"] for one in bodies(feed(way.cast.ember, now=later))] == ["indicator"]


def test_another_members_object_cannot_be_withdrawn(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    with pytest.raises(NotFound):
        contribute.withdraw(way.cast.as_(way.cast.ben), indicator["id"], now=NOON)


def test_a_contributed_revocation_waits_for_midnight_like_any_other(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    later = NOON + timedelta(minutes=10)
    sent = way.pass_on(newer(indicator, revoked=True), now=later)
    assert len(feed(way.cast.ember, now=later)) == 1
    ((success, sentence),) = way.messages(sent)
    assert success
    assert sentence.startswith("Withdrawn: ")
    revocation.revoke_due(now=MIDNIGHT)
    sequence(now=MIDNIGHT)
    _, last = bodies(feed(way.cast.ember))
    assert last["revoked"] is True
    assert "203.0.113" not in str(last)


def test_a_revocation_of_what_nobody_has_tells_nobody(way: Way) -> None:
    way.pass_on(range_indicator(revoked=True))
    revocation.revoke_due(now=MIDNIGHT)
    sequence(now=MIDNIGHT)
    assert feed(way.cast.ember) == ()
