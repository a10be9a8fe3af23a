"""The look at home: which accounts match what was released, and what is too usual to match."""

from collections.abc import Iterator, Sequence

import pytest

from indicators.detection import engines, hunting, ties
from indicators.detection.hunting import DEVICE, GROUP, PAYMENT, TEMPLATE, VICTIM, Released
from tests.core.log_material import Log, bands, token


@pytest.fixture(scope="module")
def engine() -> Iterator[engines.Engine]:
    """One DuckDB for the logs of this module."""
    with engines.connect() as running:
        yield running


def hunted(engine: engines.Engine, log: Log, *released: Released) -> dict[int, tuple[str, ...]]:
    """Accounts that match, with their reasons."""
    return {hit.account: hit.reasons for hit in hits(engine, log, released)}


def hits(engine: engines.Engine, log: Log, released: Sequence[Released]) -> tuple[hunting.Hit, ...]:
    """All that the look at home says."""
    source = log.loaded(engine)
    groups = ties.tied(source, {"shared-token": {}})
    return hunting.hunt(source, released, groups)


def pair() -> Log:
    """Four thousand accounts; two groups of them on cards, three templates."""
    log = Log()
    for account in range(4_000):
        log.account(account)
    log.holds("payment", token(1), range(3))
    log.holds("payment", token(2), range(3, 9))
    log.holds("device", token(3), range(2, 4))  # held by two, which ties nobody
    return log


def test_who_holds_a_released_card_or_device_matches(engine: engines.Engine) -> None:
    log = pair()
    log.holds("egress", token(5), (50,))
    found = hunted(
        engine,
        log,
        Released("XC-1", payment=frozenset({token(1), token(99)}), device=frozenset({token(3)})),
    )
    assert found[0] == found[1] == (PAYMENT,)
    assert found[2] == (DEVICE, PAYMENT)
    assert found[3] == (DEVICE,)
    assert set(found) == {0, 1, 2, 3}  # one of six that share a card is too few for the six
    assert not hunted(engine, log, Released("XC-1", payment=frozenset({token(3), token(5)})))


@pytest.mark.parametrize(
    ("matched", "named"), [((0,), range(3)), ((3,), (3,)), ((3, 4), range(3, 9)), ((700,), (700,))]
)
def test_two_or_a_third_name_the_whole_group(
    engine: engines.Engine, matched: Sequence[int], named: Sequence[int]
) -> None:
    log = pair()
    log.holds("device", token(7), matched)
    found = hits(engine, log, [Released("XC-1", device=frozenset({token(7)}))])
    assert {hit.account for hit in found} == set(named)
    assert {hit.account for hit in found if hit.reasons == (DEVICE,)} == set(matched)
    assert all(hit.reasons == (GROUP,) for hit in found if hit.account not in matched)
    assert len({hit.group for hit in found}) == 1
    assert (found[0].group is None) is (matched == (700,))


@pytest.mark.parametrize(("holders", "matches"), [(500, 500), (501, 0)])
def test_a_card_that_is_usual_here_says_nothing(
    engine: engines.Engine, holders: int, matches: int
) -> None:
    log = Log()
    log.holds("payment", token(1), range(holders))
    assert len(hunted(engine, log, Released("XC-1", payment=frozenset({token(1)})))) == matches


def near(number: int, equal: int) -> tuple[str, ...]:
    """Bands of which so many equal those of a template."""
    return (*bands(number)[:equal], *bands(900 + number)[equal:])


@pytest.mark.parametrize(
    ("released", "matches"),
    [
        ((near(1, 2), near(2, 32)), True),
        ((near(1, 1), near(2, 32)), False),  # one equal band is chance
        ((near(1, 32),), False),  # one template is a tutorial's
        ((near(1, 32), near(1, 31)), False),  # two of theirs that are near one of ours
        ((near(1, 32)[7:9], near(2, 32)[:2]), True),  # a finding has the bands that rows share
        ((near(1, 32)[7:8], near(2, 32)), False),
    ],
)
def test_two_templates_of_a_finding_match_with_two_bands_each(
    engine: engines.Engine,
    released: tuple[tuple[str, ...], ...],
    matches: bool,  # noqa: FBT001 a column of the table
) -> None:
    log = pair()
    log.asks(1, (20, 21))
    log.asks(2, (20, 22))
    found = hunted(engine, log, Released("XC-1", templates=released))
    assert found == ({20: (TEMPLATE,)} if matches else {})


def test_two_findings_do_not_add_up(engine: engines.Engine) -> None:
    log = pair()
    log.asks(1, (20,))
    log.asks(2, (20,))
    one, other = (
        Released("XC-1", templates=(near(1, 9),)),
        Released("XC-2", templates=(near(2, 9),)),
    )
    assert hunted(engine, log, one, other) == {}
    both = Released("XC-3", templates=(near(1, 9), near(2, 9)))
    assert [hit.finding for hit in hits(engine, log, [one, both, other, both])] == ["XC-3", "XC-3"]


def test_an_old_account_with_a_released_card_alone_is_told_as_a_victim(
    engine: engines.Engine,
) -> None:
    log = Log()
    for account, began in enumerate((200, 200, 10, 200, 200, 200)):
        log.account(account, began=began)
        log.used(account, 0)
    log.holds("payment", token(1), (0, 1, 2))
    log.holds("device", token(2), (1,))
    log.holds("payment", token(3), (3, 4, 5))  # tied to one another
    log.holds("device", token(4), (4, 5))
    released = Released("XC-1", frozenset({token(1)}), frozenset({token(2)}))
    found = hits(engine, log, [released])
    reasons = {hit.account: hit.reasons for hit in found}
    # Its group shows more: two of three match by more than a card of long ago.
    assert reasons == {0: (GROUP, PAYMENT), 1: (DEVICE, PAYMENT), 2: (PAYMENT,)}
    (hit,) = hits(engine, log, [Released("XC-2", frozenset({token(3)}))])[:1]
    assert (hit.reasons, hit.is_victim) == ((VICTIM,), True)
    both = Released("XC-3", frozenset({token(3)}), frozenset({token(4)}))
    assert not any(hit.is_victim for hit in hits(engine, log, [both]))


@pytest.mark.parametrize(
    ("more", "users", "matches"),
    [(11_000, 30, 30), (11_000, 31, 0), (0, 20, 20), (0, 21, 0)],
)
def test_a_template_of_two_in_a_thousand_says_nothing(
    engine: engines.Engine, more: int, users: int, matches: int
) -> None:
    log = pair()  # 0.2 % of fifteen thousand are thirty; of four thousand twenty may be
    for account in range(4_000, 4_000 + more):
        log.account(account)
    log.asks(1, range(100, 100 + users))
    log.asks(2, range(100, 100 + users))
    released = Released("XC-1", templates=(near(1, 32), near(2, 32)))
    assert len(hunted(engine, log, released)) == matches


def test_nothing_released_or_nothing_logged_matches_nobody(engine: engines.Engine) -> None:
    assert hunted(engine, pair()) == {}
    assert hunted(engine, pair(), Released("XC-1")) == {}
    everything = Released("XC-1", frozenset({token(1)}), frozenset({token(3)}), (near(1, 32),))
    assert hunted(engine, Log(), everything) == {}


def test_each_reason_has_words() -> None:
    assert set(hunting.REASONS) == {PAYMENT, DEVICE, TEMPLATE, GROUP, VICTIM}
