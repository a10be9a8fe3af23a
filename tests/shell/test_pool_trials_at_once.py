"""Trials cost a processor: a member has one at a time, the exchange two; others come later."""

import threading
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from exchange import algorithms
from exchange.algorithms import Tried, trials
from exchange.proof.refused import Refused
from members.auth import Principal

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not algorithms.is_on(), reason="the extra is not installed"),
]


def analyst(member_id: UUID | None = None) -> Principal:
    """Somebody of a member; a trial asks for nothing more."""
    return Principal(member_id=member_id or uuid4(), user_id=uuid4(), roles=frozenset({"analyst"}))


def try_out(who: Principal) -> Tried:
    return algorithms.try_out(who, algorithms.starting_text(), now=timezone.now())


class Trial(threading.Thread):
    """A trial in a request of its own."""

    def __init__(self, who: Principal) -> None:
        super().__init__()
        self.who = who
        self.tried: Tried | None = None

    def run(self) -> None:
        """Until its child has answered."""
        try:
            self.tried = try_out(self.who)
        finally:
            connection.close()


def locks() -> int:
    """How many locks trials hold: one for the member and one for the place."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(cursor.fetchone()[0])


@pytest.fixture
def started() -> Iterator[list[Trial]]:
    """Trials that were begun; each is waited for."""
    begun: list[Trial] = []
    yield begun
    for one in begun:
        one.join()


def begin(started: list[Trial], who: Principal) -> None:
    """Begin one, and go on when it has its place."""
    have = locks()
    started.append(Trial(who))
    started[-1].start()
    limit = time.monotonic() + 30
    while locks() < have + 2:
        assert time.monotonic() < limit
        time.sleep(0.01)


def code_of(who: Principal) -> str:
    with pytest.raises(Refused) as refused:
        try_out(who)
    return refused.value.code


def test_ana_has_one_trial_at_a_time_and_ben_has_his_beside_it(started: list[Trial]) -> None:
    ana, ben, cleo = analyst(), analyst(), analyst()
    begin(started, ana)
    assert code_of(ana) == "algorithm.trial"
    # Nor has a colleague of hers: else two of one company would take both places.
    assert code_of(analyst(ana.member_id)) == "algorithm.trial"
    begin(started, ben)
    assert len(started) == trials.SLOTS
    assert code_of(cleo) == "algorithm.busy"
    # Who was sent away holds nothing, also not of herself.
    assert code_of(cleo) == "algorithm.busy"
    assert locks() == 2 * trials.SLOTS
    for one in started:
        one.join()
        assert one.tried is not None
        assert one.tried.passes
    assert locks() == 0
    assert try_out(cleo).passes
    assert locks() == 0
