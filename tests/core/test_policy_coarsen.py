"""Numbers, times and pages say less after coarsening, and never more."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.policy import catalogue, coarsen, windows
from exchange.policy.terms import Floor, shipped_floor

MOMENTS = st.integers(10**15, 4 * 10**15).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)


@pytest.mark.parametrize(
    ("count", "floor", "label"),
    [
        (0, 0, None),
        (1, 1, "1"),
        (2, 2, "2-9"),
        (9, 2, "2-9"),
        (10, 10, "10-99"),
        (4711, 1_000, "1k-9k"),
        (28_814_332, 10_000_000, "10M-99M"),
        (10**12, 100_000_000, "100M-up"),
    ],
)
def test_counts_become_the_floor_of_their_decade(count: int, floor: int, label: str | None) -> None:
    assert coarsen.decade_floor(count) == floor
    assert coarsen.decade_label(count) == label


@given(MOMENTS, st.sampled_from([coarsen.DAY, coarsen.MONTH]))
def test_a_day_down_is_before_and_a_day_up_is_not(moment: datetime, step: int) -> None:
    down, up = coarsen.day_down(moment, step), coarsen.day_up(moment, step)
    assert down <= moment <= up
    assert coarsen.day_down(up, step) == up
    assert coarsen.day_down(down, step) == down


@given(MOMENTS)
def test_validity_never_becomes_empty(moment: datetime) -> None:
    later = moment + timedelta(microseconds=1)
    assert coarsen.day_down(moment) < coarsen.day_up(later)


@pytest.mark.parametrize(
    ("text", "depth", "page"),
    [
        ("https://Relay.example/v1/chat/x?key=1#f", 2, "https://relay.example/v1/chat"),
        ("https://relay.example/v1/", 2, "https://relay.example/v1/"),
        ("https://relay.example", 2, "https://relay.example/"),
        ("https://relay.example:8443/a/b/c", 0, "https://relay.example:8443/"),
        ("https://relay.example/a b/c", 2, "https://relay.example/"),
        ("https://ana@relay.example/", 2, None),
        ("javascript:alert(1)", 2, None),
        ("ftp://relay.example/a", 2, None),
        ("https://relay.example:port/", 2, None),
        ("not a url", 2, None),
    ],
)
def test_of_a_page_only_the_head_is_left(text: str, depth: int, page: str | None) -> None:
    assert coarsen.page(text, depth) == page


@pytest.mark.parametrize(("given", "left"), [(0, 0), (73, 70), (75, 75), (91, 90), (100, 90)])
def test_confidence_goes_in_steps_and_ends_at_ninety(given: int, left: int) -> None:
    assert coarsen.confidence(given, 5, 90) == left


def test_timestamps_are_read_with_any_number_of_digits() -> None:
    assert coarsen.instant("2026-10-30T13:47:22.1234567Z").microsecond == 123456
    assert coarsen.stamp(coarsen.instant("2026-10-30T13:47:22Z")) == "2026-10-30T13:47:22.000Z"
    with pytest.raises(ValueError, match="timestamp"):
        coarsen.instant("2026-10-30")


FLOOR = Floor.parse(shipped_floor())
AT = datetime(2026, 11, 24, 10, 7, 3, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sensitivity", "delay", "opening"),
    [
        ("S0", 0, datetime(2026, 11, 24, 10, 7, 3, tzinfo=UTC)),
        ("S1", 0, datetime(2026, 11, 24, 10, 7, 3, tzinfo=UTC)),
        ("S1", 60, datetime(2026, 11, 24, 10, 8, 3, tzinfo=UTC)),
        ("S2", 0, datetime(2026, 11, 24, 10, 15, tzinfo=UTC)),
        ("S2", 600, datetime(2026, 11, 24, 10, 30, tzinfo=UTC)),
        ("S3", 0, datetime(2026, 11, 24, 11, 0, tzinfo=UTC)),
        ("S3", 86_400, datetime(2026, 11, 25, 11, 0, tzinfo=UTC)),
    ],
)
def test_things_leave_in_the_window_of_their_sensitivity(
    sensitivity: str, delay: int, opening: datetime
) -> None:
    assert windows.opening(FLOOR, sensitivity, after=AT, delay_seconds=delay) == opening


def test_a_member_cannot_ask_for_an_earlier_window() -> None:
    assert windows.opening(FLOOR, "S2", after=AT, delay_seconds=-3600) == datetime(
        2026, 11, 24, 10, 15, tzinfo=UTC
    )


def test_the_demo_opens_every_fifteen_seconds_and_says_so() -> None:
    document = shipped_floor(window_seconds=15)
    floor = Floor.parse(document)
    expected = datetime(2026, 11, 24, 10, 7, 15, tzinfo=UTC)
    assert windows.opening(floor, "S3", after=AT) == expected
    assert "15 seconds" in document["note"]
    assert floor != FLOOR


def test_ordinary_revocations_leave_at_midnight() -> None:
    assert windows.next_revocation(AT) == datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2016-12-31T23:59:60Z", "2026-01-01"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        coarsen.instant(text)


def test_a_key_cannot_pose_as_a_list_index() -> None:
    obj = {"type": "indicator", "indicator_types": {"[]": "malicious-activity"}}
    (_, leaf) = catalogue.leaves(obj)
    assert leaf.entry is None
    assert leaf.path == 'indicator_types."[]"'


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_plain_range_is_spelled_as_the_library_spells_it(address: int, size: int) -> None:
    text = f"{IPv4Address(address)}/{size}"
    network = ip_network(text, strict=False)
    expected = str(network.network_address) if size == 32 else str(network)
    assert coarsen.canonical_address(text) == expected
