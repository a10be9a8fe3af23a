"""A member's groups at home: exact facts of small logs, and what of them may leave."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.detection import engines, home, rules, schema, scorecard
from indicators.detection.values import ClusterRow, Extract, Manifest
from tests.core.log_material import DAY, Log, ago, bands, token

CARDS = home.Setup(ties=(("shared-token", {}),))
KEYS = home.Keys(b"a" * 32, "2026Q4")


@pytest.fixture(scope="module")
def engine() -> Iterator[engines.Engine]:
    """One DuckDB for the logs of this module."""
    with engines.connect() as running:
        yield running


def groups(engine: engines.Engine, log: Log, setup: home.Setup = CARDS) -> home.Clusters:
    """The groups of a log on the day."""
    return home.clusters(log.loaded(engine), setup, day=DAY, keys=KEYS)


def only(engine: engines.Engine, log: Log, setup: home.Setup = CARDS) -> home.Cluster:
    """The one group of a log."""
    (cluster,) = groups(engine, log, setup).clusters
    return cluster


# --- facts ---------------------------------------------------------------------------------------


def test_relay_accounts_are_one_group_with_these_facts(engine: engines.Engine) -> None:
    log = Log()
    log.strangers(500)
    log.campaign(0)
    for account in (0, 1, 2):
        log.used(account, 9, flat=1, hours="0" * 23 + "9", mid=True, mismatch=True, moved=True,
                 client="c" * 32)  # fmt: skip
    log.holds("egress", token(1), (4, 5))
    log.asks(7, (0, 1, 2))
    log.tagged("method", "rubric-grading", (0, 1, 2))
    log.tagged("surface", "first-party-api", range(12))
    cluster = only(engine, log)
    assert cluster.accounts == tuple(range(12))
    assert cluster.row == ClusterRow(
        row=0,
        cluster=cluster.row.cluster,
        size="10-29",
        payers="3-4",
        devices="lt-3",
        first_day=ago(9),
        last_day=DAY,
        payment=tuple(token(1_000 + n) for n in range(4)),
        device=(token(1_500),),
        egress=(token(1),),
        client=("c" * 32,),
        templates=(7,),
        flat=6,  # 24 days of 7 and 3 of 1: 6.3
        hours="8" * 23 + "9",  # 24 of 27, and 27 of 27
        mid=2,  # 3 of 27 days
        short=0,
        fresh=10,
        mismatch=2,
        pivot=2,  # 3 of 12 accounts: a quarter
        carded=10,
        deviced=10,
        start_days=2,
        start_peak=6,  # half of them, and of two fifths the larger
        capabilities=(),
        methods=("rubric-grading",),
        surface=("first-party-api",),
    )
    assert cluster.score == scorecard.score_of(cluster.row, scorecard.START)
    assert cluster.stays is None


@pytest.mark.parametrize(
    ("part", "whole", "tenths"),
    [(0, 7, 0), (1, 11, 0), (1, 10, 2), (29, 100, 2), (1, 2, 6), (9, 10, 10), (7, 7, 10)],
)
def test_shares_are_said_in_fifths(part: int, whole: int, tenths: int) -> None:
    assert home.fifths(part, whole) == tenths


@pytest.mark.parametrize(
    ("sums", "digits"),
    [
        ([0] * 24, "0" * 24),
        ([5] * 24, "9" * 24),
        ([100] + [50] * 11 + [4] * 12, "9" + "5" * 11 + "0" * 12),
    ],
)
def test_hours_are_a_shape_and_no_rate(sums: list[int], digits: str) -> None:
    assert home.digits(sums) == digits
    assert home.digits([1_000 * one for one in sums]) == digits


@pytest.mark.parametrize(
    ("days", "start_days", "peak"),
    [([3] * 12, 1, 10), ([3] * 6 + [4, 5, 6, 7, 8, 9], 4, 6), ([*range(12)], 8, 0)],
)
def test_waves_of_sign_ups(
    engine: engines.Engine, days: list[int], start_days: int, peak: int
) -> None:
    log = Log()
    log.campaign(0)
    log.rows["account"] = [(account, ago(day), True, True, "") for account, day in enumerate(days)]
    row = only(engine, log).row
    assert (row.start_days, row.start_peak) == (start_days, peak)


def test_an_account_that_was_not_used_for_a_week_has_ended(engine: engines.Engine) -> None:
    log = Log()
    log.campaign(0)
    log.rows["account_day"] = []
    for account in range(12):
        log.used(account, 7 if account < 6 else 6)
    row = only(engine, log).row
    assert row.short == 6
    assert (row.first_day, row.last_day) == (ago(7), ago(6))


def test_what_was_before_the_window_is_not_counted(engine: engines.Engine) -> None:
    log = Log()
    log.campaign(0)
    log.used(0, schema.DAYS, flat=0)
    log.used(1, schema.DAYS - 1, flat=7)
    row = only(engine, log).row
    assert row.first_day == ago(schema.DAYS - 1)
    assert row.flat == 7


def test_payers_are_counted_by_legal_entity_where_it_is_known(engine: engines.Engine) -> None:
    log = Log()
    log.campaign(0, cards=6)
    assert only(engine, log).row.payers == "5-9"
    log.rows["account"] = [
        (*row[:4], "one firm" if int(str(row[0])) % 6 < 4 else "") for row in log.rows["account"]
    ]
    assert only(engine, log).row.payers == "3-4"  # the firm, and two cards
    log.rows["account"] = [(*row[:4], "one firm") for row in log.rows["account"]]
    cluster = only(engine, log)
    assert cluster.row.payers == "lt-3"
    assert cluster.stays is not None
    assert cluster.stays.rule == "R2"


def test_an_account_with_many_cards_is_no_crowd(engine: engines.Engine) -> None:
    log = Log()
    log.campaign(0, accounts=5, cards=1)
    for card in range(20):
        log.holds("payment", token(50 + card), (0,))
    cluster = only(engine, log)
    assert cluster.row.payers == "5-9"  # never more than accounts


# --- lists ---------------------------------------------------------------------------------------


def test_an_address_of_one_account_and_one_of_a_carrier_are_not_said(
    engine: engines.Engine,
) -> None:
    log = Log()
    log.strangers(200)
    log.campaign(0)
    log.holds("egress", token(1), (4,))
    log.holds("egress", token(2), [5, 6, *range(10_000, 10_098)])
    log.holds("egress", token(3), [5, 6, *range(10_000, 10_099)])
    assert only(engine, log).row.egress == (token(2),)


def test_a_popular_card_is_not_said(engine: engines.Engine) -> None:
    log = Log()
    log.strangers(600)
    log.campaign(0)
    log.holds("payment", token(1), [0, *range(10_000, 10_500)])
    assert token(1) not in only(engine, log).row.payment
    log.rows["account_token"].pop()
    # With 500 holders it may be said; and it ties.
    found = groups(engine, log).clusters
    assert any(token(1) in cluster.row.payment for cluster in found)


def test_at_most_64_cards_are_named_those_of_the_most_accounts(engine: engines.Engine) -> None:
    log = Log()
    log.campaign(0, accounts=80, cards=80)
    log.holds("payment", token(5), (0, 1))
    log.holds("payment", token(9), (2, 3))
    row = only(engine, log).row
    assert len(row.payment) == 64
    assert {token(5), token(9)} < set(row.payment)
    assert list(row.payment) == sorted(row.payment)
    assert row.payers == "30-99"


@pytest.mark.parametrize(("users", "is_said"), [(1, False), (2, True), (9, True), (10, False)])
def test_a_template_of_one_account_or_of_one_in_a_hundred_is_not_said(
    engine: engines.Engine,
    users: int,
    is_said: bool,  # noqa: FBT001 a column of the table
) -> None:
    log = Log()
    log.strangers(988)
    log.campaign(0)  # a thousand in all
    log.asks(7, range(users))
    assert (only(engine, log).row.templates == (7,)) is is_said


def test_a_template_without_all_its_bands_is_not_said(engine: engines.Engine) -> None:
    log = Log()
    log.strangers(500)
    log.campaign(0)
    log.asks(7, (0, 1), found=bands(7)[:31])
    log.asks(8, (0, 1))
    assert only(engine, log).row.templates == (8,)


def test_a_tag_of_few_is_not_said_of_all(engine: engines.Engine) -> None:
    log = Log()
    log.campaign(0)
    log.tagged("method", "rubric-grading", (0, 1))
    log.tagged("method", "logprob-harvest", (0, 1, 2))
    log.tagged("capability", "mathematics", (0, 0, 1, 1))
    row = only(engine, log).row
    assert row.methods == ("logprob-harvest",)
    assert row.capabilities == ()


# --- what stays at home --------------------------------------------------------------------------


def stays(engine: engines.Engine, log: Log, limits: rules.Limits = rules.SHIPPED) -> str:
    """The rule that keeps the one group of a log at home; empty where it may leave."""
    cluster = only(engine, log, replace(CARDS, limits=limits))
    return cluster.stays.rule if cluster.stays else ""


def test_four_accounts_stay_and_five_may_leave(engine: engines.Engine) -> None:
    four, five = Log(), Log()
    four.campaign(0, accounts=4, cards=4)
    five.campaign(0, accounts=5, cards=3)
    assert stays(engine, four) == "R1"
    assert stays(engine, five) == ""
    assert stays(engine, five, replace(rules.SHIPPED, accounts=6)) == "R1"


def test_a_firm_with_two_cards_stays_and_three_payers_may_leave(engine: engines.Engine) -> None:
    firm, crowd = Log(), Log()
    firm.campaign(0, cards=2)
    crowd.campaign(0, cards=3)
    assert stays(engine, firm) == "R2"
    assert stays(engine, crowd) == ""
    assert stays(engine, crowd, replace(rules.SHIPPED, payers=4)) == "R2"


def test_a_school_stays_for_it_is_no_threat(engine: engines.Engine) -> None:
    school = Log()
    school.campaign(0)
    school.rows["account_day"] = []
    for account in range(12):
        school.used(account, 0, flat=2, hours="0" * 8 + "9" * 8 + "0" * 8)
    assert stays(engine, school) == "R6"
    school.tagged("method", "rubric-grading", range(12))
    assert stays(engine, school) == ""


def test_old_accounts_of_a_machine_stay(engine: engines.Engine) -> None:
    job = Log()
    job.campaign(0)
    job.rows["account"] = [(account, ago(400), True, True, "") for account in range(12)]
    assert stays(engine, job) == "R6"


def test_a_group_of_over_a_tenth_of_all_accounts_is_none(engine: engines.Engine) -> None:
    log = Log()
    log.campaign(0, accounts=60, cards=6)
    log.strangers(540)
    assert stays(engine, log) == ""
    log.rows["account"].pop()
    cluster = only(engine, log)
    assert cluster.stays is not None
    assert cluster.stays.code == "extract.giant"
    assert not cluster.is_found


# --- the extract ---------------------------------------------------------------------------------


def drawn(engine: engines.Engine, log: Log, *, day: int = 0, keys: home.Keys = KEYS) -> home.Drawn:
    """The extract of a log, so many days before the day."""
    found = home.clusters(log.loaded(engine), CARDS, day=ago(day), keys=keys)
    return home.extract(found, CARDS, keys=keys)


def problems(found: home.Drawn, *, day: int = 0) -> tuple[rules.Problem, ...]:
    """What the exchange would say of it."""
    manifest = Manifest(ago(day), "2026Q4", "1.0", (), "0" * 64, "0" * 64)
    return rules.check(Extract(manifest, found.clusters, found.templates), today=ago(day))


def busy() -> Log:
    """Two campaigns, one of them with templates, and a firm."""
    log = Log()
    log.strangers(700)
    log.campaign(0)
    log.campaign(100, accounts=30, cards=7, name=2)
    log.campaign(200, cards=2, name=3)
    log.asks(1, (0, 1, 2))
    log.asks(2, (0, 1, 100))
    log.asks(3, (100, 101, 102))
    return log


def test_the_exchange_takes_what_home_makes(engine: engines.Engine) -> None:
    found = drawn(engine, busy())
    assert problems(found) == ()
    assert len(found.clusters) == schema.ROWS
    sent = {number: found.clusters[number] for number in found.groups}
    assert sorted(row.size for row in sent.values()) == ["10-29", "30-99"]  # and not the firm


def test_an_empty_log_makes_an_extract_like_any(engine: engines.Engine) -> None:
    found = drawn(engine, Log())
    assert problems(found) == ()
    assert found.groups == {}


def test_equal_logs_and_keys_give_equal_rows(engine: engines.Engine) -> None:
    one, again = drawn(engine, busy()), drawn(engine, busy())
    assert one == again
    turned = busy()
    for rows in turned.rows.values():
        rows.reverse()
    assert drawn(engine, turned) == one


def test_the_templates_of_a_row_are_those_of_its_group(engine: engines.Engine) -> None:
    found = drawn(engine, busy())
    small = next(found.clusters[n] for n, group in found.groups.items()
                 if found.clusters[n].size == "10-29")  # fmt: skip
    named = {found.templates[number].bands for number in small.templates}
    assert named == {tuple(bands(1)), tuple(bands(2))}
    template = next(one for one in found.templates if one.bands == tuple(bands(1)))
    assert (template.length_bucket, template.sample_bucket) == ("100-999-tokens", "10-99")
    assert template.base_rate_bucket == "lt-1e-2"  # 3 of 754
    assert template.languages == ("en", "zh")


def test_only_the_best_300_leave(engine: engines.Engine) -> None:
    log = Log()
    for number in range(310):
        log.campaign(number * 10, accounts=5, cards=3, name=number + 1)
        if number < 305:
            log.tagged("method", "rubric-grading", range(number * 10, number * 10 + 5))
    found = groups(engine, log)
    assert len(found.clusters) == 310
    rows = home.extract(found, CARDS, keys=KEYS)
    assert problems(rows) == ()
    assert len(rows.groups) == schema.ROWS
    assert all(row.methods for row in rows.clusters)


def test_a_cluster_has_one_name_for_a_quarter_and_moves_each_day(engine: engines.Engine) -> None:
    log = busy()
    today, before = drawn(engine, log), drawn(engine, log, day=1)
    later = drawn(engine, log, keys=replace(KEYS, epoch="2027Q1"))
    other = drawn(engine, log, keys=replace(KEYS, secret=b"b" * 32))
    names = [
        {found.clusters[number].cluster for number in found.groups}
        for found in (today, before, later, other)
    ]
    assert names[0] == names[1]
    assert len(names[0] | names[2] | names[3]) == 6
    places = [{row.cluster: row.row for row in found.clusters} for found in (today, before)]
    stayed = set(places[0]) & set(places[1])
    moved = sum(places[0][name] != places[1][name] for name in stayed)
    assert moved > len(stayed) * 9 // 10


def test_a_group_keeps_its_name_while_it_grows(engine: engines.Engine) -> None:
    log = busy()
    before = {one.row.cluster for one in groups(engine, log).clusters}
    log.account(50, began=1)
    log.used(50, 0)
    log.holds("payment", token(0), (50,))
    log.holds("device", token(1_500), (50,))
    after = groups(engine, log).clusters
    assert any(50 in one.accounts for one in after)
    assert {one.row.cluster for one in after} == before


def test_two_groups_that_meet_in_a_card_have_two_names(engine: engines.Engine) -> None:
    log = Log()
    log.strangers(600)
    log.campaign(0)
    log.campaign(100, name=2)
    for account in (0, 100):
        log.rows["account"] = [row if row[0] != account else (account, ago(30), True, True, "")
                               for row in log.rows["account"]]  # fmt: skip
    log.holds("payment", token(0), (0, 100))  # held by two, which ties nobody
    found = groups(engine, log).clusters
    assert len(found) == len({one.row.cluster for one in found}) == 2


def test_the_forum_s_tokens_take_the_place_of_the_log_s(engine: engines.Engine) -> None:
    log = busy()
    found = groups(engine, log)
    asked: list[tuple[str, int]] = []

    def blind(kind: str, values: object) -> Mapping[str, str]:
        listed = list(values)  # type: ignore[call-overload]
        asked.append((kind, len(listed)))
        # The forum has none for one of the cards.
        return {value: token(int(value, 16) + 10**6) for value in listed if value != token(1_000)}

    made = home.extract(found, CARDS, keys=KEYS, tokens=blind,
                        bands=lambda one: [value[::-1] for value in one])  # fmt: skip
    assert problems(made) == ()
    assert asked == [("payment", 11), ("device", 2)]
    small = next(made.clusters[n] for n in made.groups if made.clusters[n].size == "10-29")
    assert small.payment == tuple(token(10**6 + 1_000 + n) for n in (1, 2, 3))
    assert any(one.bands[0] == bands(1)[0][::-1] for one in made.templates)


def test_a_row_whose_tokens_the_forum_does_not_have_stays(engine: engines.Engine) -> None:
    found = groups(engine, busy())
    made = home.extract(found, CARDS, keys=KEYS, tokens=lambda kind, values: {})
    assert made.groups == {}
    assert problems(made) == ()


def test_no_token_that_is_not_one_of_the_forum_leaves(engine: engines.Engine) -> None:
    log = busy()
    log.rows["account_token"] = [
        (account, kind, f"ana@aurora.example/{value}" if kind == "payment" else value)
        for account, kind, value in log.rows["account_token"]
    ]
    made = drawn(engine, log)
    assert made.groups == {}
    assert "aurora" not in repr(made)


def test_a_short_secret_is_none() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        home.Keys(b"short", "2026Q4")


@pytest.mark.parametrize(
    ("users", "accounts", "bucket"),
    [(9, 1_000, "lt-1e-2"), (1, 1_001, "lt-1e-3"), (1, 1_000, "lt-1e-2"), (1, 10**8, "lt-1e-7")],
)
def test_the_share_of_users_is_said_by_power_of_ten(users: int, accounts: int, bucket: str) -> None:
    assert home.rate_bucket(users, accounts) == bucket


@pytest.mark.parametrize(
    ("samples", "bucket"), [(8, "2-9"), (10, "10-99"), (99_999, "10k-99k"), (10**9, "10M-99M")]
)
def test_prompts_are_said_by_decade(samples: int, bucket: str) -> None:
    assert home.samples_bucket(samples) == bucket


# --- any log -------------------------------------------------------------------------------------


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """A log of some groups, of any facts."""
    log = Log()
    log.strangers(draw(st.sampled_from((0, 300))))
    tenth, clients = st.integers(0, 9), st.sampled_from(("", "c" * 32))
    for number in range(draw(st.integers(1, 4))):
        start, size = number * 50, draw(st.integers(3, 40))
        log.campaign(start, size, cards=draw(st.integers(1, size)), name=number + 1)
        everybody = range(start, start + size)
        log.rows["account"] = [
            row if row[0] not in everybody else (row[0], ago(draw(st.integers(0, 60))), *row[2:])
            for row in log.rows["account"]
        ]
        flat, hour = draw(tenth), str(draw(tenth))
        for account in everybody:
            shape: dict[str, Any] = {"flat": flat, "hours": hour * 24, "client": draw(clients)}
            log.used(account, draw(st.integers(2, 60)), mid=draw(st.booleans()), **shape)
        if draw(st.booleans()):
            log.asks(number, everybody[:3], samples=draw(st.integers(0, 10**6)))
            log.tagged("method", "rubric-grading", everybody)
    return log


@settings(max_examples=5, deadline=None)
@given(log=logs(), back=st.integers(0, 100))
def test_home_never_makes_what_the_exchange_refuses(
    engine: engines.Engine, log: Log, back: int
) -> None:
    source = log.loaded(engine)
    day = DAY - timedelta(days=back % 40)
    found = home.clusters(source, CARDS, day=day, keys=KEYS)
    made = home.extract(found, CARDS, keys=KEYS)
    manifest = Manifest(day, rules.epoch_of(day), "1.0", (), "0" * 64, "0" * 64)
    assert rules.check(Extract(manifest, made.clusters, made.templates), today=day) == ()
