"""What becomes of an object is decided once for all: outcome, holds, sensitivity, filling."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from exchange.policy import decide
from exchange.policy.terms import Floor, shipped_floor
from exchange.proof import jcs
from exchange.proof.refused import Refused
from tests.core import policy_material as material

CAMPAIGN = "campaign--ac9130f4-547c-47d3-8e3a-655f20731ab2"
EPOCH = {"token_scheme": "oprf-p256-sha256", "key_domain": "forum", "key_epoch": "2026Q4"}
TOKEN = {"type": "keyed-token", "id": "keyed-token--1", "kind": "device", "value": "0c4f" * 16}
FINGERPRINT = "[api-client-fingerprint:header_order_hash = '067e6b205f95dd5e6d71977e6e33b0b7']"


@pytest.mark.parametrize(
    ("obj", "outcome"),
    [
        (material.indicator(), "accepted"),
        (material.indicator(pattern_type="yara", pattern="rule x {}"), "withheld"),
        (material.indicator(pattern="[process:name = 'x']"), "withheld"),
        (material.indicator(extensions=material.context("egress-range", "S4")), "withheld"),
        ({"type": "identity", "id": "identity--1", "name": "Aurora"}, "withheld"),
        ({"type": "x-own", "id": "x-own--1"}, "withheld"),
        ({"type": "file", "id": "file--1", "name": "price list"}, "withheld"),
        ({"type": "malware", "id": "malware--1", "is_family": False}, "held"),
        ({"type": "threat-actor", "id": "threat-actor--1", "name": "A"}, "held"),
        ({**TOKEN, **EPOCH}, "accepted"),
        ({**TOKEN, **EPOCH, "key_epoch": "2026Q3"}, "withheld"),
        ({**TOKEN, **EPOCH, "token_scheme": "sha256"}, "withheld"),
        ({**TOKEN, **EPOCH, "key_domain": "pair"}, "withheld"),
        ({**TOKEN, **EPOCH, "kind": "api-key", "token_scheme": "sha256"}, "accepted"),
    ],
)
def test_the_outcome_follows_the_floor(obj: dict[str, Any], outcome: str) -> None:
    standing = material.stands(obj)
    assert standing.outcome == outcome
    assert bool(standing.holds) is (outcome == "held")


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        (
            {"pattern": "[ipv4-addr:value ISSUBSET '198.51.0.0/16']"},
            {"range/over-cap", "range/shared-list"},
        ),
        ({"pattern": "[ipv4-addr:value ISSUBSET '198.51.100.0/24']"}, set()),
        ({"pattern": "[ipv6-addr:value ISSUBSET '2001:db8::/32']"}, {"range/over-cap"}),
        ({"pattern": FINGERPRINT}, {"C12/no-base-rate"}),
        ({"description": "We charge them $2.10 per Mtok."}, {"C01/D01-price"}),
        ({"x_we_charge": {"$2.10 per Mtok": 1}}, {"C01/D01-price"}),
        ({"name": "All members should block them"}, {"C08/D08-enforcement"}),
        ({"labels": ["run by DeepSeek"]}, {"C13/D13-attribution"}),
        ({"description": "contact ana@mail.example"}, set()),
        (
            {
                "extensions": material.context(
                    "egress-range", threat_basis=["terms-of-service-only"]
                )
            },
            {"basis/terms-of-service-only"},
        ),
        (
            {"extensions": material.context("egress-range", capability_targets=["other"])},
            {"C07/unannounced-capability"},
        ),
        (
            {"extensions": material.context("egress-range", hold_reason="counsel-request")},
            {"C16/declared-counsel-request"},
        ),
        (
            {"extensions": material.context("provenance-evidence", "S3")},
            {"C13/kind-provenance-evidence"},
        ),
        (
            {"object_marking_refs": ["marking-definition--0b80a255-53a1-4945-a932-58ef7777682c"]},
            {"C16/foreign-marking"},
        ),
    ],
)
def test_each_reason_to_hold_is_named(changes: dict[str, Any], reasons: set[str]) -> None:
    standing = material.stands(material.indicator(**changes), watch=frozenset({"DeepSeek"}))
    assert {hold.name for hold in standing.holds} == reasons
    for hold in standing.holds:
        assert hold.approvers[0] == "forum-counsel"
        assert ("contributor-counsel" in hold.approvers) is (hold.field_class in ("C13", "C16"))


@pytest.mark.parametrize(
    ("pattern", "kind", "sensitivity", "until"),
    [
        ("[ipv4-addr:value = '198.51.100.7']", "egress-range", "S2", "2026-11-13"),
        ("[ipv4-addr:value ISSUBSET '198.51.100.0/24']", "egress-range", "S1", "2026-11-13"),
        ("[domain-name:value = 'relay.example']", "reseller-domain", "S2", "2027-01-28"),
        ("[email-addr:value = 'a@b.example']", "identity-token", "S3", "2026-12-29"),
        ("[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e']", None, "S2", "2027-01-28"),
        (
            "[ipv4-addr:value = '198.51.100.7' OR domain-name:value = 'relay.example']",
            None,
            "S2",
            "2026-11-13",
        ),
    ],
)
def test_what_is_missing_is_filled(
    pattern: str, kind: str | None, sensitivity: str, until: str
) -> None:
    standing = material.stands(material.indicator(pattern=pattern))
    assert standing.kind == kind
    assert standing.own_sensitivity == sensitivity
    assert standing.valid_until == f"{until}T00:00:00.000Z"
    assert standing.threat_basis == ("fraudulent-identity",)


def test_validity_is_cut_and_never_made_longer() -> None:
    longer = material.stands(material.indicator(valid_until="2036-01-01T00:00:00Z"))
    shorter = material.stands(material.indicator(valid_until="2026-11-01T10:00:00Z"))
    assert longer.valid_until == "2026-11-13T00:00:00.000Z"
    assert shorter.valid_until == "2026-11-02T00:00:00.000Z"


def test_without_a_basis_it_is_incomplete_and_nobodys_work() -> None:
    text = "We charge them $2.10 per Mtok."
    standing = material.stands(material.indicator(description=text), default_basis=())
    assert standing.outcome == "incomplete"
    assert standing.holds == ()
    sco = {"type": "domain-name", "id": "domain-name--1", "value": "relay.example"}
    assert material.stands(sco, default_basis=()).outcome == "accepted"


def test_sensitivity_is_inherited_one_step_and_never_makes_a_token() -> None:
    first = material.indicator(extensions=material.context("egress-range", "S3"))
    address = {"type": "ipv4-addr", "id": "ipv4-addr--1", "value": "198.51.100.7"}
    traffic = {
        "type": "network-traffic",
        "id": "network-traffic--1",
        "protocols": ["tcp"],
        "src_ref": "ipv4-addr--1",
    }
    stood = decide.standing([first, address, traffic], material.CONTEXT_OF_AURORA, material.FLOOR)
    assert [one.own_sensitivity for one in stood] == ["S3", "S2", "S1"]
    assert [one.sensitivity for one in stood] == ["S3", "S3", "S2"]
    verdict = decide.verdict(address, stood[1], material.terms_of())
    assert verdict.by_path["value"].treatment.name == "PASS"


def test_a_relationship_links_its_ends_and_s4_is_inherited_as_s3() -> None:
    secret = material.indicator(extensions=material.context("egress-range", "S4"))
    campaign = {"type": "campaign", "id": CAMPAIGN, "name": "x"}
    link = {
        "type": "relationship",
        "id": "relationship--1",
        "relationship_type": "indicates",
        "source_ref": secret["id"],
        "target_ref": CAMPAIGN,
    }
    stood = decide.standing([secret, campaign, link], material.CONTEXT_OF_AURORA, material.FLOOR)
    assert [one.sensitivity for one in stood] == ["S4", "S3", "S3"]
    assert [one.outcome for one in stood] == ["withheld", "accepted", "accepted"]


@pytest.mark.parametrize(
    ("marks", "tlp"),
    [
        ([], "amber+strict"),
        (["marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"], "clear"),
        (["marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"], "clear"),
        (
            [
                "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
                "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
            ],
            "amber",
        ),
    ],
)
def test_the_narrowest_mark_wins_and_none_is_narrow(marks: list[str], tlp: str) -> None:
    standing = material.stands(material.indicator(object_marking_refs=marks or None))
    assert standing.tlp == tlp


def test_a_red_mark_on_what_must_be_there_withholds_the_object() -> None:
    red = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
    marks = [{"marking_ref": red, "selectors": ["pattern"]}]
    assert material.stands(material.indicator(granular_markings=marks)).outcome == "withheld"
    marks = [{"marking_ref": red, "selectors": ["confidence"]}]
    obj = material.indicator(granular_markings=marks, confidence=50)
    came = material.released([obj])
    assert "confidence" not in came.text
    assert came.verdicts[0].by_path["confidence"].rule == "floor/1/marked-narrower"


def test_a_published_constant_goes_nowhere_and_is_not_held() -> None:
    technique = {"type": "attack-pattern", "id": "attack-pattern--1", "name": "x"}
    known = material.stands(technique, constants=frozenset({"attack-pattern--1"}))
    assert known.outcome == "withheld"
    assert known.withheld is not None
    assert known.withheld.rule == "floor/1/constant"
    assert material.stands(technique).outcome == "held"


def test_the_examples_become_what_they_should(shared_data: Path) -> None:
    folder = shared_data / "extraction-examples"
    expected = {"09-provenance-evidence.json": {"held", "accepted"}}
    for file in sorted(folder.glob("[01]*-*.json")):
        if file.name.startswith("00"):
            continue
        objects = json.loads(file.read_text(encoding="utf-8"))["objects"]
        atlas = frozenset(o["id"] for o in objects if o["type"] == "attack-pattern")
        given = decide.Context("aurora", "forum", (), material.NOW, constants=atlas)
        stood = decide.standing(objects, given, material.FLOOR)
        outcomes = {
            standing.outcome
            for obj, standing in zip(objects, stood, strict=True)
            if obj["type"] != "attack-pattern"
        }
        assert outcomes == expected.get(file.name, {"accepted"}), file.name


def test_a_pattern_keeps_only_what_still_means_the_same() -> None:
    pattern = (
        "[ipv4-addr:value = '198.51.100.7' OR file:name = 'price 2.10'] OR "
        "[url:value = 'https://relay.example/v1/chat/key?x=1' AND email-addr:value = 'A@b.example']"
    )
    (rendition,) = material.released([material.indicator(pattern=pattern)]).renditions.values()
    said = json.loads(rendition.body)["pattern"]
    # The e-mail address makes the object S3, so the address is a token and the URL is dropped.
    assert "198.51.100.7" not in said
    assert said.count("keyed-token:value") == 1
    plain = "[url:value = 'https://relay.example/v1/chat/key?x=1']"
    (rendition,) = material.released([material.indicator(pattern=plain)]).renditions.values()
    said = json.loads(rendition.body)["pattern"]
    assert said == "[url:value LIKE 'https://relay.example/v1/chat%']"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"classes": {}}, "floor.class"),
        ({"extra": 1}, "floor.unknown"),
        ({"windows": {s: {"every_seconds": -1} for s in ("S0", "S1", "S2", "S3")}}, "floor.window"),
    ],
)
def test_a_floor_with_a_gap_does_not_parse(change: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        Floor.parse({**shipped_floor(), **change})
    assert refused.value.code == code
    short = shipped_floor()
    del short["kinds"]
    with pytest.raises(Refused):
        Floor.parse(short)


def test_a_new_quarter_ends_the_tokens_of_the_last() -> None:
    obj = {**TOKEN, **EPOCH}
    assert material.stands(obj, now=datetime(2027, 1, 1, tzinfo=UTC)).outcome == "withheld"


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("[domain-name:value IN ('a.example', 'a price')]", "[domain-name:value IN ('a.example')]"),
        ("[domain-name:value NOT IN ('a.example', 'a price')]", None),
        ("[domain-name:value = 'a.example' AND file:name = 'a price']", None),
        ("[domain-name:value = 'a.example'] FOLLOWEDBY [file:name = 'a price']", None),
        (
            "[domain-name:value = 'a.example'] OR [file:name = 'a price']",
            "[domain-name:value = 'a.example']",
        ),
    ],
)
def test_what_would_match_more_without_a_part_goes_with_it(pattern: str, left: str | None) -> None:
    came = material.released([material.indicator(pattern=pattern)])
    bodies = [json.loads(rendition.body) for rendition in came.renditions.values()]
    assert [body["pattern"] for body in bodies] == ([left] if left else [])
    if left is None:
        literals = [r for path, r in came.verdicts[0].rulings if path.startswith("pattern[")]
        assert all(ruling.treatment.name == "DROP" for ruling in literals)


def test_the_digest_of_a_verdict_is_that_of_its_document() -> None:
    obj = material.indicator(
        extensions=material.context("egress-range"), **{"x_ä": 1, "lang": "en"}
    )
    withheld = material.indicator(pattern="[file:name = 'price']", x_own={"path": '"path":""'})
    for one in (obj, withheld):
        verdict = decide.verdict(one, material.stands(one), material.terms_of({"dates": "month"}))
        assert verdict.digest == sha256(jcs.encode(verdict.document())).hexdigest()
