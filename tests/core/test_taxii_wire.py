"""TAXII on the wire, by the sections of the standard (OASIS, 10 June 2021)."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.http import QueryDict

from exchange.access import Collection, Held, Query
from exchange.proof.refused import Refused
from exchange.taxii import wire

HOLDING = Collection(
    UUID("6f1c9a52-3f0b-4c55-9d0e-5b8f0c4f7a31"),
    "holding",
    None,
    "Everything",
    "",
    "holding",
    can_read=True,
    can_write=False,
)
LAST = Held("indicator--x", "indicator", "v", datetime(2026, 11, 24, tzinfo=UTC), b"{}", 41)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "application/taxii+json",
        "application/taxii+json;version=2.1",
        "application/taxii+json; version=2.1",
        'application/taxii+json;version="2.1"',
        "Application/TAXII+JSON;Version=2.1",
        "application/taxii+json;version=2.1;q=0.9",
        "text/html, application/taxii+json;version=2.1",
        "application/taxii+json;version=9.9, application/taxii+json;version=2.1",
        "*/*",
    ],
)
def test_1_6_8_every_spelling_of_our_type_is_accepted(header: str) -> None:
    assert wire.accepts(header)


@pytest.mark.parametrize(
    "header", ["text/html", "application/taxii+json;version=2.0", "application/taxii+json;q=0"]
)
def test_3_1_a_range_that_is_not_ours_is_not_acceptable(header: str) -> None:
    assert not wire.accepts(header)


def test_5_3_the_manifest_may_be_asked_for_with_stix_beside() -> None:
    assert wire.accepts("application/stix+json;version=2.1", also=("application/stix+json",))


def test_2_timestamps_have_six_digits_and_z() -> None:
    assert wire.stamp(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize(
    "text",
    [
        "limit=0",
        "limit=-1",
        "limit=abc",
        "limit=1.5",
        "limit=1&limit=2",
        "added_after=yesterday",
        "added_after=2026-13-01T00:00:00Z",
        "added_after=2026-01-01T00:00:00Z&added_after=2026-01-02T00:00:00Z",
        "added_after=2026-01-01T00:00:00Z,2026-01-02T00:00:00Z",
        "match[version]=newest",
        "match[version]=all,last",
        "match[version]=last,last",
        "match[type]=indicator&match[type]=campaign",
        "match[id]=",
        "next=nonsense",
        "next=WyJhIl0",
    ],
)
def test_3_4_malformed_filters_are_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        wire.query_of(QueryDict(text), HOLDING)
    assert refused.value.code == "query.malformed"


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-24T12:00:00Z", 0),
        ("2026-11-24T12:00:00.5Z", 500_000),
        ("2026-11-24T12:00:00.123Z", 123_000),
        ("2026-11-24T12:00:00.123456Z", 123_456),
    ],
)
def test_3_4_added_after_is_read_with_fewer_digits_too(text: str, microsecond: int) -> None:
    query = wire.query_of(QueryDict(f"added_after={text}"), HOLDING)
    assert query.added_after == datetime(2026, 11, 24, 12, 0, 0, microsecond, tzinfo=UTC)


def test_3_4_values_of_one_field_are_alternatives_and_unknown_fields_are_ignored() -> None:
    query = wire.query_of(QueryDict("match[type]=indicator,campaign&match[colour]=red"), HOLDING)
    assert query == Query(types=("indicator", "campaign"))


def test_3_5_next_carries_the_whole_query_and_the_place() -> None:
    query = Query(types=("indicator",), versions=("all",), added_after=LAST.added_at)
    text = wire.cursor_text(HOLDING, query, LAST)
    assert wire.query_of(QueryDict(f"next={text}"), HOLDING) == replace(query, after=41)


def test_3_5_next_with_a_newer_added_after_applies_both() -> None:
    text = wire.cursor_text(HOLDING, Query(added_after=LAST.added_at), LAST)
    later = "2026-11-25T00:00:00Z"
    query = wire.query_of(QueryDict(f"next={text}&added_after={later}&limit=7"), HOLDING)
    assert (query.after, query.limit) == (41, 7)
    assert query.added_after == datetime(2026, 11, 25, tzinfo=UTC)


def test_app_b_next_of_another_collection_is_refused() -> None:
    other = replace(HOLDING, id=UUID("0b80a255-53a1-4945-a932-58ef7777682c"))
    text = wire.cursor_text(HOLDING, Query(), LAST)
    with pytest.raises(Refused):
        wire.query_of(QueryDict(f"next={text}"), other)
