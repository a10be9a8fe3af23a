"""A member's groups at home: exact facts of small logs, and what of them may leave."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
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


# One log for the facts that follow: each group has its own accounts, and one thing to it.
WAVES = {1_000: [3] * 12, 1_050: [3] * 6 + [4, 5, 6, 7, 8, 9], 1_100: [*range(12)]}
ENDED, OLD_DAYS, ENTITIES, ONE_FIRM, CARDS_OF_ONE, MANY_CARDS = range(1_150, 1_450, 50)
ADDRESSES, POPULAR, USUAL, TAGS, FOUR, FIVE = range(1_500, 1_800, 50)
FIRM, CROWD, SCHOOL, METHODS, JOB, TEMPLATES = range(1_800, 2_100, 50)


def everything() -> Log:
    """The log, with ten thousand accounts in all."""
    log = Log()
    plain = (ENDED, OLD_DAYS, ADDRESSES, POPULAR, USUAL, TAGS, SCHOOL, METHODS, JOB, TEMPLATES)
    for start in (*WAVES, *plain):
        log.campaign(start, name=start)
    log.campaign(ENTITIES, cards=6, name=ENTITIES)
    log.campaign(ONE_FIRM, cards=6, name=ONE_FIRM)
    log.campaign(CARDS_OF_ONE, accounts=5, cards=1, name=CARDS_OF_ONE)
    log.campaign(3_000, accounts=80, cards=80, name=MANY_CARDS)
    log.campaign(FOUR, accounts=4, cards=4, name=FOUR)
    log.campaign(FIVE, accounts=5, cards=3, name=FIVE)
    log.campaign(FIRM, cards=2, name=FIRM)
    log.campaign(CROWD, cards=3, name=CROWD)
    log.strangers(10_000 - len(log.rows["account"]))
    for start, days in WAVES.items():
        log.changed({start + n: (ago(day), True, True, "") for n, day in enumerate(days)})
    firm = {n: "firm" if n % 6 < 4 else "" for n in range(12)}
    log.changed({ENTITIES + n: (DAY, True, True, firm[n]) for n in range(12)})
    log.changed({ONE_FIRM + n: (DAY, True, True, "firm") for n in range(12)})
    log.changed({JOB + n: (ago(400), True, True, "") for n in range(12)})
    log.unused(range(ENDED, ENDED + 12), range(SCHOOL, SCHOOL + 12), range(METHODS, METHODS + 12))
    for n in range(12):
        log.used(ENDED + n, 7 if n < 6 else 6)
        for start in (SCHOOL, METHODS):
            log.used(start + n, 0, flat=2, hours="0" * 8 + "9" * 8 + "0" * 8)
    log.tagged("method", "rubric-grading", range(METHODS, METHODS + 12))
    log.used(OLD_DAYS, schema.DAYS, flat=0)
    log.used(OLD_DAYS + 1, schema.DAYS - 1, flat=7)
    for card in range(20):
        log.holds("payment", token(50 + card), (CARDS_OF_ONE,))
    log.holds("payment", token(5), (3_000, 3_001))
    log.holds("payment", token(9), (3_002, 3_003))
    log.holds("egress", token(1), (ADDRESSES,))
    log.holds("egress", token(2), [ADDRESSES, ADDRESSES + 1, *range(10_000, 10_098)])
    log.holds("egress", token(3), [ADDRESSES, ADDRESSES + 1, *range(10_000, 10_099)])
    log.holds("payment", token(20), [POPULAR, *range(10_000, 10_500)])
    log.holds("payment", token(21), [USUAL, USUAL + 1])
    log.tagged("method", "rubric-grading", (TAGS, TAGS + 1))
    log.tagged("method", "logprob-harvest", (TAGS, TAGS + 1, TAGS + 2))
    log.tagged("capability", "mathematics", (TAGS, TAGS, TAGS, TAGS))
    log.asks(1, (TEMPLATES,))
    log.asks(2, (TEMPLATES, TEMPLATES + 1))
    log.asks(3, [TEMPLATES, TEMPLATES + 1, *range(10_000, 10_097)])
    log.asks(4, [TEMPLATES, TEMPLATES + 1, *range(10_000, 10_098)])
    log.asks(5, (TEMPLATES, TEMPLATES + 1), found=bands(5)[:31])
    return log


@pytest.fixture(scope="module")
def measured(engine: engines.Engine) -> Mapping[int, home.Cluster]:
    """The groups of that log, by each of their accounts."""
    found = groups(engine, everything()).clusters
    return {account: cluster for cluster in found for account in cluster.accounts}


@pytest.mark.parametrize(
    ("start", "start_days", "peak"), [(1_000, 1, 10), (1_050, 4, 6), (1_100, 8, 0)]
)
def test_waves_of_sign_ups(
    measured: Mapping[int, home.Cluster], start: int, start_days: int, peak: int
) -> None:
    row = measured[start].row
    assert (row.start_days, row.start_peak) == (start_days, peak)


def test_an_account_that_was_not_used_for_a_week_has_ended(
    measured: Mapping[int, home.Cluster],
) -> None:
    row = measured[ENDED].row
    assert row.short == 6
    assert (row.first_day, row.last_day) == (ago(7), ago(6))


def test_what_was_before_the_window_is_not_counted(measured: Mapping[int, home.Cluster]) -> None:
    row = measured[OLD_DAYS].row
    assert row.first_day == ago(schema.DAYS - 1)
    assert row.flat == 7


def test_payers_are_counted_by_legal_entity_where_it_is_known(
    measured: Mapping[int, home.Cluster],
) -> None:
    assert measured[ENTITIES].row.payers == "3-4"  # six cards: of a firm, and two others
    assert len(measured[ENTITIES].row.payment) == 6
    assert rule(measured[ENTITIES]) == ""
    assert measured[ONE_FIRM].row.payers == "lt-3"
    assert rule(measured[ONE_FIRM]) == "R2"


def test_an_account_with_many_cards_is_no_crowd(measured: Mapping[int, home.Cluster]) -> None:
    assert measured[CARDS_OF_ONE].row.payers == "5-9"  # never more than accounts


def test_at_most_64_cards_are_named_those_of_the_most_accounts(
    measured: Mapping[int, home.Cluster],
) -> None:
    row = measured[3_000].row
    assert len(row.payment) == 64
    assert {token(5), token(9)} < set(row.payment)
    assert list(row.payment) == sorted(row.payment)
    assert row.payers == "30-99"


def test_an_address_of_one_account_and_one_of_a_carrier_are_not_said(
    measured: Mapping[int, home.Cluster],
) -> None:
    assert measured[ADDRESSES].row.egress == (token(2),)


def test_a_card_of_over_500_accounts_is_not_said(measured: Mapping[int, home.Cluster]) -> None:
    assert token(20) not in measured[POPULAR].row.payment
    assert 10_000 not in measured  # and ties nobody
    assert token(21) in measured[USUAL].row.payment


def test_a_template_of_one_account_or_of_one_in_a_hundred_is_not_said(
    measured: Mapping[int, home.Cluster],
) -> None:
    # 1: of one account, 3: of 99 in ten thousand, 4: of 100, 5: without one of its bands
    assert measured[TEMPLATES].row.templates == (2, 3)


def test_a_tag_of_few_is_not_said_of_all(measured: Mapping[int, home.Cluster]) -> None:
    row = measured[TAGS].row
    assert row.methods == ("logprob-harvest",)
    assert row.capabilities == ()


# --- what stays at home --------------------------------------------------------------------------


def rule(cluster: home.Cluster) -> str:
    """The rule that keeps a group at home; empty where it may leave."""
    return cluster.stays.rule if cluster.stays else ""


@pytest.mark.parametrize(
    ("start", "stays"),
    [
        (FOUR, "R1"),
        (FIVE, ""),
        (FIRM, "R2"),  # two cards
        (CROWD, ""),  # three
        (SCHOOL, "R6"),  # new, at the hours of people
        (METHODS, ""),  # the same, and it names a method
        (JOB, "R6"),  # paced by a machine, and old
    ],
)
def test_what_is_no_crowd_or_no_threat_stays(
    measured: Mapping[int, home.Cluster], start: int, stays: str
) -> None:
    assert rule(measured[start]) == stays


def test_a_member_may_be_stricter(engine: engines.Engine) -> None:
    limits = replace(rules.SHIPPED, accounts=6, payers=4)
    log = Log()
    log.campaign(0, accounts=5, cards=5)
    log.campaign(50, accounts=6, cards=3, name=2)
    log.campaign(100, accounts=6, cards=4, name=3)
    found = groups(engine, log, replace(CARDS, limits=limits)).clusters
    assert {one.accounts[0]: rule(one) for one in found} == {0: "R1", 50: "R2", 100: ""}


@pytest.mark.parametrize(("strangers", "code"), [(540, None), (539, "extract.giant")])
def test_a_group_of_over_a_tenth_of_all_accounts_is_none(
    engine: engines.Engine, strangers: int, code: str | None
) -> None:
    log = Log()
    log.campaign(0, accounts=60, cards=6)
    log.strangers(strangers)
    low = {**scorecard.START, "threshold": 100}
    cluster = only(engine, log, replace(CARDS, card=low))
    assert (cluster.stays.code if cluster.stays else None) == code
    assert cluster.is_found is (code is None)


def test_a_part_of_the_log_gives_the_same_facts_of_its_groups(
    engine: engines.Engine, measured: Mapping[int, home.Cluster]
) -> None:
    part = everything()
    kept = {*range(TEMPLATES, TEMPLATES + 12), *range(10_000, 10_098)}
    for name in ("account", "account_day", "account_token", "account_tag", "account_template"):
        part.rows[name] = [row for row in part.rows[name] if row[0] in kept]
    # A card comes with all of its holders, or not at all.
    part.rows["account_token"] = [row for row in part.rows["account_token"] if row[2] != token(20)]
    found = home.clusters(part.loaded(engine), CARDS, day=DAY, keys=KEYS, accounts=10_000)
    (cluster,) = found.clusters
    assert replace(cluster, group=measured[TEMPLATES].group) == measured[TEMPLATES]


def test_a_group_on_a_popular_card_is_one_at_home_and_stays(engine: engines.Engine) -> None:
    log = Log()
    log.strangers(5_000)
    for account in range(505):
        log.account(account)
        log.used(account, 0)
    log.holds("payment", token(1), range(505))
    wide = replace(CARDS, ties=(("shared-token", {"cap": 2_000}),))
    cluster = only(engine, log, wide)
    assert len(cluster.accounts) == 505
    assert cluster.row.payment == ()
    assert len(cluster.row.cluster) == 16
    assert rule(cluster) == "R2"


def test_a_family_of_templates_ties_accounts_too(engine: engines.Engine) -> None:
    log = Log()
    log.strangers(3_000)
    log.campaign(0)
    log.campaign(50, name=2)
    for template in (1, 2):
        log.asks(template, (0, 1, 2, 50, 51, 52))
    for template in range(10, 40):  # what others ask, so that meeting says something
        log.asks(template, range(10_000 + template * 20, 10_020 + template * 20))
    cluster = only(engine, log, home.Setup())
    assert cluster.accounts == (*range(12), *range(50, 62))
    assert cluster.row.templates == (1, 2)


def test_documents_say_what_ties_and_what_counts() -> None:
    card = dict(scorecard.START) | {"threshold": 99}
    active = [
        SimpleNamespace(id="a", version=1, detector=name, runs_on=runs_on, values=values)
        for name, runs_on, values in (
            ("scorecard", "both", card),
            ("shared-token", "both", {"min": 4}),
            ("template-family", "log", {}),
            ("row-pair", "pool", {}),
            ("pivot", "both", {}),
            ("", "log", {}),
        )
    ]
    setup = home.setup_of(active)  # type: ignore[arg-type] # as much of a document as it reads
    assert setup.ties == (("shared-token", {"min": 4}), ("template-family", {}))
    assert setup.card["threshold"] == 99
    assert home.setup_of([]) == home.Setup(ties=())


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


@pytest.fixture(scope="module")
def sent(engine: engines.Engine) -> home.Drawn:
    """Its extract."""
    return drawn(engine, busy())


def test_the_exchange_takes_what_home_makes(sent: home.Drawn) -> None:
    found = sent
    assert problems(found) == ()
    assert len(found.clusters) == schema.ROWS
    real = {number: found.clusters[number] for number in found.groups}
    assert sorted(row.size for row in real.values()) == ["10-29", "30-99"]  # and not the firm


def test_an_empty_log_makes_an_extract_like_any(engine: engines.Engine) -> None:
    found = drawn(engine, Log())
    assert problems(found) == ()
    assert found.groups == {}


def test_equal_logs_and_keys_give_equal_rows(engine: engines.Engine, sent: home.Drawn) -> None:
    turned = busy()
    for rows in turned.rows.values():
        rows.reverse()
    assert drawn(engine, turned) == sent


def test_the_templates_of_a_row_are_those_of_its_group(sent: home.Drawn) -> None:
    found = sent
    small = next(found.clusters[n] for n, group in found.groups.items()
                 if found.clusters[n].size == "10-29")  # fmt: skip
    named = {found.templates[number].bands for number in small.templates}
    assert named == {tuple(bands(1)), tuple(bands(2))}
    template = next(one for one in found.templates if one.bands == tuple(bands(1)))
    assert (template.length_bucket, template.sample_bucket) == ("100-999-tokens", "10-99")
    assert template.base_rate_bucket == "lt-1e-2"  # 3 of 754, as all say
    assert template.languages == ("en", "zh")


def test_p05_the_same_groups_in_a_log_thirty_times_as_large_make_the_same_extract(
    engine: engines.Engine, sent: home.Drawn
) -> None:
    found = home.clusters(busy().loaded(engine), CARDS, day=ago(0), keys=KEYS)
    large = replace(found, accounts=30 * found.accounts)
    assert home.extract(large, CARDS, keys=KEYS) == sent


def test_p05_a_log_with_many_more_clients_shows_no_more_of_them(engine: engines.Engine) -> None:
    found = home.clusters(busy().loaded(engine), CARDS, day=ago(0), keys=KEYS)
    kept = next(one for one in found.clusters if one.stays is not None)
    counts = []
    for many in (20, 400):
        more = [
            replace(kept, row=replace(kept.row, client=(f"{number:032x}",)))
            for number in range(many)
            for _ in range(1 + 2 * many // (1 + number))
        ]
        known = replace(found, clusters=(*found.clusters, *more))
        made = home.extract(known, CARDS, keys=KEYS)
        counts.append(len({client for row in made.clusters for client in row.client}))
    assert abs(counts[0] - counts[1]) <= 4


def test_p05_an_address_that_two_rows_name_ties_nobody_and_stays(engine: engines.Engine) -> None:
    log = busy()
    log.holds("egress", token(1), (0, 1, 100, 101))
    log.holds("egress", token(2), (0, 1))
    made = drawn(engine, log)
    assert len(made.groups) == 2
    assert {one for row in made.groups for one in made.clusters[row].egress} == {token(2)}


def test_a_stricter_rate_is_said_of_all_templates_and_those_above_it_stay(
    engine: engines.Engine,
) -> None:
    limits = replace(rules.SHIPPED, template_permille=5)
    strict = replace(CARDS, limits=limits)
    found = home.clusters(busy().loaded(engine), strict, day=ago(0), keys=KEYS)
    assert found.templates[1].users == 3  # of 754
    made = home.extract(found, strict, keys=KEYS)
    assert {one.base_rate_bucket for one in made.templates} == {"lt-1e-3"}
    assert tuple(bands(1)) not in {one.bands for one in made.templates}


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


def test_a_cluster_has_one_name_for_a_quarter_and_moves_each_day(
    engine: engines.Engine, sent: home.Drawn
) -> None:
    log = busy()
    today, before = sent, drawn(engine, log, day=1)
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


def test_what_is_no_word_of_the_forum_stays_and_its_row_leaves(engine: engines.Engine) -> None:
    log, marker = busy(), "ana@aurora.example"
    log.asks(4, (0, 1), found=[f"{marker} {n}" for n in range(32)])
    log.rows["template"] = [(*row[:3], f"en {marker} EN-us") for row in log.rows["template"]]
    log.rows["account_day"] = [(*row[:-1], marker) for row in log.rows["account_day"]]
    for kind in ("method", "capability", "surface", marker):
        log.tagged(kind, marker, range(12))
    made = drawn(engine, log)
    assert problems(made) == ()
    assert len(made.groups) == 2
    assert marker not in repr((made.clusters, made.templates))
    small = next(made.clusters[n] for n in made.groups if made.clusters[n].size == "10-29")
    assert len(small.templates) == 2
    assert made.templates[small.templates[0]].languages == ("en",)


def test_a_short_secret_is_none() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        home.Keys(b"short", "2026Q4")


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
