"""Answers, statements and the verifier's memory: what is not in its form is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.proof import answers, records, state
from exchange.proof.answers import Answer, Mark, Row
from exchange.proof.jws import Key, thumbprint
from exchange.proof.note import Checkpoint, Proven
from exchange.proof.records import Recorded
from exchange.proof.refused import Refused
from exchange.proof.state import Account, State
from exchange.proof.statements import Days

ANSWER = Answer(
    ("object", "count"),
    (Row(("indicator--x", 3), (Mark(5, "to", {"id": "indicator--x"}),)), Row(("=1+1", None))),
)
POINT = Proven(0, Checkpoint("x/ledger", 1, bytes(32)), ())


def recorded(index: int, **fields: object) -> Recorded:
    return Recorded(index, bytes(32), (), POINT, "to", fields)


def test_an_answer_is_read_as_it_was_written() -> None:
    assert answers.parse(ANSWER.json()) == ANSWER
    assert ANSWER.csv() == b"object,count,ledger entries\r\nindicator--x,3,5/to\r\n'=1+1,,\r\n"


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"columns": [1]},
        {"rows": {}},
        {"rows": [1]},
        {"rows": [{"cells": [1], "entries": []}]},
        {"rows": [{"cells": [1, 1.5], "entries": []}]},
        {"rows": [{"cells": [1, True], "entries": []}]},
        {"rows": [{"cells": [1, 2], "entries": [1]}]},
        {"rows": [{"cells": [1, 2], "entries": [{"index": -1, "slot": "to", "says": {}}]}]},
        {"rows": [{"cells": [1, 2], "entries": [{"index": 1, "slot": "x", "says": {}}]}]},
        {"more": 1},
    ],
)
def test_what_is_no_answer_is_refused(change: dict[str, object]) -> None:
    value = {**json.loads(ANSWER.json()), **change}
    for text in (json.dumps(value), json.dumps(value, sort_keys=True, separators=(",", ":"))):
        with pytest.raises(Refused) as refused:
            answers.parse(text.encode())
        assert refused.value.code == "answer.form"
    with pytest.raises(Refused):
        answers.parse(ANSWER.json() + b" ")


@pytest.mark.parametrize(
    ("says", "holds"),
    [
        ({}, True),
        ({"kind": "release"}, True),
        ({"kind": "recall"}, False),
        ({"floor": "x"}, False),
        ({"id": "a", "version": "1"}, True),
        ({"id": "b", "version": "1"}, False),  # the id of one object, the version of another
    ],
)
def test_a_row_repeats_what_its_entry_says(says: dict[str, object], *, holds: bool) -> None:
    objects: list[tuple[str, str | None, str]] = [("a", "1", "d"), ("b", "2", "e")]
    if holds:
        answers.check_mark(Mark(1, "to", says), {"kind": "release"}, objects)
    else:
        with pytest.raises(Refused):
            answers.check_mark(Mark(1, "to", says), {"kind": "release"}, objects)


def told(index: int, status: str, *, at: int, public: bytes = b"k" * 32) -> Recorded:
    key = Key(public, "bundle", status=status, revoked_at=at if status == "revoked" else None)
    return recorded(
        index, kind="key", purpose="bundle", kid=key.kid, jwk=key.jwk(), status=status, at=at
    )


def test_a_keys_life_goes_one_way_in_whatever_order_it_is_told() -> None:
    rows = [told(3, "revoked", at=9), told(1, "active", at=5), told(2, "next", at=1)]
    for order in (rows, rows[::-1]):
        (key,) = records.history(order)
        assert (key.status, key.revoked_at, key.kid) == ("revoked", 9, thumbprint(b"k" * 32))
    other = replace(rows[0], fields={**rows[0].fields, "purpose": "delivery"})
    for wrong in (other, replace(rows[0], fields={**rows[0].fields, "at": "x"})):
        with pytest.raises(Refused) as refused:
            records.history([wrong])
        assert refused.value.code == "keys.entry"


def statement(index: int, day: str, received: object, contributed: object = None) -> Recorded:
    none = {"first": None, "last": None, "count": 0}
    fields = {"day": day, "received": received, "contributed": contributed or none}
    return recorded(index, kind="statement", seq=100 + index, **fields)


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (statement(2, "2026-11-02", {"first": 4, "last": 6, "count": 3}), ""),
        (statement(2, "2026-11-02", {"first": None, "last": None, "count": 0}), ""),
        (statement(2, "2026-11-03", {"first": 4, "last": 6, "count": 3}), "statement.day"),
        (statement(2, "2026-11-02", {"first": 5, "last": 6, "count": 2}), "statement.count"),
        (statement(2, "2026-11-02", {"first": 4, "last": 6, "count": 2}), "statement.count"),
        (statement(2, "2026-11-02", {"first": 4, "last": 102, "count": 99}), "statement.count"),
        (statement(2, "2026-11-02", 3), "statement.form"),
        (statement(2, "never", {"first": 4, "last": 6, "count": 3}), "statement.form"),
    ],
)
def test_statements_follow_on_each_other(second: Recorded, code: str) -> None:
    days = Days()
    days.see(statement(1, "2026-11-01", {"first": 1, "last": 3, "count": 3}), "note")
    assert days.faults == []
    days.see(second, "note")
    assert [fault.code for fault in days.faults] == ([code] if code else [])


def test_the_state_is_replaced_whole_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "weir.state"
    assert state.read(path) == State()
    made = State("https://x", "x/ledger", ("v",), to=Account(3, 9)).seen("x\n1\na\n").seen("x\n2\n")
    made = made.seen("x\n2\nagain")
    assert len(made.cosigned) == 2
    made.write(path)
    assert state.read(path) == made
    assert [one.name for one in tmp_path.iterdir()] == ["weir.state"]
    for broken in (b"", b"{", b"[]", b'{"v":2}', path.read_bytes().replace(b'"v": 1', b'"w": 1')):
        path.write_bytes(broken)
        with pytest.raises(Refused) as refused:
            state.read(path)
        assert refused.value.code == "state.broken"
