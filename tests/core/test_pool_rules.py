"""R1 to R10 on values: a good extract passes, and each fault is told with its place and rule."""

from dataclasses import fields, replace
from datetime import date, timedelta

import pytest

from indicators.detection import rules, schema
from indicators.detection.rules import Limits, check
from indicators.detection.values import ClusterRow, TemplateRow
from indicators.stix import vocab
from indicators.stix.extensions import CONTEXT_SCHEMA
from tests.extracts import TODAY, extract, spoiled

GOOD = extract()
TOKEN = "ab" * 32
CANARY = "ana@aurora.example"
TOKENS_65 = tuple(f"{n:064x}" for n in range(65))
DAY = timedelta(days=1)


def test_what_the_extractor_makes_passes_today_and_yesterday() -> None:
    assert check(GOOD, today=TODAY) == ()
    assert check(extract(2, day=TODAY - DAY), today=TODAY) == ()


@pytest.mark.parametrize(
    ("column", "value", "code", "said"),
    [
        ("size", "3-4", "extract.r1", "5 accounts"),
        ("size", "2-9", "extract.form", "closed list"),
        ("payers", "lt-3", "extract.r2", "3 payers"),
        ("payers", "1k-up", "extract.form", "no more payers"),
        ("payment", (TOKEN, "cd" * 32), "extract.r2", "payment tokens"),
        ("payment", TOKENS_65, "extract.form", "at most 64"),
        ("payment", (TOKEN, "01" * 32, "02" * 32), "extract.form", "sorted"),
        ("payment", (TOKEN, TOKEN, "cd" * 32), "extract.form", "once"),
        ("payment", (*TOKENS_65[:3], CANARY), "extract.r7", "blind evaluation"),
        ("payment", ("AB" * 32, *TOKENS_65[:3]), "extract.r7", "blind evaluation"),
        ("device", TOKENS_65, "extract.form", "at most 64"),
        ("egress", TOKENS_65[:33], "extract.form", "at most 32"),
        ("egress", ("192.0.2.1",), "extract.r7", "blind evaluation"),
        ("client", (TOKEN,), "extract.form", "32 hexadecimal"),
        ("cluster", CANARY, "extract.r7", "member's own key"),
        ("row", 8, "extract.form", "without gaps"),
        ("cluster", GOOD.clusters[1].cluster, "extract.form", "earlier row"),
        ("templates", (9_000,), "extract.form", "other table"),
        ("flat", 10, "extract.form", "0 to 9"),
        ("hours", "12345678901234567890123x", "extract.form", "24 digits"),
        ("mid", 5, "extract.form", "fifths"),
        ("start_peak", 11, "extract.form", "fifths"),
        ("start_days", 3, "extract.form", "1, 2, 4"),
        ("capabilities", ("model-name",), "extract.form", "closed list"),
        ("methods", ("chain",), "extract.form", "closed list"),
        ("surface", ("unknown", "aggregator"), "extract.form", "sorted"),
        ("first_day", TODAY - 45 * DAY, "extract.r9", "45"),
        ("last_day", TODAY + DAY, "extract.r9", "45"),
        ("last_day", TODAY - 44 * DAY, "extract.form", "before the first"),
    ],
)
def test_a_fault_is_told_with_its_place_and_never_with_its_value(
    column: str, value: object, code: str, said: str
) -> None:
    found = check(spoiled(GOOD, 7, **{column: value}), today=TODAY)
    told = [one for one in found if one.path == f"clusters[7].{column}" and said in one.sentence]
    assert [one.code for one in told] == [code]
    assert all(one.rule == code[8:].upper() for one in told if code != "extract.form")
    assert CANARY not in repr(found)
    assert "192.0.2.1" not in repr(found)


def test_what_is_not_about_a_threat_stays_at_home() -> None:
    calm = spoiled(GOOD, 3, flat=3, mismatch=0, methods=())
    (problem,) = check(calm, today=TODAY)
    assert (problem.code, problem.rule, problem.path) == ("extract.r6", "R6", "clusters[3].flat")
    assert check(spoiled(calm, 3, methods=("rubric-grading",)), today=TODAY) == ()
    assert check(spoiled(calm, 3, mismatch=2), today=TODAY) == ()
    assert check(spoiled(GOOD, 3, fresh=4, methods=()), today=TODAY)[0].rule == "R6"


def test_the_number_of_rows_tells_nothing() -> None:
    for rows in (0, 299, 301):
        found = check(extract(rows=rows), today=TODAY)
        assert "extract.r3" in {one.code for one in found}
    assert check(extract(rows=301), today=TODAY)[0].sentence.endswith("this one has 301.")


def test_a_template_is_rare_whole_and_used() -> None:
    def said(**changed: object) -> list[tuple[str, str]]:
        first, *rest = GOOD.templates
        made = replace(first, **changed)  # type: ignore[arg-type] # whatever a test spoils
        found = check(replace(GOOD, templates=(made, *rest)), today=TODAY)
        return [(one.rule, one.path) for one in found]

    assert said(base_rate_bucket="unknown") == [("R4", "templates[0].base_rate_bucket")]
    assert said(bands=GOOD.templates[0].bands[:31]) == [("R7", "templates[0].bands")]
    assert said(bands=("a prompt",) * 32) == [("R7", "templates[0].bands")]
    assert said(length_bucket="long") == [("", "templates[0].length_bucket")]
    assert said(sample_bucket="1") == [("", "templates[0].sample_bucket")]
    assert said(languages=("en", "deutsch")) == [("", "templates[0].languages")] * 2
    assert said(template=5) == [("", "templates[0].template")]
    rows = tuple(replace(row, templates=()) for row in GOOD.clusters)
    found = check(replace(GOOD, clusters=rows), today=TODAY)
    assert {one.rule for one in found} == {"R6"}
    assert found[0].path == "templates[0]"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"day": TODAY + DAY}, "extract.day-ahead"),
        ({"day": TODAY - 2 * DAY}, "extract.day-late"),
        ({"key_epoch": "2026Q3"}, "extract.epoch"),
        ({"key_epoch": "2027Q1"}, "extract.epoch"),
        ({"extractor": "x" * 33}, "extract.manifest"),
        ({"extractor": CANARY}, "extract.manifest"),
        ({"clusters": CANARY}, "extract.manifest"),
        ({"algorithms": ((CANARY, TOKEN),)}, "extract.manifest"),
        (
            {"algorithms": (("0b54c5a2-1f0c-4b9b-8f7e-0d8a2f9a4c11", TOKEN),) * 2},
            "extract.manifest",
        ),
    ],
)
def test_day_epoch_and_words_of_the_manifest_are_judged_first(
    changed: dict[str, object], code: str
) -> None:
    made = replace(GOOD.manifest, **changed)  # type: ignore[arg-type] # whatever a test spoils
    found = rules.check_manifest(made, today=TODAY)
    assert [one.code for one in found] == [code]
    assert CANARY not in repr(found)


def test_the_epoch_is_that_of_the_day_of_sending() -> None:
    new_year = date(2027, 1, 1)
    late = extract(day=date(2026, 12, 31))
    assert [one.code for one in check(late, today=new_year)] == ["extract.epoch"]
    keyed_anew = replace(late, manifest=replace(late.manifest, key_epoch="2027Q1"))
    assert check(keyed_anew, today=new_year) == ()


def test_only_so_many_problems_are_told() -> None:
    rows = tuple(replace(row, flat=77) for row in GOOD.clusters)
    assert len(check(replace(GOOD, clusters=rows), today=TODAY)) == rules.PROBLEMS


def test_a_member_may_be_stricter_and_never_looser() -> None:
    floor = Limits(accounts=10, days=30)
    joined = floor.joined(
        Limits(accounts=5, payers=5, token_accounts=900, egress_accounts=10, flat=2, days=45)
    )
    assert joined == Limits(accounts=10, payers=5, egress_accounts=10, days=30)
    found = check(GOOD, today=TODAY, limits=joined)
    assert {one.rule for one in found} >= {"R1", "R2", "R9"}


def test_tokens_and_templates_that_half_of_the_world_shares_are_left_out() -> None:
    assert rules.keeps_token("payment", 500)
    assert not rules.keeps_token("payment", 501)
    assert rules.keeps_token("egress", 100)
    assert not rules.keeps_token("egress", 101)
    assert rules.keeps_template(100, 10_000)
    assert not rules.keeps_template(101, 10_000)
    assert rules.keeps_template(20, 10_000, at_home=True)
    assert not rules.keeps_template(21, 10_000, at_home=True)
    assert [rules.bucket_of(n) for n in (0, 2, 3, 4, 5, 999, 1_000)] == [
        "lt-3", "lt-3", "3-4", "3-4", "5-9", "300-999", "1k-up",
    ]  # fmt: skip


def test_the_closed_words_are_those_of_the_published_schema() -> None:
    properties = CONTEXT_SCHEMA["properties"]
    for words, name in (
        (schema.CAPABILITIES, "capability_targets"),
        (schema.METHODS, "elicitation_methods"),
        (schema.SURFACES, "surfaces"),
    ):
        assert list(words) == properties[name]["items"]["enum"]
    assert set(schema.BASE_RATES) | {"unknown"} == set(vocab.BASE_RATES)


def test_every_column_is_a_field_and_the_other_way_round() -> None:
    assert tuple(schema.CLUSTERS) == tuple(field.name for field in fields(ClusterRow))
    assert tuple(schema.TEMPLATES) == tuple(field.name for field in fields(TemplateRow))


@pytest.mark.parametrize(
    ("permille", "rate"), [(10, "lt-1e-2"), (5, "lt-1e-3"), (1, "lt-1e-3"), (0, "")]
)
def test_p05_all_templates_say_one_rate_whatever_the_size_of_the_log(
    permille: int, rate: str
) -> None:
    assert rules.base_rate(replace(rules.SHIPPED, template_permille=permille)) == rate


def test_a_rate_is_a_power_of_ten_that_the_share_is_below() -> None:
    assert rules.is_below(9, 1_000, "lt-1e-2")
    assert not rules.is_below(10, 1_000, "lt-1e-2")
    assert rules.is_below(1, 1_001, "lt-1e-3")
    assert not rules.is_below(1, 1_000, "lt-1e-3")
    assert not rules.is_below(1, 10**9, "")
