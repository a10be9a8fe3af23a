"""The demo's own extraction campaign: every kind of indicator, and everything that must not leave.

All of it is invented: documentation addresses, example names, random tokens. `campaign.json` holds
the technical facts; what an analyst in a hurry would add to them is written here.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("campaign.json")
_WRITTEN_ON = datetime(2026, 11, 3, tzinfo=UTC)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_VERSIONED = re.compile(
    r"(?:indicator|campaign|infrastructure|relationship|sighting)--[0-9a-f-]{36}"
)
_CONTEXT = "extension-definition--2c63888f-28f0-4481-be6d-dce7a7ace732"
_CUI = "marking-definition--5d0b4b1e-43b3-4f6a-9b0a-5b7c9d1f2e10"
_FRAUD = {"threat_basis": ["fraudulent-identity"]}

NewId = Callable[[str], str]


def bundle(*, now: datetime, new_id: NewId) -> dict[str, Any]:
    """The whole campaign as one STIX bundle, its times moved to `now`."""
    technical = _moved(json.loads(_FILE.read_text(encoding="utf-8"))["objects"], now, new_id)
    careless = [_stamped(obj, now, new_id) for obj in _careless(technical)]
    return {"type": "bundle", "id": new_id("bundle"), "objects": [*technical, *careless]}


def relay_watch(*, now: datetime, new_id: NewId) -> dict[str, Any]:
    """A small second contribution, for the circle that watches relays."""
    objects: list[dict[str, Any]] = [
        {"type": "domain-name", "value": "pool.relay.example"},
        {
            "type": "indicator",
            "pattern": "[domain-name:value = 'pool.relay.example']",
            "pattern_type": "stix",
            "valid_from": "@now",
            "indicator_types": ["anonymization"],
            "extensions": _context("reseller-domain", "S1", **_FRAUD),
        },
        {
            "type": "indicator",
            "pattern": "[ipv4-addr:value = '203.0.113.64/26']",
            "pattern_type": "stix",
            "valid_from": "@now",
            "indicator_types": ["anonymization"],
            "extensions": _context("egress-range", "S1", **_FRAUD),
        },
    ]
    made = [_stamped(obj, now, new_id) for obj in objects]
    return {"type": "bundle", "id": new_id("bundle"), "objects": made}


def _moved(objects: list[dict[str, Any]], now: datetime, new_id: NewId) -> list[dict[str, Any]]:
    """The same objects under new ids, as if they had been written today."""
    text = json.dumps(objects)
    for old in sorted(set(_VERSIONED.findall(text))):
        text = text.replace(old, new_id(old.partition("--")[0]))
    shift = timedelta(days=(now - _WRITTEN_ON).days)

    def move(match: re.Match[str]) -> str:
        moved = datetime.fromisoformat(match[0]) + shift
        return moved.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    moved: list[dict[str, Any]] = json.loads(_TIME.sub(move, text))
    return moved


def _stamped(obj: Mapping[str, Any], now: datetime, new_id: NewId) -> dict[str, Any]:
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    made: dict[str, Any] = json.loads(json.dumps(dict(obj)).replace('"@now"', f'"{stamp}"'))
    made["spec_version"] = "2.1"
    made.setdefault("id", new_id(made["type"]))
    if "value" not in made and made["type"] not in ("user-account", "artifact", "network-traffic"):
        made |= {"created": stamp, "modified": stamp}
    if made["type"] == "marking-definition":
        del made["modified"]
    return made


def _context(kind: str, sensitivity: str, **more: object) -> dict[str, Any]:
    fields = {"extension_type": "property-extension", "schema_version": "1.0"}
    return {_CONTEXT: {**fields, "indicator_kind": kind, "sensitivity": sensitivity, **more}}


def _indicator(value: str, **more: object) -> dict[str, Any]:
    """A relay address with something beside it that must not leave."""
    return {
        "type": "indicator",
        "pattern": f"[ipv4-addr:value = '{value}']",
        "pattern_type": "stix",
        "valid_from": "@now",
        "indicator_types": ["anonymization"],
        "extensions": _context("egress-range", "S1", **_FRAUD),
        **more,
    }


def _careless(technical: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What a lawyer would wince at, class by class (C01 to C20)."""
    campaign = next(obj["id"] for obj in technical if obj["type"] == "campaign")
    yield _indicator("198.51.100.64/26", description="We charge them $2.10 per million tokens.")
    yield _indicator("198.51.100.128/26", description="Our margin on this traffic was 41 percent.")
    yield _indicator(
        "203.0.113.0/26", description="We have 12,000 spare GPUs of headroom in that region."
    )
    yield {
        "type": "sighting",
        "sighting_of_ref": campaign,
        "count": 48211,
        "first_seen": "@now",
        "last_seen": "@now",
    }
    yield {"type": "identity", "name": "Example Customer Ltd", "identity_class": "organization"}
    yield {"type": "user-account", "user_id": "org-4411", "account_login": "buyer.example"}
    yield _indicator(
        "192.0.2.0/26",
        external_references=[
            {"source_name": "contract", "description": "Enterprise agreement, two year term"}
        ],
    )
    yield {
        "type": "infrastructure",
        "name": "pool behind our unreleased vision model",
        "infrastructure_types": ["anonymization"],
        "extensions": _context("reseller-front", "S2", capability_targets=["other"], **_FRAUD),
    }
    yield {"type": "course-of-action", "name": "Block all of it", "description": "Block by Friday."}
    yield {"type": "tool", "name": "The detection product that we bought"}
    yield {"type": "email-addr", "value": "buyer@mail.example"}
    yield _indicator("192.0.2.64/26", name="Ask for jo.miller@mail.example, phone +1 202 555 0143")
    yield {
        "type": "artifact",
        "mime_type": "text/plain",
        "payload_bin": "V3JpdGUgYSByZXBvcnQgb24gcmVsYXlz",
    }
    yield _indicator("192.0.2.128/26", description="We alert at 40 requests a minute, not below.")
    yield {"type": "threat-actor", "name": "Example Rival Lab"}
    yield _indicator(
        "192.0.2.192/26",
        description="Found with key sk-proj-Zx9Qm2Lr7Vt4Kp8Wn3Bd6Hf1Jc5Ys0Ga of the account.",
    )
    yield {
        "type": "note",
        "content": "Their trust team pays 30 percent more than we do.",
        "object_refs": [campaign],
    }
    yield {
        "type": "marking-definition",
        "id": _CUI,
        "definition_type": "statement",
        "definition": {"statement": "Law enforcement sensitive"},
    }
    yield _indicator("203.0.113.64/26", object_marking_refs=[_CUI])
    yield {
        "type": "report",
        "name": "What we saw in October",
        "published": "@now",
        "object_refs": [campaign],
    }
    yield _indicator("203.0.113.128/26", x_ticket="AUR-2291", labels=["block"])
    yield _indicator(
        "203.0.113.192/26",
        external_references=[{"source_name": "a paid feed", "url": "https://feed.example/1"}],
    )
    yield _indicator("198.18.0.0/15")
    yield _indicator("198.51.100.192/26", extensions=_context("egress-range", "S1"))
    yield _indicator(
        "198.51.100.0/26",
        extensions=_context("egress-range", "S1", threat_basis=["terms-of-service-only"]),
    )
    yield {
        "type": "relationship",
        "relationship_type": "attributed-to",
        "source_ref": campaign,
        "target_ref": campaign,
    }
