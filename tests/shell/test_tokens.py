"""Blind evaluation within a quota: who gets what, how much, and who is told of it."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from exchange import tokens
from exchange.models import TokenAlarm, TokenCall, TokenDay
from exchange.policy import tokens as keyed
from exchange.proof import oprf
from exchange.proof.refused import Forbidden, NotFound, Refused
from members import credentials, onboarding
from members.auth import Principal
from members.models import Member, User
from members.scope import acting
from tests.cast import Cast, make_cast
from tests.shell.sharing import NOON

pytestmark = pytest.mark.django_db
NOW = NOON
R = 0x1234567890ABCDEF


@pytest.fixture
def cast() -> Cast:
    return make_cast(NOW - timedelta(days=60))


def machine(user: User, *, scopes: tuple[str, ...] = ("tokens",), name: str = "SIEM") -> Principal:
    """A credential of somebody's member, as a request has it."""
    administrator = Principal(
        member_id=user.member_id, user_id=user.id, roles=frozenset({"administrator"})
    )
    made, _ = credentials.mint(administrator, credentials.Wanted(name, scopes), now=NOW)
    return Principal(member_id=user.member_id, credential_id=made, scopes=frozenset(scopes))


def points(count: int) -> list[bytes]:
    """As many points of one value, as a member would send them."""
    return [oprf.blind("handle", "ana", R + n) for n in range(count)]


def ask(who: Principal, circle: UUID, x: list[bytes], *, epoch: str = "2026Q4") -> tokens.Evaluated:
    return tokens.evaluate(who, circle, epoch, x, now=NOW)


# --- what comes back -----------------------------------------------------------------------------


def test_what_ana_asks_blindly_is_what_the_exchange_makes(
    cast: Cast, settings: LazySettings
) -> None:
    circle = cast.relay_watch.id
    values = ["ana", "ben", "cleo"]
    asked = [oprf.blind("handle", value, R + n) for n, value in enumerate(values)]
    found = ask(machine(cast.ana), circle, asked)
    scope = keyed.key_for(settings.TOKEN_KEY, str(circle), "2026Q4")
    for n, value in enumerate(values):
        assert oprf.unblind(found.points[n], R + n) == keyed.token(scope, "handle", value)
    assert found.left == settings.TOKEN_QUOTA - 3


def test_two_members_of_a_circle_match_and_nobody_else_does(cast: Cast) -> None:
    value = [oprf.blind("email-address", "who@mail.example", R)]
    ana, ben = machine(cast.ana), machine(cast.ben)
    here = ask(ana, cast.relay_watch.id, value).points
    assert ask(ben, cast.relay_watch.id, value).points == here
    others = {
        ask(ana, cast.forum.id, value).points,
        ask(ana, cast.relay_watch.id, value, epoch="2026Q3").points,
    }
    assert here not in others
    assert len(others) == 2


def test_the_offer_names_circles_quarters_and_what_is_left(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ana = machine(cast.ana)
    ask(ana, cast.forum.id, points(2))
    with django_assert_num_queries(4):
        found = tokens.offer(ana, now=NOW)
    assert [seat.name for seat in found.seats] == ["Forum", "Relay watch"]
    assert [quarter.epoch for quarter in found.quarters] == ["2026Q4", "2026Q3"]
    assert found.quota.left == found.quota.per_day - 2
    assert found.quota.renews_at == datetime(2026, 11, 25, tzinfo=UTC)
    assert [seat.name for seat in tokens.offer(machine(cast.cleo), now=NOW).seats] == ["Forum"]


# --- who gets nothing ----------------------------------------------------------------------------


def test_a_circle_without_a_seat_is_a_circle_that_is_not_there(cast: Cast) -> None:
    cleo = machine(cast.cleo)
    assert ask(cleo, cast.forum.id, points(1)).points
    told = []
    for circle in (cast.relay_watch.id, uuid4()):
        with pytest.raises(NotFound) as refused:
            ask(cleo, circle, points(1))
        told.append((refused.value.code, refused.value.sentence, refused.value.path))
    assert told[0] == told[1]


def test_who_left_the_circle_asks_for_it_no_more(cast: Cast) -> None:
    ben = machine(cast.ben)
    assert ask(ben, cast.relay_watch.id, points(1)).points
    onboarding.leave_circle(cast.borealis, cast.relay_watch, now=NOW)
    with pytest.raises(NotFound):
        ask(ben, cast.relay_watch.id, points(1))
    assert ask(ben, cast.forum.id, points(1)).points


def test_a_suspended_member_gets_nothing(cast: Cast) -> None:
    ben = machine(cast.ben)
    Member.objects.filter(pk=cast.borealis.id).update(state="suspended")
    for call in (lambda: ask(ben, cast.forum.id, points(1)), lambda: tokens.offer(ben, now=NOW)):
        with pytest.raises(NotFound):
            call()
    assert not TokenCall.objects.exists()


@pytest.mark.parametrize("scopes", [("api-read",), ("taxii-write", "api-write"), ("ledger-read",)])
def test_only_the_scope_for_it_asks(cast: Cast, scopes: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden):
        ask(machine(cast.ana, scopes=scopes), cast.forum.id, points(1))


def test_a_person_asks_through_a_credential(cast: Cast) -> None:
    assert tokens.offer(cast.as_(cast.ana), now=NOW).seats
    with pytest.raises(Forbidden, match="credential"):
        ask(cast.as_(cast.ana), cast.forum.id, points(1))
    for user in (cast.abel, cast.dora, cast.otto, cast.pia):
        with pytest.raises(Forbidden):
            tokens.offer(cast.as_(user), now=NOW)


# --- what is not evaluated -----------------------------------------------------------------------


@pytest.mark.parametrize("epoch", ["2026Q2", "2027Q1", "2026q4", "", "none"])
def test_other_quarters_have_no_tokens(cast: Cast, epoch: str) -> None:
    with pytest.raises(Refused, match="2026Q4 and 2026Q3") as refused:
        ask(machine(cast.ana), cast.forum.id, points(1), epoch=epoch)
    assert (refused.value.code, refused.value.path) == ("token.epoch", "epoch")


def test_the_quarter_before_ends_with_its_last_token(cast: Cast) -> None:
    late = datetime(2026, 12, 30, tzinfo=UTC)
    ana = machine(cast.ana)
    tokens.evaluate(ana, cast.forum.id, "2026Q4", points(1), now=late)
    with pytest.raises(Refused, match="for 2026Q4 now"):
        tokens.evaluate(ana, cast.forum.id, "2026Q3", points(1), now=late)


@pytest.mark.parametrize(
    ("batch", "code", "path"),
    [
        ([], "token.batch", "points"),
        ([b"x" * 32] * 10_001, "token.batch", "points"),
        ([oprf.point("handle", "ana"), b"short"], "token.point", "points[1]"),
    ],
)
def test_a_batch_of_another_form_costs_nothing(
    cast: Cast, batch: list[bytes], code: str, path: str
) -> None:
    with pytest.raises(Refused) as refused:
        ask(machine(cast.ana), cast.forum.id, batch)
    assert (refused.value.code, refused.value.path) == (code, path)
    assert not TokenDay.objects.exists()


def test_what_is_no_point_is_named_by_its_place_and_paid_for(cast: Cast) -> None:
    bad = [oprf.point("handle", "ana"), b"\xff" * 32, oprf.point("handle", "ben")]
    with pytest.raises(Refused) as refused:
        ask(machine(cast.ana), cast.forum.id, bad)
    assert (refused.value.code, refused.value.path) == ("token.point", "points[1]")
    assert TokenDay.objects.get().used == 3


# --- the quota -----------------------------------------------------------------------------------


def test_the_quota_refuses_a_batch_whole_and_says_when_it_renews(
    cast: Cast, settings: LazySettings
) -> None:
    settings.TOKEN_QUOTA = 5
    ana = machine(cast.ana)
    assert ask(ana, cast.forum.id, points(3)).left == 2
    with pytest.raises(Refused) as refused:
        ask(ana, cast.relay_watch.id, points(3))
    assert refused.value.code == "token.quota"
    assert refused.value.sentence == (
        "Your quota is 5 values a day and has 2 left; it renews at 2026-11-25 00:00 UTC."
    )
    assert ask(ana, cast.relay_watch.id, points(2)).left == 0  # one quota for all circles
    row = TokenDay.objects.get()
    assert (row.used, row.refused) == (5, 3)
    assert ask(machine(cast.ben), cast.forum.id, points(3)).left == 2  # each member has its own


def test_a_new_day_has_a_new_quota(cast: Cast, settings: LazySettings) -> None:
    settings.TOKEN_QUOTA = 3
    ana = machine(cast.ana)
    last = datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC)
    tokens.evaluate(ana, cast.forum.id, "2026Q4", points(3), now=last)
    with pytest.raises(Refused, match="has 0 left"):
        tokens.evaluate(ana, cast.forum.id, "2026Q4", points(1), now=last)
    after = last + timedelta(seconds=1)
    assert tokens.evaluate(ana, cast.forum.id, "2026Q4", points(3), now=after).left == 0


def test_a_new_member_has_a_small_quota_until_it_is_known(
    cast: Cast, settings: LazySettings
) -> None:
    ana = machine(cast.ana)
    assert tokens.offer(ana, now=NOW).quota.per_day == settings.TOKEN_QUOTA
    Member.objects.filter(pk=cast.aurora.id).update(joined_at=NOW - timedelta(days=29))
    assert tokens.offer(ana, now=NOW).quota.per_day == settings.TOKEN_QUOTA_NEW
    later = NOW + timedelta(days=1)
    assert tokens.offer(ana, now=later).quota.per_day == settings.TOKEN_QUOTA
    settings.TOKEN_QUOTA = 10  # a new member never has more than a known one
    assert tokens.offer(ana, now=NOW).quota.per_day == 10


@pytest.mark.django_db(transaction=True)
def test_the_count_survives_concurrent_calls(settings: LazySettings) -> None:
    cast = make_cast(NOW - timedelta(days=60))
    settings.TOKEN_QUOTA = 20
    ana, batch = machine(cast.ana), points(4)
    together = threading.Barrier(8)
    answers: list[str] = []

    def one_call() -> None:
        together.wait()
        with acting(ana.acting()):
            try:
                ask(ana, cast.forum.id, batch)
                answers.append("evaluated")
            except Refused as refused:  # answered inside, as a request is: what is counted stays
                answers.append(refused.code)
        connection.close()

    threads = [threading.Thread(target=one_call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["evaluated"] * 5 + ["token.quota"] * 3
    row = TokenDay.objects.get()
    assert (row.used, row.refused) == (20, 12)
    assert TokenCall.objects.filter(is_charged=True).count() == 5


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_waits_too_long_is_told_so() -> None:
    cast = make_cast(NOW - timedelta(days=60))
    ana = machine(cast.ana)
    ask(ana, cast.forum.id, points(1))
    is_locked, is_done = threading.Event(), threading.Event()

    def another_batch() -> None:
        with transaction.atomic():
            TokenDay.objects.select_for_update().get()
            is_locked.set()
            is_done.wait()
        connection.close()

    thread = threading.Thread(target=another_batch)
    thread.start()
    is_locked.wait()
    with pytest.raises(Refused) as refused:
        ask(ana, cast.forum.id, points(1))
    is_done.set()
    thread.join()
    assert refused.value.code == "token.busy"
    assert TokenDay.objects.get().used == 1


# --- the log and the alarms ----------------------------------------------------------------------


def test_every_call_is_in_the_member_s_own_log(
    cast: Cast, settings: LazySettings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.TOKEN_QUOTA = 4
    ana = machine(cast.ana, name="hunting box")
    ask(ana, cast.relay_watch.id, points(3), epoch="2026Q3")
    with pytest.raises(Refused):
        ask(ana, cast.forum.id, points(2))
    for user in (cast.abel, cast.ana, cast.alma):
        with django_assert_num_queries(6):  # two of them ask who the person is
            found = tokens.use(cast.as_(user), now=NOW)
        told = [(c.credential, c.circle, c.epoch, c.count, c.is_charged) for c in found.calls]
        assert told == [
            ("hunting box", "Forum", "2026Q4", 2, False),
            ("hunting box", "Relay watch", "2026Q3", 3, True),
        ]
        assert (found.quota.used, found.quota.refused, found.quota.left) == (3, 2, 1)
        assert {alarm.kind for alarm in found.alarms} == {"share", "quota"}
    assert tokens.use(cast.as_(cast.ben), now=NOW).calls == ()
    for user in (cast.dora, cast.otto, cast.pia):
        with pytest.raises(NotFound):
            tokens.use(cast.as_(user), now=NOW)


def test_half_of_the_quota_raises_an_alarm_once_a_day(cast: Cast, settings: LazySettings) -> None:
    settings.TOKEN_QUOTA = 10
    ana = machine(cast.ana)
    ask(ana, cast.forum.id, points(4))
    assert not TokenAlarm.objects.exists()
    for _ in range(3):
        ask(ana, cast.forum.id, points(1))
    assert [row.kind for row in TokenAlarm.objects.all()] == ["share"]


def test_ten_times_the_usual_raises_an_alarm(cast: Cast) -> None:
    ana, usual = machine(cast.ana), 150
    for days in (1, 2):
        TokenDay.objects.create(
            member=cast.aurora, day=(NOW - timedelta(days=days)).date(), used=usual
        )
    TokenDay.objects.create(member=cast.aurora, day=NOW.date(), used=1_500)
    ask(ana, cast.forum.id, points(1))
    assert not TokenAlarm.objects.exists()  # two days are no habit
    TokenDay.objects.create(member=cast.aurora, day=(NOW - timedelta(days=3)).date(), used=usual)
    ask(ana, cast.forum.id, points(1))
    assert [row.kind for row in TokenAlarm.objects.all()] == ["growth"]


def test_who_is_told_of_an_alarm_and_of_its_volume(cast: Cast, settings: LazySettings) -> None:
    settings.TOKEN_QUOTA = 10
    ask(machine(cast.ana), cast.forum.id, points(6))
    ask(machine(cast.ben), cast.forum.id, points(2))
    for user, used in ((cast.pia, None), (cast.dora, 6), (cast.otto, 6)):
        who = cast.as_(user)
        with acting(who.acting()):
            found = tokens.alarms(who, now=NOW)
            assert [(one.member, one.kind, one.used) for one in found] == [
                ("Aurora", "share", used)
            ]
    for user in (cast.ana, cast.abel, cast.cleo):
        with pytest.raises(NotFound):
            tokens.alarms(cast.as_(user), now=NOW)


def test_the_database_shows_each_reader_its_part(cast: Cast, settings: LazySettings) -> None:
    settings.TOKEN_QUOTA = 10
    ask(machine(cast.ana), cast.forum.id, points(6))
    ask(machine(cast.ben), cast.forum.id, points(2))
    shown = {}
    for name in ("ana", "abel", "cleo", "dora", "otto", "pia"):
        with acting(cast.as_(getattr(cast, name)).acting()):
            rows = (TokenDay.objects.count(), TokenCall.objects.count(), TokenAlarm.objects.count())
            shown[name] = rows
    assert shown == {
        "ana": (1, 1, 1),
        "abel": (1, 1, 1),
        "cleo": (0, 0, 0),
        "dora": (1, 0, 1),  # the day that raised an alarm, and not Borealis's
        "otto": (1, 0, 1),
        "pia": (0, 0, 1),
    }


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE exchange_tokencall SET count = 0",
        "DELETE FROM exchange_tokencall",
        "DELETE FROM exchange_tokenday",
        "DELETE FROM exchange_tokenalarm",
        "UPDATE exchange_tokenday SET day = day - 1",
    ],
)
def test_the_web_role_cannot_unwrite_what_was_asked(cast: Cast, sql: str) -> None:
    ana = machine(cast.ana)
    ask(ana, cast.forum.id, points(1))
    with (
        acting(ana.acting()),
        pytest.raises(Exception, match="permission denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)


# --- credentials that send extracts --------------------------------------------------------------


def test_an_extractor_has_a_quota_of_its_own(cast: Cast, settings: LazySettings) -> None:
    settings.TOKEN_QUOTA, settings.EXTRACT_TOKEN_QUOTA = 4, 40
    extractor = machine(cast.ana, scopes=("tokens", "extracts"), name="extractor")
    hunting = machine(cast.ana, name="hunting box")
    assert tokens.offer(extractor, now=NOW).quota.per_day == 40
    assert ask(extractor, cast.forum.id, points(30)).left == 10
    # What the one has asked for is not the other's.
    assert ask(hunting, cast.forum.id, points(3)).left == 1
    with pytest.raises(Refused) as caught:
        ask(extractor, cast.forum.id, points(11))
    assert caught.value.code == "token.quota"
    assert ask(extractor, cast.forum.id, points(10)).left == 0
    found = tokens.use(cast.as_(cast.abel), now=NOW)
    assert (found.quota.used, found.extracts.used, found.extracts.refused) == (3, 40, 11)
    # The scope alone does not turn values into tokens, and half of that quota is no alarm.
    with pytest.raises(Forbidden):
        ask(machine(cast.ana, scopes=("extracts",)), cast.forum.id, points(1))
    assert {alarm.kind for alarm in found.alarms} == {"share", "quota"}


def test_a_new_member_s_extractor_has_the_same_part_of_its_quota(
    cast: Cast, settings: LazySettings
) -> None:
    settings.TOKEN_QUOTA, settings.TOKEN_QUOTA_NEW, settings.EXTRACT_TOKEN_QUOTA = 100, 10, 1_000
    Member.objects.filter(pk=cast.aurora.pk).update(joined_at=NOW - timedelta(days=3))
    extractor = machine(cast.ana, scopes=("tokens", "extracts"))
    assert tokens.offer(extractor, now=NOW).quota.per_day == 100
