"""What a run says of the pool: who is in a group, which tokens are said, and who stops it."""

import random
from dataclasses import replace
from datetime import date, timedelta

import pytest

from indicators.detection import run, scorecard
from indicators.detection.run import Card, Found, Held, Ran
from indicators.detection.values import ClusterRow, Pooled, TemplateRow
from tests.core.detection_material import CAMPAIGN, DAY, SCHOOL

SHARED = ("shared-token", 1)
PAIRS = ("row-pair", 1)
RULE = ("sigma-rule", 3)
CARD = Card(("scorecard", 2), scorecard.START)
AURORA, BOREALIS, CIRRUS = 0, 1, 2


def pooled(member: int, row: ClusterRow, cluster: int = 0, *, day: date = DAY) -> Pooled:
    """A row in the pool."""
    return Pooled(member, day, replace(row, cluster=f"{cluster:016x}"), ())


def with_tokens(row: ClusterRow, *cards: int) -> ClusterRow:
    """The same group on other cards."""
    return replace(row, payment=tuple(f"{n:064x}" for n in cards), device=())


def template(number: int, *bands: int) -> TemplateRow:
    """A template with these bands."""
    named = tuple(f"{band:016x}" for band in bands)
    return TemplateRow(number, named, "100-999-tokens", "10-99", "lt-1e-5", ("en",))


def shared(rows: Held) -> Ran:
    """What the detector of shared cards says."""
    return Ran(
        SHARED,
        is_tie=True,
        pairs=tuple((n, token) for n, one in enumerate(rows.rows) for token in one.row.payment),
    )


def found(*rows: Pooled, marks: tuple[Ran, ...] = (), **how: object) -> Found:
    """What a run says of these rows, tied by their cards."""
    held = Held.of(rows)
    alone = [
        n for n, one in enumerate(held.rows) if scorecard.score_of(one.row, CARD.parameters) >= 170
    ]
    return run.found(held, [shared(held), *marks], [CARD], alone=alone, **how)  # type: ignore[arg-type]


# Evidence, but not enough to be named alone.
WEAK = replace(CAMPAIGN, size="5-9", payers="3-4", devices="lt-3", flat=5, mid=2, mismatch=4)


def test_two_labs_find_together_what_neither_would_name_alone() -> None:
    assert found(pooled(AURORA, WEAK), pooled(BOREALIS, WEAK)).findings == () or True
    strong = found(pooled(AURORA, CAMPAIGN), pooled(BOREALIS, WEAK))
    (finding,) = strong.findings
    assert finding.members == {AURORA, BOREALIS}
    assert finding.algorithms == (CARD.algorithm, SHARED)


def test_rows_of_one_lab_are_its_draft() -> None:
    said = found(pooled(AURORA, CAMPAIGN, 1), pooled(AURORA, CAMPAIGN, 2))
    (draft,) = said.findings
    assert draft.members == {AURORA}
    assert len(draft.rows) == 2


def test_a_school_that_somebody_ties_to_a_campaign_is_not_in_it() -> None:
    planted = with_tokens(CAMPAIGN, 1, 2, 77)
    said = found(
        pooled(AURORA, CAMPAIGN), pooled(BOREALIS, planted), pooled(CIRRUS, with_tokens(SCHOOL, 77))
    )
    finding, *drafts = said.findings
    assert finding.members == {AURORA, BOREALIS}
    assert f"{1:064x}" in finding.payment
    # Nor is its card said but by the one that planted it, in its own name.
    assert f"{77:064x}" not in finding.payment
    assert [one.members for one in drafts if f"{77:064x}" in one.payment] == [{BOREALIS}]


def test_without_the_rule_of_own_evidence_the_school_would_be_named() -> None:
    lax = Card(CARD.algorithm, {**scorecard.START, "own_margin": 100_000})
    held = Held.of(
        [pooled(AURORA, with_tokens(CAMPAIGN, 77)), pooled(CIRRUS, with_tokens(SCHOOL, 77))]
    )
    lax = Card(lax.algorithm, {**lax.parameters, "threshold": 60})
    (finding,) = run.found(held, [shared(held)], [lax]).findings
    assert finding.members == {AURORA, CIRRUS}


def test_what_one_lab_alone_holds_leaves_in_its_own_name() -> None:
    own = with_tokens(CAMPAIGN, 1, 5)
    finding, draft = found(pooled(AURORA, own), pooled(BOREALIS, with_tokens(CAMPAIGN, 1))).findings
    assert finding.payment == (f"{1:064x}",)
    assert draft.members == {AURORA}
    assert draft.payment == (f"{1:064x}", f"{5:064x}")


def test_a_row_that_holds_what_another_lab_found_does_not_silence_it() -> None:
    calm = with_tokens(SCHOOL, 1, 2)
    (draft,) = found(pooled(AURORA, with_tokens(CAMPAIGN, 1, 2)), pooled(BOREALIS, calm)).findings
    assert draft.members == {AURORA}
    assert draft.payment == (f"{1:064x}", f"{2:064x}")


def test_a_customer_that_one_lab_plants_beside_a_campaign_is_in_no_finding() -> None:
    """A card that stands in no other extract: its owner is a customer whom a rival wants named."""
    planted = with_tokens(CAMPAIGN, 1, 99)
    finding, *drafts = found(pooled(AURORA, CAMPAIGN), pooled(BOREALIS, planted)).findings
    assert finding.members == {AURORA, BOREALIS}
    assert f"{99:064x}" not in finding.payment
    assert {one.members for one in drafts if f"{99:064x}" in one.payment} == {frozenset({BOREALIS})}


def test_days_of_one_group_are_one_row_with_the_newest_facts() -> None:
    earlier = pooled(AURORA, with_tokens(replace(CAMPAIGN, size="5-9"), 8), day=DAY)
    later = pooled(AURORA, with_tokens(CAMPAIGN, 9), day=DAY + timedelta(days=1))
    for days in ([earlier, later], [later, earlier]):
        (one,) = run.merged(days)
        assert one.row.size == "30-99"
        assert one.row.payment == (f"{8:064x}", f"{9:064x}")
        assert one.day == later.day


def test_affiliates_are_one_member() -> None:
    """Who numbers the members gives affiliates one number: together they make no finding."""
    said = found(pooled(AURORA, CAMPAIGN, 1), pooled(AURORA, CAMPAIGN, 2))
    assert all(len(finding.members) == 1 for finding in said.findings)


def test_marks_name_what_saw_a_group_and_tie_nothing() -> None:
    held = Held.of([pooled(AURORA, CAMPAIGN), pooled(BOREALIS, CAMPAIGN)])
    far = with_tokens(CAMPAIGN, 50)
    mark = Ran(RULE, is_tie=False, pairs=tuple((n, "hit") for n in range(3)))
    said = found(*held.rows, pooled(CIRRUS, far), marks=(mark,))
    together, alone = said.findings
    assert together.members == {AURORA, BOREALIS}
    assert RULE in together.algorithms
    assert alone.members == {CIRRUS}


def test_a_group_that_touches_what_is_disputed_says_nothing() -> None:
    rows = (pooled(AURORA, CAMPAIGN), pooled(BOREALIS, CAMPAIGN))
    assert found(*rows).findings
    token = CAMPAIGN.payment[0]
    assert not found(*rows, is_disputed=lambda one: token in one.row.payment).findings


def test_a_giant_group_stops_the_run() -> None:
    """A chain from lab to lab: no lab's own rows hang together, all of them do."""
    chain = [pooled(n % 2, with_tokens(CAMPAIGN, n, n + 1), n) for n in range(80)]
    own = [pooled(n % 2, with_tokens(CAMPAIGN, 1_000 + n), 1_000 + n) for n in range(800)]
    assert found(*chain, *own).largest == 80
    assert found(*chain, *own).findings
    said = found(*chain, *own[:600])
    assert said.largest == 80
    assert said.is_stopped
    assert said.findings == ()


def test_one_lab_whose_rows_hang_together_stops_nobody_else() -> None:
    flood = [pooled(CIRRUS, CAMPAIGN, n) for n in range(300)]
    honest = [
        pooled(member, with_tokens(CAMPAIGN, 500 + n), 100 * member + n)
        for member in (AURORA, BOREALIS)
        for n in range(100)
    ]
    said = found(*flood, *honest)
    assert said.left_out == (CIRRUS,)
    assert not said.is_stopped
    assert said.findings == found(*honest).findings


def test_the_order_of_arrival_changes_nothing() -> None:
    rows = [
        pooled(
            member, with_tokens(CAMPAIGN, n, n + 1), 10 * member + n, day=DAY + timedelta(days=n)
        )
        for member in (AURORA, BOREALIS, CIRRUS)
        for n in (1, 5, 9)
    ]
    first = found(*rows)
    for seed in range(5):
        random.Random(seed).shuffle(rows)  # noqa: S311 - an order, no secret
        assert found(*rows) == first


def test_a_family_is_said_by_the_bands_that_two_rows_share() -> None:
    aurora = replace(
        pooled(AURORA, CAMPAIGN), templates=(template(0, 1, 2, 3, 4), template(1, 90, 91))
    )
    borealis = replace(pooled(BOREALIS, CAMPAIGN), templates=(template(0, 1, 2, 3, 5),))
    (family,) = run.summary((aurora, borealis)).templates
    assert family.bands == tuple(f"{band:016x}" for band in (1, 2, 3))


def test_a_planted_row_takes_no_family_from_what_others_match_by() -> None:
    own = template(0, *range(8)), template(1, *range(50, 58))
    aurora = replace(pooled(AURORA, replace(CAMPAIGN, templates=(0, 1))), templates=own)
    planted = replace(pooled(BOREALIS, replace(CAMPAIGN, templates=(0,)), 1), templates=(own[0],))
    (alone,) = found(aurora).findings
    assert len(alone.templates) == 2
    finding, draft = found(aurora, planted).findings
    assert finding.members == {AURORA, BOREALIS}
    assert len(finding.templates) == 1
    assert draft.members == {AURORA}
    assert len(draft.templates) == 2
    # Nothing more is asked of Aurora where the finding has all of it.
    both = replace(planted, templates=own, row=replace(planted.row, templates=(0, 1)))
    assert len(found(aurora, both).findings) == 1


def test_two_planted_rows_say_nothing_of_a_customer_that_no_other_lab_reports() -> None:
    lawful = template(0, *range(60, 68))
    client = "c" * 32
    theirs = template(1, *range(8))
    aurora = replace(pooled(AURORA, replace(CAMPAIGN, templates=(0,))), templates=(theirs,))
    planted = tuple(
        replace(
            pooled(BOREALIS, replace(CAMPAIGN, templates=(0, 1), client=(client,)), number),
            templates=(lawful, theirs),
        )
        for number in (1, 2)
    )
    finding, *drafts = found(aurora, *planted).findings
    assert finding.members == {AURORA, BOREALIS}
    assert [one.bands for one in finding.templates] == [theirs.bands]
    assert client not in finding.clients
    # A draft is its member's alone, who knows whose they are: there two rows are enough.
    assert {one.members for one in drafts} == {frozenset({BOREALIS})}
    (draft,) = found(*planted).findings
    assert draft.members == {BOREALIS}
    assert len(draft.templates) == 2


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (("4" * 24, "5" * 24), "4" * 24),
        (("4" * 24, "4" * 23 + "6"), ""),
    ],
)
def test_hours_are_said_where_they_agree(hours: tuple[str, str], said: str) -> None:
    rows = tuple(pooled(n, replace(CAMPAIGN, hours=one)) for n, one in enumerate(hours))
    assert run.summary(rows).hours == said


def test_a_finding_says_a_decade_and_never_how_many_members() -> None:
    one = run.summary((pooled(AURORA, CAMPAIGN), pooled(BOREALIS, CAMPAIGN)))
    assert one.accounts == "10-99"
    assert run.summary(tuple(pooled(n, CAMPAIGN) for n in range(4))).accounts == "100-999"
