"""P4 of documents: whoever floods the exchange with algorithms changes nothing of the others.

Before a release with ten thousand: `WEIR_FLOOD=10000`.
"""

import json
import logging
import os
import resource
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange import algorithms, children, runs
from exchange.algorithms import life, trials
from exchange.algorithms.sealed import open_text
from exchange.models import (
    Algorithm,
    AlgorithmAct,
    AlgorithmText,
    DryRun,
    LedgerEvent,
    Run,
)
from exchange.proof.refused import Refused
from indicators.detection import document
from indicators.models import Contribution
from members.models import User
from members.scope import Acting, acting
from tests import algorithms as made
from tests.cast import Cast
from tests.core.algorithm_material import SIGMA, written
from tests.doors.stage import as_owner
from tests.doors.test_web_pages import browser
from tests.shell import sharing
from tests.shell.pooling import TEXTS, Pool, put_in_force, with_cards
from tests.shell.pooling import made as extract
from tests.shell.sharing import NOON

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not algorithms.is_on(), reason="the extra is not installed"),
]
FLOOD = int(os.environ.get("WEIR_FLOOD", "168"))
DAY = timedelta(days=1)
MANY = f"at most {life.MOST_OPEN} algorithms on their way"


@pytest.fixture
def pool(settings: LazySettings, tmp_path: Path) -> Pool:
    """Five labs, algorithms in force, and a campaign at two of them."""
    found = Pool(sharing.set_up(settings, tmp_path), settings)
    put_in_force(*TEXTS)
    found.send(found.cast.ana, extract(1, with_cards("shared", own="a")))
    found.send(found.cast.ben, extract(2, with_cards("shared", own="b")))
    return found


def post(client: Client, text: str) -> tuple[int, str]:
    """A document given in at the door: its status, and what the page says."""
    as_owner()
    answer = client.post("/algorithms/new/", {"text": text, "step": "keep"})
    as_owner()
    return answer.status_code, answer.content.decode()


def flood(number: int) -> str:
    """Good ones, twice the same, wrong ones, bombs, and some that are far too large."""
    good = made.text("pool" if number % 2 else "log")
    return (
        good,
        good.replace("licence", "license"),
        "a: &a [*a, *a]\n" * 9,
        "[" * 60_000,
        good + "#" * 200_000,
        written({**SIGMA, "id": str(uuid4()), "tests": heavy()}).decode(),
    )[number % 6]


def heavy() -> list[dict[str, Any]]:
    """Cases as large as they may be."""
    rows = {"account_day": [{"account": n, "flat": 7, "mid": True} for n in range(200)]}
    return [{**case, "name": f"{case['name']}-{n}"} | ({"rows": rows} if n else {})
            for n in range(4) for case in SIGMA["tests"]]  # fmt: skip


def would_find() -> bytes:
    """All that a run says just now: what it reads, and each finding whole but its random name."""
    with acting(Acting(), role="worker"):
        active = algorithms.active(NOON)
        inputs = runs._inputs(active, frozenset(), now=NOON)
        head = runs._head(active, (), frozenset(), runs.Limit(), now=NOON)
        count, said = runs._asked(head, now=NOON)
    as_owner()
    random = ("name", "memory")
    found = [{name: one[name] for name in one if name not in random} for one in said.pop("found")]
    assert found
    return json.dumps([inputs.hex(), count, said, found], sort_keys=True).encode()


def bens(cast: Cast) -> list[tuple[object, ...]]:
    """All that the exchange keeps of Borealis's algorithms."""
    rows = AlgorithmText.objects.filter(member=cast.borealis).select_related("algorithm")
    return sorted(
        (str(row.algorithm_id), row.algorithm.state, bytes(row.algorithm.digest).hex(),
         row.algorithm.changed_at, open_text(row), bytes(row.sealed))
        for row in rows
    )  # fmt: skip


def test_p04_a_flood_of_documents_changes_no_document_and_no_finding_of_others(
    pool: Pool,
) -> None:
    cast, ana, ben = pool.cast, browser(pool.cast.ana), browser(pool.cast.ben)
    assert post(ben, algorithms.starting_text())[0] == 302
    before, kept, events = would_find(), bens(cast), LedgerEvent.objects.count()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    came: Counter[tuple[int, bool]] = Counter()
    logging.disable()  # else the test's own log holds each request that was refused
    for number in range(FLOOD):
        status, page = post(ana, flood(number))
        came[status, MANY in page] += 1
    logging.disable(logging.NOTSET)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
    # Of the good ones so many are kept as a member may have on their way; each other one has an
    # answer that says why, and none is an error of ours.
    assert came[302, False] == life.MOST_OPEN
    assert {status for status, _ in came} <= {302, 400, 409, 413, 422}
    assert sum(count for (_, is_many), count in came.items() if is_many) > 0
    assert grown < 64 << 10, grown  # kilobytes
    # Nothing is half stored: what is kept is whole, and of the rest there is nothing.
    texts = AlgorithmText.objects.filter(member=cast.aurora).select_related("algorithm")
    assert len(texts) == Algorithm.objects.filter(member=cast.aurora).count() == life.MOST_OPEN
    for row in texts:
        digest = document.parse(open_text(row).encode()).digest
        assert digest == bytes(row.algorithm.digest).hex()
    assert LedgerEvent.objects.count() == events
    assert not AlgorithmAct.objects.exists()
    # Of the others nothing has changed, and they go on as before.
    assert bens(cast) == kept
    assert would_find() == before
    status, _ = post(ben, algorithms.starting_text())
    assert status == 302
    (first, *_) = Algorithm.objects.filter(member=cast.borealis).order_by("created_at")
    as_owner()
    assert ben.post(f"/algorithms/{first.id}/act/", {"step": "submit"}).status_code == 302
    first.refresh_from_db()
    assert first.state == "submitted"


def test_p04_what_is_written_and_put_aside_again_counts_for_the_day(
    pool: Pool, settings: LazySettings
) -> None:
    settings.ALGORITHM_QUOTA = 12
    ana, now = pool.cast.as_(pool.cast.ana), timezone.now()
    with acting(ana.acting()):
        for _ in range(settings.ALGORITHM_QUOTA):
            algorithms.discard(ana, algorithms.write(ana, made.text(), now=now), now=now)
        for _ in range(3):
            with pytest.raises(Refused, match="at most 12 new algorithms a day") as refused:
                algorithms.write(ana, made.text(), now=now)
            assert refused.value.code == "algorithm.quota"
    as_owner()
    assert Algorithm.objects.filter(member=pool.cast.aurora).count() == settings.ALGORITHM_QUOTA
    ben = pool.cast.as_(pool.cast.ben)
    with acting(ben.acting()):
        assert algorithms.write(ben, made.text(), now=now)
    with acting(ana.acting()):
        assert algorithms.write(ana, made.text(), now=now + DAY)


def wish(cast: Cast, row: Algorithm, user: User, *, minutes: int) -> UUID:
    """A dry run that somebody asked for after so many minutes."""
    principal = cast.as_(user)
    with acting(principal.acting()):
        return algorithms.ask_dry_run(principal, row.id, now=NOON + timedelta(minutes=minutes))


def test_p04_many_dry_runs_of_one_member_make_nobody_wait(pool: Pool) -> None:
    cast = pool.cast
    for _ in range(4):
        row = made.put(cast, "reviewed", runs_on="pool", now=NOON)
        for again in range(life.MOST_DRY_RUNS):
            wish(cast, row, cast.ana, minutes=again)
    row = made.put(cast, "reviewed", runs_on="pool", author=cast.ben, now=NOON)
    theirs = wish(cast, row, cast.ben, minutes=30)
    with acting(Acting(), role="worker"):
        waiting = [one.id for one in algorithms.wanted()]
    assert waiting.index(theirs) <= 1
    run = pool.run()
    assert run is not None
    assert run.state == Run.State.DONE
    assert Contribution.objects.filter(member__is_exchange=True).count() == 1
    answered = DryRun.objects.get(pk=theirs)
    assert (answered.state, answered.members_bucket) == ("done", "2+")
    assert DryRun.objects.filter(state="waiting").count() == 13 - 10


def test_p04_the_child_that_tries_a_document_stays_within_its_memory_and_time() -> None:
    """The heaviest cases that a document may have; with less memory than it needs, it ends."""
    text = written({**SIGMA, "tests": heavy()})
    assert len(text) < document.MOST_OCTETS
    feed = {"memory": trials.MEMORY, "seconds": trials.SECONDS}
    found = trials.read(children.run(trials.MODULE, text, **feed))
    assert len(found.cases) == len(heavy())
    with pytest.raises(Refused) as refused:
        children.run(trials.MODULE, text, memory=24 << 20, seconds=trials.SECONDS)
    assert refused.value.code == "child.failed"
