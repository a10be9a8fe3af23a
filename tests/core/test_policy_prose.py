"""The floor for lawyers: nothing that the document states is left out of its words."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from exchange.policy import catalogue, prose, terms

ON = date(2026, 11, 24)
FLOOR = terms.Floor.parse(terms.shipped_floor())
SECTIONS = prose.whole(FLOOR, on=ON)


def text_of(sections: tuple[prose.Section, ...] = SECTIONS) -> str:
    """All of it as one text."""
    said: list[str] = []
    for section in sections:
        said += [section.title, *section.sentences]
        for table in section.tables:
            said += [table.caption, *table.head, *(cell for row in table.rows for cell in row)]
    return "\n".join(said)


def stated(value: Any) -> Iterator[str]:
    """Each key and value of a document that a reader would look for."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key.startswith(("C", "D")) and key[1:3].isdigit():
                yield key
            yield from stated(below)
    elif isinstance(value, list):
        for below in value:
            yield from stated(below)
    elif isinstance(value, str):
        yield value
    elif type(value) is int:
        yield str(value)


# What is said in other words: who approves, and how the words for treatments read.
IN_OTHER_WORDS = {"contributor-counsel", "pass", "coarsen", "token", "drop"}
IN_OTHER_WORDS |= {"calendar", "decade", "confidence", "decimals", "path-cut"}


def test_everything_that_the_floor_states_is_in_its_words() -> None:
    text = text_of()
    missing = {one for one in stated(FLOOR.document) if one not in text}
    assert missing - IN_OTHER_WORDS == set()


def test_every_rule_is_named_in_full_with_its_version() -> None:
    text = text_of()
    for name in FLOOR.document["rules"]:
        assert FLOOR.rule_id(name) in text
    for name, row in FLOOR.document["holds"].items():
        assert f"floor/1/hold/{row['class']}/{name}" in text


def test_every_known_property_has_a_row_with_its_rule() -> None:
    (section,) = (one for one in SECTIONS if one.anchor == "properties")
    rows = {f"{table.caption}.{row[0]}": row for table in section.tables for row in table.rows}
    assert set(rows) == set(catalogue.properties())
    assert rows["indicator.description"][2:] == ("is removed", "", "floor/1/narrative")
    assert rows["sighting.count"][2] == "is cut to the lower edge of its decade"
    assert rows["campaign.first_seen"][2] == "is cut to the day"


def test_a_changed_floor_reads_changed() -> None:
    document = terms.shipped_floor()
    document["minimum_circle"] = 5
    document["drop_properties"] = ["sighting.count"]
    document["version"] = 2
    sections = prose.whole(terms.Floor.parse(document), on=ON)
    assert "A circle has at least 5 members" in text_of(sections)
    (section,) = (one for one in sections if one.anchor == "properties")
    (row,) = (
        row
        for table in section.tables
        for row in table.rows
        if table.caption == "sighting" and row[0] == "count"
    )
    assert row[2:] == ("is removed", "", "floor/2/drop-property")


def test_a_lapsed_basis_says_so() -> None:
    by_id = {one.id: one for one in prose.bases(FLOOR.document, on=ON)}
    assert by_id["cisa-2015"].has_lapsed
    assert not by_id["cisa-2015"].is_in_force
    assert by_id["contract-only"].is_in_force
    last = {one.id: one for one in prose.bases(FLOOR.document, on=date(2026, 9, 30))}
    assert last["cisa-2015"].is_in_force


def test_chapters_have_names_of_their_own_to_link_to() -> None:
    anchors = [section.anchor for section in SECTIONS]
    assert len(set(anchors)) == len(anchors)
    for section in SECTIONS:
        for table in section.tables:
            assert all(len(row) == len(table.head) for row in table.rows), table.caption
