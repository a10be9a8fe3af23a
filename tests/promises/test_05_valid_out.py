"""Promise 5: a rendition is valid STIX 2.1, canonical, and issued by the exchange."""

import json
from pathlib import Path
from typing import Any

import pytest
import stix2
from hypothesis import given, settings
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_instance

from exchange.policy import render
from exchange.policy.catalogue import WORDS
from exchange.proof import jcs
from indicators.stix import validate
from tests.core import policy_material as material

OPTIONS = ValidationOptions(version="2.1")


def check(rendition: render.Rendition) -> dict[str, Any]:
    """Assert all that promise 5 says of one rendition, and return it read."""
    obj: dict[str, Any] = json.loads(rendition.body)
    assert jcs.encode(obj) == rendition.body
    assert validate.problems(obj) == ()
    stix2.parse(obj, allow_custom=True)
    result = validate_instance(obj, OPTIONS)
    assert result.is_valid, [str(error) for error in result.errors]
    assert obj["id"] == rendition.stix_id
    assert "granular_markings" not in obj
    if "created" in obj:
        assert obj["created_by_ref"] == material.ISSUER
        assert obj["modified"] == rendition.version
    return obj


@pytest.mark.parametrize("name", ["antitrust", "examples"])
def test_what_leaves_of_the_shared_data_is_valid_and_ours(shared_data: Path, name: str) -> None:
    sets = [case["objects"] for case in material.dirty_sets(shared_data)]
    if name == "examples":
        folder = shared_data / "extraction-examples"
        sets = [json.loads((folder / "all.json").read_text(encoding="utf-8"))["objects"]]
    for objects in sets:
        came = material.released(objects)
        ids = {rendition.stix_id for rendition in came.renditions.values()}
        for rendition in came.renditions.values():
            obj = check(rendition)
            for end in _references(obj):
                assert end in ids


def _references(obj: dict[str, Any]) -> list[str]:
    ends: list[str] = []
    for name, value in obj.items():
        if name.endswith("_ref") and name != "created_by_ref":
            ends.append(value)
        if name.endswith("_refs") and name != "object_marking_refs":
            ends += value
    return ends


def test_what_must_not_appear_does_not_and_what_must_does(shared_data: Path) -> None:
    for case in material.dirty_sets(shared_data):
        text = material.released(case["objects"]).text
        for mark in case["must_not_appear"]:
            assert mark not in text, (case["case"], mark)
        for mark in case["must_appear"]:
            assert mark in text, (case["case"], mark)


PATTERNS = st.lists(
    st.sampled_from(
        [
            "ipv4-addr:value = '198.51.100.7'",
            "ipv4-addr:value ISSUBSET '198.51.100.0/24'",
            "ipv6-addr:value IN ('2001:db8::1', '2001:db8::2')",
            "domain-name:value = 'relay.example'",
            "url:value = 'https://relay.example/v1/a/b?k=1'",
            "email-addr:value = 'Ana@mail.example'",
            "file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e'",
            "file:name = 'price 2.10'",
            "autonomous-system:number = 64500",
        ]
    ),
    min_size=1,
    max_size=4,
)
INDICATORS = st.builds(
    lambda parts, operator, split, more: material.indicator(
        pattern=(f"] {operator} [" if split else f" {operator} ")
        .join(["", *parts])[len(f"] {operator} [" if split else f" {operator} ") :]
        .join("[]"),
        **more,
    ),
    PATTERNS,
    st.sampled_from(["AND", "OR"]),
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "confidence": st.integers(0, 100),
            "valid_until": st.sampled_from(["2026-10-30T14:00:00Z", "2028-01-01T00:00:00Z"]),
            "indicator_types": st.lists(
                st.sampled_from([*WORDS["indicator-types"], "block"]), min_size=1
            ),
            "extensions": st.builds(
                material.context,
                st.sampled_from(["egress-range", "reseller-domain", "stolen-credential"]),
                st.sampled_from(["S0", "S1", "S2", "S3"]),
            ),
        },
    ),
)


@settings(deadline=None, max_examples=60)
@given(INDICATORS, st.sampled_from(["day", "month"]))
def test_any_indicator_comes_out_valid_or_not_at_all(obj: dict[str, Any], dates: str) -> None:
    came = material.released([obj], under=material.terms_of({"dates": dates}))
    for rendition in came.renditions.values():
        check(rendition)
    assert "Ana@mail.example" not in came.text
    assert "price 2.10" not in came.text


@pytest.mark.parametrize(
    "stix_type",
    ["indicator", "campaign", "infrastructure", "relationship", "sighting", "observed-data"]
    + ["malware", "vulnerability", "location", "opinion", "grouping"],
)
def test_a_revocation_is_valid_and_says_nothing(stix_type: str) -> None:
    stix_id = f"{stix_type}--221c4e00-3f99-41ee-baf2-7f802dc5fd3d"
    rendition = render.revocation(
        stix_type,
        stix_id=stix_id,
        created=material.MINTED,
        modified="2026-11-25T00:00:00.000123Z",
        issuer=material.ISSUER,
        tlp="amber+strict",
    )
    obj = check(rendition)
    assert obj["revoked"] is True
    if stix_type == "indicator":
        assert obj["pattern"] == "[file:size < 0]"


def test_an_address_that_declares_s3_becomes_a_token() -> None:
    came = material.released(
        [material.indicator(extensions=material.context("egress-range", "S3"))]
    )
    assert "198.51.100.7" not in came.text
    assert "keyed-token:value = " in came.text


def test_an_email_address_becomes_a_keyed_token() -> None:
    obj = {"type": "email-addr", "id": "email-addr--1", "value": "Ana@mail.example"}
    (rendition,) = material.released([obj]).renditions.values()
    said = check(rendition)
    assert said["type"] == "keyed-token"
    assert said["kind"] == "email-address"
    assert said["key_epoch"] == "2026Q4"


def test_a_relationship_waits_for_its_ends() -> None:
    relationship = {
        "type": "relationship",
        "id": "relationship--ff53a46f-5ead-403a-84c4-b877678537a3",
        "relationship_type": "indicates",
        "source_ref": material.indicator()["id"],
        "target_ref": "campaign--ac9130f4-547c-47d3-8e3a-655f20731ab2",
    }
    came = material.released([material.indicator(), relationship])
    assert relationship["id"] not in came.renditions
    verdict = came.verdicts[1]
    assert set(verdict.references) == {relationship["source_ref"], relationship["target_ref"]}
    assert verdict.missing(frozenset({relationship["source_ref"]})) == (relationship["target_ref"],)
