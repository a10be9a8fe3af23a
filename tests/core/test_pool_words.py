"""An extract in plain words: every column is told, no token is, and an officer can read it."""

from dataclasses import replace

from indicators.detection import schema, words
from tests.extracts import extract, spoiled

GOOD = extract()


def test_every_column_of_a_row_is_told() -> None:
    told = {
        name for row in words.of(GOOD).rows for line in row.lines for name in line.columns
    }  # fmt: skip
    assert told == set(schema.CLUSTERS) - {"row"}
    told = {
        name for row in words.of(GOOD).templates for line in row.lines for name in line.columns
    }  # fmt: skip
    assert told == set(schema.TEMPLATES) - {"template"}


def test_no_token_and_no_fingerprint_is_in_the_words() -> None:
    text = "\n".join(words.as_text(GOOD)) + repr(words.as_document(GOOD))
    for row in GOOD.clusters:
        for value in (row.cluster, *row.payment, *row.device, *row.egress, *row.client):
            assert value not in text
    for template in GOOD.templates:
        assert not any(band in text for band in template.bands)


def test_a_row_reads_as_a_sentence() -> None:
    made = spoiled(
        GOOD, 3, size="30-99", payers="3-4", devices="lt-3", payment=("0" * 64,), device=(),
        egress=(), flat=7, hours="900000000000000000000000", fresh=8, start_days=1,
    )  # fmt: skip
    row = words.of(made).rows[3]
    said = " ".join(line.text for line in row.lines)
    assert row.title == "Row 3: 30 to 99 accounts"
    assert "30 to 99 accounts, 3 to 4 payers, fewer than 3 devices" in said
    assert "1 card token, no device tokens, no network address tokens" in said
    assert "around the clock, as machines work (evenness 7 of 9), most at 00 o'clock UTC" in said
    assert "80 % signed up within the 45 days" in said
    assert "They began on one day." in said


def test_the_whole_says_how_much_of_each_kind_there_is() -> None:
    rows = tuple(replace(row, payment=("1" * 64, "2" * 64, "3" * 64)) for row in GOOD.clusters)
    summary = " ".join(words.of(replace(GOOD, clusters=rows)).summary)
    assert "300 rows" in summary
    assert "3 different card tokens, in 300 rows" in summary
    assert f"{len(GOOD.templates)} prompt patterns" in summary
    assert "worthless after the quarter 2026Q4" in summary


def test_the_same_extract_reads_the_same() -> None:
    assert list(words.as_text(GOOD)) == list(words.as_text(extract()))
