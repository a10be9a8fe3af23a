"""Rows of clusters for the tests of the pool: some that mean something, and any that may be."""

from dataclasses import replace
from datetime import date

from hypothesis import strategies as st

from indicators.detection import schema
from indicators.detection.values import ClusterRow

DAY = date(2026, 11, 2)

# Relay accounts: new, paced by a machine, more of them than payers, begun in one wave.
CAMPAIGN = ClusterRow(
    row=0,
    cluster="00" * 8,
    size="30-99",
    payers="5-9",
    devices="5-9",
    first_day=date(2026, 10, 10),
    last_day=date(2026, 11, 1),
    payment=tuple(f"{n:064x}" for n in range(1, 7)),
    device=tuple(f"{n:064x}" for n in range(11, 17)),
    egress=(),
    client=(),
    templates=(0, 1, 2),
    flat=7,
    hours="4" * 24,
    mid=8,
    short=4,
    fresh=8,
    mismatch=6,
    pivot=2,
    carded=10,
    deviced=10,
    start_days=4,
    start_peak=4,
    capabilities=("mathematics",),
    methods=("chain-of-thought-elicitation", "rubric-grading"),
    surface=("first-party-api",),
)
# A school: new each autumn and begun on one day, but with the hours of people, and no templates.
SCHOOL = replace(
    CAMPAIGN,
    row=1,
    cluster="11" * 8,
    payers="3-4",
    templates=(),
    flat=1,
    hours="000000122344434332211100",
    mid=2,
    short=0,
    mismatch=0,
    pivot=0,
    start_days=2,
    start_peak=8,
    methods=(),
    surface=("first-party-app",),
)


def rows() -> st.SearchStrategy[ClusterRow]:
    """Any row that the closed columns allow."""
    tenths = st.sampled_from(schema.TENTHS)
    hexes = st.sets(st.integers(0, 10**9), max_size=10).map(
        lambda found: tuple(sorted(f"{n:064x}" for n in found))
    )
    words = {
        "capabilities": ("mathematics", "vision", "logprobs"),
        "methods": (
            "rubric-grading",
            "tool-trace-capture",
            "logprob-harvest",
            "temperature-sweep",
            "translation-fanout",
        ),
        "surface": ("first-party-api", "first-party-app"),
    }
    return st.builds(
        ClusterRow,
        row=st.integers(0, schema.ROWS - 1),
        cluster=st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}"),
        size=st.sampled_from(schema.SIZES[1:]),
        payers=st.sampled_from(schema.SIZES),
        devices=st.sampled_from((schema.FEW, *schema.SIZES)),
        first_day=st.just(date(2026, 10, 1)),
        last_day=st.just(DAY),
        payment=hexes,
        device=hexes,
        egress=hexes,
        client=st.just(()),
        templates=st.sets(st.integers(0, 40), max_size=12).map(lambda found: tuple(sorted(found))),
        flat=st.integers(0, 9),
        hours=st.text("0123456789", min_size=24, max_size=24),
        **{name: tenths for name in schema.SHARES},
        start_days=st.sampled_from(schema.START_DAYS),
        **{
            name: st.sets(st.sampled_from(known)).map(lambda found: tuple(sorted(found)))
            for name, known in words.items()
        },
    )
