"""The pool's promises about runs: what a hostile member, algorithm or neighbour gains by them."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import duckdb
import pytest
from django.conf import LazySettings
from django.db import connection

from exchange import feedback, findings, runs
from exchange.findings import Told
from exchange.models import (
    Algorithm,
    DryRun,
    LedgerEvent,
    Release,
    ReleaseRecipient,
    Run,
)
from indicators.detection import known, opening, run, scorecard
from indicators.detection.known import Names
from indicators.detection.run import Card, Held, Ran
from indicators.detection.running import Bound, Failed, forked
from indicators.detection.values import ClusterRow, Finding, Pooled
from indicators.models import Contribution
from indicators.stix import extensions
from members.models import Member
from tests.core.detection_material import CAMPAIGN, DAY, SCHOOL
from tests.shell import sharing
from tests.shell.pooling import (
    CARD_TEXT,
    TEXTS,
    WEIGHTS,
    Pool,
    cards,
    made,
    put_in_force,
    with_cards,
)
from tests.shell.sharing import NOON, Way, context, feed, leave, sdo

LATER = NOON + timedelta(hours=1)
CARD = Card(("scorecard", 1), scorecard.START)
KEY = b"k" * 32
OWNERS = {0: "aurora", 1: "borealis", 2: "cirrus", 3: "ember"}


@pytest.fixture
def pool(settings: LazySettings, tmp_path: Path, db: None) -> Pool:
    """Five labs, and the algorithms in force."""
    return Pool(sharing.set_up(settings, tmp_path), settings)


def row(member: int, number: int, base: ClusterRow = CAMPAIGN, *tokens: int) -> Pooled:
    """A row in the pool, on these cards."""
    payment = tuple(f"{n:064x}" for n in tokens)
    changed = replace(base, cluster=f"{number:016x}", payment=payment, device=())
    return Pooled(member, DAY, changed, ())


def found(*rows: Pooled, margin: int = 20) -> tuple[Finding, ...]:
    """What a run says to all of rows that their cards tie."""
    return together(said(*rows, margin=margin))


def together(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those of two members or more, which the exchange says in its own name."""
    return tuple(one for one in findings if len(one.members) > 1)


def said(*rows: Pooled, margin: int = 20) -> tuple[Finding, ...]:
    """The same, and what each member is told to say in its own."""
    held = Held.of(rows)
    tied = Ran(
        ("shared-token", 1),
        is_tie=True,
        pairs=tuple((n, token) for n, one in enumerate(held.rows) for token in one.row.payment),
    )
    card = Card(CARD.algorithm, {**CARD.parameters, "own_margin": margin})
    return run.found(held, [tied], [card]).findings


def told(finding: Finding) -> Told:
    """As the run's process tells it."""
    rest = {name: getattr(finding, name) for name in Finding.__dataclass_fields__ if name != "rows"}
    said = {
        **rest,
        "first_day": finding.first_day.isoformat(),
        "last_day": finding.last_day.isoformat(),
        "templates": [asdict(one) for one in finding.templates],
    }
    return Told("n", b"", None, False, True, finding.algorithms, (), (), said)  # noqa: FBT003


def in_stix(finding: Finding) -> bytes:
    """The objects that the exchange contributes for a finding."""
    made_of = findings.objects(
        told(finding), UUID(int=7), circle=UUID(int=8), made_at=NOON, now=NOON
    )
    return json.dumps(made_of).encode()


# --- P1: planted rows ----------------------------------------------------------------------------


def lawful(number: int) -> Pooled:
    """A lawful customer's group at Borealis."""
    return row(1, 1_000 + number, SCHOOL, 50_000 + number)


def planted(number: int) -> Pooled:
    """A row of Cirrus that would tie it to the campaign."""
    return row(2, 2_000 + number, CAMPAIGN, 1, 2, 50_000 + number)


def test_p01_planted_rows_name_no_lawful_customer() -> None:
    campaign = [row(n % 2, n, CAMPAIGN, 1, 2, 10 + n) for n in range(12)]
    others = [row(3, 9_000 + n, SCHOOL, 90_000 + n) for n in range(600)]
    customers = [lawful(number) for number in range(4)]
    bait = [planted(number) for number in range(4)]
    theirs = {card for one in customers for card in one.row.payment}
    (finding,) = found(*campaign, *others, *customers, *bait)
    named = {one.row.cluster for one in finding.rows}
    assert not named & {one.row.cluster for one in customers}
    # Nor do the customers' cards leave, though they stand in rows that have evidence: but in the
    # name of the one that planted them, who could say so without a pool.
    assert not theirs & set(finding.payment)
    drafts = [one for one in said(*campaign, *others, *customers, *bait) if one != finding]
    assert {one.members for one in drafts if theirs & set(one.payment)} == {frozenset({2})}
    # Without the rule every one of them is named: so it is the rule that holds.
    (all_of_them,) = found(*campaign, *others, *customers, *bait, margin=100_000)
    named = {one.row.cluster for one in all_of_them.rows}
    assert {one.row.cluster for one in customers} <= named
    assert theirs <= set(all_of_them.payment)


# --- P3: differencing ----------------------------------------------------------------------------


def steps(
    before: tuple[Finding, ...], after: tuple[Finding, ...], *, today: bool = False
) -> list[bool]:
    """Whether each finding of a later run says something new."""
    names = Names(KEY, OWNERS)
    memory = {str(n): names.memory(one) for n, one in enumerate(before)}
    made_of = known.steps(after, names, memory, is_settled=lambda _: today)
    assert all(one.before for one in made_of)
    return [one.is_new for one in made_of]


def test_p03_two_algorithms_that_differ_by_one_members_row_say_the_same() -> None:
    base = (row(0, 1, CAMPAIGN, 1, 2), row(1, 2, CAMPAIGN, 1, 3))
    first = found(*base)
    with_one = found(*base, row(2, 3, CAMPAIGN, 1, 77))
    with_two = found(*base, row(2, 3, CAMPAIGN, 1, 77), row(3, 4, CAMPAIGN, 1, 78))
    assert first[0].payment == with_one[0].payment == (f"{1:064x}",)
    assert steps(first, with_one) == [False]
    assert steps(with_one, first) == [False]
    assert steps(first, with_two) == [True]


def test_p03_nothing_new_is_said_twice_on_a_day_or_without_a_bucket_or_token() -> None:
    first = found(row(0, 1, CAMPAIGN, 1, 2), row(1, 2, CAMPAIGN, 1, 3))
    more = found(row(0, 1, CAMPAIGN, 1, 2, 5), row(1, 2, CAMPAIGN, 1, 3, 5))
    assert steps(first, more) == [True]
    assert steps(first, more, today=True) == [False]
    paced = replace(CAMPAIGN, flat=9, last_day=DAY)
    same = found(row(0, 1, paced, 1, 2), row(1, 2, paced, 1, 3))
    assert same != first
    assert steps(first, same) == [False]


def test_p03_what_is_remembered_is_as_long_whoever_is_in_it() -> None:
    names = Names(KEY, OWNERS)
    few = found(row(0, 1, CAMPAIGN, 1, 2), row(1, 2, CAMPAIGN, 1, 3))
    many = found(*(row(n % 4, n, CAMPAIGN, 1, 2) for n in range(9)))
    lengths = {len(names.memory(one).as_bytes()) for one in (*few, *many)}
    assert len(lengths) == 1


def test_same_inputs_give_the_same_bytes_in_both_orders() -> None:
    rows = [row(n % 3, n, CAMPAIGN, 1, 100 + n) for n in range(12)]
    one, other = said(*rows), said(*reversed(rows))
    assert len(one) > 1
    assert [in_stix(finding) for finding in one] == [in_stix(finding) for finding in other]


# --- P7: who sends only bait ---------------------------------------------------------------------


@pytest.mark.django_db
def test_p07_who_sends_bait_holds_what_a_silent_lab_holds(pool: Pool) -> None:
    put_in_force(*TEXTS)
    pool.send(pool.cast.ana, made(1, with_cards("shared", own="a")))
    pool.send(pool.cast.ben, made(2, with_cards("shared", own="b")))
    pool.send(pool.cast.cleo, made(3, *(with_cards(f"bait-{n}", own="c") for n in range(3))))
    assert pool.run() is not None
    leave(now=LATER)
    every = [feed(pool.cast.member(name), now=LATER) for name in ("Cirrus", "Fjord", "Aurora")]
    bodies = [[one.body for one in held] for held in every]
    assert bodies[0]
    # Bait or nothing, a part in it or none: the same bytes.
    assert bodies[0] == bodies[1] == bodies[2]
    said = b"".join(bodies[0])
    for bait in (*cards(3, "bait-0"), *cards(3, "c")):
        assert bait.encode() not in said
    # No name of a lab, no number of them, no parameter: what is said is closed (P8).
    for name in ("Aurora", "Borealis", "Cirrus", "pool"):
        assert name.encode() not in said


@pytest.mark.django_db
def test_every_byte_of_a_finding_left_under_a_published_checkpoint(pool: Pool) -> None:
    put_in_force(*TEXTS)
    pool.send(pool.cast.ana, made(1, with_cards("shared", own="a")))
    pool.send(pool.cast.ben, made(2, with_cards("shared", own="b")))
    assert pool.run() is not None
    # Its windows were open: it is released, and still nobody has a byte of it.
    assert Release.objects.filter(contribution__isnull=False).exists()
    assert not feed(pool.cast.fjord, now=LATER)
    sharing.sequence(now=LATER)
    held = feed(pool.cast.fjord, now=LATER)
    assert held
    exchange = Member.everyone.get(is_exchange=True)
    parts = ReleaseRecipient.objects.filter(member=exchange)
    assert parts.exists()
    assert not parts.filter(idx__isnull=True).exists()
    assert not parts.filter(recipient=exchange).exists()
    assert set(
        Release.objects.filter(contribution__isnull=False).values_list("member", flat=True)
    ) == {exchange.id}
    assert Contribution.objects.get().idx is not None


# --- P8: the scorecard ---------------------------------------------------------------------------


def test_p08_no_parameter_is_in_what_is_sent() -> None:
    rows = (row(0, 1, CAMPAIGN, 1, 2), row(1, 2, CAMPAIGN, 1, 3))
    odd = {name: 37 if CARD.parameters[name] else 0 for name in scorecard.FACTS}
    card = Card(("scorecard", 1), {**odd, "threshold": 613, "own_margin": 97})
    held = Held.of(rows)
    tied = Ran(
        ("shared-token", 1),
        is_tie=True,
        pairs=tuple((n, token) for n, one in enumerate(held.rows) for token in one.row.payment),
    )
    (finding,) = together(run.found(held, [tied], [card]).findings)
    text = in_stix(finding)
    values = json.loads(text)
    texts = [str(leaf) for leaf in leaves(values)]
    for number in (37, 613, 97, finding.score):
        assert str(number) not in texts
    for name in ("threshold", "margin", "scorecard", "score"):
        assert name.encode() not in text
    # Another card that finds the same says the same, but for steps of five of confidence.
    weaker = Card(card.algorithm, {**card.parameters, "threshold": 600})
    (other,) = together(run.found(held, [tied], [weaker]).findings)
    plain = [in_stix(replace(one, confidence=50, score=0)) for one in (finding, other)]
    assert plain[0] == plain[1]
    assert {finding.confidence % 5, other.confidence % 5} == {0}


def leaves(value: object) -> Iterator[object]:
    """Every plain value in a JSON document."""
    if isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    else:
        yield value


# --- P11: what crashes or starves a run ----------------------------------------------------------


def cross_join() -> bytes:
    """A query that never ends."""
    with duckdb.connect(":memory:", config={"threads": 1}) as engine:
        every = "range(100000) a, range(100000) b, range(100000) c"
        query = f"SELECT count(*) FROM {every} WHERE a.range % 7 = (b.range + c.range) % 5"  # noqa: S608
        return str(engine.execute(query).fetchone()).encode()


def hog() -> bytes:
    """More memory than there is for it."""
    return bytes(bytearray(4 << 30)[:1])


def crash() -> bytes:
    """A fault of the engine, whose text quotes what it read."""
    raise ValueError("a row of the pool")


@pytest.mark.parametrize(
    ("work", "trouble"), [(cross_join, "time"), (hog, "memory"), (crash, "broken")]
)
def test_p11_an_algorithm_ends_in_time_whatever_it_does(work: object, trouble: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Failed, match=f"^{trouble}$"):
        forked(work, Bound(seconds=3, memory=1 << 30))  # type: ignore[arg-type] # one of ours
    assert time.monotonic() - begun < 60
    assert forked(lambda: b"others go on", Bound(seconds=20, memory=256 << 20)) == b"others go on"
    assert opening.MODULE == runs.MODULE


@pytest.mark.django_db
def test_p11_a_broken_algorithm_is_suspended_and_the_others_go_on(pool: Pool) -> None:
    keys = put_in_force(*TEXTS)
    (broken,) = put_in_force(CARD_TEXT.replace(b"7b03", b"7b04"), kept_as=b"kind: nothing")
    wish = DryRun.objects.create(
        algorithm_id=keys[1],
        user=pool.cast.dora,
        document_id=uuid4(),
        digest=Algorithm.objects.get(pk=keys[1]).digest,
        day=NOON.date(),
        asked_at=NOON,
    )
    pool.send(pool.cast.ana, made(1, with_cards("shared", own="a")))
    pool.send(pool.cast.ben, made(2, with_cards("shared", own="b")))
    row_of = pool.run()
    assert row_of is not None
    assert row_of.state == Run.State.DONE
    assert Contribution.objects.count() == 1
    row = Algorithm.objects.get(pk=broken)
    assert (row.state, row.trouble) == (Algorithm.State.SUSPENDED, "refused")
    (alarm,) = runs.alarms(pool.cast.as_(pool.cast.pia))
    assert (alarm.code, alarm.algorithm) == ("algorithm-refused", str(row.document_id))
    wish.refresh_from_db()
    assert (wish.state, wish.rows_bucket, wish.members_bucket) == ("done", "2-9", "2+")


@pytest.mark.django_db
def test_p11_a_run_that_starves_says_so_and_says_nothing_else(pool: Pool) -> None:
    put_in_force(*TEXTS)
    pool.send(pool.cast.ana, made(1, with_cards("shared", own="a")))
    pool.send(pool.cast.ben, made(2, with_cards("shared", own="b")))
    row_of = pool.run(limit=runs.Limit(seconds=20, memory=1 << 20))
    assert row_of is not None
    codes = {alarm.code for alarm in runs.alarms(pool.cast.as_(pool.cast.pia))}
    assert codes <= {"algorithm-memory", "algorithm-broken", "algorithm-time"}
    assert codes
    assert not Contribution.objects.exists()


# --- disputes ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_disputed_finding_says_nothing_until_it_is_answered(pool: Pool) -> None:
    put_in_force(*TEXTS)
    pool.send(pool.cast.ana, made(1, with_cards("shared", own="a")))
    pool.send(pool.cast.ben, made(2, with_cards("shared", own="b")))
    assert pool.run() is not None
    leave(now=LATER)
    held = sharing.bodies(feed(pool.cast.cirrus, now=LATER))
    campaign = next(one["id"] for one in held if one["type"] == "campaign")
    wrong = {**context("sighting", "S2")}
    wrong[extensions.CONTEXT] = {**wrong[extensions.CONTEXT], "disposition": "false-positive"}
    said = sdo("sighting", at=LATER, sighting_of_ref=campaign, count=1, extensions=wrong)
    way = Way(pool.cast, pool.cast.forum)
    way.give(said, by=pool.cast.cleo, now=LATER)
    leave(now=LATER + timedelta(hours=1))
    dora = pool.cast.as_(pool.cast.dora)
    (task,) = feedback.tasks(dora)
    assert task.stix_id == campaign
    # Whoever waits for the answer is the forum's counsel; the finding's rows are out meanwhile.
    assert findings.disputed()
    tomorrow = NOON + timedelta(days=1)
    for user, seed, own in ((pool.cast.ana, 1, "a"), (pool.cast.ben, 2, "b")):
        pool.send(
            user, made(seed, with_cards("shared", "late", own=own), day=tomorrow), now=tomorrow
        )
    assert pool.run(now=tomorrow) is not None
    assert Contribution.objects.filter(member__is_exchange=True).count() == 1
    feedback.answer(dora, task.id, answer="stands", note="We looked at it again.", now=tomorrow)
    assert not findings.disputed()
    assert pool.run(now=tomorrow) is not None
    assert Contribution.objects.filter(member__is_exchange=True).count() == 2


# --- canaries ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_no_token_of_the_pool_is_in_the_database_of_a_run(pool: Pool) -> None:
    put_in_force(*TEXTS)
    pool.send(pool.cast.ana, made(1, with_cards("lone", own="canary")))
    assert pool.run() is not None
    canary = cards(3, "canary")[0]
    assert WEIGHTS["flat"] == 10
    with connection.cursor() as cursor:
        for table in ("exchange_run", "exchange_finding", "exchange_findingobject", "ledger_event"):
            cursor.execute(f"SELECT row_to_json(one)::text FROM {table} one")  # noqa: S608 - ours
            whole = " ".join(text for (text,) in cursor.fetchall())
            assert canary not in whole
            assert canary.encode().hex() not in whole
    assert LedgerEvent.objects.exists()
