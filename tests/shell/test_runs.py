"""A run: opened in a child, judged, contributed by the exchange, or laid before its member."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection

from exchange import contribute, findings, runs, telemetry
from exchange.ledger import intake
from exchange.models import Algorithm, Finding, FindingObject, LedgerEvent, Run
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.models import Contribution, Version
from members import onboarding
from members.models import Member
from members.scope import acting
from tests.shell import sharing
from tests.shell.pooling import DAY, TEXTS, Pool, cards, made, put_in_force, with_cards
from tests.shell.sharing import NOON, Object, feed, leave

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def pool(settings: LazySettings, tmp_path: Path) -> Pool:
    """Five labs, and the algorithms in force."""
    made_pool = Pool(sharing.set_up(settings, tmp_path), settings)
    put_in_force(*TEXTS)
    return made_pool


def of_type(objects: Iterable[Object], name: str) -> list[Object]:
    return [one for one in objects if one["type"] == name]


def held(member: Member, *, now: datetime = LATER) -> list[Object]:
    return sharing.bodies(feed(member, now=now))


def test_what_two_labs_hold_in_part_reaches_everybody(pool: Pool) -> None:
    pool.send(pool.cast.ana, made(1, with_cards("shared", own="a")))
    pool.send(pool.cast.ben, made(2, with_cards("shared", own="b")))
    run = pool.run()
    assert run is not None
    assert (run.state, run.extracts) == (Run.State.DONE, 2)
    leave(now=LATER)
    every = [held(pool.cast.member(name)) for name in ("Aurora", "Borealis", "Cirrus", "Fjord")]
    assert every[0] == every[1] == every[2] == every[3]
    (campaign,) = of_type(every[0], "campaign")
    assert campaign["name"].startswith("XC-2026")
    (cluster,) = of_type(every[0], "account-cluster")
    assert cluster["linkage_features"]
    tokens = {one["value"] for one in of_type(every[0], "keyed-token")}
    assert tokens == set(cards(3, "shared"))
    assert {one["id"] for one in of_type(every[0], "keyed-token")} == set(
        cluster["shared_token_refs"]
    )
    assert len(of_type(every[0], "indicator")) >= 2
    # What one of them alone holds is nobody's to say but its own.
    for person, own in ((pool.cast.ana, "a"), (pool.cast.ben, "b")):
        (draft,) = findings.drafts(pool.cast.as_(person))
        said = {one["value"] for one in draft.objects if one["type"] == "keyed-token"}
        assert said == {*cards(3, "shared"), *cards(3, own)}


def test_nothing_new_is_no_run(pool: Pool) -> None:
    pool.send(pool.cast.ana, made(1, with_cards("shared")))
    assert pool.run() is not None
    assert pool.run() is None
    assert pool.run(now=NOON + timedelta(hours=3)) is None
    pool.send(pool.cast.ben, made(2))
    assert pool.run() is not None


def test_a_run_is_in_the_ledger_by_digests(pool: Pool) -> None:
    pool.send(pool.cast.ana, made(1, with_cards("shared")))
    run = pool.run()
    assert run is not None
    event = LedgerEvent.objects.filter(kind="decision").latest("id")
    slots = json.loads(intake.seal().open(bytes(event.slots), aad=intake.event_aad(event.pk)))
    assert slots["audit"]["run"] == str(run.id)
    assert slots["audit"]["inputs"] == bytes(run.inputs).hex()
    assert len(slots["audit"]["algorithms"]) == 2
    assert slots["to"] == slots["from"] == {}
    assert "duckdb 1.5" in run.engine


def fail_once() -> None:
    """The database refuses the first account of a contribution that it is given."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE accounts")
        cursor.execute(
            "CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$"
            " BEGIN IF nextval('accounts') = 1 THEN RAISE EXCEPTION 'MARKER-c41f'; END IF;"
            " RETURN NULL; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER fail_once AFTER INSERT ON indicators_item"
            " FOR EACH STATEMENT EXECUTE FUNCTION fail_once()"
        )


def test_a_finding_that_cannot_be_taken_in_waits_and_keeps_back_no_other(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    fail_once()
    pool.send(pool.cast.ana, made(1, with_cards("one"), with_cards("two")))
    pool.send(pool.cast.ben, made(2, with_cards("one"), with_cards("two")))
    run = pool.run()
    assert run is not None
    assert run.state == Run.State.DONE
    assert Contribution.objects.filter(state=Contribution.State.COMPLETE).count() == 1
    (waits,) = contribute.waiting()
    assert not Version.objects.filter(contribution_id=waits).exists()
    (said,) = [one for one in caplog.records if "contribution.put-off" in str(one.msg)]
    line = telemetry.formatter().format(said)
    assert str(waits) in line
    assert "MARKER" not in line
    assert pool.run() is None
    contribute.take_in_each(contribute.waiting(), now=NOON)
    assert contribute.waiting() == ()
    leave(now=LATER)
    assert len(of_type(held(pool.cast.fjord), "campaign")) == 2


# --- drafts --------------------------------------------------------------------------------------


def draft_of_aurora(pool: Pool) -> findings.Draft:
    pool.send(pool.cast.ana, made(1, with_cards("own"), with_cards("own")))
    pool.run()
    (draft,) = findings.drafts(pool.cast.as_(pool.cast.ana))
    return draft


def test_rows_of_one_lab_are_laid_before_its_analyst_alone(pool: Pool) -> None:
    draft = draft_of_aurora(pool)
    assert {one["type"] for one in draft.objects} >= {"campaign", "account-cluster", "keyed-token"}
    assert not findings.drafts(pool.cast.as_(pool.cast.ben))
    for stranger in (pool.cast.ben, pool.cast.dora, pool.cast.pia):
        with pytest.raises((NotFound, Forbidden)):
            findings.draft(pool.cast.as_(stranger), draft.id)
    leave(now=LATER)
    assert not held(pool.cast.fjord)
    row = Finding.objects.get()
    assert cards(3, "own")[0].encode() not in bytes(row.sealed) + bytes(row.memory)


def test_a_draft_is_sent_as_its_labs_own(pool: Pool) -> None:
    draft, ana = draft_of_aurora(pool), pool.cast.as_(pool.cast.ana)
    sent = findings.send(ana, draft.id, now=NOON)
    row = Contribution.objects.get(pk=sent)
    assert row.member_id == pool.cast.aurora.id
    assert contribute.accept(sent, now=NOON)
    leave(now=LATER)
    assert of_type(held(pool.cast.fjord), "campaign")
    assert findings.drafts(ana) == ()
    with pytest.raises(Refused, match="sent or thrown away"):
        findings.send(ana, draft.id, now=NOON)


def test_what_was_thrown_away_does_not_come_again(pool: Pool) -> None:
    draft, ana = draft_of_aurora(pool), pool.cast.as_(pool.cast.ana)
    findings.drop(ana, draft.id, now=NOON)
    assert bytes(Finding.objects.get().sealed) == b""
    tomorrow = NOON + DAY
    pool.send(pool.cast.ana, made(1, with_cards("own", own="more"), day=tomorrow), now=tomorrow)
    assert pool.run(now=tomorrow) is not None
    assert findings.drafts(ana) == ()


def test_a_draft_that_nobody_sends_is_gone_after_its_time(pool: Pool) -> None:
    draft_of_aurora(pool)
    assert findings.forget(NOON + 59 * DAY) == 0
    assert findings.forget(NOON + 60 * DAY) == 1
    row = Finding.objects.get()
    assert (row.state, bytes(row.sealed), bytes(row.memory)) == ("dropped", b"", b"")
    assert findings.drafts(pool.cast.as_(pool.cast.ana)) == ()
    # An empty pool is run like any other, and says nothing.
    pool.send(pool.cast.ana, made(1), now=NOON)
    late = NOON + 70 * DAY
    run = pool.run(now=late)
    assert run is not None
    assert (run.state, run.extracts, run.rows) == (Run.State.DONE, 0, 0)


def test_a_labs_policy_may_have_its_drafts_sent(pool: Pool) -> None:
    sharing.member_policy(pool.cast.aurora, now=NOON - DAY, drafts="send")
    pool.send(pool.cast.ana, made(1, with_cards("own"), with_cards("own")))
    pool.run()
    assert findings.drafts(pool.cast.as_(pool.cast.ana)) == ()
    leave(now=LATER)
    assert of_type(held(pool.cast.fjord), "campaign")
    assert Contribution.objects.get().member_id == pool.cast.aurora.id


# --- the same group, day after day ---------------------------------------------------------------


def both(pool: Pool, day: datetime, more: str = "", theirs: str = "") -> None:
    """Both labs' extracts of a day: the same campaign, with what is new in it."""
    names = ("shared", more) if more else ("shared",)
    others = ("shared", theirs) if theirs else ("shared",)
    pool.send(pool.cast.ana, made(1, with_cards(*names, own="a"), day=day), now=day)
    pool.send(pool.cast.ben, made(2, with_cards(*others, own="b"), day=day), now=day)
    assert pool.run(now=day) is not None
    leave(now=day + timedelta(hours=1))


def test_the_same_group_stays_one_campaign_and_changes_by_days(pool: Pool) -> None:
    both(pool, NOON)
    first = feed(pool.cast.fjord, now=LATER)
    tomorrow = NOON + DAY
    both(pool, tomorrow)
    assert feed(pool.cast.fjord, now=tomorrow + timedelta(hours=1)) == first
    after = tomorrow + DAY
    both(pool, after, more="late", theirs="late")
    later = held(pool.cast.fjord, now=after + timedelta(hours=1))
    assert len({one["id"] for one in of_type(later, "campaign")}) == 1
    assert set(cards(3, "late")) <= {one["value"] for one in of_type(later, "keyed-token")}
    # Beside it each lab may have a draft, of prompts that it alone has seen.
    together = Finding.objects.filter(member__is_exchange=True)
    assert together.count() == 1


def test_what_one_lab_alone_adds_changes_nothing(pool: Pool) -> None:
    both(pool, NOON)
    first = feed(pool.cast.fjord, now=LATER)
    tomorrow = NOON + DAY
    both(pool, tomorrow, more="late")
    assert feed(pool.cast.fjord, now=tomorrow + timedelta(hours=1)) == first


# --- what found it -------------------------------------------------------------------------------


def test_who_holds_an_object_reads_what_found_it(pool: Pool) -> None:
    both(pool, NOON)
    fjord = sharing.analyst_of(pool.cast.fjord)
    (campaign,) = of_type(held(pool.cast.fjord), "campaign")
    (what,) = findings.of_object(fjord, campaign["id"])
    assert [name[-2:] for name, _ in what.algorithms] == ["01", "03"]
    assert campaign["id"] in what.objects
    assert set(what.objects) <= {one["id"] for one in held(pool.cast.fjord)}
    assert what.on == NOON.date()
    own = sharing.Way(pool.cast, pool.cast.relay_watch)
    own.pass_on(sharing.campaign(), now=LATER)
    (other,) = of_type(held(pool.cast.ember), "campaign")[1:]
    ember = sharing.analyst_of(pool.cast.ember)
    assert findings.of_object(ember, other["id"]) == ()
    assert findings.of_object(fjord, other["id"]) == ()
    assert findings.of_object(pool.cast.as_(pool.cast.pia), campaign["id"]) == ()


# --- alarms --------------------------------------------------------------------------------------


def test_the_operator_sees_alarms_and_marks_them(pool: Pool) -> None:
    pia = pool.cast.as_(pool.cast.pia)
    pool.send(pool.cast.ana, made(1))
    run = pool.run()
    assert run is not None
    assert runs.alarms(pia) == ()
    Run.objects.filter(pk=run.pk).update(state=Run.State.STOPPED)
    (alarm,) = runs.alarms(pia)
    assert alarm.code == "giant-group"
    runs.see(pia, run.id, now=LATER)
    assert runs.alarms(pia) == ()
    with pytest.raises(NotFound):
        runs.alarms(pool.cast.as_(pool.cast.ana))


# --- the exchange, as who contributes ------------------------------------------------------------


def test_the_exchange_contributes_and_is_no_member(pool: Pool) -> None:
    both(pool, NOON)
    exchange = Member.everyone.get(is_exchange=True)
    assert Contribution.objects.get().member_id == exchange.id
    assert not Member.objects.filter(pk=exchange.pk).exists()
    assert exchange.id not in {one.member_id for one in pool.cast.forum.seats.all()}
    assert feed(pool.cast.fjord, now=LATER)
    assert FindingObject.objects.filter(member=exchange).exists()
    assert Algorithm.objects.filter(state=Algorithm.State.ACTIVE).count() == 2
    assert onboarding.exchange().user_id is None
    with acting(sharing.analyst_of(pool.cast.aurora).acting()):
        assert not Contribution.objects.filter(member_id=exchange.id).exists()
