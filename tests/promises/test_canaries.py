"""What must not leave leaves nowhere: not to a recipient, a log, a broker, or a thief's dump."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from psycopg import sql

from exchange import review
from exchange.celery import app
from exchange.models import Hold
from indicators.models import Contribution
from tests.doors.stage import as_owner
from tests.shell.sharing import NOON, Way, feed, leave, set_up

pytestmark = pytest.mark.django_db
MARK = "cnry"
_MINTED = ("id", "created", "modified", "name", "created_by_ref")


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Iterator[Way]:
    cast = set_up(settings, tmp_path)
    yield Way(cast, cast.forum)
    as_owner()


@pytest.fixture
def sets(shared_data: Path) -> list[dict[str, Any]]:
    text = (shared_data / "antitrust" / "dirty-objects.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def release_all_holds(way: Way) -> None:
    """Every approver whom the floor names says yes to everything."""
    reason = "Released for this test, with a reason."
    for person, role in ((way.cast.dora, "forum-counsel"), (way.cast.alma, "contributor-counsel")):
        rows = Hold.objects.filter(state="open", approvers__contains=[role])
        ids = list(rows.values_list("id", flat=True))
        if ids:
            review.act(way.cast.as_(person), ids, act="release", reason=reason, now=NOON)


def told_to_recipients(way: Way) -> str:
    """Every byte that any member but the contributor can read of it, minted parts apart."""
    said: list[str] = []
    for lab in (way.cast.borealis, way.cast.cirrus, way.cast.ember, way.cast.fjord):
        for held in feed(lab, now=NOON + timedelta(hours=3)):
            obj = json.loads(held.body)
            said.append(held.body.decode())
            said.append(json.dumps(obj, ensure_ascii=False))
    return "\n".join(said)


def without_minted(text: str) -> str:
    """The same objects without what the exchange mints: its numbers may look like anything."""
    lines = []
    for line in text.splitlines():
        obj = json.loads(line)
        lines.append(json.dumps({k: v for k, v in obj.items() if k not in _MINTED}))
    return "\n".join(lines)


def dump() -> bytes:
    """Every row of every table, sealed bytes as they are."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table)))
            for (row,) in cursor.fetchall():
                found.append(row.encode())
                found += [bytes.fromhex(part) for part in _bytea(row)]
    return b"\n".join(found).lower()


def _bytea(row: str) -> list[str]:
    return [
        part[: len(part) - len(part) % 2]
        for part in row.replace("\\\\x", "\\x").split("\\x")[1:]
        for part in [part.split('"')[0].split(",")[0].split(")")[0]]
        if part and all(char in "0123456789abcdef" for char in part)
    ]


def test_no_canary_reaches_anybody(
    way: Way, sets: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for one in sets:
        way.give(*one["objects"])
    release_all_holds(way)
    for hours in (1, 2):
        leave(now=NOON + timedelta(hours=hours))
    said = told_to_recipients(way)
    assert said
    assert MARK not in said.lower()
    assert MARK not in caplog.text.lower()
    assert MARK.encode() not in dump()
    bare = without_minted(said)
    for one in sets:
        for text in one["must_not_appear"]:
            assert text not in bare, one["case"]


@pytest.mark.parametrize("number", range(16))
def test_each_dirty_set_keeps_what_may_pass(
    way: Way, sets: list[dict[str, Any]], number: int
) -> None:
    one = sets[number]
    way.give(*one["objects"])
    release_all_holds(way)
    for hours in (1, 2):
        leave(now=NOON + timedelta(hours=hours))
    said = told_to_recipients(way)
    for text in one.get("must_appear", ()):
        assert text in said, (one["case"], text)
    bare = without_minted(said) if said else ""
    for text in one["must_not_appear"]:
        assert text not in bare, (one["case"], text)


def test_the_broker_carries_ids_only(way: Way, sets: list[dict[str, Any]], broker: str) -> None:
    for one in sets:
        way.give(*one["objects"])
    ids = {str(pk) for pk in Contribution.objects.values_list("id", flat=True)}
    with app.connection_for_read() as channel:
        client = channel.default_channel.client  # type: ignore[attr-defined] # Redis has one
        kept = b"".join(
            b"".join(client.lrange(name, 0, -1))
            for name in client.keys("*")
            if client.type(name) == b"list"
        )
    assert MARK.encode() not in kept.lower()
    assert ids
