"""The life of a policy: two people for a floor, versions that stay, each in the ledger."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError

from exchange import audiences, ledger, policies
from exchange.models import FloorPolicy, MemberPolicyVersion, PolicyDraft
from exchange.policy import documents, terms
from exchange.proof.refused import Forbidden, NotFound, Refused
from members.auth import Principal
from members.scope import acting
from tests.cast import Cast
from tests.shell import sharing
from tests.shell.sharing import NOON

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
# A line that only Aurora's own people may ever read.
DENIED = "0d1f2a3b-4c5d-4e6f-8a9b-0c1d2e3f4a5b"
OWN = f"version: 1\ndeny_recipients: [{DENIED}]\nbecause: {{{DENIED}: legal-advice}}\n"


@pytest.fixture
def cast(settings: LazySettings, tmp_path: Path) -> Cast:
    return sharing.set_up(settings, tmp_path)


def at(moment: datetime) -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: moment


def floor_text(**changes: Any) -> str:
    """The shipped floor as a second version, with parts changed."""
    document = {**terms.shipped_floor(), "version": 2, "minimum_circle": 4, **changes}
    return documents.write(document)


def submitted(person: Principal, text: str, *, now: datetime = NOON, **how: Any) -> UUID:
    """Written and submitted."""
    draft_id = policies.draft(person, text, now=now, **how)
    policies.submit(person, draft_id, now=now)
    return draft_id


def activate(
    person: Principal, draft_id: UUID, *, saw: bool = False, now: datetime = NOON
) -> datetime | None:
    """Exactly what was read is put in force."""
    digest = policies.draft_of(person, draft_id).digest
    return policies.activate(person, draft_id, digest=digest, saw=saw, clock=at(now))


# --- the floor -----------------------------------------------------------------------------------


def test_dora_drafts_and_pia_activates(cast: Cast) -> None:
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    draft_id = submitted(dora, floor_text(), note="Circles of four, after the meeting.")
    assert audiences.floor_in_force()[1].document["minimum_circle"] == 3
    assert activate(pia, draft_id, now=NOON + HOUR) == NOON + HOUR
    assert audiences.floor_in_force()[1].document["minimum_circle"] == 4
    newest, first = policies.versions(pia, "floor")
    assert (newest.author, newest.approver) == ("Dora", "Pia")
    assert (newest.since, newest.until, first.until) == (NOON + HOUR, None, NOON + HOUR)
    assert newest.note == "Circles of four, after the meeting."
    assert newest.source == floor_text()
    assert policies.drafts(pia) == ()


def test_a_floor_is_in_every_members_ledger(cast: Cast) -> None:
    draft_id = submitted(cast.as_(cast.dora), floor_text())
    activate(cast.as_(cast.pia), draft_id)
    sharing.sequence(now=NOON)
    digest = audiences.floor_in_force()[1].digest
    for lab in (cast.aurora, cast.cirrus):
        shown = _openings(sharing.analyst_of(lab), "all")
        assert [one["digest"] for one in shown if one.get("policy") == "floor"] == [digest]


def test_who_drafts_does_not_activate(cast: Cast) -> None:
    draft_id = submitted(cast.as_(cast.dora), floor_text())
    with pytest.raises(Forbidden):
        activate(cast.as_(cast.dora), draft_id)
    both = Principal(user_id=cast.dora.id, roles=frozenset({"forum-counsel", "operator"}))
    with pytest.raises(Refused) as refused:
        activate(both, draft_id)
    assert refused.value.code == "floor.two-people"
    assert audiences.floor_in_force()[1].version == 1


@pytest.mark.parametrize("name", ["otto", "alma", "abel", "ana", "ben", "cleo"])
def test_nobody_else_drafts_or_sees_a_floors_draft(cast: Cast, name: str) -> None:
    person = cast.as_(getattr(cast, name))
    draft_id = submitted(cast.as_(cast.dora), floor_text())
    with pytest.raises(NotFound):
        policies.draft_of(person, draft_id)
    with pytest.raises(NotFound):
        policies.activate(person, draft_id, digest="", clock=at(NOON))
    with pytest.raises(Refused):
        policies.draft(person, floor_text(), now=NOON)


def test_pia_sends_back_with_a_reason_and_dora_writes_anew(cast: Cast) -> None:
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    draft_id = submitted(dora, floor_text())
    with pytest.raises(Refused):
        policies.send_back(pia, draft_id, reason="no", now=NOON)
    policies.send_back(pia, draft_id, reason="Which meeting was that?", now=NOON)
    assert policies.draft_of(dora, draft_id).answer == "Which meeting was that?"
    with pytest.raises(Refused):
        activate(pia, draft_id)
    policies.draft(dora, floor_text(minimum_circle=5), draft_id=draft_id, now=NOON)
    policies.submit(dora, draft_id, now=NOON)
    activate(pia, draft_id)
    assert audiences.floor_in_force()[1].document["minimum_circle"] == 5


def test_what_is_submitted_is_not_written_any_more(cast: Cast) -> None:
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    draft_id = policies.draft(dora, floor_text(), now=NOON)
    read = policies.draft_of(pia, draft_id).digest
    policies.draft(dora, floor_text(minimum_circle=9), draft_id=draft_id, now=NOON)
    policies.submit(dora, draft_id, now=NOON)
    with pytest.raises(Refused) as refused:
        policies.draft(dora, floor_text(), draft_id=draft_id, now=NOON)
    assert refused.value.code == "policy.state"
    with pytest.raises(Refused) as changed:
        policies.activate(pia, draft_id, digest=read, clock=at(NOON))
    assert changed.value.code == "policy.changed"


def test_a_document_that_is_no_floor_is_no_draft(cast: Cast) -> None:
    text = floor_text().replace("minimum_circle: 4", "minimum_circle: 0")
    with pytest.raises(Refused) as refused:
        policies.draft(cast.as_(cast.dora), text, now=NOON)
    assert refused.value.path.endswith("minimum_circle")
    assert not PolicyDraft.objects.exists()


def test_a_version_is_larger_than_the_one_in_force(cast: Cast) -> None:
    dora = cast.as_(cast.dora)
    draft_id = policies.draft(dora, floor_text(version=1), now=NOON)
    with pytest.raises(Refused) as refused:
        policies.submit(dora, draft_id, now=NOON)
    assert refused.value.code == "policy.version"


def test_a_second_founding_is_refused(cast: Cast) -> None:
    with pytest.raises(Refused):
        policies.found(terms.shipped_floor(), clock=at(NOON))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE exchange_floorpolicy SET version = '9'",
        "DELETE FROM exchange_floorpolicy",
        "UPDATE exchange_memberpolicyversion SET digest = 'x'",
        "DELETE FROM exchange_memberpolicyversion",
    ],
)
def test_what_took_effect_stays_even_for_the_databases_owner(cast: Cast, sql: str) -> None:
    sharing.member_policy(cast.aurora, now=NOON, version=1)
    with (
        pytest.raises(IntegrityError, match="stays as it is"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)


# --- a member's own ------------------------------------------------------------------------------


def test_abel_changes_auroras_policy_alone(cast: Cast) -> None:
    abel = cast.as_(cast.abel)
    draft_id = submitted(abel, OWN)
    activate(abel, draft_id)
    force = audiences.in_force(cast.aurora.id)
    assert force.policy.deny_recipients == {DENIED}
    assert force.policy_digest == policies.versions(abel, "member")[0].digest
    assert audiences.in_force(cast.borealis.id).policy == terms.MemberPolicy.none()


def test_two_people_where_the_policy_says_so(cast: Cast) -> None:
    abel, alma = cast.as_(cast.abel), cast.as_(cast.alma)
    first = submitted(abel, "version: 1\ntwo_people: true\n")
    with pytest.raises(Refused) as refused:
        activate(abel, first)
    assert refused.value.code == "policy.two-people"
    activate(alma, first)
    # To be alone again takes two as well.
    second = submitted(abel, "version: 2\ntwo_people: false\n")
    sharing.previewed(abel, {"version": 2, "two_people": False}, now=NOON)
    with pytest.raises(Refused) as again:
        activate(abel, second, saw=True)
    assert again.value.code == "policy.two-people"
    activate(alma, second, saw=True)
    activate(abel, submitted(abel, "version: 3\n"))
    assert MemberPolicyVersion.objects.count() == 3


def test_a_members_policy_is_in_its_own_ledger_alone(cast: Cast) -> None:
    abel = cast.as_(cast.abel)
    activate(abel, submitted(abel, OWN))
    sharing.sequence(now=NOON)
    own = _openings(abel, "from")
    digest = policies.versions(abel, "member")[0].digest
    assert [one["digest"] for one in own if one.get("policy") == "member"] == [digest, digest]
    for other in (cast.ben, cast.cleo):
        person = cast.as_(other)
        told = [_openings(person, slot) for slot in ("to", "from", "all")]
        assert digest not in str(told)


@pytest.mark.parametrize("name", ["ben", "cleo", "dora", "otto", "pia"])
def test_auroras_lists_of_whom_it_denies_are_its_own(cast: Cast, name: str) -> None:
    abel = cast.as_(cast.abel)
    activate(abel, submitted(abel, OWN))
    waiting = submitted(abel, OWN.replace("version: 1", "version: 2"))
    person = cast.as_(getattr(cast, name))
    with acting(person.acting()), connection.cursor() as cursor:
        for table in ("exchange_memberpolicyversion", "exchange_policydraft"):
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of this test
            assert cursor.fetchone() == (0,)
        assert policies.drafts(person) == ()
        assert DENIED not in str(policies.versions(person, "member"))
        with pytest.raises(NotFound):
            policies.draft_of(person, waiting)
    with acting(abel.acting()):
        assert DENIED in policies.draft_of(abel, waiting).source


def test_ana_may_not_write_auroras_policy(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        policies.draft(cast.as_(cast.ana), OWN, now=NOON)
    with acting(cast.as_(cast.ana).acting()), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM exchange_policydraft")
        assert cursor.fetchone() == (0,)


def test_ben_writes_no_draft_in_auroras_name(cast: Cast) -> None:
    abel = cast.as_(cast.abel)
    waiting = submitted(abel, OWN)
    with acting(cast.as_(cast.ben).acting()), connection.cursor() as cursor:
        cursor.execute("UPDATE exchange_policydraft SET state = 'discarded'")
        assert cursor.rowcount == 0
    with (
        acting(cast.as_(cast.dora).acting()),
        pytest.raises(ProgrammingError, match="permission denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM exchange_policydraft")
    assert policies.draft_of(abel, waiting).state == "submitted"


def test_what_was_put_aside_stays_so(cast: Cast) -> None:
    abel = cast.as_(cast.abel)
    draft_id = policies.draft(abel, OWN, now=NOON)
    policies.discard(abel, draft_id, now=NOON)
    assert policies.drafts(abel) == ()
    with pytest.raises(Refused):
        policies.submit(abel, draft_id, now=NOON)
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyDraft.objects.filter(pk=draft_id).update(state="draft")


# --- loosening -----------------------------------------------------------------------------------


def refusal(person: Principal, draft_id: UUID, *, saw: bool) -> str:
    """The code with which an activation is refused."""
    with pytest.raises(Refused) as refused:
        activate(person, draft_id, saw=saw)
    return refused.value.code


def test_a_loosening_takes_effect_only_after_its_list_was_seen(cast: Cast) -> None:
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    looser = documents.read(floor_text(minimum_circle=2), "floor")
    draft_id = submitted(dora, floor_text(minimum_circle=2))
    assert refusal(pia, draft_id, saw=True) == "policy.preview"
    sharing.previewed(dora, {**looser, "minimum_circle": 3}, now=NOON)
    assert refusal(pia, draft_id, saw=True) == "policy.preview"  # of another document
    sharing.previewed(dora, looser, now=NOON)
    assert refusal(pia, draft_id, saw=False) == "policy.confirm"
    activate(pia, draft_id, saw=True)
    assert audiences.floor_in_force()[1].document["minimum_circle"] == 2


def test_a_preview_against_what_is_no_longer_in_force_does_not_count(cast: Cast) -> None:
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    looser = documents.read(floor_text(version=3, minimum_circle=2), "floor")
    sharing.previewed(dora, looser, now=NOON)
    activate(pia, submitted(dora, floor_text()))
    draft_id = submitted(dora, documents.write(looser))
    assert refusal(pia, draft_id, saw=True) == "policy.preview"


def test_the_approval_in_the_ledger_names_the_preview_that_was_seen(cast: Cast) -> None:
    abel = cast.as_(cast.abel)
    sharing.own_policy(abel, {"version": 1, "drop_types": ["sighting"]}, now=NOON)
    sharing.own_policy(abel, {"version": 2}, now=NOON)
    sharing.sequence(now=NOON)
    told = [one for one in _openings(abel, "from") if one.get("decision") == "approved"]
    assert ["preview" in one for one in told] == [False, True]
    assert told[1]["shown"] == 0


def test_aurora_cannot_use_the_preview_of_another_lab(cast: Cast) -> None:
    abel = cast.as_(cast.abel)
    sharing.own_policy(abel, {"version": 1, "drop_types": ["sighting"]}, now=NOON)
    other = Principal(member_id=cast.ember.id, user_id=cast.ben.id, roles=frozenset({"officer"}))
    sharing.previewed(other, {"version": 2}, now=NOON)
    assert refusal(abel, submitted(abel, "version: 2\n"), saw=True) == "policy.preview"


# --- a time to come ------------------------------------------------------------------------------


def test_an_approved_policy_starts_at_its_time(cast: Cast) -> None:
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    draft_id = submitted(dora, floor_text(), starts_at=NOON + HOUR)
    assert activate(pia, draft_id) is None
    assert policies.draft_of(pia, draft_id).approved_by == "Pia"
    assert policies.start_due(clock=at(NOON + HOUR / 2)) == 0
    assert audiences.floor_in_force()[1].version == 1
    assert policies.start_due(clock=at(NOON + HOUR)) == 1
    assert audiences.floor_in_force()[1].version == 2
    assert FloorPolicy.objects.latest("id").effective_at == NOON + HOUR
    assert policies.start_due(clock=at(NOON + 2 * HOUR)) == 0


def test_what_was_approved_against_another_policy_does_not_start(cast: Cast) -> None:
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    later = submitted(dora, floor_text(version=3), starts_at=NOON + HOUR)
    activate(pia, later)
    activate(pia, submitted(dora, floor_text()))
    assert policies.start_due(clock=at(NOON + HOUR)) == 0
    assert policies.draft_of(pia, later).state == "submitted"
    assert "look at it again" in policies.draft_of(pia, later).answer


def test_pia_stops_what_she_approved_for_later(cast: Cast) -> None:
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    draft_id = submitted(dora, floor_text(), starts_at=NOON + HOUR)
    activate(pia, draft_id)
    policies.send_back(pia, draft_id, reason="The meeting was put off.", now=NOON)
    assert policies.start_due(clock=at(NOON + HOUR)) == 0
    assert audiences.floor_in_force()[1].version == 1


def _openings(person: Principal, slot: str) -> list[dict[str, Any]]:
    """What the ledger shows somebody, as values."""
    return [json.loads(one.value) for one in ledger.openings(person, slot=slot, after=-1)]
