"""What a new policy changes: each thing one way, and what is called tighter never shows more."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.policy import changes, decide, documents, terms
from exchange.policy.changes import Way
from exchange.policy.outcomes import Context
from tests.core.policy_material import BOREALIS, NOW, ON, context, indicator

Document = dict[str, Any]
EMBER = "0d1f2a3b-4c5d-4e6f-8a9b-0c1d2e3f4a5b"
FJORD = "1d1f2a3b-4c5d-4e6f-8a9b-0c1d2e3f4a5b"
LOOSER, TIGHTER, OTHER = Way.LOOSER, Way.TIGHTER, Way.OTHER


def floor(*edits: Callable[[Document], object]) -> Document:
    """The shipped floor, edited."""
    document = terms.shipped_floor()
    for edit in edits:
        edit(document)
    return document


def put(*path: str | int, value: Any) -> Callable[[Document], None]:
    """An edit that puts a value at a place; None takes it away."""

    def edit(document: Document) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return edit


def ways(old: Document, new: Document, kind: documents.Kind = "floor") -> list[tuple[Way, str]]:
    return [(one.way, one.path) for one in changes.compare(old, new, kind)]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (put("title", value="Another title"), (OTHER, "title")),
        (put("rules", "volume", "reason", value="Cut."), (OTHER, "rules.volume")),
        (put("windows", "S2", "every_seconds", value=1800), (TIGHTER, "windows.S2")),
        # Each 1,000 seconds opens before each 900 now and then.
        (put("windows", "S2", "every_seconds", value=1000), (LOOSER, "windows.S2")),
        (put("windows", "S2", "every_seconds", value=0), (LOOSER, "windows.S2")),
        (put("windows", "S1", "every_seconds", value=60), (TIGHTER, "windows.S1")),
        (put("minimum_circle", value=4), (TIGHTER, "minimum_circle")),
        (put("minimum_circle", value=2), (LOOSER, "minimum_circle")),
        (put("confidence_cap", value=80), (TIGHTER, "confidence_cap")),
        (put("days_at_most", value=170), (TIGHTER, "days_at_most")),
        (put("classes", "volume", "step", value=2), (TIGHTER, "classes.volume")),
        (
            put("classes", "narrative", "can", value=["pass", "drop"]),
            (LOOSER, "classes.narrative.can"),
        ),
        (put("classes", "hash", "treatment", value="drop"), (TIGHTER, "classes.hash")),
        (put("classes", "address", "s3", value="pass"), (LOOSER, "classes.address")),
        (put("types", "held", "tool", value=None), (TIGHTER, "types.tool")),
        (put("types", "held", "tool", value="C08"), (LOOSER, "types.held.tool")),
        (put("types", "held", "sighting", value="C12"), (TIGHTER, "types.sighting")),
        (
            put("approvers", "C08", value=["forum-counsel", "contributor-counsel"]),
            (TIGHTER, "approvers.C08"),
        ),
        (put("approvers", "C13", value=None), (LOOSER, "approvers.C13")),
        (
            put("legal_bases", 0, "until", value="2027-09-30"),
            (LOOSER, "legal_bases.cisa-2015.until"),
        ),
        (
            put("legal_bases", 1, "until", value="2027-09-30"),
            (TIGHTER, "legal_bases.eu-legitimate-interest.until"),
        ),
        (put("legal_bases", 0, "review", value="Next spring."), (OTHER, "legal_bases.cisa-2015")),
        (put("drop_properties", value=["sighting.count"]), (TIGHTER, "drop_properties")),
        (put("tripwires", "D10-pii", "hold", value=True), (TIGHTER, "tripwires.D10-pii.hold")),
        (put("tripwires", "D01-price", "hold", value=False), (LOOSER, "tripwires.D01-price.hold")),
        (put("kinds", "campaign", "days", value=90), (TIGHTER, "kinds.campaign.days")),
        (
            put("kinds", "campaign", "sensitivity", value="S1"),
            (LOOSER, "kinds.campaign.sensitivity"),
        ),
        (
            put("kinds", "provenance-evidence", "held", value=None),
            (LOOSER, "kinds.held.provenance-evidence"),
        ),
        (put("kind_of_type", "campaign", value="sighting"), (LOOSER, "kind_of_type")),
        (put("statistics", "contributors", value=6), (TIGHTER, "statistics.contributors")),
        (put("statistics", "share_percent", value=30), (LOOSER, "statistics.share_percent")),
    ],
)
def test_one_edit_of_the_floor_goes_one_way(
    edit: Callable[[Document], None], expected: tuple[Way, str]
) -> None:
    assert expected in ways(floor(), floor(edit))
    if expected[0] is OTHER:
        assert not changes.is_looser(changes.compare(floor(), floor(edit), "floor"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {"drop_types": ["sighting"]}, (TIGHTER, "drop_types")),
        ({"drop_types": ["sighting"]}, {}, (LOOSER, "drop_types")),
        ({}, {"allow_recipients": []}, (TIGHTER, "allow_recipients")),
        ({"allow_recipients": [EMBER]}, {}, (LOOSER, "allow_recipients")),
        (
            {"allow_recipients": [EMBER]},
            {"allow_recipients": [EMBER, FJORD]},
            (LOOSER, "allow_recipients"),
        ),
        ({}, {"deny_kinds": {EMBER: ["campaign"]}}, (TIGHTER, f"deny_kinds.{EMBER}")),
        (
            {},
            {"in_circles": {EMBER: {"allow_recipients": []}}},
            (TIGHTER, f"in_circles.{EMBER}.allow_recipients"),
        ),
        (
            {"delay_seconds": {"S1": 60}},
            {"delay_seconds": {"S1": 30}},
            (LOOSER, "delay_seconds.S1"),
        ),
        ({}, {"dates": "month"}, (TIGHTER, "dates")),
        ({"dates": "none"}, {"dates": "month"}, (LOOSER, "dates")),
        ({}, {"backfill": "live"}, (LOOSER, "backfill")),
        ({"backfill": "live"}, {}, (TIGHTER, "backfill")),
        ({}, {"days_at_most": 30}, (TIGHTER, "days_at_most")),
        ({"url_path_segments": 0}, {}, (LOOSER, "url_path_segments")),
        ({"two_people": True}, {}, (LOOSER, "two_people")),
        ({}, {"statistics": {"opt_out": True}}, (TIGHTER, "statistics.opt_out")),
        ({}, {"tlp_at_least": "green"}, (TIGHTER, "tlp_at_least")),
        ({}, {"reasons": {"dates": "We say so."}}, (OTHER, "reasons")),
    ],
)
def test_one_setting_of_a_member_goes_one_way(
    old: Document, new: Document, expected: tuple[Way, str]
) -> None:
    assert ways({"version": 1, **old}, {"version": 1, **new}, "member") == [expected]


def test_equal_policies_differ_in_nothing() -> None:
    assert changes.compare(floor(), floor(), "floor") == ()


def test_what_is_looser_is_said_first_and_in_words() -> None:
    new = floor(
        put("confidence_cap", value=80),
        put("windows", "S3", "every_seconds", value=0),
        put("types", "held", "malware", value=None),
        lambda document: document["types"]["pass"].append("malware"),
    )
    found = changes.compare(floor(), new, "floor")
    assert [one.word for one in found] == ["looser", "looser", "tighter"]
    assert {one.sentence for one in found} == {
        "S3 leaves at once, was each 3600 seconds.",
        "malware passes, before it was held.",
        "confidence_cap: 80, was 90.",
    }


# --- what is called tighter never shows more -----------------------------------------------------

TYPES = ("sighting", "campaign", "malware", "tool", "indicator", "ipv4-addr", "note")
LEVELS = ("S0", "S1", "S2", "S3")
CLASS_NAMES = sorted(terms.shipped_floor()["classes"])
KIND_NAMES = sorted(terms.shipped_floor()["kinds"])
HOLDS = ("C08", "C12", "C13")


def _move(name: str, to: str) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        types = document["types"]
        for section in ("pass", "tokenised", "withheld", "refused"):
            types[section] = [one for one in types[section] if one != name]
        types["held"].pop(name, None)
        if to == "held":
            types["held"][name] = "C13"
            why = {"class": "C13", "reason": "Judged.", "basis": "class C13"}
            document["holds"][f"type-{name}"] = why
        else:
            types[to].append(name)

    return edit


def _class(name: str, treatment: str, step: int) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        row = document["classes"][name]
        if treatment not in row["can"]:
            return
        row["treatment"] = treatment
        if treatment == "coarsen" and "scale" in row:
            row["step"] = step

    return edit


floor_edits = st.one_of(
    st.builds(
        lambda s, n: put("windows", s, "every_seconds", value=n),
        st.sampled_from(LEVELS),
        st.sampled_from((0, 60, 900, 1000, 1800, 3600, 7200)),
    ),
    st.builds(_move, st.sampled_from(TYPES), st.sampled_from(("pass", "held", "withheld"))),
    st.builds(
        _class,
        st.sampled_from(CLASS_NAMES),
        st.sampled_from(("pass", "coarsen", "token", "drop")),
        st.integers(1, 3),
    ),
    st.builds(lambda n: put("confidence_cap", value=n), st.integers(0, 100)),
    st.builds(lambda n: put("days_at_most", value=n), st.integers(1, 180)),
    st.builds(lambda n: put("address_days", value=n), st.integers(1, 14)),
    st.builds(
        lambda k, n: put("kinds", k, "days", value=n),
        st.sampled_from(KIND_NAMES),
        st.integers(1, 180),
    ),
    st.builds(
        lambda k, s: put("kinds", k, "sensitivity", value=s),
        st.sampled_from(KIND_NAMES),
        st.sampled_from(LEVELS),
    ),
    st.builds(
        lambda k, s: put("sensitivities", k, value=s),
        st.sampled_from(("default", "address_range", "address_single", "inherited_at_most")),
        st.sampled_from(LEVELS),
    ),
    st.builds(
        lambda k, s: put("sensitivities", "types", k, value=s),
        st.sampled_from(TYPES),
        st.sampled_from(LEVELS),
    ),
    st.builds(
        lambda s, t: put("reach", "at_least", s, value=t),
        st.sampled_from(LEVELS),
        st.sampled_from(("clear", "amber", "amber+strict", "red")),
    ),
    st.builds(
        lambda t: put("reach", "default", value=t), st.sampled_from(("clear", "amber", "red"))
    ),
    st.builds(
        lambda some: put("drop_properties", value=some),
        st.lists(
            st.sampled_from(("sighting.count", "indicator.confidence", "campaign.first_seen")),
            max_size=2,
        ),
    ),
    st.builds(
        lambda some: put("announced_capabilities", value=some),
        st.lists(st.sampled_from(("vision", "mathematics")), max_size=2),
    ),
    st.builds(
        lambda some: put("threat_basis", "asked_of", value=some),
        st.lists(st.sampled_from(("indicator", "campaign")), unique=True),
    ),
    st.builds(lambda n: put("ranges", "ipv4_prefix", value=n), st.integers(8, 32)),
    st.builds(lambda n: put("minimum_circle", value=n), st.integers(2, 6)),
)

SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "drop_types": st.lists(st.sampled_from(TYPES), max_size=2, unique=True),
    "drop_kinds": st.lists(st.sampled_from(KIND_NAMES), max_size=2, unique=True),
    "drop_classes": st.lists(st.sampled_from(CLASS_NAMES), max_size=2, unique=True),
    "drop_properties": st.lists(
        st.sampled_from(
            (
                "sighting.count",
                "user-account.account_login",
                "indicator.kill_chain_phases[].phase_name",
            )
        ),
        max_size=2,
        unique=True,
    ),
    "reject_classes": st.lists(st.sampled_from(("C01", "C08", "C09")), max_size=2, unique=True),
    "deny_recipients": st.lists(st.sampled_from(("borealis", "ember")), max_size=1),
    "allow_recipients": st.lists(st.sampled_from(("borealis", "ember")), max_size=1),
    "deny_kinds": st.dictionaries(
        st.just("borealis"), st.lists(st.sampled_from(KIND_NAMES), max_size=2, unique=True)
    ),
    "deny_circles": st.lists(st.sampled_from(("forum", "watch")), max_size=1),
    "in_circles": st.dictionaries(
        st.sampled_from(("forum", "watch")),
        st.fixed_dictionaries(
            {},
            optional={
                "deny_recipients": st.just(["borealis"]),
                "allow_recipients": st.sampled_from((["borealis"], ["ember"])),
                "drop_kinds": st.lists(st.sampled_from(KIND_NAMES), max_size=2, unique=True),
            },
        ),
    ),
    "min_circle": st.integers(0, 6),
    "tlp_at_least": st.sampled_from(("clear", "green", "amber", "red")),
    "dates": st.sampled_from(("day", "month", "none")),
    "counts": st.sampled_from(("decade", "none")),
    "url_path_segments": st.integers(0, 4),
    "days_at_most": st.integers(1, 180),
    "reasons": st.just({"dates": "We say so."}),
}
member_documents = st.fixed_dictionaries({"version": st.just(1)}, optional=SETTINGS)


def _objects() -> tuple[Document, ...]:
    sdo = {
        "spec_version": "2.1",
        "created": "2026-10-30T13:47:22.118Z",
        "modified": "2026-10-30T13:47:22.118Z",
    }
    number = "221c4e00-3f99-41ee-baf2-7f802dc5fd3d"
    return (
        indicator(confidence=73, valid_until="2026-12-30T00:00:00Z"),
        indicator(
            pattern="[domain-name:value = 'relay.example']",
            extensions=context("reseller-domain", capability_targets=["vision"]),
            kill_chain_phases=[{"kill_chain_name": "model-extraction", "phase_name": "resale"}],
        ),
        indicator(pattern="[url:value = 'https://relay.example/a/b/c/d']"),
        indicator(pattern="[user-account:account_login = 'heron']"),
        indicator(pattern="[ipv4-addr:value = '203.0.0.0/12']"),
        indicator(description="Our discount is forty percent."),
        {
            **sdo,
            "type": "campaign",
            "id": f"campaign--{number}",
            "name": "Greedy Heron",
            "first_seen": "2026-10-01T10:11:12Z",
            "extensions": context("campaign"),
        },
        {
            **sdo,
            "type": "sighting",
            "id": f"sighting--{number}",
            "count": 4711,
            "sighting_of_ref": f"indicator--{number}",
            "first_seen": "2026-10-01T10:11:12Z",
            "extensions": context("sighting", account_count_bucket="10-99"),
        },
        {**sdo, "type": "malware", "id": f"malware--{number}", "name": "x", "is_family": False},
        {**sdo, "type": "tool", "id": f"tool--{number}", "name": "x"},
        {
            "type": "ipv4-addr",
            "spec_version": "2.1",
            "id": f"ipv4-addr--{number}",
            "value": "198.51.100.7",
        },
        {
            "type": "user-account",
            "spec_version": "2.1",
            "id": f"user-account--{number}",
            "account_login": "heron",
            "user_id": "4711",
        },
    )


OBJECTS = _objects()


def decided(
    by_floor: Document, by_member: Document
) -> list[tuple[decide.Standing, decide.Verdict]]:
    """What comes of the objects for Borealis, each decided alone, under two documents."""
    parsed = terms.Floor.parse(by_floor)
    policy = terms.MemberPolicy.parse(by_member)
    joined = terms.join(
        parsed, policy, BOREALIS, contributor="aurora", circle="forum", on=ON, circle_size=4
    )
    given_context = Context("aurora", "forum", ("fraudulent-identity",), NOW, policy=policy)
    found = []
    for obj in OBJECTS:
        (standing,) = decide.standing([obj], given_context, parsed)
        found.append((standing, decide.verdict(obj, standing, joined)))
    return found


def shown_more(old: tuple[Document, Document], new: tuple[Document, Document]) -> list[str]:
    """The types of objects of which the new policies let more pass than the old ones."""
    pairs = zip(decided(*old), decided(*new), OBJECTS, strict=True)
    return [obj["type"] for was, now, obj in pairs if changes.hides(now, was)]


@given(st.lists(floor_edits, max_size=3), st.lists(floor_edits, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_a_floor_without_a_looser_change_shows_nothing_more(
    before: list[Callable[[Document], None]], after: list[Callable[[Document], None]]
) -> None:
    old, new = floor(*before), floor(*before, *after)
    if not changes.is_looser(changes.compare(old, new, "floor")):
        assert shown_more((old, {}), (new, {})) == []


@given(member_documents, member_documents)
@settings(max_examples=150, deadline=None)
def test_a_member_policy_without_a_looser_change_shows_nothing_more(
    old: Document, new: Document
) -> None:
    if not changes.is_looser(changes.compare(old, new, "member")):
        assert shown_more((floor(), old), (floor(), new)) == []


@given(member_documents, st.sampled_from(sorted(SETTINGS)), st.data())
@settings(max_examples=120, deadline=None)
def test_one_setting_more_is_tighter_and_shows_nothing_more(
    old: Document, name: str, data: st.DataObject
) -> None:
    setting = data.draw(SETTINGS[name])
    new = {**{key: value for key, value in old.items() if key != name}, name: setting}
    without = {key: value for key, value in old.items() if key != name}
    assert not changes.is_looser(changes.compare(without, new, "member"))
    assert shown_more((floor(), without), (floor(), new)) == []


@given(member_documents)
@settings(max_examples=120, deadline=None)
def test_no_member_policy_loosens_the_floor(policy: Document) -> None:
    assert shown_more((floor(), {}), (floor(), policy)) == []
