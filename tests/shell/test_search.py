"""Search in what a member holds: found by its value, its range, its words, and by nobody else."""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from exchange import recall, release, search, tokens
from exchange.models import Rendition, SearchEntry, SearchValue, ServedNote
from exchange.policy import observables
from exchange.policy import tokens as keyed
from exchange.policy.observables import Value
from exchange.proof import oprf
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.search import Found, Query
from indicators.models import ForumObject
from members import onboarding
from members.auth import Principal
from members.models import Member
from members.scope import Acting, acting
from tests.shell import sharing
from tests.shell.sharing import NOON, Way
from tests.shell.test_tokens import machine

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(minutes=20)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = sharing.set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def ask(member: Member, **given: str | Sequence[str]) -> Found:
    """A search as an address states it."""
    lists = {
        {"since": "from"}.get(name, name): [one] if isinstance(one, str) else list(one)
        for name, one in given.items()
    }
    wanted = search.query(lists)
    return search.find(sharing.analyst_of(member), wanted, via="api", now=LATER)


def said(found: Found) -> list[str]:
    """The patterns or values of the hits."""
    objects = [json.loads(one.body) for one in found.items]
    return [str(one.get("pattern") or one.get("value") or one.get("name")) for one in objects]


def looked_up(member: Member, *values: str) -> list[str]:
    who = sharing.analyst_of(member)
    return [one.state for one in search.look_up(who, values, via="api", now=LATER)]


# --- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("[ipv4-addr:value = '203.0.113.0/24']", "203.0.113.77"),
        ("[ipv4-addr:value = '203.0.113.0/24']", "203.0.113.0/24"),
        ("[ipv4-addr:value = '203.0.113.0/24']", "203.0.113.128/26"),
        ("[ipv4-addr:value = '203.0.113.0/24']", "203.0.112.0/20"),
        ("[ipv4-addr:value = '203.0.113.0/24']", "::ffff:203.0.113.9"),
        ("[ipv4-addr:value = '203.0.113.0/24']", "203[.]0[.]113[.]9"),
        ("[ipv6-addr:value = '2001:db8:7::/48']", "2001:0DB8:7:0::1"),
        ("[ipv4-addr:value ISSUBSET '203.0.113.0/24']", "203.0.113.9"),
        ("[domain-name:value = 'Relay.Example']", "RELAY.example."),
        ("[domain-name:value IN ('a.example', 'b.example')]", "b.example"),
        ("[url:value = 'https://relay.example/v1']", "hxxps://relay[.]example/v1"),
        ("[autonomous-system:number = 64500]", "AS64500"),
        ("[autonomous-system:number = 64500]", "64500"),
        (f"[file:hashes.'SHA-256' = '{'ab' * 32}']", "AB" * 32),
        (
            "[api-client-fingerprint:ja4 = 't13d1516h2_8daaf6152771_b186095e22b6']",
            "t13d1516h2_8daaf6152771_b186095e22b6",
        ),
    ],
)
def test_ben_finds_what_he_holds_by_its_value(way: Way, given: str, asked: str) -> None:
    way.pass_on(sharing.range_indicator(pattern=given), sharing.range_indicator("192.0.2.0/24"))
    held = [one for one in sharing.feed(way.cast.borealis) if b"192.0.2.0" not in one.body]
    assert [one.body for one in ask(way.cast.borealis, value=asked).items] == [held[0].body]


@pytest.mark.parametrize(
    "asked",
    ["203.0.114.1", "2001:db8::1", "elay.example", "relay.exampl", "https://relay.example/v2"],
)
def test_what_only_resembles_a_value_is_no_hit(way: Way, asked: str) -> None:
    way.pass_on(
        sharing.range_indicator(),
        sharing.domain_indicator(),
        sharing.range_indicator(pattern="[url:value = 'https://relay.example/v1']"),
        now=NOON,
    )
    sharing.leave(now=LATER)
    assert not ask(way.cast.borealis, value=asked).items


@pytest.mark.parametrize("operator", ["!= 'good.example'", "NOT = 'good.example'"])
def test_what_is_said_not_to_be_is_no_value(operator: str) -> None:
    pattern = f"[ipv4-addr:value = '203.0.113.7' AND domain-name:value {operator}]"
    values = observables.of({"type": "indicator", "pattern": pattern})
    assert values == (Value("net", "203.0.113.7/32"),)


def test_what_a_pattern_excludes_is_no_hit(way: Way) -> None:
    way.pass_on(
        sharing.range_indicator(
            pattern="[ipv4-addr:value = '203.0.113.0/24' AND domain-name:value != 'good.example']"
        )
    )
    assert not ask(way.cast.borealis, value="good.example").items


def test_filters_narrow_together(way: Way) -> None:
    phase = [{"kill_chain_name": "model-extraction", "phase_name": "bulk-elicitation"}]
    sure = sharing.range_indicator(confidence=80, kill_chain_phases=phase)
    way.pass_on(sure, sharing.range_indicator("192.0.2.0/24", confidence=20), sharing.campaign())
    borealis = way.cast.borealis
    assert len(ask(borealis, type="indicator").items) == 2
    assert said(ask(borealis, type="indicator", confidence="50")) == [sure["pattern"]]
    assert said(ask(borealis, phase="bulk-elicitation")) == [sure["pattern"]]
    assert said(ask(borealis, word="BULK elicitation")) == [sure["pattern"]]
    assert len(ask(borealis, kind="egress-range").items) == 2
    assert len(ask(borealis, kind="campaign").items) == 1
    assert not ask(borealis, kind="campaign", type="indicator").items
    assert len(ask(borealis, type="indicator", since="2026-11-24", to="2026-11-24").items) == 2
    assert not ask(borealis, type="indicator", since="2026-11-25").items
    assert not ask(borealis, type="indicator", to="2026-11-23").items
    assert len(ask(borealis, type="indicator", valid="2026-11-25").items) == 2
    assert not ask(borealis, type="indicator", valid="2027-11-25").items


def test_a_campaign_is_found_by_the_name_that_the_exchange_gave_it(way: Way) -> None:
    way.pass_on(sharing.campaign())
    (name,) = said(ask(way.cast.borealis, type="campaign"))
    assert said(ask(way.cast.borealis, q=name.lower())) == [name]
    assert said(ask(way.cast.borealis, q=name.rsplit("-", 1)[1])) == [name]
    assert not ask(way.cast.borealis, q="Heron").items


def test_the_newest_version_is_shown_and_all_where_they_are_asked_for(way: Way) -> None:
    first = sharing.range_indicator()
    way.pass_on(first)
    later = NOON + timedelta(minutes=10)
    changed = sharing.newer(first, pattern="[ipv4-addr:value = '192.0.2.0/24']")
    way.pass_on(changed, now=later)
    borealis = way.cast.borealis
    assert not ask(borealis, value="203.0.113.7").items
    assert len(ask(borealis, value="203.0.113.7", version="all").items) == 1
    assert said(ask(borealis, value="192.0.2.7")) == [changed["pattern"]]


def test_pages_go_on_where_they_ended(way: Way) -> None:
    way.pass_on(*(sharing.range_indicator(f"203.0.113.{n}/32") for n in range(9)))
    everything = ask(way.cast.borealis, type="indicator").items
    assert len(everything) == 9
    walked: list[Any] = []
    page = ask(way.cast.borealis, type="indicator", limit="4")
    while True:
        walked += page.items
        if page.next is None:
            break
        page = ask(way.cast.borealis, type="indicator", limit="4", before=str(page.next))
    assert walked == list(everything)
    assert [one.number for one in walked] == sorted((o.number for o in walked), reverse=True)


def test_facets_count_the_holding_of_who_asks(way: Way) -> None:
    way.pass_on(sharing.range_indicator(), sharing.range_indicator("192.0.2.0/24"))
    wanted = search.query({"type": ["indicator"]})
    ben = search.facets(sharing.analyst_of(way.cast.borealis), wanted)
    assert (ben.total, ben.is_whole) == (2, True)
    assert [(one.word, one.count) for one in ben.of("kind")] == [("egress-range", 2)]
    cleo = search.facets(sharing.analyst_of(way.cast.cirrus), wanted)
    assert (cleo.total, cleo.words) == (0, ())


def test_an_object_names_what_else_says_its_value(way: Way) -> None:
    outer, inner = sharing.range_indicator(), sharing.range_indicator("203.0.113.7")
    twin = sharing.range_indicator()
    way.pass_on(outer, inner, twin, sharing.range_indicator("192.0.2.0/24"))
    (root,) = [one for one in sharing.feed(way.cast.borealis) if b"113.7'" in one.body]
    who = sharing.analyst_of(way.cast.borealis)
    found = search.shares(who, root.stix_id, root.body, now=LATER)
    assert {one.word for one in found} == {"203.0.113.0/24 holds 203.0.113.7/32"}
    assert len(found) == 2
    again = search.shares(who, found[0].card.stix_id, body_of(found[0].card.stix_id), now=LATER)
    assert {one.word for one in again} == {
        "says 203.0.113.0/24 too",
        "203.0.113.7/32 lies in 203.0.113.0/24",
    }
    cleo = sharing.analyst_of(way.cast.cirrus)
    assert search.shares(cleo, root.stix_id, root.body, now=LATER) == ()


def body_of(stix_id: str) -> bytes:
    return bytes(Rendition.objects.get(stix_id=stix_id).body)


# --- what is not ---------------------------------------------------------------------------------


def test_cleo_finds_nothing_of_what_others_hold(way: Way) -> None:
    way.pass_on(sharing.range_indicator())
    (held,) = sharing.feed(way.cast.borealis)
    cirrus, borealis = way.cast.cirrus, way.cast.borealis
    assert looked_up(borealis, "203.0.113.7", held.stix_id) == ["hit", "hit"]
    missing = f"indicator--{uuid4()}"
    who = sharing.analyst_of(cirrus)
    asked = ["203.0.113.7", "192.0.2.7", held.stix_id, missing]
    answers = search.look_up(who, asked, via="api", now=LATER)
    assert {(one.state, one.hits, one.more) for one in answers} == {("miss", (), False)}
    for value in asked:
        assert ask(cirrus, value=value) == Found((), None)


def test_a_value_that_was_removed_is_found_by_nobody(way: Way) -> None:
    canary = "canary-in-a-removed-field.example"
    way.pass_on(
        sharing.range_indicator(name=canary, description=canary, labels=[canary]),
        sharing.campaign(aliases=[canary], objective=f"see {canary}"),
        sharing.range_indicator(pattern=f"[x-open:value = '{canary}' OR url:value = 'ftp://x']"),
    )
    for member in (way.cast.borealis, way.cast.aurora):
        assert looked_up(member, canary) == ["miss"]
        for given in ({"q": canary}, {"word": canary}, {"word": "canary"}, {"value": canary}):
            assert not ask(member, **given).items
    assert canary not in str(list(SearchEntry.objects.values_list("words", flat=True)))
    assert not SearchValue.objects.filter(digest=Value("domain", canary).digest)


def test_what_waits_for_its_checkpoint_is_not_found(way: Way) -> None:
    way.give(sharing.range_indicator())
    assert release.open_windows(now=NOON) > 0
    assert looked_up(way.cast.borealis, "203.0.113.7") == ["miss"]
    sharing.sequence(now=NOON)
    assert looked_up(way.cast.borealis, "203.0.113.7") == ["hit"]


@pytest.mark.parametrize("erases", [False, True])
def test_what_was_recalled_or_erased_is_not_found(way: Way, *, erases: bool) -> None:
    way.pass_on(sharing.range_indicator())
    way.pass_on(sharing.domain_indicator(), now=NOON)
    held = next(one for one in sharing.feed(way.cast.borealis) if b"203.0.113.0" in one.body)
    target = ForumObject.objects.get(renditions__stix_id=held.stix_id)
    alma = way.cast.as_(way.cast.alma)
    recall.order(alma, target.pk, reason="leak", note="It gives us away.", erases=erases, now=NOON)
    assert looked_up(way.cast.borealis, "203.0.113.7") == ["miss"]
    with acting(Acting(), role="worker"):
        recall.tell_waiting(now=NOON)
    sharing.sequence(now=NOON)
    for version in ("last", "all"):
        assert not ask(way.cast.borealis, value="203.0.113.7", version=version).items
    gone = Rendition.objects.filter(object=target, takes_back=False)
    assert SearchValue.objects.filter(rendition__in=gone).exists() is not erases
    states = [
        json.loads(one.body).get("revoked")
        for one in ask(way.cast.borealis, type="indicator").items
    ]
    assert True in states


def test_who_left_the_circle_finds_nothing_of_it(way: Way) -> None:
    way.pass_on(sharing.range_indicator())
    onboarding.leave_circle(way.cast.borealis, way.cast.relay_watch, now=NOON)
    assert looked_up(way.cast.borealis, "203.0.113.7") == ["miss"]
    assert not ask(way.cast.borealis, type="indicator").items
    Member.objects.filter(pk=way.cast.ember.pk).update(state=Member.State.SUSPENDED)
    assert looked_up(way.cast.ember, "203.0.113.7") == ["miss"]


def test_who_came_to_the_circle_later_finds_nothing_of_before(way: Way) -> None:
    way.pass_on(sharing.range_indicator())
    onboarding.join_circle(way.cast.cirrus, way.cast.relay_watch, now=NOON)
    assert looked_up(way.cast.cirrus, "203.0.113.7") == ["miss"]
    assert not ask(way.cast.cirrus, type="indicator").items
    way.pass_on(sharing.range_indicator("192.0.2.0/24"), now=LATER)
    assert looked_up(way.cast.cirrus, "203.0.113.7", "192.0.2.7") == ["miss", "hit"]


def test_who_may_not_read_the_holding_may_not_search_it(way: Way) -> None:
    administrator = Principal(member_id=way.cast.borealis.id, roles=frozenset({"administrator"}))
    with pytest.raises(Forbidden):
        search.find(administrator, Query(), via="web", now=NOON)
    for name in ("dora", "otto", "pia"):
        with pytest.raises(NotFound):
            search.look_up(way.cast.as_(getattr(way.cast, name)), ["a.example"], via="w", now=NOON)


# --- tokens --------------------------------------------------------------------------------------


def test_ben_finds_a_token_by_the_token_that_his_own_command_makes(
    way: Way, settings: LazySettings
) -> None:
    address = "buyer@mail.example"
    way.pass_on(
        sharing.range_indicator(
            pattern=f"[email-addr:value = '{address}']",
            extensions=sharing.context("identity-token", "S3"),
        )
    )
    sharing.leave(now=NOON + timedelta(hours=1))
    assert any(b"keyed-token" in one.body for one in sharing.feed(way.cast.borealis))
    blind = oprf.blind("email-address", address, 12345)
    asked = tokens.evaluate(machine(way.cast.ben), way.circle.id, "2026Q4", [blind], now=NOON)
    token = oprf.unblind(asked.points[0], 12345)
    scope = keyed.key_for(settings.TOKEN_KEY, str(way.circle.id), "2026Q4")
    assert token == keyed.token(scope, "email-address", address)
    assert looked_up(way.cast.borealis, token, address) == ["hit", "refused"]
    assert looked_up(way.cast.cirrus, token, address) == ["miss", "refused"]


@pytest.mark.parametrize(
    "value",
    [
        "buyer@mail.example",
        "buyer[@]mail[.]example",
        "mailto:buyer@mail.example",
        "@handle",
        "+49 30 123456",
        "(030) 123-4567",
        "0301234567",
        "tel:0301234567",
        "4111 1111 1111 1111",
        "4111111111111111",
    ],
)
def test_a_personal_value_is_asked_for_as_a_token_only(way: Way, value: str) -> None:
    for name in ("q", "value"):
        with pytest.raises(Refused) as refused:
            search.query({name: [value]})
        assert (refused.value.code, refused.value.path) == ("value.personal", name)
        assert value not in refused.value.sentence
        assert "weir-tokenise" in refused.value.sentence
    who = sharing.analyst_of(way.cast.borealis)
    (answer,) = search.look_up(who, [value], via="api", now=NOON)
    assert (answer.state, answer.code, answer.hits) == ("refused", "value.personal", ())


# --- notes, cost ---------------------------------------------------------------------------------


def test_every_hit_is_noted_and_no_miss(way: Way) -> None:
    way.pass_on(*(sharing.range_indicator(f"203.0.113.{n}/32") for n in range(4)))
    who = way.cast.as_(way.cast.ben)
    held = {json.loads(one.body)["pattern"]: one.number for one in sharing.feed(way.cast.borealis)}
    ServedNote.objects.all().delete()
    search.look_up(who, ["192.0.2.7", "a.example", "nothing"], via="web", now=NOON)
    search.find(who, search.query({"value": ["192.0.2.7"]}), via="web", now=NOON)
    search.facets(who, Query())
    assert not ServedNote.objects.exists()
    search.look_up(who, ["203.0.113.1", "203.0.113.3"], via="web", now=NOON)
    notes = ServedNote.objects.order_by("first_seq")
    numbers = sorted(held[f"[ipv4-addr:value = '203.0.113.{n}']"] for n in (1, 3))
    covered = {n for note in notes for n in range(note.first_seq, note.last_seq + 1)}
    assert covered == set(numbers)
    assert {(note.recipient_id, note.user_id, note.via) for note in notes} == {
        (way.cast.borealis.id, way.cast.ben.id, "web")
    }


def test_ten_thousand_values_are_looked_up_in_one_step(
    way: Way, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    six = sharing.range_indicator(pattern="[ipv6-addr:value = '2001:db8:7::/48']")
    way.pass_on(sharing.range_indicator(), six)
    values = [f"10.{n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(5_000)]
    values += [f"host-{n}.example" for n in range(4_998)] + ["203.0.113.9", "2001:db8:7::9"]
    who = sharing.analyst_of(way.cast.borealis)
    # One call and one note, each with the settings of a transaction that acts for nobody yet.
    with django_assert_max_num_queries(12):
        answers = search.look_up(who, values, via="api", now=NOON)
    assert [one.state for one in answers[-2:]] == ["hit", "hit"]
    assert {one.state for one in answers[:-2]} == {"miss"}
    for size in (0, 10_001):
        with pytest.raises(Refused, match="1 to 10,000"):
            search.look_up(who, ["a.example"] * size, via="api", now=NOON)


def test_a_value_said_by_many_objects_names_the_newest(way: Way) -> None:
    way.pass_on(*(sharing.range_indicator() for _ in range(search.HITS + 2)))
    who = sharing.analyst_of(way.cast.borealis)
    (answer,) = search.look_up(who, ["203.0.113.9"], via="api", now=NOON)
    assert (len(answer.hits), answer.more) == (search.HITS, True)


@contextmanager
def plans() -> Iterator[list[str]]:
    """The plans of all that runs inside, nested statements too."""
    found: list[str] = []

    def heard(notice: psycopg.errors.Diagnostic) -> None:
        found.append(str(notice.message_primary))

    with connection.cursor() as cursor:
        cursor.execute("LOAD 'auto_explain'")
        for name, value in (
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
            ("client_min_messages", "log"),
            ("enable_seqscan", "off"),
        ):
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
    connection.connection.add_notice_handler(heard)
    try:
        yield found
    finally:
        connection.connection.remove_notice_handler(heard)
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('auto_explain.log_min_duration', '-1', true)")


def test_a_value_is_found_by_its_index_whoever_else_holds(way: Way) -> None:
    way.pass_on(*(sharing.range_indicator(f"203.0.113.{n}/32") for n in range(20)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE exchange_searchvalue, exchange_releaseitem, exchange_rendition")
    with plans() as found:
        ask(way.cast.borealis, value="relay.example")
        ask(way.cast.borealis, value="203.0.113.7")
    text = "\n".join(found)
    assert "search_by_value" in text
    assert "search_by_network" in text
    # From the renditions with the value to one's own part in their releases; never through others'.
    (walk,) = [one for one in found if "item.rendition_id" in one or "rendition_id = ANY" in one][
        :1
    ]
    assert "Seq Scan" not in walk
    assert "recipient_id" in walk


def test_what_is_there_from_before_is_indexed_part_by_part(way: Way) -> None:
    way.pass_on(sharing.range_indicator(), sharing.range_indicator("192.0.2.0/24"))
    entries = set(SearchEntry.objects.values_list("rendition_id", "kind"))
    digests = sorted(bytes(one) for one in SearchValue.objects.values_list("digest", flat=True))
    SearchValue.objects.all().delete()
    SearchEntry.objects.all().delete()
    assert looked_up(way.cast.borealis, "203.0.113.7") == ["miss"]
    total = len(entries)
    assert search.fill(most=1) == 1
    assert search.fill() == total - 1
    assert search.fill() == 0
    found = sorted(bytes(one) for one in SearchValue.objects.values_list("digest", flat=True))
    assert found == digests
    assert looked_up(way.cast.borealis, "203.0.113.7") == ["hit"]


def test_the_worker_indexes_what_is_there_by_command(way: Way) -> None:
    way.pass_on(sharing.range_indicator())
    SearchValue.objects.all().delete()
    SearchEntry.objects.all().delete()
    said = io.StringIO()
    with acting(Acting(), role="worker"):
        call_command("search_fill", stdout=said)
    assert "Nothing is left to index." in said.getvalue()
    assert looked_up(way.cast.borealis, "203.0.113.7") == ["hit"]


def test_counts_end_at_a_bound_and_say_so(way: Way) -> None:
    way.pass_on(*(sharing.range_indicator(f"203.0.113.{n}/32") for n in range(4)))
    wanted = search.query({"type": ["indicator"]})
    found = search.facets(sharing.analyst_of(way.cast.borealis), wanted, most=3)
    assert (found.total, found.is_whole) == (3, False)
