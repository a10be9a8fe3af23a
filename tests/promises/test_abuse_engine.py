"""Abuse cases of what is decided and rendered: collusion, smuggling, poisoning, hidden channels."""

import json
import statistics
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.conf import LazySettings
from hypothesis import given

from exchange.policy import catalogue, decide, steering
from exchange.policy.catalogue import CONTEXT, FIELDS
from indicators.stix import validate
from members.models import Member
from tests.core import policy_material as material
from tests.core.policy_strategies import (
    Drawn,
    came_of,
    contributions,
    floor_of,
    joined,
    objects_of,
    tried,
)
from tests.core.test_policy_properties import ANYBODY, all_text
from tests.shell.sharing import (
    NOON,
    Object,
    Way,
    bodies,
    campaign,
    context,
    domain_indicator,
    feed,
    indicates,
    member_policy,
    newer,
    range_indicator,
    set_up,
)

MINTED = ("id", "created", "modified")
MARK = "zq7a"


@pytest.fixture
def way(db: None, settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.forum)


def said(obj: Mapping[str, Any]) -> str:
    """An object's exact words without what is minted, in the order in which they stand."""
    return json.dumps({name: value for name, value in obj.items() if name not in MINTED})


def got(lab: Member, *, minutes: int = 60) -> list[Object]:
    """Everything that a lab holds after a while."""
    return bodies(feed(lab, now=NOON + timedelta(minutes=minutes)))


# --- A2: two recipients, or one over time --------------------------------------------------------


def by_hand(number: int) -> Object:
    """The same fact as an analyst at one lab writes it."""
    return range_indicator(name=f"Range {number}", confidence=88, labels=["ours"], lang="en")


def by_a_tool(number: int) -> Object:
    """And as the tool of another writes it: other order, digits, spelling and names."""
    obj = range_indicator(
        pattern="[ipv4-addr:value='203.0.113.77/24'] // exported",
        valid_from="2026-11-24T12:00:00Z",
        confidence=86,
        created_by_ref="identity--9974d75b-3338-44fe-a179-0134676b1b69",
        external_references=[{"source_name": "tool 4.2", "description": "row 7"}],
        x_tool={"version": number},
        revoked=False,
    )
    return dict(reversed(obj.items()))


def test_a02_two_recipients_cannot_tell_whose_object_is_whose(way: Way) -> None:
    cast = way.cast
    # Ana contributes twice, Ben and Cleo once each, with different tools; all at the same moment.
    for by, make in ((cast.ana, by_hand), (cast.ben, by_a_tool), (cast.ana, by_a_tool)):
        way.give(make(1), by=by)
    way.pass_on(by_hand(2), by=cast.cleo)
    ember, fjord = feed(cast.ember), feed(cast.fjord)
    assert [held.body for held in ember] == [held.body for held in fjord]
    objects = bodies(ember)
    assert len(objects) == 4
    assert len({said(obj) for obj in objects}) == 1
    assert len({obj["id"] for obj in objects}) == 4
    assert {uuid.UUID(obj["id"].split("--")[1]).version for obj in objects} == {4}
    assert {obj["created"] for obj in objects} == {"2026-11-24T12:00:00.000Z"}
    assert len({obj["modified"] for obj in objects}) == 4
    for obj in objects:
        assert obj["modified"].startswith("2026-11-24T12:00:00.")
        assert not obj["modified"].endswith(".000000Z")


def test_a02_over_time_nothing_ties_two_contributions_together(way: Way) -> None:
    cast = way.cast
    first, second = range_indicator(), domain_indicator()
    way.pass_on(first, by=cast.ana)
    way.pass_on(second, by=cast.ana, now=NOON + timedelta(minutes=5))
    way.pass_on(domain_indicator("other.example"), by=cast.ben, now=NOON + timedelta(minutes=5))
    way.pass_on(newer(first, confidence=60), by=cast.ana, now=NOON + timedelta(minutes=15))
    objects = got(cast.ember)
    by_id: dict[str, list[Object]] = {}
    for obj in objects:
        by_id.setdefault(obj["id"], []).append(obj)
    assert sorted(len(versions) for versions in by_id.values()) == [1, 1, 2]
    # The two domains left with one window: nothing but the value tells them apart.
    domains = [obj for obj in objects if "domain-name" in obj["pattern"]]
    assert len({said({**obj, "pattern": ""}) for obj in domains}) == 1
    assert len({obj["created"] for obj in domains}) == 1
    issuers = {obj["created_by_ref"] for obj in objects}
    assert len(issuers) == 1


def test_a02_recipients_differ_only_where_the_sender_says_so(way: Way) -> None:
    cast = way.cast
    denied = {str(cast.ember.id): ["reseller-domain"]}
    member_policy(cast.aurora, now=NOON - timedelta(minutes=1), version=1, deny_kinds=denied)
    way.pass_on(range_indicator(), domain_indicator(), now=NOON)
    way.pass_on(campaign(), now=NOON + timedelta(minutes=15))
    ember, fjord = got(cast.ember), got(cast.fjord)
    missing = [obj for obj in fjord if obj not in ember]
    assert [obj["pattern"] for obj in missing] == ["[domain-name:value = 'relay.example']"]
    assert [obj for obj in ember if obj not in fjord] == []
    # What Ember holds says nothing of what it does not hold, nor that it does not hold it.
    assert missing[0]["id"] not in json.dumps(ember)


def test_a22_what_is_shared_in_two_circles_has_no_key_in_common(way: Way) -> None:
    cast = way.cast
    infrastructure = campaign(id=f"campaign--{uuid.uuid4()}")
    way.pass_on(infrastructure, circle=cast.relay_watch)
    indicator = range_indicator()
    way.pass_on(indicator, indicates(indicator["id"], infrastructure["id"]), circle=cast.forum)
    # Ember is in both circles and gets the link that the sender made; Fjord is in one, and waits.
    assert {obj["type"] for obj in got(cast.ember)} == {"campaign", "indicator", "relationship"}
    fjord = got(cast.fjord)
    assert {obj["type"] for obj in fjord} == {"indicator"}
    held = next(obj for obj in got(cast.ember) if obj["type"] == "campaign")
    assert held["id"] not in json.dumps(fjord)


# --- A3: smuggling -------------------------------------------------------------------------------


def smuggled(stix_type: str) -> list[Object]:
    """Objects of a type with a mark in each property that the catalogue knows, and in others."""
    base = material_of(stix_type)
    found: list[Object] = []
    for name, entry in catalogue.properties().items():
        kind, _, rest = name.partition(".")
        if kind != stix_type or rest in ("id", "type", "spec_version", "created", "modified"):
            continue
        obj = json.loads(json.dumps(base))
        put(obj, rest.replace("context", f"extensions.{CONTEXT}", 1).split("."), entry.grammar)
        found.append(obj)
    for extra in (
        {"x_price": MARK},
        {f"x_{MARK}": 1},
        {"x_deep": {"a": [{MARK: [MARK]}]}},
        {"extensions": {f"extension-definition--{uuid.UUID(int=7, version=4)}": {"said": MARK}}},
        {"extensions": {CONTEXT: {f"x_{MARK}": MARK, "extension_type": "property-extension"}}},
        {"name": MARK, "aliases": [MARK], "lang": MARK, "labels": [MARK]},
        {"relationship_type": MARK, "result": MARK, "abstract": MARK},
        {"hashes": {MARK: "a", "MD5": MARK}},
        {"kill_chain_phases": [{"kill_chain_name": MARK, "phase_name": MARK, "x": MARK}]},
        {"granular_markings": [{"marking_ref": TLP, "selectors": [f"x_{MARK}"], "lang": MARK}]},
    ):
        found.append({**json.loads(json.dumps(base)), **extra})
    return found


TLP = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"


def material_of(stix_type: str) -> Object:
    """A plain object of a type."""
    (obj,) = objects_of([Drawn(stix_type, 0, (), (0, 0))]) if stix_type in DRAWN else ({},)
    return obj or {
        "type": stix_type,
        "spec_version": "2.1",
        "id": f"{stix_type}--{uuid.UUID(int=3, version=4)}",
        "created": "2026-10-30T13:47:22.118Z",
        "modified": "2026-10-30T13:47:22.118Z",
    }


DRAWN = frozenset(
    "indicator campaign infrastructure relationship sighting observed-data ipv4-addr domain-name "
    "url email-addr user-account file network-traffic keyed-token account-cluster location "
    "autonomous-system rate-shape".split()
)


def put(obj: Object, steps: list[str], grammar: str) -> None:
    """Put the mark where a path leads, in lists and objects that are made for it."""
    node: Any = obj
    for index, step in enumerate(steps):
        name, is_list = step.removesuffix("[]"), step.endswith("[]")
        is_last = index == len(steps) - 1
        value: Any = f"{MARK} {grammar}" if is_last else {}
        node[name] = [value] if is_list else node.get(name, {}) if not is_last else value
        if not is_last:
            node = node[name][0] if is_list else node[name]


@pytest.mark.parametrize("stix_type", sorted(FIELDS["types"]))
def test_a03_a_mark_in_any_property_leaves_nowhere(stix_type: str) -> None:
    under = joined(floor_of(()), {}, ANYBODY)
    for obj in smuggled(stix_type):
        came = came_of([obj], under)
        assert MARK not in all_text(came).lower(), obj


PATTERNS = (
    "[file:name = '{}']",
    "[domain-name:value = '{}'] /* {} */",
    "[domain-name:value = 'a.example'] // {}",
    "[domain-name:value LIKE '{}%']",
    "[domain-name:value MATCHES '^{}$']",
    "[url:value = 'https://a.example/x?q={}#{}']",
    "[url:value = 'https://{}@a.example/']",
    "[file:hashes.'{}' = 'a']",
    "[x-own:{} = 1]",
    "[process:command_line = '{}']",
    "[EXISTS x-own:{}]",
    "[domain-name:value = 'a.example' OR windows-registry-key:key = '{}']",
    "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' LIKE '{}/%']",
    "[user-account:display_name = '{}']",
    "[email-message:subject = '{}']",
    "[ipv4-addr:value = '{}']",
    "[artifact:payload_bin = '{}']",
    "[keyed-token:kind = '{}']",
    "[autonomous-system:name = '{}']",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a03_a_mark_in_any_part_of_a_pattern_leaves_nowhere(pattern: str) -> None:
    under = joined(floor_of(()), {}, ANYBODY)
    came = came_of([material.indicator(pattern=pattern.replace("{}", MARK))], under)
    assert MARK not in all_text(came)


def test_a03_the_dirty_sets_are_clean_over_the_real_way(way: Way, shared_data: Path) -> None:
    for number, case in enumerate(material.dirty_sets(shared_data)):
        now = NOON + timedelta(minutes=number)
        way.pass_on(*case["objects"], now=now)
    later = NOON + timedelta(hours=4)
    way.pass_on(range_indicator(), now=later)
    held = feed(way.cast.ember, now=later)
    assert len(held) > 1
    text = "\n".join(one.body.decode() + repr(json.loads(one.body)) for one in held)
    for case in material.dirty_sets(shared_data):
        for mark in case["must_not_appear"]:
            # Ids and times that are drawn may hold any short number by chance.
            if len(mark) > 4 or not mark.isdigit():
                assert mark not in text, (case["case"], mark)


def test_a03_smuggling_over_the_real_way(way: Way) -> None:
    valid = [
        {**obj, "id": f"{obj['type']}--{uuid.uuid4()}"}
        for stix_type in ("indicator", "campaign", "infrastructure")
        for obj in smuggled(stix_type)
        if not validate.problems(obj)
    ]
    assert len(valid) > 20
    way.pass_on(*valid)
    later = NOON + timedelta(hours=2)
    way.pass_on(range_indicator(), now=later)
    held = feed(way.cast.ember, now=later)
    assert len(held) > 10
    assert not any(MARK in repr(json.loads(one.body)).lower() for one in held)


# --- A8: poisoning -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "verdict", "outcome", "named"),
    [
        ("52.0.0.0/12", None, "held", "larger than the floor lets pass"),
        ("52.0.0.0/12", "shared", "held", "larger than the floor lets pass"),
        ("203.0.96.0/19", None, "held", "larger than the floor lets pass"),
        ("203.0.112.0/20", None, "accepted", ""),
        ("2001:db8::/39", None, "held", "larger than the floor lets pass"),
        ("2001:db8::/40", None, "accepted", ""),
        ("172.225.0.0/24", None, "held", "not said shared"),
        ("172.225.0.0/24", "dedicated", "held", "not said shared"),
        ("172.225.0.0/24", "shared", "accepted", ""),
    ],
)
def test_a08_a_large_or_shared_range_is_judged_first(
    value: str, verdict: str | None, outcome: str, named: str
) -> None:
    kind = "ipv6-addr" if ":" in value else "ipv4-addr"
    check = {"checked_on": "2026-11-24", "verdict": verdict}
    more = {"shared_infrastructure_check": check} if verdict else {}
    obj = material.indicator(
        pattern=f"[{kind}:value ISSUBSET '{value}']",
        extensions=material.context("egress-range", "S1", **more),
    )
    standing = material.stands(obj)
    assert standing.outcome == outcome
    assert named in standing.sentence


def test_a08_a_relay_range_travels_with_the_word_that_it_is_shared(way: Way) -> None:
    extensions = json.loads(json.dumps(context("egress-range", "S1")))
    check = {"checked_on": "2026-11-24", "verdict": "shared"}
    extensions[CONTEXT]["shared_infrastructure_check"] = check
    way.pass_on(range_indicator("172.225.0.0/24", extensions=extensions))
    sent = way.pass_on(range_indicator("52.0.0.0/12"))
    (obj,) = got(way.cast.ember)
    assert obj["extensions"][CONTEXT]["shared_infrastructure_check"]["verdict"] == "shared"
    ((success, message),) = way.messages(sent)
    assert success
    assert message.startswith("Held for the forum's counsel")


# --- A9: what a contributor can say by its choices -----------------------------------------------


@tried
@given(contributions)
def test_a09_what_describes_an_object_is_bounded_whatever_is_written(
    given_objects: tuple[Drawn, ...],
) -> None:
    under = joined(floor_of(()), {}, ANYBODY)
    objects = objects_of(given_objects)
    came = came_of(objects, under)
    for obj, verdict in zip(objects, came.verdicts, strict=True):
        bound = steering.of(decide.read(obj), verdict)
        assert bound.descriptive <= steering.ceiling(obj["type"])


def test_a09_longer_texts_and_further_words_add_nothing() -> None:
    under = material.terms_of()
    plain = material.indicator(confidence=50)
    wordy = {**plain, "description": "block " * 500, "labels": ["a"] * 50, "x_own": "b" * 5000}
    bounds = [
        steering.of(decide.read(obj), decide.verdict(obj, material.stands(obj), under))
        for obj in (plain, wordy)
    ]
    assert bounds[0] == bounds[1]
    assert 0 < bounds[0].descriptive < steering.ceiling("indicator") < 300


def test_a09_each_release_logs_the_bound(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        way.pass_on(range_indicator(description=MARK))
    lines = [str(record.msg) for record in caplog.records if "release.made" in str(record.msg)]
    assert lines
    assert all("steering" in line for line in lines)
    assert not any(MARK in line or "203.0.113" in line for line in lines)


# --- A10: hidden channels ------------------------------------------------------------------------


def test_a10_order_and_ids_carry_nothing(way: Way) -> None:
    """Two hundred objects in an order and with ids that spell something: no trace is left."""
    draw = Random(10)  # noqa: S311 - the same message in every run
    objects = [
        range_indicator(f"203.0.113.{n % 256}", id=f"indicator--{spelled(n, draw)}")
        for n in range(200)
    ]
    way.pass_on(*objects, now=NOON + timedelta(minutes=15))
    delivered = got(way.cast.ember)
    assert len(delivered) == 200
    # Six sigma of what chance gives for two hundred, in all three.
    places = [int(obj["pattern"].split("203.0.113.")[1].split("'")[0]) for obj in delivered]
    assert abs(statistics.correlation(range(200), places)) < 6 / 199**0.5
    ids = {
        n: uuid.UUID(obj["id"].split("--")[1]).int for n, obj in zip(places, delivered, strict=True)
    }
    sent = {n: uuid.UUID(obj["id"].split("--")[1]).int for n, obj in enumerate(objects)}
    agreeing = sum(122 - (ids[n] ^ sent[n]).bit_count() for n in ids)
    assert abs(agreeing / (200 * 122) - 0.5) < 6 * 0.5 / (200 * 122) ** 0.5
    micros = [float(obj["modified"][-7:-1]) for obj in delivered]
    assert abs(statistics.correlation(range(200), micros)) < 6 / 199**0.5


def spelled(number: int, draw: Random) -> uuid.UUID:
    return uuid.UUID(int=(number << 100) | draw.getrandbits(90), version=4)


def test_a10_counts_of_what_stays_are_not_seen(way: Way) -> None:
    """One bit by ten objects that stay at home, or none: Ember holds the same bytes of both."""
    stays = [{**range_indicator(), "extensions": context("egress-range", "S4")} for _ in range(10)]
    way.pass_on(range_indicator(), *stays)
    before = got(way.cast.ember)
    way.pass_on(range_indicator(), now=NOON + timedelta(minutes=1))
    after = got(way.cast.ember)
    assert len(before) == 1
    assert len(after) == 2
    assert said(after[0]) == said(after[1])


# --- A23: a breach of terms in the clothes of a threat -------------------------------------------


def test_a23_a_breach_of_terms_alone_is_held(way: Way) -> None:
    extensions = json.loads(json.dumps(context("egress-range", "S1")))
    extensions[CONTEXT]["threat_basis"] = ["terms-of-service-only"]
    alone = way.pass_on(range_indicator(extensions=extensions))
    by_default = range_indicator()
    del by_default["extensions"]
    stated = way.pass_on(by_default, default_basis=("terms-of-service-only",))
    ((_, message),) = way.messages(alone)
    assert message.startswith("Held for the forum's counsel")
    assert "nothing but a breach of terms" in message
    assert way.messages(stated)[0][1] == message
    assert got(way.cast.ember) == []
    extensions[CONTEXT]["threat_basis"] += ["stolen-credential"]
    way.pass_on(range_indicator(extensions=extensions))
    assert len(got(way.cast.ember)) == 1
