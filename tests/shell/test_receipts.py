"""Each hour's receipt says what a recipient took; who took nothing has none."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange import ledger
from exchange.models import LedgerEvent
from tests.shell.sharing import NOON, Way, feed, range_indicator, sequence, set_up

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(minutes=70)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def test_a_served_page_is_in_the_receipt_of_its_hour(way: Way) -> None:
    way.pass_on(range_indicator())
    assert feed(way.cast.borealis, now=NOON + timedelta(minutes=5))
    assert ledger.receive_hour(now=LATER) == 1
    sequence(now=LATER)
    ben = way.cast.as_(way.cast.ben)
    (receipt,) = [
        json.loads(one.value)
        for one in ledger.openings(ben, slot="to")
        if json.loads(one.value)["kind"] == "receipt"
    ]
    assert receipt["hour"] == "2026-11-24T12:00:00Z"
    assert receipt["seqs"] == "1-2"


def test_an_hour_is_recorded_once_and_who_took_nothing_has_no_receipt(way: Way) -> None:
    way.pass_on(range_indicator())
    feed(way.cast.borealis, now=NOON + timedelta(minutes=5))
    assert ledger.receive_hour(now=LATER) == 1
    assert ledger.receive_hour(now=LATER + timedelta(minutes=1)) == 0
    told = LedgerEvent.objects.filter(kind="receipt").values_list("to_member", flat=True)
    assert set(told) == {way.cast.borealis.id}
