"""Slots, leaves and openings: what is shown binds, what is not shown stays hidden."""

import dataclasses
import hashlib
import json

import pytest

from exchange.proof import entry, jcs
from exchange.proof.entry import Item, Opening
from exchange.proof.refused import Refused

NOTE_ID = "note--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061"
VERSION = "2026-11-23T15:59:59.000Z"
RENDITION = "d1b865292978f7d34fe9c637736e7dc65b2f6fe730ce1930e199b35495f8917d"
VALUE = (
    '{"floor":"cfe8177bec3215d3f7e973fae18877a9a7adc29ef2378dbd04559e91b9f63bb9",'
    f'"id":"{NOTE_ID}","index":5,"kind":"release","release":"rel_0005",'
    f'"rendition":"{RENDITION}","seq":3,"time":"2026-11-23T16:00:05.000Z",'
    f'"to":"member-b","v":1,"version":"{VERSION}"}}'
)
SALT = bytes.fromhex("b21bd7bf38e8d72ffdccbaeb407e4a3e2b9dc68fd86905b1177cce1fb5e8fef3")
D_TO = bytes.fromhex("50c24766aa6aab21e1fa3409599e1e8e6ba44b6af12ea4a6cd12613101b3b50c")
D_FROM = bytes.fromhex("6a15204264124b7bcc6fd415d5caded40448dd82e35136586725785ff84a1ceb")
D_AUDIT = bytes.fromhex("b28aa151a562f129a49a5102a6c3dfb5304818a87aca49291bc889b318584c72")
LEAF = bytes.fromhex("96c844053dbeb20f434d1221f425e083ef91df666b6e7eaa9d2e1681be617dc7")
OPENING = Opening(5, LEAF, "to", SALT, VALUE, {"from": D_FROM, "audit": D_AUDIT})


def opened(fields: object, *, items: str | None = None, index: int = 5) -> Opening:
    """An opening that leads to its leaf, whatever its slot says."""
    value = fields if isinstance(fields, str) else jcs.encode(fields).decode()
    d_to = entry.slot_digest("to", SALT, value.encode())
    leaf = entry.leaf(d_to, D_FROM, D_AUDIT)
    return Opening(index, leaf, "to", SALT, value, OPENING.digests, items)


def test_vector_of_entry_5() -> None:
    assert hashlib.sha256(b"weir test vector salt 5 to").digest() == SALT
    assert entry.slot_digest("to", SALT, VALUE.encode()) == D_TO
    assert entry.leaf(D_TO, D_FROM, D_AUDIT) == OPENING.rebuilt() == LEAF
    assert OPENING.check()["seq"] == 3
    assert OPENING.renditions() == (Item(NOTE_ID, VERSION, RENDITION),)


@pytest.mark.parametrize(
    ("name", "salt"), [("too", SALT), ("To", SALT), ("to", SALT[1:]), ("to", b"")]
)
def test_slots_have_three_names_and_whole_salts(name: str, salt: bytes) -> None:
    with pytest.raises(Refused):
        entry.slot_digest(name, salt, b"{}")


def test_an_opening_is_one_line_and_reads_back() -> None:
    text = OPENING.text()
    assert "\n" not in text
    assert json.loads(text)["digests"] == {"from": D_FROM.hex(), "audit": D_AUDIT.hex()}
    assert entry.parse_opening(text) == OPENING
    listed = dataclasses.replace(OPENING, items="[]")
    assert entry.parse_opening(listed.text()) == listed


@pytest.mark.parametrize(
    "changed",
    [
        {"value": VALUE.replace('":', '": ', 1)},  # a space added
        {"value": VALUE.replace("member-b", "member-c")},
        {"salt": bytes(32)},
        {"slot": "audit", "digests": {"to": D_TO, "from": D_FROM}},
        {"digests": {"from": D_AUDIT, "audit": D_FROM}},
        {"leaf": bytes(32)},
    ],
)
def test_an_altered_opening_does_not_lead_to_its_leaf(changed: dict[str, object]) -> None:
    with pytest.raises(Refused) as refused:
        dataclasses.replace(OPENING, **changed).check()  # type: ignore[arg-type]  # a table
    assert refused.value.code == "entry.leaf"


LIST = [["indicator--1", VERSION, RENDITION], ["ipv4-addr--2", None, "00" * 32]]
LISTED = jcs.encode(LIST).decode()


def commitment(text: str, count: int) -> dict[str, object]:
    return {
        "index": 5,
        "items": {"count": count, "sha256": hashlib.sha256(text.encode()).hexdigest()},
    }


def test_a_release_of_several_objects_names_each() -> None:
    opening = opened(commitment(LISTED, 2), items=LISTED)
    assert opening.renditions() == (
        Item("indicator--1", VERSION, RENDITION),
        Item("ipv4-addr--2", None, "00" * 32),
    )


def test_an_empty_slot_names_nothing() -> None:
    assert opened({}).renditions() == ()
    assert opened({"index": 5, "kind": "statement"}).renditions() == ()
    assert opened(commitment("[]", 0), items="[]").renditions() == ()


@pytest.mark.parametrize(
    ("opening", "code"),
    [
        (opened("[]"), "entry.value"),
        (opened('{"index": 5}'), "entry.value"),
        (opened('{"index":5,"index":5}'), "jcs.duplicate"),
        (opened({"index": 4}), "entry.index"),
        (opened({"kind": "release"}), "entry.index"),
        (opened({"index": 5}, index=6), "entry.index"),
        (opened(commitment(LISTED, 2)), "entry.items"),
        (opened(commitment(LISTED, 3), items=LISTED), "entry.items"),
        (opened(commitment(LISTED, 2), items=LISTED + " "), "entry.items"),
        (opened({"index": 5}, items=LISTED), "entry.items"),
        (opened(commitment("{}", 0), items="{}"), "entry.items"),
        (opened(commitment('["x"]', 1), items='["x"]'), "entry.items"),
        (opened(commitment("[[1,2,3]]", 1), items="[[1,2,3]]"), "entry.items"),
        (opened({"index": 5, "rendition": "ABC", "id": "x"}), "entry.items"),
    ],
)
def test_slots_that_do_not_say_what_they_should_are_refused(opening: Opening, code: str) -> None:
    with pytest.raises(Refused) as refused:
        opening.renditions()
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changed",
    [
        {"index": "5"},
        {"index": True},
        {"index": None},
        {"leaf": LEAF.hex().upper()},
        {"leaf": 5},
        {"slot": "audits"},
        {"slot": ["to"]},
        {"salt": "00"},
        {"value": {}},
        {"items": []},
        {"digests": []},
        {"digests": {"from": D_FROM.hex()}},
        {"digests": {"to": D_TO.hex(), "audit": D_AUDIT.hex()}},
        {"digests": {"from": D_FROM.hex(), "audit": None}},
        {"more": 1},
    ],
)
def test_what_is_not_an_opening_is_refused(changed: dict[str, object]) -> None:
    members = {**json.loads(OPENING.text()), **changed}
    with pytest.raises(Refused) as refused:
        entry.parse_opening(json.dumps(members))
    assert refused.value.code == "entry.opening"


@pytest.mark.parametrize("text", ["", "[]", "{}", "5", "\ud800"])
def test_other_json_is_no_opening(text: str) -> None:
    with pytest.raises(Refused):
        entry.parse_opening(text)
