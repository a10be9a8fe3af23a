"""An algorithm goes its way by five people; each step refuses whoever it does not belong to."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import orjson
import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from exchange import algorithms
from exchange.algorithms import life
from exchange.ledger import intake
from exchange.models import Algorithm, AlgorithmText, LedgerEvent
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.detection import shipped
from members.auth import Principal
from members.scope import acting
from tests import algorithms as made
from tests.cast import Cast, make_cast
from tests.shell.sharing import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_cast(NOON)


def digest(row: Algorithm) -> str:
    return bytes(row.digest).hex()


def events(kind: str) -> list[dict[str, dict[str, object]]]:
    """What the ledger was given, slot by slot."""
    rows = LedgerEvent.objects.filter(kind=kind).order_by("id")
    seal, found = intake.seal(), []
    for row in rows:
        slots: dict[str, dict[str, object]] = orjson.loads(
            seal.open(bytes(row.slots), aad=intake.event_aad(row.pk))
        )
        found.append(slots)
    return found


def test_what_ana_writes_is_sealed_and_her_companys(cast: Cast) -> None:
    ana = cast.as_(cast.ana)
    with acting(ana.acting()):
        kept = algorithms.write(ana, made.text(), now=NOON)
        view = algorithms.view(ana, kept, now=NOON)
        assert view is not None
        assert made.CANARY in view.text
        assert view.may == {"write", "discard"}
        assert [one.state for one in algorithms.own(ana)] == ["draft"]
    assert made.CANARY.encode() not in bytes(AlgorithmText.objects.get().sealed)
    for other in (cast.ben, cast.cleo, cast.dora, cast.otto, cast.pia):
        who = cast.as_(other)
        with acting(who.acting()):
            assert algorithms.view(who, kept, now=NOON) is None
            assert algorithms.own(who) == ()
            assert algorithms.queue(who) == ()
            assert algorithms.in_force(NOON) == ()


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("abel", lambda who, row: algorithms.write(who, made.text(), now=NOON)),
        ("dora", lambda who, row: algorithms.write(who, made.text(), now=NOON)),
        ("ana", lambda who, row: algorithms.approve(who, row.id, digest=digest(row), now=NOON)),
        ("dora", lambda who, row: algorithms.approve(who, row.id, digest=digest(row), now=NOON)),
        ("pia", lambda who, row: algorithms.submit(who, row.id, now=NOON)),
        (
            "otto",
            lambda who, row: algorithms.withdraw(who, row.id, reason="for no reason", now=NOON),
        ),
        ("alma", lambda who, row: review(who, row)),
        ("alma", lambda who, row: algorithms.lift(who, row.id, reason="for no reason", now=NOON)),
        ("dora", lambda who, row: algorithms.activate(who, row.id, digest=digest(row), now=NOON)),
        ("pia", lambda who, row: algorithms.ask_dry_run(who, row.id, now=NOON)),
    ],
)
def test_each_step_is_somebodys_own(
    cast: Cast, name: str, step: Callable[[Principal, Algorithm], object]
) -> None:
    row = made.put(cast, "submitted", now=NOON)
    with pytest.raises(Forbidden):
        step(cast.as_(getattr(cast, name)), row)


def review(who: Principal, row: Algorithm, *, points: tuple[str, ...] = life.POINTS) -> None:
    algorithms.review(
        who, row.id, digest=digest(row), points=points, reason="read all of it", now=NOON
    )


def test_cleo_moves_nothing_of_auroras(cast: Cast) -> None:
    row = made.put(cast, "draft", now=NOON)
    cleo = cast.as_(cast.cleo)
    for step in (
        lambda: algorithms.write(cleo, made.text(), algorithm_id=row.id, now=NOON),
        lambda: algorithms.discard(cleo, row.id, now=NOON),
        lambda: algorithms.submit(cleo, row.id, now=NOON),
        lambda: algorithms.withdraw(cleo, row.id, reason="for no reason", now=NOON),
        lambda: algorithms.text_of(cleo, row.id),
    ):
        with pytest.raises(NotFound):
            step()


def test_the_whole_way_is_on_the_record_and_names_nobody_to_the_forum(cast: Cast) -> None:
    row = made.put(cast, "submitted", now=NOON)
    alma, dora, pia = (cast.as_(who) for who in (cast.alma, cast.dora, cast.pia))
    algorithms.approve(alma, row.id, digest=digest(row), now=NOON)
    with pytest.raises(Refused, match="point"):
        review(dora, row, points=life.POINTS[1:])
    review(dora, row)
    with pytest.raises(Refused, match="dry run"):
        algorithms.activate(pia, row.id, digest=digest(row), now=NOON)
    wish = algorithms.ask_dry_run(dora, row.id, now=NOON)
    assert [one.id for one in algorithms.wanted()] == [wish]
    assert algorithms.answer(wish, rows="10-99", members="2+", look_alikes=0, now=NOON)
    assert algorithms.wanted() == ()
    with pytest.raises(Refused, match="changed"):
        algorithms.activate(pia, row.id, digest="00" * 32, now=NOON)
    assert algorithms.active(NOON) == ()
    last = algorithms.activate(pia, row.id, digest=digest(row), now=NOON)
    assert last == NOON.date() + timedelta(days=180)
    (active,) = algorithms.active(NOON)
    assert made.CANARY in active.text
    assert active.digest == digest(row)
    assert algorithms.active(NOON + timedelta(days=181)) == ()
    (opened,) = events("policy")
    assert opened["to"]["act"] == "active"
    assert opened["to"]["digest"] == digest(row)
    assert opened["to"]["valid_until"] == last.isoformat()
    told = str(opened["to"])
    for name in (str(cast.aurora.id), str(cast.ana.id), made.CANARY):
        assert name not in told
    acts = [one["from"]["decision"] for one in events("decision")]
    assert acts == ["approve", "review", "activate"]
    assert all("reason" not in one["audit"] for one in events("decision"))


def test_a_new_version_takes_the_place_of_the_one_in_force(cast: Cast) -> None:
    old = made.put(cast, "active", runs_on="log", now=NOON)
    new = made.put(cast, "reviewed", runs_on="log", version=2, id=old.document_id, now=NOON)
    algorithms.activate(cast.as_(cast.pia), new.id, digest=digest(new), now=NOON)
    old.refresh_from_db()
    assert (old.state, old.ended_at) == ("replaced", NOON)
    assert [one.version for one in algorithms.active(NOON)] == [2]
    assert [one["to"]["act"] for one in events("policy")] == ["changed"]
    said = made.text("log", version=2, id=old.document_id)
    with pytest.raises(Refused, match="higher number"):
        algorithms.write(cast.as_(cast.ana), said, now=NOON)


def test_nobody_takes_an_id_that_is_anothers(cast: Cast) -> None:
    row = made.put(cast, "active", now=NOON)
    ben = cast.as_(cast.ben)
    with acting(ben.acting()), pytest.raises(Refused, match="not your company's"):
        algorithms.write(ben, made.text(version=2, id=row.document_id), now=NOON)
    hidden = made.put(cast, "reviewed", now=NOON)
    with acting(ben.acting()):
        algorithms.write(ben, made.text(id=hidden.document_id), now=NOON)


def test_the_second_person_is_another(cast: Cast) -> None:
    row = made.put(cast, "submitted", now=NOON)
    both = Principal(
        member_id=cast.aurora.id, user_id=cast.ana.id, roles=frozenset({"analyst", "officer"})
    )
    with pytest.raises(Refused, match="cannot approve"):
        algorithms.approve(both, row.id, digest=digest(row), now=NOON)
    with pytest.raises(IntegrityError, match="algorithm_two_people"), transaction.atomic():
        Algorithm.objects.filter(pk=row.pk).update(approved_by=cast.ana)


def test_p3_three_dry_runs_a_day_over_all_versions(cast: Cast) -> None:
    row = made.put(cast, "reviewed", now=NOON)
    ana, dora = cast.as_(cast.ana), cast.as_(cast.dora)
    for who in (ana, dora, ana):
        algorithms.ask_dry_run(who, row.id, now=NOON)
    with pytest.raises(Refused, match="3 dry runs a day"):
        algorithms.ask_dry_run(dora, row.id, now=NOON)
    algorithms.discard(ana, row.id, now=NOON)
    again = made.put(cast, "reviewed", version=2, id=row.document_id, now=NOON)
    with pytest.raises(Refused, match="3 dry runs a day"):
        algorithms.ask_dry_run(ana, again.id, now=NOON)
    assert algorithms.ask_dry_run(ana, again.id, now=NOON + timedelta(days=1))
    log = made.put(cast, "reviewed", runs_on="log", now=NOON)
    with pytest.raises(Refused, match="nothing in the pool"):
        algorithms.ask_dry_run(ana, log.id, now=NOON)


@pytest.mark.parametrize(
    ("rows", "members", "hits"),
    [("17", "2+", 0), ("10-99", "4", 0), ("10-99", "2+", -1), ("10-99", "2+", 201)],
)
def test_p3_a_dry_run_says_three_buckets_and_nothing_finer(
    cast: Cast, rows: str, members: str, hits: int
) -> None:
    row = made.put(cast, "reviewed", now=NOON)
    wish = algorithms.ask_dry_run(cast.as_(cast.ana), row.id, now=NOON)
    with pytest.raises(Refused, match="closed buckets"):
        algorithms.answer(wish, rows=rows, members=members, look_alikes=hits, now=NOON)


def test_a_failing_run_suspends_one_and_counsel_lifts_it(cast: Cast) -> None:
    row = made.put(cast, "active", now=NOON)
    other = made.put(cast, "active", now=NOON)
    assert algorithms.suspend(row.id, trouble="memory", now=NOON)
    assert not algorithms.suspend(row.id, trouble="memory", now=NOON)
    assert [one.id for one in algorithms.active(NOON)] == [other.id]
    pia, dora = cast.as_(cast.pia), cast.as_(cast.dora)
    with acting(pia.acting()):
        (alarm,) = algorithms.suspended(pia)
        assert (alarm.id, alarm.trouble) == (row.id, "memory")
    with acting(dora.acting()):
        algorithms.lift(dora, row.id, reason="the limit was raised", now=NOON)
    assert len(algorithms.active(NOON)) == 2
    assert [one["to"]["act"] for one in events("policy")] == ["suspended", "lifted"]


@pytest.mark.parametrize("name", ["ana", "abel", "dora"])
def test_its_member_and_the_forums_counsel_withdraw(cast: Cast, name: str) -> None:
    row = made.put(cast, "active", now=NOON)
    who = cast.as_(getattr(cast, name))
    with acting(who.acting()):
        with pytest.raises(Refused, match="reason"):
            algorithms.withdraw(who, row.id, reason="x", now=NOON)
        algorithms.withdraw(who, row.id, reason="too many schools", now=NOON)
    assert algorithms.active(NOON) == ()
    assert [one["to"]["act"] for one in events("policy")] == ["withdrawn"]


def test_what_counsel_sends_back_is_written_on(cast: Cast) -> None:
    row = made.put(cast, "approved", now=NOON)
    dora, ana = cast.as_(cast.dora), cast.as_(cast.ana)
    with acting(dora.acting()):
        algorithms.send_back(dora, row.id, reason="it selects one country", now=NOON)
        assert algorithms.view(dora, row.id, now=NOON) is None
    with acting(ana.acting()):
        view = algorithms.view(ana, row.id, now=NOON)
        assert view is not None
        assert [(one.act, one.reason, one.name) for one in view.acts] == [
            ("send-back", "it selects one country", "")
        ]
        said = made.text(id=row.document_id)
        assert algorithms.write(ana, said, algorithm_id=row.id, now=NOON) == row.id
    row.refresh_from_db()
    assert (row.state, row.approved_by) == ("draft", None)


def test_pia_starts_what_she_cannot_read(cast: Cast) -> None:
    row = made.put(cast, "reviewed", now=NOON)
    made.tried(row, now=NOON)
    pia = cast.as_(cast.pia)
    with acting(pia.acting()):
        view = algorithms.view(pia, row.id, now=NOON)
        assert view is not None
        assert (view.text, view.tried, view.may) == ("", None, frozenset({"activate"}))
        assert view.dry_runs[0].rows == "10-99"
        algorithms.activate(pia, row.id, digest=view.row.digest, now=NOON)
        assert algorithms.document_for(pia, row.id, now=NOON) == ""


@pytest.mark.parametrize(("runs_on", "given"), [("log", 1), ("both", 1), ("pool", 0)])
def test_p8_what_the_pool_alone_runs_keeps_its_parameters(
    cast: Cast, runs_on: str, given: int
) -> None:
    is_given = bool(given)
    row = made.put(cast, "active", runs_on=runs_on, now=NOON)
    cleo = cast.as_(cast.cleo)
    with acting(cleo.acting()):
        (told,) = algorithms.in_force(NOON)
        assert (made.CANARY in told.text) is is_given
        assert bool(told.text) is is_given
        assert algorithms.view(cleo, row.id, now=NOON) is None
        assert bool(algorithms.document_for(cleo, row.id, now=NOON)) is is_given


def test_what_is_shipped_is_in_force_once_and_renewed_when_its_time_ends(cast: Cast) -> None:
    said = made.text("both", id=uuid4()).encode()
    assert len(algorithms.ship([said], now=NOON)) == 1
    assert algorithms.ship([said], now=NOON) == ()
    later = NOON + timedelta(days=170)
    assert len(algorithms.ship([said], now=later)) == 1
    (active,) = algorithms.active(later + timedelta(days=100))
    assert (active.member_id, active.version) == (None, 1)
    assert [one["to"]["act"] for one in events("policy")] == ["active", "changed"]


def test_all_that_is_shipped_is_put_in_force_by_command_and_counsel_withdraws_one(
    cast: Cast,
) -> None:
    said = StringIO()
    call_command("algorithms_ship", stdout=said)
    call_command("algorithms_ship", stdout=said)
    many = len(shipped.texts())
    assert said.getvalue().splitlines() == [f"{n} of {many} put in force." for n in (many, 0)]
    now = timezone.now()
    in_force = algorithms.active(now)
    assert {one.digest for one in in_force} == {one.digest for one in shipped.algorithms()}
    dora, cleo = cast.as_(cast.dora), cast.as_(cast.cleo)
    with acting(cleo.acting()):
        told = algorithms.in_force(now)
        assert {one.document_id for one in told} == {one.document_id for one in in_force}
        assert {bool(one.text) for one in told if one.runs_on == "pool"} == {False}
    with acting(dora.acting()):
        algorithms.withdraw(dora, in_force[0].id, reason="too many schools", now=now)
    assert len(algorithms.active(now)) == many - 1


def test_what_found_something_is_named_when_it_is_no_longer_in_force(cast: Cast) -> None:
    old = made.put(cast, "replaced", runs_on="log", now=NOON)
    new = made.put(cast, "active", runs_on="log", version=2, id=old.document_id, now=NOON)
    hidden = made.put(cast, "reviewed", now=NOON)
    cleo = cast.as_(cast.cleo)
    pairs = [(str(one.document_id), one.version) for one in (old, new, hidden)]
    with acting(cleo.acting()):
        told = algorithms.named([*pairs, (str(uuid4()), 1)], now=NOON)
        assert [(one.version, one.is_in_force, bool(one.text)) for one in told] == [
            (1, False, False),
            (2, True, True),
        ]
        assert algorithms.told(NOON, old.id).title == old.title
        with pytest.raises(NotFound):
            algorithms.told(NOON, hidden.id)
