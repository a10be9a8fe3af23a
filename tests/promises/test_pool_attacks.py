"""What the extracts of a world give away, and what planted rows do: the attacks, as tests.

Two small worlds of four members, drawn from seeds that no weight was fitted on. Here stands what
holds on them. The bars themselves, on five worlds of full size for each of 4, 8 and 16 members,
stand in `manage.py bench pool`, which prints those that are missed as missed.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from indicators.detection.world import bars, measure
from indicators.detection.world.attacks import Share
from indicators.detection.world.forum import EVEN, UNEVEN, Forum, forum, is_guilty
from indicators.detection.world.measure import Measured

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def worlds() -> Sequence[Measured]:
    """Two worlds, measured once for all tests."""
    return [measure.world(seed, 4, middle=2_000, campaigns=12) for seed in SEEDS]


def test_p01_planted_rows_name_no_lawful_group_and_cost_no_recall(
    worlds: Sequence[Measured],
) -> None:
    assert sum(one.poison.planted for one in worlds) > 0
    assert [one.poison.named for one in worlds] == [0] * len(worlds)
    before, after = (
        bars.total(one.steps if way else one.poison.steps for one in worlds)
        for way in (True, False)
    )
    assert 100 * (before.recall - after.recall) < bars.MOST_LOSS


def test_p05_the_size_of_a_member_is_no_easier_to_guess_with_its_extract(
    worlds: Sequence[Measured],
) -> None:
    guess, median = measure.size_attack((one.seed, one.shown) for one in worlds)
    assert guess.whole == 4 * len(SEEDS)
    assert guess.percent <= median.percent + bars.AIMS["size"]


def test_p05_no_extract_tells_the_size_by_rates_clients_or_addresses(
    worlds: Sequence[Measured],
) -> None:
    """Each of the three alone gave it away: the log's share, variety, and what R5 leaves of it."""
    extracts = [extract for one in worlds for extract, _ in one.shown]
    sizes = [size for one in worlds for _, size in one.shown]
    assert max(sizes) > 2 * min(sizes)
    assert {form.base_rate_bucket for one in extracts for form in one.templates} == {"lt-1e-2"}
    clients = [len({client for row in one.clusters for client in row.client}) for one in extracts]
    assert max(clients) < 1.5 * min(clients)
    for one in extracts:
        named = [address for row in one.clusters for address in row.egress]
        assert len(named) == len(set(named))


def test_p06_nobody_is_singled_out_and_few_firms_are_recognised(
    worlds: Sequence[Measured],
) -> None:
    assert sum(one.singled_out for one in worlds) == 0
    firms = sum((one.firms for one in worlds), Share(0, 0))
    assert firms.whole > 50
    assert firms.percent <= bars.MOST_FIRMS


def test_few_ordinary_accounts_are_in_extracts(worlds: Sequence[Measured]) -> None:
    inside = sum((one.inside for one in worlds), Share(0, 0))
    assert inside.percent <= bars.MOST_INSIDE


def test_together_they_see_more_than_alone_and_alarm_seldom(worlds: Sequence[Measured]) -> None:
    recall, *_ = (one for one in bars.found(worlds) if one.at_least == bars.GAINS[4])
    assert recall.is_met
    assert not any(one.is_stopped for one in worlds)


def test_campaigns_that_keep_to_one_member_are_measured_beside(worlds: Sequence[Measured]) -> None:
    """What is assumed of how campaigns lie decides the ratio: so the bench says both."""
    even, uneven = (forum(1, 4, middle=2_000, campaigns=12, lie=lie) for lie in (EVEN, UNEVEN))
    assert _most(uneven) > _most(even)
    said = bars.unevenly(worlds)
    assert (said.at_least, said.at_most) == (None, None)
    assert "4 members, campaigns that lie unevenly" in said.name


def _most(world: Forum) -> float:
    """The share of a campaign that its first member has, on the mean."""
    groups = [crowd.group[is_guilty(crowd)] for crowd in world.crowds]
    names = np.unique(np.concatenate(groups))
    counts = np.array([[int((one == name).sum()) for one in groups] for name in names])
    return float((counts.max(axis=1) / counts.sum(axis=1)).mean())
