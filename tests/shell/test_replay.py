"""A draft policy replayed over what was contributed: what it would show and hide, and to whom."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.utils import ProgrammingError

from exchange import policies, replay, review
from exchange.models import (
    Hold,
    OriginalRead,
    Preview,
    PreviewAudience,
    PreviewLine,
    PreviewPart,
    ReleaseItem,
)
from exchange.policy import documents, terms
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.replay import Filters, asking
from indicators.models import Version
from members.auth import Principal
from members.models import Member, User
from members.scope import Acting, acting
from tests.cast import Cast
from tests.shell import sharing
from tests.shell.sharing import NOON, Object, Way

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=1)
CANARY = "CANARY-our-discount-is-forty-percent"
SINCE, UNTIL = NOON - timedelta(days=1), NOON + timedelta(minutes=1)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = sharing.set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def things(at: datetime = NOON) -> tuple[Object, ...]:
    """One of each: what leaves at once, what leaves later, what is linked, held, and withheld."""
    root = sharing.campaign(at=at, confidence=80, first_seen=sharing.stamp(at))
    address = sharing.range_indicator(
        at=at, confidence=80, description=CANARY, x_canary={"CANARY": CANARY}
    )
    domain = sharing.domain_indicator(at=at, valid_from=sharing.stamp(at))
    return (
        root,
        address,
        domain,
        sharing.indicates(address["id"], root["id"], at=at),
        sharing.indicates(domain["id"], root["id"], at=at),
        sharing.sdo("malware", at=at, name=CANARY, is_family=False),
        sharing.sdo("identity", at=at, name=CANARY, identity_class="organization"),
        {
            "type": "email-addr",
            "spec_version": "2.1",
            "id": f"email-addr--{uuid4()}",
            # Another one each time: equal bytes are not given a second time.
            "value": f"canary-{uuid4()}@mail.example",
        },
    )


def officer(cast: Cast) -> Principal:
    return cast.as_(cast.abel)


def ask(
    cast: Cast,
    document: Mapping[str, Any],
    *,
    by: User | None = None,
    now: datetime = LATER,
    until: datetime = UNTIL,
    **more: Any,
) -> UUID:
    """Start a preview with the rights that a request has."""
    who = cast.as_(by or cast.abel)
    kind = "floor" if by is cast.dora else "member"
    with acting(who.acting()):
        return replay.start(
            who,
            kind=kind,
            member_id=None if kind == "floor" else cast.aurora.id,
            document=document,
            since=SINCE,
            until=until,
            now=now,
            **more,
        )


def run(preview_id: UUID, *, now: datetime = LATER) -> Preview:
    """A worker does all of it, with a worker's rights."""
    with acting(Acting(), role="worker"):
        while replay.work(preview_id, now=now):
            pass
    return Preview.objects.get(pk=preview_id)


def received(member: Member, sent: UUID) -> dict[int, dict[str, Any]]:
    """What a lab was given of a contribution, by the place of the object in it."""
    rows = ReleaseItem.objects.filter(
        release__recipients__recipient=member, outcome__contribution_id=sent
    )
    return {
        place: json.loads(bytes(body))
        for place, body in rows.values_list("outcome__version__position", "rendition__body")
    }


def foretold(preview: Preview) -> dict[str, dict[int, set[tuple[str, str]]]]:
    """What the preview says will be otherwise: by lab, by place, (way, first part of the path)."""
    names = dict(Member.objects.values_list("id", "name"))
    audiences = {row.key: row for row in PreviewAudience.objects.filter(preview=preview)}
    places = dict(Version.objects.values_list("outcomes__id", "position"))
    told: dict[str, dict[int, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    for line in PreviewLine.objects.filter(preview=preview):
        head = line.path.split(".")[0].split("[")[0]
        for key in line.audiences:
            for member in audiences[key].recipients:
                told[names[member]][places[line.outcome_id]].add((line.way, head))
    return told


# Other each time, whatever the policy says.
MINTED = {"id", "created", "modified", "source_ref", "target_ref"}
NAMED = {"campaign": {"name"}, "keyed-token": {"value"}}


def became(
    before: Mapping[int, Mapping[str, Any]], after: Mapping[int, Mapping[str, Any]]
) -> dict[int, set[str]]:
    """What really is otherwise: by place, the properties; an empty one is the whole object."""
    changed: dict[int, set[str]] = {}
    for place in before.keys() | after.keys():
        old, new = before.get(place), after.get(place)
        if old is None or new is None:
            changed[place] = {""}
            continue
        heads = {head for head in old.keys() | new.keys() if old.get(head) != new.get(head)}
        heads -= MINTED | NAMED.get(old["type"], set())
        if heads:
            changed[place] = heads
    return changed


def assert_came_true(way: Way, preview: Preview, first: UUID, second: UUID) -> None:
    told = foretold(preview)
    for lab in (way.cast.borealis, way.cast.ember):
        real = became(received(lab, first), received(lab, second))
        said = {place: {head for _, head in ways} for place, ways in told[lab.name].items()}
        assert said == real, lab.name


@contextmanager
def nothing_said(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No log line inside holds what must not be seen."""
    yield
    out, err = capfd.readouterr()
    assert "canary" not in (out + err).lower()


POLICIES = [
    {"version": 2, "drop_classes": ["confidence"]},
    {"version": 2, "drop_kinds": ["reseller-domain"]},
    {"version": 2, "drop_kinds": ["campaign"]},
    {"version": 2, "deny_kinds": {"EMBER": ["egress-range"]}, "dates": "month"},
    {"version": 2, "deny_recipients": ["EMBER"]},
    {"version": 2, "drop_types": ["email-addr"], "drop_classes": ["timing"]},
]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_members_draft_foretells_is_what_happens(way: Way, policy: dict[str, Any]) -> None:
    ember = str(way.cast.ember.id)
    policy = json.loads(json.dumps(policy).replace("EMBER", ember))
    first = way.pass_on(*things())
    sharing.leave(now=LATER)
    preview = run(ask(way.cast, policy))
    assert preview.state == "finished"
    assert preview.hidden > 0
    assert preview.shown == 0
    sharing.member_policy(way.cast.aurora, now=LATER, **policy)
    second = way.pass_on(*things(), now=LATER)
    sharing.leave(now=LATER + timedelta(hours=1))
    assert_came_true(way, preview, first, second)


def looser_floor() -> dict[str, Any]:
    """Malware is judged by nobody any more, confidence is dropped, S2 leaves at once."""
    document = terms.shipped_floor()
    document["version"] = 2
    del document["types"]["held"]["malware"]
    document["types"]["pass"].append("malware")
    document["classes"]["confidence"] = {"treatment": "drop", "can": ["drop"]}
    document["windows"]["S2"]["every_seconds"] = 0
    return document


def test_what_a_draft_of_the_floor_foretells_is_what_happens(way: Way) -> None:
    first = way.pass_on(*things())
    sharing.leave(now=LATER)
    preview = run(ask(way.cast, looser_floor(), by=way.cast.dora))
    lines = PreviewLine.objects.filter(preview=preview)
    whole = lines.filter(way="shown", path="").get()
    assert (whole.stix_type, whole.before, whole.after) == ("malware", "held", "leaves")
    assert lines.filter(field_class="timing", way="looser", path="").exists()
    after = LATER + timedelta(seconds=1)  # what was shown above is of a day, not of a month
    sharing.previewed(way.cast.as_(way.cast.dora), looser_floor(), now=after)
    sharing.new_floor(way.cast, looser_floor(), now=LATER)
    second = way.pass_on(*things(), now=LATER)
    sharing.leave(now=LATER + timedelta(hours=1))
    lines.filter(field_class="timing", path="").delete()  # when it leaves is not in what is sent
    assert_came_true(way, preview, first, second)


def test_a_draft_equal_to_the_policy_in_force_changes_nothing(way: Way) -> None:
    way.pass_on(*things())
    sharing.member_policy(way.cast.aurora, now=NOON, version=1, dates="month")
    same = run(ask(way.cast, {"version": 1, "dates": "month"}))
    assert (same.state, same.shown, same.hidden, same.done) == ("finished", 0, 0, same.total)
    again = run(ask(way.cast, {**terms.shipped_floor(), "version": 2}, by=way.cast.dora))
    assert (again.shown, again.hidden) == (0, 0)


def test_an_approval_that_was_given_counts(way: Way) -> None:
    sent = way.give(*things())
    strict = {"version": 2, "drop_types": ["malware"]}
    still_held = run(ask(way.cast, strict))
    assert not PreviewLine.objects.filter(preview=still_held, stix_type="malware").exists()
    people = {"forum-counsel": way.cast.dora, "contributor-counsel": way.cast.alma}
    for hold in Hold.objects.filter(outcome__contribution_id=sent):
        for role in hold.approvers:
            who = way.cast.as_(people[role])
            review.act(who, [hold.id], act="release", reason="seen and judged", now=NOON)
    line = PreviewLine.objects.get(preview=run(ask(way.cast, strict)), stix_type="malware")
    assert (line.way, line.before, line.after) == ("hidden", "leaves", "withheld")


def test_past_contributions_under_todays_policy_against_that_of_then(way: Way) -> None:
    way.pass_on(*things())
    then, today = {"version": 1, "drop_classes": ["confidence"]}, {"version": 2}
    preview = run(ask(way.cast, today, against=then))
    line = PreviewLine.objects.filter(preview=preview, stix_type="indicator").get()
    assert (line.way, line.field_class, line.rule_before) == (
        "shown",
        "confidence",
        "member/1/drop-class",
    )
    assert replay.finished_for("member", way.cast.aurora.id, asking.digest_of(today)) is None


def test_finished_for_answers_for_a_document_that_was_previewed_and_for_no_other(way: Way) -> None:
    way.pass_on(*things())
    document = {"version": 2, "drop_classes": ["confidence"]}
    digest = asking.digest_of(document)
    asked = ask(way.cast, document)
    assert replay.finished_for("member", way.cast.aurora.id, digest) is None
    run(asked)
    with acting(officer(way.cast).acting()):
        found = replay.finished_for("member", way.cast.aurora.id, digest)
    assert found is not None
    assert (found.id, found.finished_at, found.shown) == (asked, LATER, 0)
    assert found.hidden > 0
    assert found.against == asking.digest_of({})
    assert replay.finished_for("member", way.cast.borealis.id, digest) is None
    assert replay.finished_for("member", way.cast.aurora.id, bytes(32)) is None
    assert replay.finished_for("floor", None, digest) is None


def test_a_preview_of_an_empty_hour_lets_no_loosening_through(way: Way) -> None:
    way.pass_on(*things())
    run(ask(way.cast, looser_floor(), by=way.cast.dora))
    narrow = replay.finished_for("floor", None, asking.digest_of(looser_floor()))
    assert narrow is not None
    assert not narrow.is_whole
    dora, pia = way.cast.as_(way.cast.dora), way.cast.as_(way.cast.pia)
    draft = policies.draft(dora, documents.write(looser_floor()), now=LATER)
    policies.submit(dora, draft, now=LATER)
    digest = documents.digest(looser_floor()).hex()
    with pytest.raises(Refused, match="over the last 30 days"):
        policies.activate(pia, draft, digest=digest, saw=True, clock=lambda: LATER)
    sharing.previewed(dora, looser_floor(), now=LATER + timedelta(minutes=1))
    policies.activate(pia, draft, digest=digest, saw=True, clock=lambda: LATER)


def test_the_operator_learns_that_a_floor_was_previewed_and_reads_no_line(way: Way) -> None:
    way.pass_on(*things())
    preview = run(ask(way.cast, looser_floor(), by=way.cast.dora))
    pia = way.cast.as_(way.cast.pia)
    with acting(pia.acting()):
        assert replay.finished_for("floor", None, bytes(preview.digest)) is not None
        seen = replay.overview(pia, preview.id)
        assert seen.counts
        assert not seen.reads_lines
        with pytest.raises(NotFound):
            replay.lines(pia, preview.id, Filters())
        assert not PreviewLine.objects.exists()


def test_a_preview_is_estimated_before_it_starts(way: Way) -> None:
    way.pass_on(*things())
    who = officer(way.cast)
    with acting(who.acting()):
        found = replay.estimate(
            who, kind="member", member_id=way.cast.aurora.id, since=SINCE, until=UNTIL
        )
    assert (found.contributions, found.objects, found.recipients) == (1, len(things()), 5)
    assert found.seconds >= 1


def test_nobody_else_starts_reads_or_ends_it(way: Way) -> None:
    way.pass_on(*things())
    cast = way.cast
    asked = ask(cast, {"version": 2, "drop_classes": ["confidence"]})
    for somebody in (cast.ana, cast.ben, cast.cleo, cast.dora, cast.otto, cast.pia):
        who = cast.as_(somebody)
        with acting(who.acting()):
            with pytest.raises(Forbidden):
                replay.start(
                    who,
                    kind="member",
                    member_id=cast.aurora.id,
                    document={},
                    since=SINCE,
                    until=UNTIL,
                    now=LATER,
                )
            with pytest.raises((Forbidden, NotFound)):
                replay.cancel(who, asked, now=LATER)
            with pytest.raises(NotFound):
                replay.overview(who, asked)
    run(asked)
    with acting(cast.as_(cast.ben).acting()):
        assert not PreviewLine.objects.exists()
        assert not Preview.objects.exists()
    with acting(cast.as_(cast.dora).acting()):
        assert not PreviewLine.objects.exists()


def test_a_document_that_is_no_policy_is_refused_and_nothing_starts(way: Way) -> None:
    for document in ({"version": 2, "open_everything": True}, {"drop_classes": "all"}):
        with pytest.raises(Refused):
            ask(way.cast, document)
    with pytest.raises(Refused, match="ends before"):
        ask(way.cast, {"version": 2}, until=SINCE)
    assert not Preview.objects.exists()


def test_one_preview_at_a_time(way: Way) -> None:
    ask(way.cast, {"version": 2})
    with pytest.raises(Refused, match="under way"):
        ask(way.cast, {"version": 3})


def test_a_cancelled_preview_stops_and_leaves_no_lines(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay.working, "OBJECTS", 1)
    for _ in range(3):
        way.pass_on(*things())
    asked = ask(way.cast, {"version": 2, "drop_classes": ["confidence"]})
    with acting(Acting(), role="worker"):
        assert replay.work(asked, now=LATER)
    assert PreviewPart.objects.filter(preview=asked).count() == 3
    assert PreviewLine.objects.filter(preview=asked).exists()
    who = officer(way.cast)
    with acting(who.acting()):
        replay.cancel(who, asked, now=LATER)
    row = run(asked)
    assert (row.state, row.finished_at) == ("cancelled", LATER)
    assert not PreviewLine.objects.exists()
    assert not PreviewPart.objects.exists()
    digest = bytes(row.digest)
    assert replay.finished_for("member", way.cast.aurora.id, digest) is None


def test_a_lost_hint_is_found_again(way: Way) -> None:
    asked = ask(way.cast, {"version": 2})
    assert replay.standing_still(now=LATER) == ()
    assert replay.standing_still(now=LATER + timedelta(minutes=1)) == (asked,)
    run(asked)
    assert replay.standing_still(now=LATER + timedelta(minutes=1)) == ()


def test_parts_in_whatever_order_count_the_same(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        way.pass_on(*things())
    document = {"version": 2, "drop_classes": ["confidence"], "drop_kinds": ["campaign"]}
    whole = run(ask(way.cast, document))
    monkeypatch.setattr(replay.working, "OBJECTS", 1)
    parted = run(ask(way.cast, document))
    assert PreviewPart.objects.filter(preview=parted).count() == 3
    assert (whole.counts, whole.hidden, whole.done) == (parted.counts, parted.hidden, parted.done)


def test_who_holds_anothers_object_does_not_show(way: Way) -> None:
    """Ben refers to what Ana gave; who of the circle holds that is not his to know."""
    root = sharing.campaign()
    way.pass_on(root)
    forum_id = next(one.stix_id for one in sharing.feed(way.cast.borealis))
    mine = sharing.range_indicator("198.51.100.0/24")
    way.pass_on(mine, sharing.indicates(mine["id"], forum_id), by=way.cast.ben)
    who = Principal(member_id=way.cast.borealis.id, roles=frozenset({"officer"}), name="Ben")
    asked = replay.start(
        who,
        kind="member",
        member_id=way.cast.borealis.id,
        document={"version": 2, "drop_types": ["relationship", "indicator"]},
        since=SINCE,
        until=UNTIL,
        now=LATER,
    )
    run(asked)
    page = replay.lines(who, asked, Filters(way="covered"))
    by_type = {line.stix_type: line for line in page.lines}
    assert [one.names for one in by_type["relationship"].audiences] == [()]
    assert by_type["relationship"].audiences[0].circle == "Relay watch"
    assert [one.names for one in by_type["indicator"].audiences] == [("Aurora", "Ember")]


def test_the_forums_counsel_cannot_tell_whose_objects_they_are(way: Way) -> None:
    """Neither the recipients that are left nor a member's rule names the contributor."""
    ember = str(way.cast.ember.id)
    sharing.member_policy(
        way.cast.aurora, now=NOON, version=7, deny_recipients=[ember], drop_types=["email-addr"]
    )
    way.pass_on(*things())
    preview = run(ask(way.cast, looser_floor(), by=way.cast.dora))
    dora = way.cast.as_(way.cast.dora)
    with acting(dora.acting()):
        seen = replay.overview(dora, preview.id)
        page = replay.lines(dora, preview.id, Filters())
    assert {one.names for one in seen.audiences} == {("Aurora", "Borealis", "Ember")}
    assert page.lines
    assert "member/7" not in repr((seen, page))
    assert not any(row.recipients == [] for row in PreviewAudience.objects.all())


def test_dora_opens_the_object_of_a_line_with_a_reason_that_ana_sees(way: Way) -> None:
    way.pass_on(*things())
    preview = run(ask(way.cast, looser_floor(), by=way.cast.dora))
    cast, dora = way.cast, way.cast.as_(way.cast.dora)
    with acting(dora.acting()):
        shown = replay.lines(dora, preview.id, Filters()).lines
        line = next(one for one in shown if one.stix_type == "malware")
        closed = replay.open_line(dora, preview.id, line.id, now=LATER)
        assert closed.original is None
        assert CANARY not in repr(closed)
        with pytest.raises(Refused):
            replay.open_line(dora, preview.id, line.id, reason="why", now=LATER)
        assert not OriginalRead.objects.exists()
        opened = replay.open_line(
            dora, preview.id, line.id, reason="Does it name a company?", now=LATER
        )
        assert opened.original is not None
        assert not opened.is_mine
        assert not any(view.body for view in opened.before)
        assert any(view.body for view in opened.after)
    with acting(dora.acting()):  # who looks again says so again
        assert replay.open_line(dora, preview.id, line.id, now=LATER).original is None
    with acting(cast.as_(cast.ana).acting()):
        assert OriginalRead.objects.get().role == "forum-counsel"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_event WHERE kind = 'read'")
        assert cursor.fetchone() == (1,)


def test_abel_sees_his_own_object_under_both_policies(way: Way) -> None:
    way.pass_on(*things())
    asked = ask(way.cast, {"version": 2, "drop_kinds": ["egress-range"]})
    run(asked)
    who = officer(way.cast)
    with acting(who.acting()):
        lines = replay.lines(who, asked, Filters(way="covered")).lines
        line = next(one for one in lines if one.stix_type == "indicator")
        opened = replay.open_line(who, asked, line.id, now=LATER)
    assert opened.is_mine
    assert all(view.body for view in opened.before)
    others = [view for view in opened.after if view.names != ("Aurora",)]
    assert others
    assert not any(view.body for view in others)


def test_lines_come_in_pages_and_by_filter(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay.reading, "PAGE", 2)
    way.pass_on(*things())
    asked = ask(way.cast, {"version": 2, "drop_classes": ["confidence", "timing"]})
    run(asked)
    who = officer(way.cast)
    everything: list[int] = []
    after = 0
    while True:
        page = replay.lines(who, asked, Filters(way="covered", after=after))
        everything += [line.id for line in page.lines]
        if page.more is None:
            break
        after = page.more
    assert len(everything) == len(set(everything)) == PreviewLine.objects.count()
    of_class = replay.lines(who, asked, Filters(way="covered", field_class="confidence"))
    # Of an object that no longer leaves, the one line counts for the classes of all its fields.
    assert of_class.lines
    assert {line.field_class for line in of_class.lines} <= {"confidence", "object"}
    none = replay.lines(who, asked, Filters(way="covered", field_class="similarity"))
    assert not none.lines
    rule = "member/2/drop-class"
    assert replay.lines(who, asked, Filters(way="covered", rule=rule)).lines
    assert not replay.lines(who, asked, Filters(way="covered", rule="member/9/none")).lines
    assert not replay.lines(who, asked, Filters(way="visible")).lines
    audience = replay.overview(who, asked).audiences[0]
    assert replay.lines(who, asked, Filters(way="covered", audience=audience.key)).lines
    assert not replay.lines(who, asked, Filters(way="covered", audience=1)).lines


def test_no_value_of_an_original_is_in_a_preview(
    way: Way, capfd: pytest.CaptureFixture[str]
) -> None:
    with nothing_said(capfd):
        way.pass_on(*things())
        mine = run(ask(way.cast, {"version": 2, "drop_classes": ["confidence"], "dates": "month"}))
        floor = run(ask(way.cast, looser_floor(), by=way.cast.dora))
    assert mine.hidden
    assert floor.shown
    with connection.cursor() as cursor:
        for table in ("preview", "previewpart", "previewaudience", "previewline"):
            cursor.execute(f"SELECT t::text FROM exchange_{table} t")  # noqa: S608 - our tables
            rows = "\n".join(row for (row,) in cursor.fetchall())
            for marker in ("canary", "forty-percent", "203.0.113", "relay.example", "heron"):
                assert marker not in rows.lower(), (table, marker)


def test_the_web_may_not_write_lines_or_finish_a_preview(way: Way) -> None:
    asked = ask(way.cast, {"version": 2})
    who = officer(way.cast)
    for sql in (
        "UPDATE exchange_preview SET shown = 0",
        "INSERT INTO exchange_previewpart (preview_id, contributions) VALUES (%s, '{}')",
    ):
        with pytest.raises(ProgrammingError), acting(who.acting()), connection.cursor() as cursor:
            cursor.execute(sql, [asked] if "%s" in sql else [])
