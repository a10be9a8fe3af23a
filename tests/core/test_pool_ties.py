"""What each detector ties and marks, and the traps that make one giant group."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from exchange.proof.refused import Refused
from indicators.detection import engines, ties
from tests.core.pool_material import (
    FLAT,
    START,
    Rows,
    Some,
    accounts,
    cards,
    days,
    found,
    loaded,
    rows,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[engines.Engine]:
    with engines.connect() as running:
        yield running


def test_accounts_on_one_card_or_device_are_tied(engine: engines.Engine) -> None:
    tokens = cards(range(3), range(10, 12)) + cards(range(5, 9), kind="device")
    source = loaded(engine, ties.LOG, {"account_token": tokens})
    assert found(source, "shared-token") == {
        "payment:payment 0": {0, 1, 2},
        "device:device 0": {5, 6, 7, 8},
    }
    assert len(found(source, "shared-token", min=2)) == 3
    assert found(source, "shared-token", min=4).keys() == {"device:device 0"}


def test_a_shared_egress_ties_nobody(engine: engines.Engine) -> None:
    source = loaded(engine, ties.LOG, {"account_token": cards(range(4), kind="egress")})
    assert found(source, "shared-token") == {}


def test_a_card_of_more_accounts_than_the_cap_ties_nobody(engine: engines.Engine) -> None:
    source = loaded(engine, ties.LOG, {"account_token": cards(range(500), range(1000, 1501))})
    assert found(source, "shared-token").keys() == {"payment:payment 0"}
    assert len(found(source, "shared-token", cap=501)) == 2


def test_two_rows_of_the_pool_on_one_card_are_tied(engine: engines.Engine) -> None:
    source = loaded(engine, ties.POOL, {"row_token": cards(range(2), range(5, 6))})
    assert found(source, "shared-token") == {"payment:payment 0": {0, 1}}
    assert found(source, "shared-token", rows=3) == {}


def test_groups_are_made_of_all_ties(engine: engines.Engine) -> None:
    tokens = cards(range(3), range(7, 10)) + cards(range(2, 5), kind="device")
    source = loaded(engine, ties.LOG, {"account_token": tokens})
    groups = ties.tied(source, {"shared-token": {}})
    assert groups.largest == 5
    assert groups.sizes == (5, 3)
    assert groups.rows.column("unit").to_pylist() == [0, 1, 2, 3, 4, 7, 8, 9]


@pytest.mark.parametrize(
    ("name", "given", "code", "path"),
    [
        ("shared-token", {"min": 1}, "detector.range", "parameters.min"),
        ("shared-token", {"cap": 2_001}, "detector.range", "parameters.cap"),
        ("shared-token", {"min": True}, "detector.range", "parameters.min"),
        ("shared-token", {"lift": 20}, "detector.parameter", "parameters.lift"),
        ("shared-tokens", {}, "detector.unknown", "detector"),
    ],
)
def test_what_no_detector_takes_is_refused(
    engine: engines.Engine, name: str, given: dict[str, int], code: str, path: str
) -> None:
    source = loaded(engine, ties.LOG, {})
    with pytest.raises(Refused) as refused:
        ties.find(source, name, given)
    assert (refused.value.code, refused.value.path) == (code, path)


# --- template-family -----------------------------------------------------------------------------


def uses(*users: range, first: int = 0) -> Some:
    """One template for each range of accounts or rows that use it."""
    return [(unit, first + n) for n, units in enumerate(users) for unit in units]


OTHERS = range(1_000, 1_200)
# Each of the others uses a template of three: background that meets nothing.
BACKGROUND: Some = [(unit, 100 + unit // 3) for unit in OTHERS]
LOG: Rows = {"account": accounts(*range(60), *OTHERS)}


def test_users_of_two_templates_that_meet_are_tied_if_they_share_cards(
    engine: engines.Engine,
) -> None:
    log = LOG | {"account_template": [*uses(range(8), range(8)), *BACKGROUND]}
    shared = loaded(engine, ties.LOG, log | {"account_token": cards(range(4), range(4, 8))})
    assert found(shared, "template-family") == {"0": set(range(8))}
    devices = cards(range(2), range(2, 4), range(4, 6), range(6, 8), kind="device")
    shared = loaded(engine, ties.LOG, log | {"account_token": devices})
    assert found(shared, "template-family") == {"0": set(range(8))}


def test_users_of_an_open_tool_with_a_card_each_are_not_tied(engine: engines.Engine) -> None:
    tool = uses(range(20), range(20), range(20))
    own: Some = [(unit, "payment", f"own {unit}") for unit in range(20)]
    # Two of twenty are one household: 1 - 19/20 is under 15 percent.
    household: Some = [(unit, "device", f"own {max(unit, 1)}") for unit in range(20)]
    log = LOG | {"account_template": [*tool, *BACKGROUND], "account_token": own + household}
    assert found(loaded(engine, ties.LOG, log), "template-family", lift=5) == {}
    log |= {"account_token": cards(range(20))}
    assert found(loaded(engine, ties.LOG, log), "template-family", lift=5) == {"0": set(range(20))}


@pytest.mark.parametrize(("new", "tied"), [(3, set()), (4, set(range(9)))])
def test_a_family_of_accounts_bought_for_it_needs_no_shared_card(
    engine: engines.Engine, new: int, tied: set[int]
) -> None:
    """A third of its users began in the window, each on a card of its own."""
    early = START - timedelta(days=60)
    people: Some = [
        (unit, START if unit < new else early, True, False, "") for unit in (*range(60), *OTHERS)
    ]
    log: Rows = {
        "account": people,
        "account_day": days(20, START),
        "account_template": [*uses(range(9), range(9)), *BACKGROUND],
        "account_token": [(unit, "payment", f"own {unit}") for unit in range(9)],
    }
    groups = found(loaded(engine, ties.LOG, log), "template-family")
    assert {unit for units in groups.values() for unit in units} == tied


def test_fifteen_percent_is_counted_in_whole_numbers(engine: engines.Engine) -> None:
    log = LOG | {"account_template": [*uses(range(20), range(20)), *BACKGROUND]}
    exactly: Some = [(unit, "payment", f"card {max(unit, 3)}") for unit in range(20)]  # 17 of 20
    source = loaded(engine, ties.LOG, log | {"account_token": exactly})
    assert found(source, "template-family", lift=5) == {"0": set(range(20))}
    under: Some = [(unit, "payment", f"card {max(unit, 2)}") for unit in range(20)]
    log |= {"account_token": under}
    assert found(loaded(engine, ties.LOG, log), "template-family", lift=5) == {}


def test_a_popular_token_is_no_shared_card_of_a_family(engine: engines.Engine) -> None:
    carrier: Some = [(unit, "device", "carrier") for unit in (*range(8), *range(2_000, 2_493))]
    log = LOG | {"account_template": [*uses(range(8), range(8)), *BACKGROUND]}
    log |= {"account_token": carrier}
    assert found(loaded(engine, ties.LOG, log), "template-family") == {}
    log["account_token"] = carrier[:-1]  # 500 accounts
    assert found(loaded(engine, ties.LOG, log), "template-family") == {"0": set(range(8))}


def test_one_template_in_common_ties_nobody(engine: engines.Engine) -> None:
    log = LOG | {
        "account_template": [*uses(range(8)), *BACKGROUND],
        "account_token": cards(range(8)),
    }
    assert found(loaded(engine, ties.LOG, log), "template-family") == {}


def test_lift_is_over_the_accounts_in_the_table_only(engine: engines.Engine) -> None:
    # Of 40 accounts that use such templates 12 use the one and 12 the other, 4 both: as chance has
    # it. Over the 100,000 accounts of the member it would be a hundred times more than chance.
    used = uses(range(12), range(8, 20)) + [(unit, 50 + unit // 4) for unit in range(20, 40)]
    log: Rows = {
        "account": accounts(*range(100_000)),
        "account_template": used,
        "account_token": cards(range(20)),
    }
    assert found(loaded(engine, ties.LOG, log), "template-family", lift=5) == {}


def test_a_popular_template_is_in_no_family(engine: engines.Engine) -> None:
    users = range(21)  # over 0.2 percent of 10,000 accounts
    log: Rows = {
        "account_template": [*uses(users, users, users), *BACKGROUND, *((u, 999) for u in OTHERS)],
        "account_token": cards(users),
    }
    crowd = loaded(engine, ties.LOG, log | {"account": accounts(*range(10_000))})
    assert found(crowd, "template-family", lift=5) == {}
    larger = loaded(engine, ties.LOG, log | {"account": accounts(*range(10_500))})
    assert found(larger, "template-family", lift=5) == {"0": set(users)}


def test_a_template_of_more_accounts_than_the_cap_is_in_no_family(engine: engines.Engine) -> None:
    users = range(51)
    log: Rows = {
        "account": accounts(*range(26_000)),
        "account_template": [*uses(users, users), *((u, u // 3) for u in range(6_000, 6_300))],
        "account_token": cards(users),
    }
    source = loaded(engine, ties.LOG, log)
    assert found(source, "template-family", lift=5) == {"0": set(users)}
    assert found(source, "template-family", lift=5, cap=50) == {}


def test_who_runs_a_collection_of_templates_is_in_no_pair(engine: engines.Engine) -> None:
    runners: Some = [(unit, 2_000 + n) for unit in range(4) for n in range(65)]
    log = LOG | {"account_template": [*runners, *BACKGROUND], "account_token": cards(range(4))}
    assert found(loaded(engine, ties.LOG, log), "template-family") == {}
    fewer = [row for row in runners if row[1] != 2_000]
    log |= {"account_template": [*fewer, *BACKGROUND]}
    assert found(loaded(engine, ties.LOG, log), "template-family") == {"0": set(range(4))}


# --- near-template and row-pair ------------------------------------------------------------------


def bands(template: int, *values: str, first: int = 0) -> Some:
    return [(template, first + n, value) for n, value in enumerate(values)]


def near(*templates: int, common: int = 2) -> Some:
    """Templates with so many bands in common, and one of their own."""
    name = min(templates)
    return [
        row
        for template in templates
        for row in (
            *bands(template, *(f"{name} {n}" for n in range(common))),
            *bands(template, f"own {template}", first=31),
        )
    ]


def test_two_equal_bands_make_templates_near(engine: engines.Engine) -> None:
    pool: Rows = {
        "row_template": [(0, 10), (1, 11), (2, 20), (3, 21)],
        "template_band": near(10, 11) + near(20, 21, common=1),
    }
    source = loaded(engine, ties.POOL, pool)
    assert found(source, "near-template") == {"0": {0, 1}}
    assert found(source, "near-template", min_bands=3) == {}
    elsewhere = bands(30, "x", "y") + bands(31, "y", "x")  # equal values in other bands
    source = loaded(engine, ties.POOL, pool | {"template_band": elsewhere})
    assert found(source, "near-template") == {}


def test_a_band_of_more_templates_than_the_cap_says_nothing(engine: engines.Engine) -> None:
    pool: Rows = {"row_template": [(n, n) for n in range(21)], "template_band": near(*range(21))}
    source = loaded(engine, ties.POOL, pool)
    assert found(source, "near-template", band_cap=20) == {}
    assert found(source, "near-template", band_cap=21) == {"0": set(range(21))}


def test_near_templates_are_seen_at_home_and_popular_ones_are_left_out(
    engine: engines.Engine,
) -> None:
    log: Rows = {
        "account": accounts(*range(100)),
        "account_template": [*uses(range(3), range(3, 6)), *((u, 2) for u in range(50))],
        "template_band": near(0, 1, 2),
    }
    source = loaded(engine, ties.LOG, log)
    assert found(source, "near-template") == {"0": set(range(6))}
    assert not ties.DETECTORS["near-template"].is_tie


def pairing(members: Sequence[int], *templates: tuple[int, ...]) -> Rows:
    """Rows of these members; each tuple is templates near to one another, one for each row."""
    used: Some = [
        (row, 1_000 * n + template)
        for n, near_ones in enumerate(templates)
        for row, template in enumerate(near_ones)
        if template
    ]
    return {
        "cluster_row": rows(*members),
        "row_template": list(used),
        "template_band": [
            band
            for n, near_ones in enumerate(templates)
            for band in near(*(1_000 * n + one for one in near_ones if one))
        ],
    }


def test_rows_of_two_members_with_two_templates_in_common_are_tied(engine: engines.Engine) -> None:
    two = pairing((1, 2), (1, 2), (3, 4))
    assert found(loaded(engine, ties.POOL, two), "row-pair") == {"0:1": {0, 1}}
    assert found(loaded(engine, ties.POOL, two), "row-pair", together=3) == {}
    one = pairing((1, 2), (1, 2))
    assert found(loaded(engine, ties.POOL, one), "row-pair") == {}
    own = pairing((1, 1), (1, 2), (3, 4))  # rows of one member
    assert found(loaded(engine, ties.POOL, own), "row-pair") == {}


def test_two_templates_of_one_kind_are_one_in_common(engine: engines.Engine) -> None:
    pool = pairing((1, 2), (1, 2))
    pool["row_template"] += [(0, 3), (1, 4)]
    pool["template_band"] = list(near(1, 2, 3, 4))
    assert found(loaded(engine, ties.POOL, pool), "row-pair") == {}


def test_a_template_of_more_rows_than_the_cap_pairs_nobody(engine: engines.Engine) -> None:
    many = range(1, 22)
    pool = pairing([n % 2 for n in many], tuple(many), tuple(many))
    source = loaded(engine, ties.POOL, pool)
    assert found(source, "row-pair") == {}
    assert len(found(source, "row-pair", rare=21)) == 11 * 10


# --- marks ---------------------------------------------------------------------------------------

GROUP = range(6)
ON_ONE_CARD: Rows = {"account_token": cards(GROUP)}


def starting(*after: int) -> Rows:
    """A group whose accounts began so many days after the log's second day."""
    begun = [START + timedelta(days=1 + n) for n in after]
    return {
        "account": [(unit, day, False, False, "") for unit, day in zip(GROUP, begun, strict=True)],
        "account_day": list(days(99, START)),
    }


@pytest.mark.parametrize(
    ("after", "is_marked"),
    [
        ((0, 0, 0, 5, 5, 9), True),
        ((0, 0, 4, 4, 9, 9), False),  # never half on one day
        ((0, 0, 0, 5, 6, 7), False),  # dribbled in on four days
        ((-1, -1, -1, -1, -1, -1), False),  # there when the log begins
        ((-1, -1, -1, 0, 0, 0), True),
    ],
)
def test_a_group_that_began_in_waves_is_marked(
    engine: engines.Engine, after: tuple[int, ...], *, is_marked: bool
) -> None:
    source = loaded(engine, ties.LOG, starting(*after) | ON_ONE_CARD)
    assert found(source, "synchronised-start") == ({"0": set(GROUP)} if is_marked else {})


def test_the_starts_of_a_row_are_its_own_mark(engine: engines.Engine) -> None:
    pool: Rows = {
        "cluster_row": rows(1, start_days=2, start_peak=6)
        + rows(1, first=1, start_days=4, start_peak=6)
        + rows(1, first=2, start_days=2, start_peak=4)
    }
    source = loaded(engine, ties.POOL, pool)
    assert found(source, "synchronised-start") == {"0": {0}}
    assert found(source, "synchronised-start", waves=4).keys() == {"0", "1"}
    assert found(source, "synchronised-start", peak=4).keys() == {"0", "2"}


def test_a_group_that_keeps_the_same_hours_is_marked(engine: engines.Engine) -> None:
    def log(*hours: int, flat: int = FLAT) -> Rows:
        return ON_ONE_CARD | {
            "account_day": [
                row
                for unit, am in zip(GROUP, hours, strict=True)
                for row in days(unit, START, START + timedelta(days=1), am=am, flat=flat)
            ]
        }

    even, odd = 777_777_777_777, 999_000_999_000
    same = log(even, even, even, even, even + 1, even)
    assert found(loaded(engine, ties.LOG, same), "rate-shape") == {"0": set(GROUP)}
    assert found(loaded(engine, ties.LOG, log(even, even, odd, odd, 0, 0)), "rate-shape") == {}
    people = log(*[even] * 6, flat=3)
    assert found(loaded(engine, ties.LOG, people), "rate-shape") == {}


def test_each_hour_of_a_log_is_compared(engine: engines.Engine) -> None:
    log: Rows = {"account_token": [], "account_day": []}
    for hour in range(24):  # a group for each: three of six do more in that hour
        group = range(hour * 6, hour * 6 + 6)
        log["account_token"] += [(unit, "device", f"device {hour}") for unit in group]
        step = 3 * 10 ** (11 - hour % 12)
        am, pm = (step, 0) if hour < 12 else (0, step)
        log["account_day"] += [row for unit in group[:3] for row in days(unit, START, am=am, pm=pm)]
        log["account_day"] += [row for unit in group[3:] for row in days(unit, START)]
    source = loaded(engine, ties.LOG, log)
    # The mean is 1.5, so 2: three accounts are one away from it, three are two.
    assert len(found(source, "rate-shape")) == 24
    assert found(source, "rate-shape", distance=0) == {}


def test_rows_that_are_tied_and_keep_the_same_hours_are_marked(engine: engines.Engine) -> None:
    def pool(*hours: int) -> Rows:
        made = [rows(n, first=n, pm=pm, flat=FLAT)[0] for n, pm in enumerate(hours)]
        return {"cluster_row": list(made), "row_token": list(cards(range(2)))}

    assert found(loaded(engine, ties.POOL, pool(5, 6)), "rate-shape") == {"0": {0, 1}}
    assert found(loaded(engine, ties.POOL, pool(5, 9)), "rate-shape") == {}
    assert found(loaded(engine, ties.POOL, pool(5, 9)), "rate-shape", distance=2) == {"0": {0, 1}}


def moving(moved: int, *, crowd: int) -> Rows:
    """A group of six of which so many moved on the day, and 100 others of whom `crowd` did."""
    return ON_ONE_CARD | {
        "account_day": [
            *(days(unit, START, moved=unit < moved)[0] for unit in GROUP),
            *(days(1_000 + n, START, moved=n < crowd)[0] for n in range(100)),
        ]
    }


def test_a_group_that_moved_more_than_the_rush_is_marked(engine: engines.Engine) -> None:
    source = loaded(engine, ties.LOG, moving(4, crowd=30))
    assert found(source, "pivot") == {"0": set(GROUP)}
    assert found(source, "pivot", excess=4) == {}
    rush = loaded(engine, ties.LOG, moving(4, crowd=60))  # everybody tries the new model
    assert found(rush, "pivot") == {}
    few = loaded(engine, ties.LOG, moving(2, crowd=0))
    assert found(few, "pivot") == {}


def test_a_row_pivots_against_its_own_members_rows(engine: engines.Engine) -> None:
    mine = [rows(1, first=n, pivot=8 if n == 0 else 2)[0] for n in range(10)]
    rush = [rows(2, first=10 + n, pivot=8)[0] for n in range(10)]
    source = loaded(engine, ties.POOL, {"cluster_row": mine + rush})
    assert found(source, "pivot") == {"0": {0}}
    assert found(source, "pivot", excess=6) == {}


# --- all of them ---------------------------------------------------------------------------------


def test_a_detector_of_the_pool_does_not_run_on_a_log(engine: engines.Engine) -> None:
    source = loaded(engine, ties.LOG, {})
    with pytest.raises(Refused) as refused:
        ties.find(source, "row-pair")
    assert (refused.value.code, refused.value.path) == ("detector.runs-on", "runs_on")


@pytest.mark.parametrize("kind", [ties.LOG, ties.POOL])
def test_empty_tables_say_nothing(engine: engines.Engine, kind: str) -> None:
    source = loaded(engine, kind, {})
    for name, detector in ties.DETECTORS.items():
        if kind in detector.runs_on:
            assert found(source, name) == {}


def test_starts_lie_in_their_ranges() -> None:
    for detector in ties.DETECTORS.values():
        for each in detector.parameters.values():
            assert each.least <= each.start <= each.most
            assert each.least < each.most


def test_groups_that_were_tied_before_are_the_ones_marked(engine: engines.Engine) -> None:
    source = loaded(engine, ties.LOG, moving(6, crowd=0))
    groups = ties.grouped(source, ties.tied(source, {"shared-token": {"min": 7}}))
    rows_found = engine.run(ties.find(source, "pivot", groups=groups))
    assert rows_found.num_rows == 0
