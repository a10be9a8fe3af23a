"""P4, P9 and P10: a flood, a stale or foreign extract, and an operator who looks everywhere."""

import json
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import redis
from django.conf import LazySettings
from django.db import connection

from exchange import children, pool
from exchange.celery import QUEUES
from exchange.management import environment, processes
from exchange.models.pool import Extract, ExtractKey, ExtractTry, SealedExtract
from exchange.pool import sending
from exchange.proof.refused import Refused
from indicators.detection import packing, rules, sealing, taking
from members.auth import Principal
from members.scope import Acting, acting
from tests.cast import Cast, make_cast
from tests.extracts import extract, largest, parts
from tests.promises.test_canaries import dump
from tests.shell.sharing import NOON
from tests.shell.test_tokens import machine

pytestmark = pytest.mark.django_db
NOW = NOON
TODAY = NOW.date()
DAY = timedelta(days=1)
FLOOD = int(os.environ.get("WEIR_FLOOD", "500"))


@pytest.fixture
def cast(settings: LazySettings, tmp_path: Path) -> Cast:
    settings.LEDGER_DIR, settings.SEALED_DIR = tmp_path / "ledger", tmp_path / "sealed"
    settings.FILES_DIR = tmp_path / "files"
    return make_cast(NOW - timedelta(days=60))


@pytest.fixture
def ana(cast: Cast) -> Principal:
    return machine(cast.ana, scopes=("extracts", "tokens"))


@pytest.fixture
def ben(cast: Cast) -> Principal:
    return machine(cast.ben, scopes=("extracts", "tokens"))


def code_of(who: Principal, given: tuple[bytes, bytes, bytes]) -> str:
    """`taken`, or the code of the refusal: as a request has it, what is written stays."""
    with acting(who.acting()):
        try:
            return pool.send(who, given, now=NOW).state
        except Refused as refused:
            return refused.code


@contextmanager
def run() -> Iterator[list[pool.Input]]:
    with acting(Acting(), role="worker"):
        yield list(pool.inputs(now=NOW))


# --- P4: a flood ---------------------------------------------------------------------------------


def test_p04_a_flood_leaves_the_honest_extracts_and_the_memory_alone(
    cast: Cast, ana: Principal, ben: Principal
) -> None:
    """Before a release with ten thousand: `WEIR_FLOOD=10000`."""
    honest = parts(extract(2, day=TODAY))
    assert code_of(ben, honest) == "taken"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = (b"[" * 60_000, b"PAR1" * 10_000, b"x" * 10_000)
    with acting(ana.acting()):
        codes = set()
        for _ in range(FLOOD):
            try:
                pool.send(ana, flood, now=NOW)
            except Refused as refused:
                codes.add(refused.code)
    assert codes == {"extract.manifest", "extract.quota"}
    # Of a flood a handful of digests stays, and one number.
    most = pool.TRIES + 1
    assert Extract.objects.filter(member=cast.aurora).count() == most
    tries = ExtractTry.objects.get(member=cast.aurora)
    assert (tries.tried, tries.refused) == (most, FLOOD - most)
    with run() as inputs:
        assert [one.member_id for one in inputs] == [cast.borealis.id]
        assert inputs[0].digest == Extract.objects.get(member=cast.borealis).digest
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 << 10, grown  # kilobytes


def test_p04_the_child_that_reads_an_extract_stays_under_200_mb() -> None:
    """The largest extract that may be; every bomb is tried in tests/core/test_pool_parquet.py."""
    feed = taking.packed(TODAY, rules.SHIPPED, parts(largest(day=TODAY)))
    child = "indicators.detection.taking"
    assert sending.MEMORY < 200 << 20
    made = children.run(child, feed, memory=sending.MEMORY, seconds=sending.SECONDS)
    assert packing.unpack(made).clusters == largest(day=TODAY).clusters
    # The bound holds: with less than the interpreter itself needs for it, the child ends.
    with pytest.raises(Refused) as caught:
        children.run(child, feed, memory=12 << 20, seconds=sending.SECONDS)
    assert caught.value.code == "child.failed"


# --- P9: stale, re-timed, foreign -----------------------------------------------------------------


def test_p09_each_kind_of_wrong_day_epoch_and_owner_has_its_own_code(
    ana: Principal, ben: Principal
) -> None:
    good = extract(1, day=TODAY)
    assert code_of(ana, parts(good)) == "taken"
    fresh = extract(7, day=TODAY)
    found = {
        "tomorrow": code_of(ben, parts(extract(3, day=TODAY + DAY))),
        "stale": code_of(ben, parts(extract(4, day=TODAY - 2 * DAY))),
        "last quarter": code_of(
            ben, parts(replace(fresh, manifest=replace(fresh.manifest, key_epoch="2026Q3")))
        ),
        "another's": code_of(ben, parts(good)),
        "re-timed": code_of(
            ana, parts(replace(good, manifest=replace(good.manifest, day=TODAY - DAY)))
        ),
        "rows of another time": code_of(
            ben,
            parts(
                replace(
                    fresh,
                    clusters=tuple(
                        replace(row, first_day=row.first_day - 60 * DAY) for row in fresh.clusters
                    ),
                )
            ),
        ),
        "other files": code_of(
            ben,
            (parts(fresh)[0], *parts(extract(8, day=TODAY))[1:]),
        ),
    }
    assert found == {
        "tomorrow": "extract.day-ahead",
        "stale": "extract.day-late",
        "last quarter": "extract.epoch",
        "another's": "extract.other",
        "re-timed": "extract.again",
        "rows of another time": "extract.r9",
        "other files": "extract.digest",
    }
    # Beside them, what is right is taken.
    assert code_of(ben, parts(fresh)) == "taken"
    with run() as inputs:
        assert len(inputs) == 2


# --- P10: an operator looks everywhere -----------------------------------------------------------


def test_p10_database_disk_broker_and_logs_show_no_token_and_no_fact(
    ana: Principal,
    cast: Cast,
    broker: str,
    settings: LazySettings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    made = extract(1, day=TODAY)
    assert code_of(ana, parts(made)) == "taken"
    abel = cast.as_(cast.abel)
    with acting(abel.acting()):
        (sent, *_) = pool.my_extracts(abel)
        view = pool.ask(abel, sent.id, now=NOW)
    with acting(Acting(), role="worker"):
        assert pool.make(now=NOW) == 1
    with acting(abel.acting()):
        assert pool.show(abel, view, now=NOW).words is not None
    looked_at = {
        "database": dump(),
        "disk": b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()),
        "broker": _broker(broker),
        "logs": caplog.text.encode(),
        "queries": repr(connection.queries).encode(),
    }
    facts = [value for row in made.clusters for value in (*row.payment, *row.device, *row.egress)]
    facts += [row.cluster for row in made.clusters]
    facts += [row.hours for row in made.clusters]
    facts += [band for row in made.templates for band in row.bands[:2]]
    facts += ["100-299", "first-party-api", "chain-of-thought", "Row 0: ", "machines work"]
    for where, held in looked_at.items():
        seen = [fact for fact in facts if fact.encode() in held]
        assert seen == [], where
    # The digest alone is there, and in the ledger.
    assert sent.digest.encode() in looked_at["database"]


def test_p10_the_keys_of_every_other_process_open_nothing(
    ana: Principal, settings: LazySettings
) -> None:
    made = extract(1, day=TODAY)
    assert code_of(ana, parts(made)) == "taken"
    row, key = SealedExtract.objects.get(), ExtractKey.objects.get()
    place = b"extract:" + row.member_id.bytes + str(row.day).encode() + row.extract_id.bytes
    for name in ("WRAPPING_KEY", "INDEX_KEY", "TOKEN_KEY", "LEDGER_SLOT_KEY", "POOL_PUBLIC_KEY"):
        with pytest.raises(Refused):
            sealing.unwrap(getattr(settings, name), bytes(key.wrapped), aad=place)
    data_key = sealing.unwrap(settings.POOL_KEY, bytes(key.wrapped), aad=place)
    body = sealing.open_seal(data_key, bytes(row.sealed), aad=place)
    assert packing.unpack(body).clusters == made.clusters


def test_p10_only_the_worker_of_the_pool_is_given_the_key(tmp_path: Path) -> None:
    base = environment.complete(
        b"s" * 32, base_url="https://weir.example", directory=tmp_path, addresses={}
    )
    holders = {
        program.name
        for program in processes.exchange(base, tmp_path, bind="127.0.0.1:0")
        if "POOL_KEY" in program.env
    }
    assert holders == {"pool"}
    assert json.dumps(sorted(base)).count("POOL_KEY") == 1


def _broker(url: str) -> bytes:
    """All that lies in the broker."""
    path = unquote(urlsplit(url).path)
    client = redis.Redis(unix_socket_path=path) if "+socket" in url else redis.from_url(url)
    found = [*QUEUES]
    for name in client.keys("*"):
        found.append(str(name))
        if client.type(name) == b"list":
            found += map(str, client.lrange(name, 0, -1))
    return "\n".join(found).encode()
