"""Extracts: sent by a machine, judged, sealed, replaced, erased; and shown to their own alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.utils import ProgrammingError
from pytest_django import DjangoAssertNumQueries

from exchange import checks, legalholds, membership, pool, retention
from exchange.models import LedgerEvent
from exchange.models.pool import Extract, ExtractKey, ExtractTry, ExtractView, SealedExtract
from exchange.policy import clocks, terms
from exchange.pool import kept
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.detection import packing, sealing
from indicators.detection.values import Extract as Read
from members.auth import Principal
from members.scope import Acting, acting
from tests.cast import Cast, make_cast, make_floor
from tests.extracts import extract, parts, spoiled
from tests.shell.sharing import NOON
from tests.shell.test_tokens import machine

pytestmark = pytest.mark.django_db
NOW = NOON
TODAY = NOW.date()
DAY = timedelta(days=1)
Parts = tuple[bytes, bytes, bytes]
CANARY = "ana@aurora.example"


@pytest.fixture
def cast() -> Cast:
    return make_cast(NOW - timedelta(days=60))


@pytest.fixture
def ana(cast: Cast) -> Principal:
    """The extractor at Aurora."""
    return machine(cast.ana, scopes=("extracts", "tokens"), name="extractor")


@pytest.fixture
def ben(cast: Cast) -> Principal:
    """The extractor at Borealis."""
    return machine(cast.ben, scopes=("extracts", "tokens"), name="extractor")


def send(who: Principal, given: Parts, *, now: datetime = NOW) -> pool.Sent:
    with acting(who.acting()):
        return pool.send(who, given, now=now)


def refused(who: Principal, given: Parts, *, now: datetime = NOW) -> Refused:
    # As in a request: what was refused is answered, and what was written down stays.
    with acting(who.acting()), pytest.raises(Refused) as caught:
        pool.send(who, given, now=now)
    assert CANARY not in caught.value.sentence + caught.value.path
    return caught.value


def of_today(seed: int = 1, *, now: datetime = NOW) -> tuple[bytes, bytes, bytes]:
    return parts(extract(seed, day=now.date()))


@contextmanager
def worker() -> Iterator[None]:
    with acting(Acting(), role="worker"):
        yield


def opened(*, now: datetime = NOW) -> list[Read]:
    """What a run's child would read."""
    found = []
    with worker():
        for one in pool.inputs(now=now):
            body = sealing.open_seal(one.key, one.sealed, aad=one.aad)
            found.append(packing.unpack(body))
    return found


# --- the way in ----------------------------------------------------------------------------------


def test_an_extract_is_taken_sealed_and_read_by_a_run_alone(ana: Principal) -> None:
    made = extract(1, day=TODAY)
    sent = send(ana, parts(made))
    assert (sent.state, sent.day, sent.code) == ("taken", TODAY, "")
    (read,) = opened()
    assert read.clusters == made.clusters
    sealed = SealedExtract.objects.get()
    assert made.clusters[0].payment[0].encode() not in bytes(sealed.sealed)


def test_the_same_again_is_answered_the_same(ana: Principal) -> None:
    first = send(ana, of_today())
    again = send(ana, of_today(), now=NOW + timedelta(hours=2))
    assert again == first
    assert Extract.objects.count() == 1


def test_only_a_machine_with_the_scope_sends(cast: Cast) -> None:
    for who in (cast.as_(cast.ana), machine(cast.ana), cast.as_(cast.pia)):
        with pytest.raises(Forbidden):
            pool.send(who, of_today(), now=NOW)


def test_a_day_is_replaced_after_its_time_and_never_added_to(
    ana: Principal, settings: LazySettings
) -> None:
    first = send(ana, of_today(1))
    early = refused(ana, of_today(2), now=NOW + timedelta(hours=5))
    assert early.code == "extract.soon"
    make_floor(NOW, pool={**terms.shipped_floor()["pool"], "every_hours": 1})
    assert refused(ana, of_today(2), now=NOW + timedelta(minutes=59)).code == "extract.soon"
    second = send(ana, of_today(2), now=NOW + timedelta(hours=1))
    assert [read.clusters for read in opened()] == [extract(2, day=TODAY).clusters]
    assert SealedExtract.objects.count() == ExtractKey.objects.count() == 1
    states = {one.id: one.state for one in Extract.objects.filter(state__in=["taken", "replaced"])}
    assert states == {first.id: "replaced", second.id: "taken"}
    # What was replaced does not come back.
    assert send(ana, of_today(1), now=NOW + timedelta(hours=3)).state == "replaced"
    assert [read.clusters for read in opened()] == [extract(2, day=TODAY).clusters]


def test_each_day_stands_beside_the_others(ana: Principal, ben: Principal, cast: Cast) -> None:
    for who, seed in ((ana, 1), (ben, 2)):
        send(who, parts(extract(seed, day=TODAY - DAY)))
        send(who, parts(extract(seed + 10, day=TODAY)))
    with worker():
        found = list(pool.inputs(now=NOW))
    assert len(found) == 4
    assert len({one.owner for one in found}) == 2
    # Affiliates are one.
    cast.borealis.owner = "Aurora"
    cast.borealis.save(update_fields=["owner"])
    with worker():
        assert len({one.owner for one in pool.inputs(now=NOW)}) == 1


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "code", "place"),
    [
        (extract(1, day=TODAY + DAY), "extract.day-ahead", "manifest.day"),
        (extract(1, day=TODAY - 2 * DAY), "extract.day-late", "manifest.day"),
        (extract(1, day=TODAY, rows=301), "extract.r3", "clusters"),
        (spoiled(extract(1, day=TODAY), 4, payers="lt-3"), "extract.r2", "clusters[4].payers"),
        (
            spoiled(extract(1, day=TODAY), 4, payment=("0" * 64, "1" * 64, CANARY)),
            "extract.r7",
            "clusters[4].payment",
        ),
        (
            spoiled(extract(1, day=TODAY), 4, devices="1k-up",
                    device=tuple(f"{n:064x}" for n in range(65))),
            "extract.form",
            "clusters[4].device",
        ),
    ],
)  # fmt: skip
def test_of_what_is_refused_only_digest_and_reason_stay(
    ana: Principal, made: Read, code: str, place: str
) -> None:
    given = parts(made)
    said = refused(ana, given)
    assert (said.code, said.path) == (code, place)
    row = Extract.objects.get()
    assert (row.state, row.code, row.place) == ("refused", code, place)
    assert not SealedExtract.objects.exists()
    assert not ExtractKey.objects.exists()
    assert not LedgerEvent.objects.filter(from_member_id=ana.member_id).exists()
    # Mended, the same day is taken.
    assert send(ana, of_today(9)).state == "taken"


def test_a_file_is_one_member_s_and_one_day_s(ana: Principal, ben: Principal) -> None:
    given = extract(1, day=TODAY)
    send(ana, parts(given))
    assert refused(ben, parts(given)).code == "extract.other"
    # Another manifest around it does not help, nor another day.
    renamed = replace(given, manifest=replace(given.manifest, extractor="9.9"))
    assert refused(ben, parts(renamed)).code == "extract.other"
    moved = replace(given, manifest=replace(given.manifest, day=TODAY - DAY))
    assert refused(ana, parts(moved)).code == "extract.again"
    assert Extract.objects.filter(state="taken").count() == 1


def test_the_tries_of_a_day_are_counted_and_beyond_them_nothing_is_read(
    ana: Principal, ben: Principal, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    most = pool.TRIES + 1
    for _ in range(most):
        assert refused(ana, (b"no manifest", b"", b"")).code == "extract.manifest"
    with acting(ana.acting()), django_assert_num_queries(7), pytest.raises(Refused) as caught:
        pool.send(ana, of_today(), now=NOW)
    assert caught.value.code == "extract.quota"
    assert Extract.objects.count() == most
    tries = ExtractTry.objects.get()
    assert (tries.tried, tries.refused) == (most, 1)
    # Others are not touched by it, and the next day is another.
    assert send(ben, of_today(2)).state == "taken"
    tomorrow = NOW + DAY
    assert send(ana, of_today(1, now=tomorrow), now=tomorrow).state == "taken"


def test_without_its_key_the_pool_is_off(ana: Principal, settings: LazySettings) -> None:
    settings.POOL_PUBLIC_KEY = b""
    pool.is_on.cache_clear()
    assert refused(ana, of_today()).code == "pool.off"
    settings.POOL_PUBLIC_KEY = sealing.public_of(settings.POOL_KEY)
    pool.is_on.cache_clear()


def test_who_is_suspended_sends_nothing_and_is_in_no_run(cast: Cast, ana: Principal) -> None:
    send(ana, of_today())
    membership.suspend(cast.as_(cast.pia), cast.aurora.id, reason="an inquiry", now=NOW)
    assert opened() == []
    with pytest.raises(NotFound), acting(ana.acting()):
        pool.send(ana, of_today(2), now=NOW)


# --- what is kept of it, and how long ------------------------------------------------------------


def test_the_ledger_holds_the_digest_for_the_member(ana: Principal, cast: Cast) -> None:
    sent = send(ana, of_today())
    event = LedgerEvent.objects.get(from_member_id=cast.aurora.id)
    assert (event.kind, event.to_member_id) == ("decision", None)
    assert sent.digest.encode() not in bytes(event.slots)


def test_after_45_days_the_key_and_the_bytes_are_gone(ana: Principal, cast: Cast) -> None:
    sent = send(ana, of_today())
    last = NOW + timedelta(days=44)
    assert len(opened(now=last)) == 1
    with worker():
        assert "extracts" not in retention.work(now=last)
    gone = NOW + timedelta(days=45)
    assert opened(now=gone) == []
    with worker():
        assert retention.work(now=gone)["extracts"] == 1
    assert not ExtractKey.objects.exists()
    assert not SealedExtract.objects.exists()
    (row,) = pool.my_extracts(cast.as_(cast.abel))
    assert (row.id, row.state, row.digest) == (sent.id, "erased", sent.digest)
    assert LedgerEvent.objects.filter(kind="erase", from_member_id=cast.aurora.id).exists()


def test_a_legal_hold_alone_puts_it_off_and_no_run_reads_what_is_held(
    ana: Principal, cast: Cast
) -> None:
    send(ana, of_today())
    gone = NOW + timedelta(days=45)
    alma = cast.as_(cast.alma)
    wanted = legalholds.Wanted("member")
    hold = legalholds.place(alma, wanted, reason="a regulator asked for it", now=NOW)
    membership.leave(cast.as_(cast.pia), cast.aurora.id, reason="it goes its own way", now=NOW)
    with worker():
        assert "extracts" not in retention.work(now=gone)
    assert ExtractKey.objects.exists()
    assert opened() == opened(now=gone) == []
    legalholds.lift(alma, hold, reason="the regulator is done", now=gone)
    with worker():
        assert retention.work(now=gone)["extracts"] == 1


def test_a_forum_may_keep_extracts_shorter_and_never_longer() -> None:
    assert clocks.stated({"extracts": 30})["extracts"] == 30
    with pytest.raises(ValueError, match="at most 45"):
        clocks.stated({"extracts": 46})


def test_the_web_server_with_the_private_key_is_warned_of(settings: LazySettings) -> None:
    settings.DATABASE_ROLE = "web"
    assert "weir.W004" in {one.id for one in checks.safe_to_serve(None)}
    settings.POOL_KEY = b""
    assert "weir.W004" not in {one.id for one in checks.safe_to_serve(None)}


def test_who_leaves_takes_its_days_along(ana: Principal, ben: Principal, cast: Cast) -> None:
    send(ana, of_today(1))
    send(ben, of_today(2))
    membership.leave(cast.as_(cast.pia), cast.aurora.id, reason="it goes its own way", now=NOW)
    assert [row.member_id for row in ExtractKey.objects.all()] == [cast.borealis.id]
    assert [row.member_id for row in SealedExtract.objects.all()] == [cast.borealis.id]
    assert len(opened()) == 1
    assert LedgerEvent.objects.filter(kind="erase", from_member_id=cast.aurora.id).exists()


def test_a_run_sees_whether_there_is_anything_new(ana: Principal) -> None:
    with worker():
        nothing = pool.standing(now=NOW)
    send(ana, of_today())
    with worker():
        one = pool.standing(now=NOW)
        assert one == pool.standing(now=NOW + timedelta(hours=5))
        # What has left the 45 days counts too.
        assert pool.standing(now=NOW + timedelta(days=45)) == nothing
    assert one != nothing


def test_a_seal_opens_in_its_own_place_alone(ana: Principal, ben: Principal) -> None:
    send(ana, of_today(1))
    send(ben, of_today(2))
    one, other = SealedExtract.objects.order_by("id")
    SealedExtract.objects.filter(pk=one.pk).update(sealed=bytes(other.sealed))
    with worker():
        found = list(pool.inputs(now=NOW))
    moved = next(row for row in found if row.member_id == one.member_id)
    with pytest.raises(Refused) as caught:
        sealing.open_seal(moved.key, moved.sealed, aad=moved.aad)
    assert caught.value.code == "seal.broken"


def test_without_the_private_key_nothing_opens(ana: Principal, settings: LazySettings) -> None:
    send(ana, of_today())
    settings.POOL_KEY = b""
    with pytest.raises(Refused) as caught, worker():
        list(pool.inputs(now=NOW))
    assert caught.value.code == "pool.key"
    settings.POOL_KEY = b"k" * 32
    with pytest.raises(Refused) as caught, worker():
        list(pool.inputs(now=NOW))
    assert caught.value.code == "seal.broken"


# --- what a member and the forum see -------------------------------------------------------------


def test_a_member_sees_its_own_statuses_alone(
    ana: Principal, ben: Principal, cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    send(ana, of_today(1))
    send(ben, of_today(2))
    refused(ana, parts(extract(3, day=TODAY - 3 * DAY)), now=NOW + timedelta(minutes=1))
    for who in (ana, cast.as_(cast.ana), cast.as_(cast.abel), cast.as_(cast.alma)):
        with acting(who.acting()), django_assert_num_queries(1):
            found = pool.my_extracts(who)
        assert [one.state for one in found] == ["refused", "taken"]
    for who in (cast.as_(cast.pia), cast.as_(cast.otto), cast.as_(cast.dora)):
        with pytest.raises(NotFound):
            pool.my_extracts(who)


def test_the_forum_s_officer_sees_days_and_digests_and_not_whose(
    ana: Principal, ben: Principal, cast: Cast
) -> None:
    digests = {send(ana, of_today(1)).digest, send(ben, of_today(2)).digest}
    for user in (cast.otto, cast.dora, cast.pia):
        who = cast.as_(user)
        with acting(who.acting()):
            found = pool.held(who, now=NOW)
        assert {one.digest for one in found} == digests
        assert {one.day for one in found} == {TODAY}
        assert [one.digest for one in found] == sorted(digests)
    abel = cast.as_(cast.abel)
    with acting(abel.acting()):
        assert len(pool.held(abel, now=NOW)) == 1


def test_a_member_reads_its_own_extract_in_words_for_an_hour(ana: Principal, cast: Cast) -> None:
    sent = send(ana, of_today())
    abel = cast.as_(cast.abel)
    with acting(abel.acting()):
        view = pool.ask(abel, sent.id, now=NOW)
        assert pool.ask(abel, sent.id, now=NOW) == view
        assert pool.show(abel, view, now=NOW).words is None
    with worker():
        assert pool.waiting()
        assert pool.make(now=NOW) == 1
        assert not pool.waiting()
    with acting(abel.acting()):
        shown = pool.show(abel, view, now=NOW + timedelta(minutes=59))
        assert shown.words is not None
        assert shown.words["rows"][0]["title"].startswith("Row 0: ")
        assert len(shown.words["rows"]) == 300
        with pytest.raises(NotFound):
            pool.show(abel, view, now=NOW + timedelta(hours=1))
    row = ExtractView.objects.get()
    for text in (b"Row 0", b"accounts", b"payers"):
        assert text not in bytes(row.sealed) + bytes(row.key)
    event = LedgerEvent.objects.filter(kind="read", from_member_id=cast.aurora.id)
    assert event.count() == 1
    with worker():
        assert pool.clear(now=NOW + timedelta(hours=1)) == 1
    row.refresh_from_db()
    assert (bytes(row.sealed), bytes(row.key)) == (b"", b"")


def test_nobody_else_reads_it(ana: Principal, ben: Principal, cast: Cast) -> None:
    sent = send(ana, of_today())
    abel, ben_himself = cast.as_(cast.abel), cast.as_(cast.ben)
    with acting(abel.acting()):
        view = pool.ask(abel, sent.id, now=NOW)
    with worker():
        pool.make(now=NOW)
    # Not another member, not the forum, not a machine; and a colleague asks for himself.
    for who in (ben_himself, cast.as_(cast.pia), cast.as_(cast.otto), cast.as_(cast.alma)):
        with acting(who.acting()), pytest.raises(NotFound):
            pool.show(who, view, now=NOW)
    with acting(ben_himself.acting()), pytest.raises(NotFound):
        pool.ask(ben_himself, sent.id, now=NOW)
    with acting(ana.acting()), pytest.raises(Forbidden):
        pool.ask(ana, sent.id, now=NOW)


def test_an_extract_that_is_gone_is_not_shown(ana: Principal, cast: Cast) -> None:
    sent = send(ana, of_today())
    abel = cast.as_(cast.abel)
    with acting(abel.acting()):
        view = pool.ask(abel, sent.id, now=NOW)
    kept.erase([sent.id], now=NOW)
    with worker():
        assert pool.make(now=NOW) == 0
    with acting(abel.acting()):
        assert pool.show(abel, view, now=NOW).state == "failed"
        with pytest.raises(NotFound):
            pool.ask(abel, sent.id, now=NOW)


# --- the database itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sealed FROM exchange_sealedextract",
        "SELECT wrapped FROM exchange_extractkey",
        "UPDATE exchange_sealedextract SET sealed = ''",
        "UPDATE exchange_extract SET digest = ''",
        "DELETE FROM exchange_extract",
        "DELETE FROM exchange_extracttry",
    ],
)
def test_the_web_may_put_down_and_never_read(ana: Principal, statement: str) -> None:
    send(ana, of_today())
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        acting(ana.acting()),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_another_member_sees_no_row(ana: Principal, ben: Principal) -> None:
    send(ana, of_today())
    with acting(ben.acting()), connection.cursor() as cursor:
        for table in ("extract", "sealedextract", "extractkey", "extracttry", "extractview"):
            cursor.execute(f"SELECT count(id) FROM exchange_{table}")  # noqa: S608 - a name of ours
            assert cursor.fetchone() == (0,)
        cursor.execute("DELETE FROM exchange_extractkey")
        assert cursor.rowcount == 0
    assert ExtractKey.objects.count() == 1
