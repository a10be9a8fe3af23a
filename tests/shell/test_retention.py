"""What is kept and what goes: clocks, legal holds, erasure that keeps the ledger provable."""

from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from uuid import UUID

import pytest
import time_machine
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import DatabaseError

from exchange import (
    contribute,
    erasure,
    ledger,
    legalholds,
    persons,
    recall,
    release,
    retention,
    revocation,
)
from exchange.checks import retention_known
from exchange.ledger import check, emptied
from exchange.legalholds import Wanted
from exchange.models import (
    Attempt,
    Bundle,
    Delivery,
    Erasure,
    Inquiry,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerSlot,
    Mail,
    PersonRequest,
    Recall,
    Rendition,
    RetentionRun,
    ServedNote,
    TokenDay,
)
from exchange.policy import clocks
from exchange.proof import note
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.models import ForumObject, Observable, Original
from members.models import SignInLink, User
from members.scope import Acting, acting
from tests.promises.test_canaries import dump
from tests.shell.sharing import (
    NOON,
    SIGNER,
    Object,
    Way,
    analyst_of,
    campaign,
    feed,
    indicates,
    range_indicator,
    sdo,
    sequence,
    set_up,
)
from tests.shell.test_recall import LATER, object_of, order, subscription, tell

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
YEARS = NOON + 366 * 12 * DAY
WHY = "A regulator asked about it."


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def age(days: float) -> dict[str, int]:
    """One round of the clocks, so many days after noon, with the worker's rights."""
    with acting(Acting(), role="worker"):
        return retention.work(now=NOON + timedelta(days=days))


def hold(way: Way, by: User, kind: str, about: str = "", **when: datetime) -> UUID:
    wanted = Wanted(kind, about, when.get("since"), when.get("until"))
    return legalholds.place(way.cast.as_(by), wanted, reason=WHY, now=NOON)


def recalled_and_told(way: Way, *objects: Object) -> None:
    for one in objects:
        order(way, object_of(one))
    tell()


# --- the table -----------------------------------------------------------------------------------


def test_each_clock_has_its_days_its_least_and_its_reason() -> None:
    assert len({one.name for one in clocks.CLOCKS}) == len(clocks.CLOCKS)
    for one in clocks.CLOCKS:
        assert one.days >= one.least > 0
        assert len(one.reason) > 40


def test_a_forum_states_other_days_and_never_less_than_the_least(settings: LazySettings) -> None:
    settings.RETENTION = {"notes": 500}
    assert retention_known(None) == []
    assert clocks.stated(settings.RETENTION)["notes"] == 500
    for wrong in ({"renditions": 7}, {"everything": 9_999}):
        settings.RETENTION = wrong
        (error,) = retention_known(None)
        assert error.id == "weir.E002"


# --- what goes, and when -------------------------------------------------------------------------


def test_originals_stay_while_anything_of_their_contribution_is_served(way: Way) -> None:
    first, second = range_indicator(), campaign()
    way.pass_on(first, second)
    recalled_and_told(way, first)
    age(5_000)
    assert Original.objects.count() == 2
    recalled_and_told(way, second)
    assert age(700) == {}
    assert Original.objects.count() == 2
    assert age(740)["originals"] == 1
    assert Original.objects.count() == Observable.objects.count() == 0


def test_the_contributor_is_told_in_the_ledger_what_the_clock_took(way: Way) -> None:
    one = range_indicator()
    sent = way.pass_on(one)
    recalled_and_told(way, one)
    age(740)
    sequence(now=NOON + 740 * DAY)
    told = [each.check() for each in ledger.openings(way.cast.as_(way.cast.ana), slot="from")]
    (said,) = [each for each in told if each["kind"] == "erase"]
    assert (said["what"], said["ground"], said["count"]) == ("originals", "clock", 1)
    assert said["contribution"] == str(sent)


def test_what_nobody_released_goes_after_half_a_year_unless_it_waits(way: Way) -> None:
    """A withheld object goes; one that waits for counsel is never aged out by waiting."""
    way.pass_on(sdo("identity", name="Somebody", identity_class="individual"))
    way.pass_on(sdo("threat-actor", name="Somebody Ltd"))
    assert Original.objects.count() == 2
    assert age(170) == {}
    assert age(190)["unreleased"] == 1
    assert Original.objects.get().version.object.stix_type == "threat-actor"
    assert age(4_000).get("unreleased") is None


def test_renditions_of_what_was_taken_back_go_after_the_audit_term(way: Way) -> None:
    subscription(way.cast.borealis)
    one = range_indicator()
    way.pass_on(one)
    recalled_and_told(way, one)
    assert "renditions" not in age(2_500)
    assert age(2_600)["renditions"] == 1
    given = Rendition.objects.filter(object_id=object_of(one), takes_back=False)
    assert [bytes(row.body) for row in given] == [b""]
    assert all(bytes(row.digest) for row in given)
    assert b"203.0.113" not in dump()
    sequence(now=NOON + 2_600 * DAY)
    told = [each.check() for each in ledger.openings(analyst_of(way.cast.ember), slot="to")]
    index = next(each["index"] for each in told if each["kind"] == "release" and "id" in each)
    (said,) = [each for each in told if each["kind"] == "erase"]
    assert (said["what"], said["erased"]) == ("bytes", [index])


def test_what_is_served_stays_whatever_its_age(way: Way) -> None:
    way.pass_on(range_indicator())
    before = [one.body for one in feed(way.cast.ember)]
    age(9_999)
    assert [one.body for one in feed(way.cast.ember, now=NOON + 9_999 * DAY)] == before
    assert before


def some_rows(way: Way) -> dict[str, Callable[[], int]]:
    """A row of each of the exchange's own classes, and how many there are."""
    sub = subscription(way.cast.borealis)
    way.pass_on(range_indicator())
    feed(way.cast.ember)
    sent = Delivery.objects.filter(subscription=sub).latest("id")
    Attempt.objects.create(
        delivery=sent, member=way.cast.borealis, n=1, started_at=NOON, finished_at=NOON
    )
    Mail.objects.create(user=way.cast.ben, kind="recall", at=NOON, sent_at=NOON)
    TokenDay.objects.create(member=way.cast.borealis, day=NOON.date(), used=7)
    SignInLink.objects.create(user=way.cast.ben, digest=b"d", expires_at=NOON)
    Inquiry.objects.create(member=way.cast.borealis, user=way.cast.ben, sealed=b"s", at=NOON)
    return {
        "notes": ServedNote.objects.count,
        "attempts": Attempt.objects.count,
        "mails": Mail.objects.count,
        "inquiries": Inquiry.objects.count,
        "token-calls": TokenDay.objects.count,
        "sign-ins": SignInLink.objects.count,
    }


def test_the_exchanges_own_notes_go_each_at_its_time(way: Way) -> None:
    rows = some_rows(way)
    for days in sorted({clocks.BY_NAME[name].days for name in rows}):
        due = [name for name in rows if clocks.BY_NAME[name].days == days]
        age(days - 1)
        assert all(rows[name]() > 0 for name in due), due
        taken = age(days + 2)
        assert all(taken[name] > 0 for name in due)
        assert all(rows[name]() == 0 for name in due), due
    assert RetentionRun.objects.filter(clock="mails").get().count == 1


def test_a_run_goes_in_bounded_steps(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 10)
    monkeypatch.setattr(retention, "STEPS", 3)
    ServedNote.objects.bulk_create(
        ServedNote(recipient=way.cast.ember, via="taxii", first_seq=n, last_seq=n, at=NOON)
        for n in range(35)
    )
    assert age(500)["notes"] == 30
    assert age(500)["notes"] == 5


def test_a_report_says_what_would_go_and_takes_nothing(way: Way) -> None:
    rows = some_rows(way)
    one = range_indicator("198.51.100.0/24")
    way.pass_on(one)
    recalled_and_told(way, one)
    before = {name: count() for name, count in rows.items()}
    with acting(Acting(), role="worker"):
        found = {line.clock.name: line for line in retention.report(now=YEARS)}
    assert found["originals"].due == found["renditions"].due == 1
    assert found["notes"].due == before["notes"]
    assert {name: count() for name, count in rows.items()} == before
    assert Original.objects.count() == 2


# --- legal holds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["contribution", "object", "campaign", "member", "period"])
@pytest.mark.parametrize("who", ["alma", "dora"])
def test_a_legal_hold_stops_the_clocks_until_it_is_lifted(way: Way, kind: str, who: str) -> None:
    root, marked = campaign(), range_indicator()
    sent = way.pass_on(root, marked, indicates(marked["id"], root["id"]))
    way.pass_on(other := range_indicator("198.51.100.0/24"), now=NOON + timedelta(minutes=1))
    link = ForumObject.objects.get(stix_type="relationship")
    recalled_and_told(way, root, marked, other)
    recall.order(
        way.cast.as_(way.cast.ana), link.pk, reason="error", note="with its ends", now=LATER
    )
    tell()
    by = getattr(way.cast, who)
    about = {
        "contribution": str(sent),
        "object": f"indicator--{object_of(marked)}",
        "campaign": f"campaign--{object_of(root)}",
        "member": "aurora",
    }.get(kind, "")
    when = {"since": NOON, "until": NOON + DAY} if kind == "period" else {}
    made = hold(way, by, kind, about, **when)
    age(5_000)
    # What is not under it went: the other contribution, unless all of the member or time is held.
    assert Original.objects.filter(version__contribution_id=sent).count() == 3
    kept = kind in ("member", "period")
    assert Original.objects.exclude(version__contribution_id=sent).count() == (1 if kept else 0)
    assert b"203.0.113" in b"".join(bytes(row.body) for row in Rendition.objects.all())
    legalholds.lift(way.cast.as_(by), made, reason="The case is closed.", now=NOON + DAY)
    age(5_000)
    assert Original.objects.count() == 0


def test_a_campaigns_hold_covers_what_is_contributed_with_it_later(way: Way) -> None:
    root = campaign()
    way.pass_on(root)
    hold(way, way.cast.alma, "campaign", f"campaign--{object_of(root)}")
    marked = range_indicator()
    later = {**root, "modified": "2026-11-24T12:30:00.000Z", "name": "Greedier Heron"}
    way.pass_on(later, marked, now=NOON + timedelta(hours=1))
    recalled_and_told(way, marked)
    order(way, object_of(root))
    tell()
    age(5_000)
    assert Original.objects.count() == 3


def test_counsel_alone_sets_a_hold_and_each_its_own(way: Way) -> None:
    cast = way.cast
    sent = way.pass_on(range_indicator())
    for nobody in (cast.ana, cast.abel, cast.otto, cast.pia, cast.ben):
        with pytest.raises(Forbidden):
            hold(way, nobody, "contribution", str(sent))
    theirs = User.objects.create(email="bea@borealis.example", name="Bea", member=cast.borealis)
    theirs.role_rows.create(role="counsel")
    for kind, about in (
        ("contribution", str(sent)),
        ("object", f"indicator--{ForumObject.objects.get(stix_type='indicator').pk}"),
        ("object", "nonsense"),
        ("contribution", "nonsense"),
    ):
        with pytest.raises(NotFound):
            hold(way, theirs, kind, about)
    made = hold(way, cast.dora, "contribution", str(sent))
    for other in (cast.alma, theirs):
        with pytest.raises(NotFound):
            legalholds.lift(cast.as_(other), made, reason="Not ours to lift.", now=NOON)


def test_a_hold_is_seen_by_whom_it_is_about_and_its_reason_by_who_set_it(way: Way) -> None:
    cast = way.cast
    sent = way.pass_on(range_indicator())
    hold(way, cast.dora, "contribution", str(sent))
    for who in (cast.abel, cast.alma):
        (row,) = legalholds.listed(cast.as_(who))
        assert (row.of_forum, row.reason, row.by, row.may_lift) == (True, "", "", False)
    (row,) = legalholds.listed(cast.as_(cast.dora))
    assert (row.reason, row.by, row.may_lift) == (WHY, "Dora", True)
    with pytest.raises(NotFound):
        legalholds.listed(cast.as_(cast.ben))
    assert WHY.encode() not in dump()
    sequence(now=NOON + DAY)
    told = [one.check() for one in ledger.openings(cast.as_(cast.ana), slot="from")]
    assert [one["decision"] for one in told if one["kind"] == "decision"] == ["legal-hold"]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (Wanted("everything"), "hold.kind"),
        (Wanted("period"), "hold.period"),
        (Wanted("period", since=NOON, until=NOON - DAY), "hold.period"),
    ],
)
def test_a_hold_that_says_nothing_is_refused(way: Way, wanted: Wanted, code: str) -> None:
    with pytest.raises(Refused) as refused:
        legalholds.place(way.cast.as_(way.cast.alma), wanted, reason=WHY, now=NOON)
    assert refused.value.code == code


def test_a_recall_with_erasure_names_the_hold_that_stops_it(way: Way) -> None:
    one = range_indicator()
    sent = way.pass_on(one)
    made = hold(way, way.cast.dora, "contribution", str(sent))
    with pytest.raises(Refused) as refused:
        order(way, object_of(one), by=way.cast.alma, erases=True)
    assert refused.value.code == "hold.legal"
    assert str(made)[:8] in refused.value.sentence
    assert WHY not in refused.value.sentence
    assert Recall.objects.count() == 0
    assert len(feed(way.cast.ember)) == 1
    order(way, object_of(one), by=way.cast.alma)  # taken back all the same, for that ends harm
    assert feed(way.cast.ember) == ()


def test_a_hold_that_comes_between_order_and_erasure_holds_the_bytes(way: Way) -> None:
    one = range_indicator()
    sent = way.pass_on(one)
    order(way, object_of(one), by=way.cast.alma, erases=True)
    made = hold(way, way.cast.dora, "contribution", str(sent))
    tell()
    assert feed(way.cast.ember)[0].takes_back
    given = Rendition.objects.filter(object_id=object_of(one), takes_back=False)
    assert all(bytes(row.body) for row in given)
    legalholds.lift(way.cast.as_(way.cast.dora), made, reason="The case is closed.", now=LATER)
    tell()
    assert not any(bytes(row.body) for row in given.all())


# --- slots ---------------------------------------------------------------------------------------


def erase_slots(*objects: Object, at: datetime = LATER) -> Erasure:
    """An erasure of the slots of these objects' entries, recorded, published, done."""
    act = Erasure(ground=Erasure.Ground.REQUEST, objects_erased=[object_of(one) for one in objects])
    with acting(Acting(), role="worker"):
        erasure.begin(act, now=at)
        erasure.work(now=at)
    sequence(now=at)
    with acting(Acting(), role="worker"):
        erasure.work(now=at)
    act.refresh_from_db()
    return act


def test_erased_slots_say_nothing_and_the_tree_stands(way: Way) -> None:
    one, other = range_indicator(), range_indicator("198.51.100.0/24")
    way.pass_on(one)
    way.pass_on(other, now=NOON + timedelta(minutes=1))
    leaves = list(LedgerEntry.objects.order_by("idx").values_list("idx", "leaf"))
    act = erase_slots(one)
    assert act.done_at is not None
    assert len(act.indexes) == 3  # Aurora, Borealis, Ember
    rows = LedgerSlot.objects.filter(idx__in=act.indexes)
    assert {bytes(row.sealed) for row in rows} == {b""}
    assert all(len(bytes(row.digest)) == 32 for row in rows)
    after = dict(LedgerEntry.objects.values_list("idx", "leaf"))
    assert {idx: bytes(leaf) for idx, leaf in leaves} == {
        idx: bytes(after[idx]) for idx, _ in leaves
    }
    newest = LedgerCheckpoint.objects.latest("size")
    for index in act.indexes:
        told = ledger.proof(index)
        verifier = note.Verifier(ledger.origin(), note.LOG, SIGNER.public)
        assert (
            note.verify_proof(told, bytes(after[index]), [verifier]).checkpoint.size == newest.size
        )
    assert check.problems(full=True) == ()
    assert emptied.count() == len(rows)


def test_the_recipient_is_told_which_of_its_numbers_are_gone(way: Way) -> None:
    one = range_indicator()
    way.pass_on(one)
    ember = analyst_of(way.cast.ember)
    before = {
        int(str(each.check()["seq"])): each.index for each in ledger.openings(ember, slot="to")
    }
    erase_slots(one)
    told = [each.check() for each in ledger.openings(ember, slot="to")]
    (said,) = [each for each in told if each["kind"] == "erase"]
    assert (said["what"], said["ground"]) == ("slots", "request")
    seqs = {int(str(each["seq"])) for each in told}
    gone = set(range(1, max(seqs) + 1)) - seqs
    assert sorted(before[seq] for seq in gone) == said["erased"]


def test_nothing_is_emptied_before_its_entry_is_published(way: Way) -> None:
    one = range_indicator()
    way.pass_on(one)
    act = Erasure(ground=Erasure.Ground.REQUEST, objects_erased=[object_of(one)])
    with acting(Acting(), role="worker"):
        erasure.begin(act, now=LATER)
        erasure.work(now=LATER)
        erasure.work(now=LATER)
    assert LedgerSlot.objects.filter(sealed=b"").count() == 0
    ledger.integrate(now=LATER)
    with acting(Acting(), role="worker"):
        erasure.work(now=LATER)
    assert LedgerSlot.objects.filter(sealed=b"").count() == 0
    ledger.publish(SIGNER, now=LATER)
    with acting(Acting(), role="worker"):
        erasure.work(now=LATER)
    assert LedgerSlot.objects.filter(sealed=b"").count() == 9


@pytest.mark.parametrize("role", ["web", "worker", "sequencer", "owner"])
@pytest.mark.parametrize("sql", ["UPDATE ledger_slot SET sealed = ''", "DELETE FROM ledger_slot"])
def test_nobody_but_the_erasure_empties_a_slot(way: Way, role: str, sql: str) -> None:
    way.pass_on(range_indicator())
    with transaction.atomic(), connection.cursor() as cursor:
        if role != "owner":
            cursor.execute(f"SET LOCAL ROLE weir_{role}")
        with pytest.raises(DatabaseError), transaction.atomic():
            cursor.execute(sql)
        transaction.set_rollback(True)


def test_an_erasure_that_is_recorded_is_not_widened(way: Way) -> None:
    one = range_indicator()
    way.pass_on(one)
    act = erase_slots(one)
    with pytest.raises(DatabaseError), transaction.atomic():
        Erasure.objects.filter(pk=act.pk).update(indexes=[0, 1, 2], done_at=None)


def test_slots_that_are_emptied_without_an_entry_are_damage(way: Way) -> None:
    way.pass_on(range_indicator())
    index = LedgerEntry.objects.filter(kind="release").latest("idx").idx
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # as a superuser may
        cursor.execute("UPDATE ledger_slot SET sealed = '' WHERE idx = %s", [index])
        cursor.execute("SET LOCAL session_replication_role = origin")
    found = [one for one in check.problems(full=True) if "no entry records" in one]
    assert [f"entry {index} " in one for one in found] == [True, True, True]


def test_entries_that_disclose_others_too_keep_their_slots(way: Way) -> None:
    one, other = range_indicator(), campaign()
    way.pass_on(one, other)
    act = erase_slots(one)
    assert act.indexes == []
    assert check.problems(full=True) == ()


def test_old_slots_go_by_the_clock_but_keys_and_policies_stay(way: Way) -> None:
    one = range_indicator()
    way.pass_on(one)
    recalled_and_told(way, one)
    taken = age(3_700)["openings"]
    assert taken > 0
    at = NOON + 3_700 * DAY
    with acting(Acting(), role="worker"):
        erasure.work(now=at)
    sequence(now=at)
    with acting(Acting(), role="worker"):
        erasure.work(now=at)
    kinds = set(
        LedgerEntry.objects.filter(
            idx__in=LedgerSlot.objects.filter(sealed=b"").values("idx")
        ).values_list("kind", flat=True)
    )
    # What takes an object back is served for ever, and so is its entry.
    assert kinds >= {"release", "contribution"}
    assert not kinds & {"key", "policy", "erase", "decision", "pad"}
    assert check.problems(full=True) == ()


# --- a person asks -------------------------------------------------------------------------------

MAIL = "jo.miller@mail.example"


def account(value: str = MAIL) -> Object:
    return {
        "type": "email-addr",
        "spec_version": "2.1",
        "id": "email-addr--7d3c9bde-52ff-5b8f-8d3c-1f9a3a6b7c55",
        "value": value,
    }


def asked(way: Way, by: User, kind: str = "access", *values: str) -> UUID:
    made = persons.ask(
        way.cast.as_(by),
        kind=kind,
        values=values or (MAIL,),
        reason="By letter of 3 Nov.",
        now=LATER,
    )
    with acting(Acting(), role="worker"):
        persons.work(now=LATER)
    return made


def given(way: Way) -> None:
    way.pass_on(account(), now=NOON)
    way.pass_on(range_indicator(name=f"Ask {MAIL.upper()}"), now=NOON + timedelta(minutes=20))
    way.pass_on(range_indicator("198.51.100.0/24"), now=NOON + timedelta(minutes=21))
    release.open_windows(now=NOON + timedelta(hours=2))
    sequence(now=NOON + timedelta(hours=2))


def test_abel_asks_and_sees_what_speaks_of_the_person_and_who_has_it(way: Way) -> None:
    given(way)
    abel = way.cast.as_(way.cast.abel)
    made = asked(way, way.cast.abel)
    shown = persons.view(abel, made)
    assert shown.values == (MAIL,)
    assert sorted(one.stix_type for one in shown.found) == ["email-addr", "indicator"]
    for one in shown.found:
        assert {held.name for held in one.holders} <= {"Borealis", "Ember"}
    assert any(one.holders for one in shown.found)
    assert MAIL.encode() not in dump()


def test_ben_finds_it_by_token_in_what_he_received(way: Way) -> None:
    given(way)
    bo = User.objects.create(email="bo@borealis.example", name="Bo", member=way.cast.borealis)
    bo.role_rows.create(role="officer")
    made = asked(way, bo)
    shown = persons.view(way.cast.as_(bo), made)
    assert shown.found == ()
    assert [name.partition("--")[0] for name in shown.received] == ["keyed-token"]


def test_otto_finds_it_by_token_in_the_forum_and_reads_no_original(way: Way) -> None:
    given(way)
    made = asked(way, way.cast.otto)
    shown = persons.view(way.cast.as_(way.cast.otto), made)
    # What stands in a dropped name only never left, and is its contributor's to find.
    assert [one.stix_type for one in shown.found] == ["email-addr"]
    assert {held.name for held in shown.found[0].holders} == {"Borealis", "Ember"}


def test_two_people_decide_and_none_of_another_side(way: Way) -> None:
    given(way)
    cast = way.cast
    for nobody in (cast.ana, cast.alma, cast.dora, cast.pia, cast.ben):
        with pytest.raises(Forbidden):
            asked(way, nobody)
    made = asked(way, cast.abel, "erasure")
    both = User.objects.get(pk=cast.abel.pk)
    both.role_rows.create(role="counsel")
    with pytest.raises(Refused) as refused:
        decide(way, both, made)
    assert refused.value.code == "person.two-people"
    both.role_rows.filter(role="counsel").delete()
    with pytest.raises(Forbidden):
        decide(way, cast.abel, made)
    for stranger in (cast.dora, cast.otto, cast.ben):
        with pytest.raises((NotFound, Forbidden)):
            decide(way, stranger, made)
        with pytest.raises(NotFound):
            persons.view(cast.as_(stranger), made)
    assert PersonRequest.objects.get().state == "asked"


def decide(way: Way, by: User, made: UUID, *, approves: bool = True) -> None:
    persons.decide(
        way.cast.as_(by), made, approves=approves, reason="The law gives it to them.", now=LATER
    )


def carry_out(at: datetime) -> None:
    """The workers' rounds until nothing is left to do, with the sequencer's between."""
    for n in range(6):
        moment = at + timedelta(minutes=n)
        with acting(Acting(), role="worker"):
            persons.work(now=moment)
            recall.tell_waiting(now=moment)
            erasure.work(now=moment)
        sequence(now=moment)


@pytest.mark.parametrize("role", ["owner", "worker"])
def test_an_erasure_leaves_the_person_nowhere_and_the_ledger_whole(
    way: Way, settings: LazySettings, role: str
) -> None:
    given(way)
    at = NOON + timedelta(hours=3)
    made = asked(way, way.cast.abel, "erasure")
    decide(way, way.cast.alma, made)
    settings.DATABASE_ROLE = role
    carry_out(at)
    row = PersonRequest.objects.get()
    assert row.state == "done"
    assert Recall.objects.filter(object_id__in=row.objects_found, erases=True).count() == 2
    assert Original.objects.filter(version__object_id__in=row.objects_found).count() == 0
    assert Original.objects.count() == 1
    act = Erasure.objects.get()
    assert act.indexes
    assert LedgerSlot.objects.filter(idx__in=act.indexes).exclude(sealed=b"").count() == 0
    assert check.problems(full=True) == ()
    shown = persons.view(way.cast.as_(way.cast.abel), made)
    assert {one.state for one in shown.found} == {"recalled"}
    assert all(held.erased for one in shown.found for held in one.holders if held.kind == "release")
    texts = [one.body.decode() for one in feed(way.cast.ember, now=at + DAY)]
    assert sum('"revoked":true' in text or '"recalled"' in text for text in texts) == 2
    assert not any(bytes(bundle.body) for bundle in Bundle.objects.filter(
        release__items__rendition__object_id__in=row.objects_found,
        release__items__rendition__takes_back=False))  # fmt: skip


def test_a_hold_stops_a_persons_erasure_and_names_itself(way: Way) -> None:
    given(way)
    made = asked(way, way.cast.abel, "erasure")
    held = hold(way, way.cast.dora, "member", "aurora")
    with pytest.raises(Refused) as refused:
        decide(way, way.cast.alma, made)
    assert refused.value.code == "hold.legal"
    assert str(held)[:8] in refused.value.sentence
    legalholds.lift(way.cast.as_(way.cast.dora), held, reason="The case is closed.", now=LATER)
    decide(way, way.cast.alma, made)
    again = hold(way, way.cast.dora, "member", "aurora")
    carry_out(NOON + timedelta(hours=3))
    assert PersonRequest.objects.get().state == "approved"
    assert Original.objects.count() == 3
    legalholds.lift(way.cast.as_(way.cast.dora), again, reason="The case is closed.", now=LATER)
    carry_out(NOON + timedelta(hours=4))
    assert PersonRequest.objects.get().state == "done"


def test_a_request_that_was_refused_or_only_asks_changes_nothing(way: Way) -> None:
    given(way)
    refused = asked(way, way.cast.abel, "erasure")
    decide(way, way.cast.alma, refused, approves=False)
    access = asked(way, way.cast.abel)
    decide(way, way.cast.alma, access)
    carry_out(NOON + timedelta(hours=3))
    states = dict(PersonRequest.objects.values_list("kind", "state"))
    assert states == {"erasure": "refused", "access": "done"}
    assert (Recall.objects.count(), Original.objects.count()) == (0, 3)


@pytest.mark.parametrize("values", [(), ("ab",), tuple(f"value-{n}" for n in range(21))])
def test_a_request_names_the_person_narrowly(way: Way, values: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        persons.ask(
            way.cast.as_(way.cast.abel), kind="access", values=values, reason="By letter.", now=NOON
        )
    assert refused.value.code == "person.values"


def test_a_withdrawn_object_is_spent_once_it_is_revoked(way: Way) -> None:
    one = range_indicator()
    way.pass_on(one)
    ana = way.cast.as_(way.cast.ana)
    contribute.withdraw(ana, one["id"], now=NOON)
    assert "renditions" not in age(9_000)
    revocation.revoke_due(now=NOON + DAY)
    sequence(now=NOON + DAY)
    assert age(9_000)["renditions"] == 1


def test_the_command_counts_and_takes_nothing_in_a_dry_run(way: Way) -> None:
    some_rows(way)
    out = StringIO()
    with time_machine.travel(NOON + 500 * DAY, tick=False):
        call_command("retention", "--dry-run", stdout=out)
    lines = dict(line.split(": ", 1) for line in out.getvalue().splitlines())
    assert set(lines) == set(clocks.BY_NAME)
    assert lines["mails"].startswith("1 of before 2028-01-08 (90 days)")
    assert Mail.objects.count() == 1
    with time_machine.travel(NOON + 500 * DAY, tick=False):
        call_command("retention", stdout=out)
    assert "mails: 1 taken out" in out.getvalue()
    assert Mail.objects.count() == 0
