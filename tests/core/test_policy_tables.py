"""The tables of what passes, line by line: each type, number, time and word, and each reference."""

import json
import uuid
from typing import Any

import pytest

from exchange.policy import catalogue, closure, decide
from exchange.policy.catalogue import CONTEXT
from tests.core import policy_material as material

TLP = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
STRICT = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"
AT = "2026-10-30T13:47:22.118Z"
DAY, NEXT = "2026-10-30T00:00:00.000Z", "2026-10-31T00:00:00.000Z"
HEX = "d41d8cd98f00b204e9800998ecf8427e"
# What any object may carry and nobody gets.
BAGGAGE: dict[str, Any] = {
    "x_price": "$2.10",
    "description": "text",
    "lang": "en",
    "labels": ["block"],
    "created_by_ref": "identity--9974d75b-3338-44fe-a179-0134676b1b69",
    "external_references": [{"source_name": "ours", "url": "https://a.example/"}],
    "granular_markings": [{"marking_ref": TLP, "selectors": ["description", "labels.[0]"]}],
    "x_deep": {"a": [{"b": "text"}]},
}
MINTED = {"id", "created", "modified", "created_by_ref", "spec_version", "type"}


def sdo(stix_type: str, **more: Any) -> dict[str, Any]:
    """A contributed object with everything that stays at home."""
    return {
        "type": stix_type,
        "spec_version": "2.1",
        "id": f"{stix_type}--221c4e00-3f99-41ee-baf2-7f802dc5fd3d",
        "created": AT,
        "modified": AT,
        "object_marking_refs": [TLP],
        **BAGGAGE,
        **more,
    }


def sco(stix_type: str, **more: Any) -> dict[str, Any]:
    """A contributed observable with everything that stays at home."""
    own = {"defanged": False, "x_price": "$2.10", "object_marking_refs": [TLP]}
    stix_id = f"{stix_type}--221c4e00-3f99-51ee-baf2-7f802dc5fd3d"
    return {"type": stix_type, "spec_version": "2.1", "id": stix_id, **own, **more}


def left(obj: dict[str, Any], *beside: dict[str, Any]) -> dict[str, Any] | None:
    """What is left of an object, minted parts apart."""
    came = material.released([obj, *beside])
    made = came.renditions.get(obj["id"])
    if made is None:
        return None
    said: dict[str, Any] = json.loads(made.body)
    return {name: value for name, value in said.items() if name not in MINTED}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (
            sdo(
                "campaign",
                name="Greedy Heron",
                aliases=["Price List"],
                objective="text",
                first_seen=AT,
                last_seen=AT,
            ),
            {"name": "XC-2026-abcde", "first_seen": DAY, "last_seen": DAY},
        ),
        (
            sdo(
                "infrastructure",
                name="Relay",
                infrastructure_types=["unknown", "anonymization", "price", "unknown"],
                first_seen=AT,
            ),
            {
                "name": "XC-2026-abcde",
                "infrastructure_types": ["anonymization", "unknown"],
                "first_seen": DAY,
            },
        ),
        (sdo("location", country="NL", name="Amsterdam", latitude=52.1), {"country": "NL"}),
        (sdo("location", name="Amsterdam"), None),
        (sdo("vulnerability", name="CVE-2026-12345"), {"name": "CVE-2026-12345"}),
        (sdo("vulnerability", name="our own bug"), None),
        (sdo("malware", is_family=False, name="x", malware_types=["bot"]), {"is_family": False}),
        (sdo("threat-actor", name="A"), None),
        (sdo("note", content="text", object_refs=[]), None),
        (sdo("tool", name="Vendor"), None),
    ],
)
def test_what_passes_of_each_object(obj: dict[str, Any], expected: dict[str, Any] | None) -> None:
    said = left(obj)
    if said is not None:
        said.pop("extensions", None)
        said.pop("object_marking_refs")
        said.pop("malware_types", None)
    assert said == expected


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (sco("ipv4-addr", value="198.51.100.7", resolves_to_refs=[]), {"value": "198.51.100.7"}),
        (sco("ipv4-addr", value="198.51.100.9/24"), {"value": "198.51.100.0/24"}),
        (sco("ipv6-addr", value="2001:DB8:0::1"), {"value": "2001:db8::1"}),
        (sco("domain-name", value="Relay.Example"), {"value": "relay.example"}),
        (sco("autonomous-system", number=64500, name="PRICE-2-10", rir="x"), {"number": 64500}),
        (sco("autonomous-system", number=64500.0), None),
        (
            sco("url", value="https://u:p@Relay.example/1/2?k=v"),
            None,
        ),
        (
            sco("url", value="https://Relay.example:8443/1/2/3?k=v#f"),
            {"value": "https://relay.example:8443/1/2"},
        ),
        (sco("url", value="https://relay.example/we charge 2.10/x"), {"value": "https://relay.example/"}),
        (
            sco("file", name="price list", hashes={"MD5": HEX, "SSDEEP": "3:a:b", "X-OWN": HEX}),
            {"hashes": {"MD5": HEX}},
        ),
        (sco("file", name="model-00001-of-00002.safetensors", size=7),
         {"name": "model-00001-of-00002.safetensors"}),
        (sco("file", name="price list"), None),
        (
            sco(
                "rate-shape",
                shape_id="rs-2026-0042",
                bin="hour-of-day-utc",
                profile=[9, 0, 1],
                interarrival_cv_bucket="price",
            ),
            {"shape_id": "rs-2026-0042", "bin": "hour-of-day-utc", "profile": [9, 0, 1]},
        ),
    ],
)  # fmt: skip
def test_what_passes_of_each_observable(
    obj: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    said = left(obj)
    if said is not None:
        assert said.pop("object_marking_refs") == [STRICT]
        said.pop("extensions", None)
    assert said == expected


def said_of(extension: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The context that is left of an indicator's."""
    obj = material.indicator(extensions=material.context("egress-range", "S1", **extension), **more)
    said = left(obj)
    assert said is not None
    context: dict[str, Any] = said["extensions"][CONTEXT]
    return context


@pytest.mark.parametrize(
    ("given", "name", "said"),
    [
        ({"surfaces": ["unknown", "aggregator", "unknown"]}, "surfaces",
         ["aggregator", "unknown"]),
        ({"surfaces": ["аggregator"]}, "surfaces", None),  # a Cyrillic letter
        ({"surfaces": ["Aggregator"]}, "surfaces", None),
        ({"surfaces": ["aggregator "]}, "surfaces", None),
        ({"match_params": {"min_similarity": 0.876543}}, "match_params", {"min_similarity": 0.88}),
        ({"match_params": {"min_similarity": 1e-3}}, "match_params", {"min_similarity": 0.0}),
        ({"match_params": {"max_distance": 6.0}}, "match_params", None),
        ({"match_params": {"x_price": 1}}, "match_params", None),
        ({"capability_targets": ["vision", "other"]}, "capability_targets", ["vision"]),
        (
            {"shared_infrastructure_check": {"checked_on": "2026-10-30", "verdict": "shared",
                                             "hit_lists": ["price list", "amazon-aws"]}},
            "shared_infrastructure_check",
            {"checked_on": "2026-10-30", "verdict": "shared", "hit_lists": ["amazon-aws"]},
        ),
        ({"hold_reason": "counsel-request"}, "hold_reason", None),
        ({"route": "issuer-only"}, "route", "issuer-only"),
        ({"threat_basis": ["stolen-credential", "fraudulent-identity"]}, "threat_basis",
         ["fraudulent-identity", "stolen-credential"]),
    ],
)  # fmt: skip
def test_words_and_numbers_of_the_context(given: dict[str, Any], name: str, said: Any) -> None:
    assert said_of(given).get(name) == said


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"confidence": 0}, "confidence", 0),
        ({"confidence": 73}, "confidence", 70),
        ({"confidence": 89}, "confidence", 85),
        ({"confidence": 100}, "confidence", 90),
        ({"confidence": 73.0}, "confidence", None),
        ({"confidence": "73"}, "confidence", None),
        ({"confidence": True}, "confidence", None),
        ({"valid_from": "2026-10-30T23:59:59.999999999Z"}, "valid_from", DAY),
        ({"valid_until": "2026-10-30T13:47:23Z"}, "valid_until", NEXT),
        ({"valid_until": "2026-10-31T00:00:00.000Z"}, "valid_until", NEXT),
        ({"valid_until": "2036-10-31T00:00:00.000Z"}, "valid_until", "2026-11-13T00:00:00.000Z"),
        ({"indicator_types": ["compromised", "benign"]}, "indicator_types",
         ["benign", "compromised"]),
        ({"indicator_types": ["block-them"]}, "indicator_types", None),
        ({"revoked": False}, "revoked", None),
        ({"kill_chain_phases": [
            {"kill_chain_name": "ours", "phase_name": "resale"},
            {"kill_chain_name": "model-extraction", "phase_name": "resale", "x_note": "text"},
            {"kill_chain_name": "model-extraction", "phase_name": "bulk-elicitation"},
            {"kill_chain_name": "model-extraction", "phase_name": "resale"}]},
         "kill_chain_phases", [
            {"kill_chain_name": "model-extraction", "phase_name": "bulk-elicitation"},
            {"kill_chain_name": "model-extraction", "phase_name": "resale"}]),
    ],
)  # fmt: skip
def test_numbers_times_and_words_of_an_indicator(
    changes: dict[str, Any], name: str, said: Any
) -> None:
    found = left(material.indicator(**changes))
    assert found is not None
    assert found.get(name) == said


@pytest.mark.parametrize(
    ("count", "said", "label"),
    [(1, 1, "1"), (2, 2, "2-9"), (9, 2, "2-9"), (10, 10, "10-99"), (731, 100, "100-999")]
    + [(10**9, 10**8, "100M-up"), (1000.0, None, None)],
)
def test_counts_are_the_lower_edge_of_their_decade(
    count: float, said: int | None, label: str | None
) -> None:
    target = material.indicator()
    sighting = sdo("sighting", sighting_of_ref=target["id"], count=count, where_sighted_refs=["x"])
    sighting["extensions"] = material.context("sighting")
    found = left(sighting, target)
    assert found is not None
    assert found.get("count") == said
    assert found["extensions"][CONTEXT].get("count_bucket") == label
    assert "where_sighted_refs" not in found


def test_only_the_phases_are_a_list_of_objects_that_passes() -> None:
    """Lists are put together again from their leaves: of others only plain values pass."""
    inside = {
        name
        for name, entry in catalogue.properties().items()
        if "[]." in name and material.FLOOR.ruling(entry.field_class, "S1").treatment.name != "DROP"
    }
    assert {name.split("[")[0].split(".")[1] for name in inside} == {"kill_chain_phases"}


# --- references ----------------------------------------------------------------------------------


def named(stix_type: str, number: int) -> str:
    """The original id of one of a few objects."""
    return f"{stix_type}--{uuid.UUID(int=number, version=4)}"


def link(number: int, source: str, target: str, kind: str = "related-to") -> dict[str, Any]:
    """A relationship."""
    ends = {"source_ref": source, "target_ref": target, "relationship_type": kind}
    return sdo("relationship", id=named("relationship", number), **ends)


def leaving(*objects: dict[str, Any], resolvable: dict[str, str] | None = None) -> closure.Closed:
    """What leaves together, by the place of each object."""
    standings = decide.standing(objects, material.CONTEXT_OF_AURORA, material.FLOOR)
    due = [
        closure.Due(
            key=place,
            obj=obj,
            standing=standing,
            verdict=decide.verdict(obj, standing, material.terms_of()),
            forum_id=named(obj["type"], 900 + place),
            name="XC-2026-ABCDE",
        )
        for place, (obj, standing) in enumerate(zip(objects, standings, strict=True))
    ]
    return closure.close(due, resolvable=resolvable or {}, tokens=material.SCOPE)


SOURCE, GONE = named("ipv4-addr", 7), named("domain-name", 8)
HERE = material.indicator(id=named("indicator", 1))
OTHER = material.indicator(id=named("indicator", 2), pattern="[domain-name:value = 'a.example']")
WITHHELD = material.indicator(id=named("indicator", 3), pattern="[process:name = 'x']")
AWAY = named("campaign", 4)


def test_a_relationship_leaves_with_both_its_ends() -> None:
    closed = leaving(HERE, OTHER, link(5, HERE["id"], OTHER["id"]))
    assert set(closed.shapes) == {0, 1, 2}
    assert closed.shapes[2].content["source_ref"] == named("indicator", 900)
    assert closed.lacking == {}


def test_what_lacks_an_end_waits_and_so_does_what_refers_to_it() -> None:
    # The sighting is of the campaign, the observed-data in its list is withheld with its only end.
    seen = sdo("sighting", id=named("sighting", 6), sighting_of_ref=AWAY)
    closed = leaving(HERE, link(5, HERE["id"], WITHHELD["id"]), WITHHELD, seen)
    assert set(closed.shapes) == {0}
    assert closed.lacking == {1: (WITHHELD["id"],), 3: (AWAY,)}


def test_what_was_released_before_is_an_end_too() -> None:
    closed = leaving(link(5, HERE["id"], AWAY), resolvable={HERE["id"]: "a--1", AWAY: "b--1"})
    assert closed.shapes[0].content["source_ref"] == "a--1"
    assert closed.shapes[0].content["target_ref"] == "b--1"


def test_a_list_leaves_out_what_is_not_there_and_waits_when_it_is_empty() -> None:
    address = sco("ipv4-addr", id=SOURCE, value="198.51.100.7")
    observed = sdo(
        "observed-data",
        first_observed=AT,
        last_observed=AT,
        number_observed=73,
        object_refs=[SOURCE, GONE],
    )
    closed = leaving(address, observed)
    (only,) = closed.shapes[1].content["object_refs"]
    assert only.startswith("ipv4-addr--")
    assert closed.shapes[1].content["number_observed"] == 10
    assert closed.left_out == {1: (GONE,)}
    assert set(leaving({**observed, "object_refs": [GONE]}).shapes) == set()


def test_a_chain_of_what_waits_is_undone_to_its_beginning() -> None:
    address = sco("domain-name", id=GONE, value="not a domain")
    observed = sdo(
        "observed-data",
        first_observed=AT,
        last_observed=AT,
        number_observed=1,
        object_refs=[GONE],
    )
    seen = sdo("sighting", sighting_of_ref=HERE["id"], observed_data_refs=[observed["id"]], count=1)
    closed = leaving(address, observed, seen, HERE)
    assert set(closed.shapes) == {2, 3}
    assert "observed_data_refs" not in closed.shapes[2].content
    assert closed.left_out == {2: (observed["id"],)}


def test_a_circle_of_references_leaves_whole() -> None:
    one = sdo("grouping", id=named("grouping", 1), context="unspecified",
              object_refs=[named("grouping", 2)])  # fmt: skip
    two = sdo("grouping", id=named("grouping", 2), context="unspecified",
              object_refs=[named("grouping", 1)])  # fmt: skip
    came = material.released([one, two])
    assert came.renditions == {}  # one after the other, neither can be first
    standings = decide.standing([one, two], material.CONTEXT_OF_AURORA, material.FLOOR)
    free = [decide.cleared(s, frozenset(h.name for h in s.holds)) for s in standings]
    due = [
        closure.Due(
            n, obj, s, decide.verdict(obj, s, material.terms_of()), named("grouping", 90 + n), ""
        )
        for n, (obj, s) in enumerate(zip([one, two], free, strict=True))
    ]
    closed = closure.close(due, resolvable={}, tokens=material.SCOPE)
    assert [closed.shapes[n].content["object_refs"] for n in (0, 1)] == [
        [named("grouping", 91)],
        [named("grouping", 90)],
    ]


def test_of_two_versions_one_may_leave_and_is_an_end() -> None:
    broken = {**HERE, "pattern": "[process:name = 'x']"}
    closed = leaving(broken, HERE, link(5, HERE["id"], HERE["id"]))
    assert set(closed.shapes) == {1, 2}


def test_an_observable_refers_to_what_its_end_became() -> None:
    source = sco("ipv4-addr", id=SOURCE, value="198.51.100.7/32")
    traffic = sco("network-traffic", protocols=["tcp"], src_ref=SOURCE, src_byte_count=73)
    closed = leaving(traffic, source)
    plain = closed.shapes[1].content
    assert plain["value"] == "198.51.100.7"
    assert closed.shapes[0].content["src_ref"].startswith("ipv4-addr--")
    assert "src_byte_count" not in closed.shapes[0].content
    assert leaving(traffic).lacking == {0: (SOURCE,)}


AMBER_RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"


@pytest.mark.parametrize(
    ("policy", "changes", "gone"),
    [
        ({"drop_classes": ["threat"]}, {}, {"context", "kind", "basis"}),
        ({"drop_properties": ["campaign.context.threat_basis[]"]}, {}, {"basis"}),
        (
            {"drop_properties": ["campaign.context.indicator_kind"]},
            {},
            {"context", "kind", "basis"},
        ),
        (
            {},
            {
                "granular_markings": [
                    {
                        "marking_ref": AMBER_RED,
                        "selectors": [f"extensions.{CONTEXT}.threat_basis.[0]"],
                    }
                ]
            },
            {"basis"},
        ),
        ({}, {}, set()),
    ],
)
def test_what_is_filled_obeys_the_rules_of_what_is_written(
    policy: dict[str, Any], changes: dict[str, Any], gone: set[str]
) -> None:
    extensions = material.context("campaign", threat_basis=["stolen-credential"])
    obj = sdo("campaign", name="x", extensions=extensions, **changes)
    came = material.released([obj], under=material.terms_of(policy or None))
    (made,) = came.renditions.values()
    said = json.loads(made.body).get("extensions", {}).get(CONTEXT, {})
    found = {
        "context" if not said else "",
        "kind" if "indicator_kind" not in said else "",
        "basis" if "threat_basis" not in said else "",
    }
    assert found - {""} == gone
