"""The demo's own extraction campaign: every kind of indicator, and everything that must not leave.

All of it is invented: documentation addresses, example names, random tokens. `campaign.json` holds
the technical facts; what an analyst in a hurry would add to them is written here.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from exchange.policy import tokens
from indicators.stix import ids

_FILE = Path(__file__).with_name("campaign.json")
_WRITTEN_ON = datetime(2026, 11, 3, tzinfo=UTC)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_VERSIONED = re.compile(
    r"(?:indicator|campaign|infrastructure|relationship|sighting)--[0-9a-f-]{36}"
)
_WRITTEN_IN = "2026Q4"
_CONTEXT = "extension-definition--2c63888f-28f0-4481-be6d-dce7a7ace732"
_FRAUD = {"threat_basis": ["fraudulent-identity"]}
_OBSERVABLES = frozenset(
    "api-client-fingerprint artifact domain-name email-addr url user-account".split()
)
_FINGERPRINT = "extension-definition--fab36728-a78b-4b7e-8787-c0de2f960063"

NewId = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Names:
    """The ids to which careless objects refer."""

    campaign: str
    actor: str
    marking: str


def bundle(*, now: datetime, new_id: NewId) -> dict[str, Any]:
    """The whole campaign as one STIX bundle, its times moved to `now`."""
    written = json.loads(_FILE.read_text(encoding="utf-8"))["objects"]
    technical = _renamed(_moved(written, now, new_id))
    names = _Names(
        campaign=next(obj["id"] for obj in technical if obj["type"] == "campaign"),
        actor=new_id("threat-actor"),
        marking=new_id("marking-definition"),
    )
    careless = [_stamped(obj, now, new_id) for room in _ROOMS for obj in room(names)]
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
    text = json.dumps(objects).replace(f'"{_WRITTEN_IN}"', f'"{tokens.epoch(now)}"')
    for old in sorted(set(_VERSIONED.findall(text))):
        text = text.replace(old, new_id(old.partition("--")[0]))
    shift = timedelta(days=(now - _WRITTEN_ON).days)

    def move(match: re.Match[str]) -> str:
        moved = datetime.fromisoformat(match[0]) + shift
        return moved.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    moved: list[dict[str, Any]] = json.loads(_TIME.sub(move, text))
    return moved


def _renamed(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Observables under the ids that follow from their values, which name the quarter too."""
    new = {
        obj["id"]: ids.deterministic(obj) or obj["id"] for obj in objects if "created" not in obj
    }
    text = json.dumps(objects)
    for old, name in new.items():
        text = text.replace(old, name)
    renamed: list[dict[str, Any]] = json.loads(text)
    return renamed


def _stamped(obj: Mapping[str, Any], now: datetime, new_id: NewId) -> dict[str, Any]:
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    made: dict[str, Any] = json.loads(json.dumps(dict(obj)).replace('"@now"', f'"{stamp}"'))
    made["spec_version"] = "2.1"
    if made["type"] in _OBSERVABLES:
        made["id"] = ids.deterministic(made) or new_id(made["type"])
        return made
    made.setdefault("id", new_id(made["type"]))
    made |= (
        {"created": stamp}
        if made["type"] == "marking-definition"
        else {"created": stamp, "modified": stamp}
    )
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


def _business(names: _Names) -> Iterator[dict[str, Any]]:
    """C01 to C04, C06, C07: what competitors may not tell each other about their business."""
    yield _indicator("198.51.100.64/26", description="We charge them $2.10 per million tokens.")
    yield _indicator("198.51.100.128/26", description="It ate our gross margin in October.")
    yield _indicator("203.0.113.0/26", description="There is spare capacity in that region.")
    yield {
        "type": "sighting",
        "sighting_of_ref": names.campaign,
        "count": 48211,
        "first_seen": "@now",
        "last_seen": "@now",
    }
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


def _people(names: _Names) -> Iterator[dict[str, Any]]:
    """C05, C10, C13, C15: customers, persons, named actors, those who work there."""
    yield {"type": "identity", "name": "Example Customer Ltd", "identity_class": "organization"}
    yield _indicator("192.0.2.32/27", description="First at our customer Example Widgets Ltd.")
    yield {"type": "user-account", "user_id": "org-4411", "account_login": "buyer.example"}
    yield {"type": "email-addr", "value": "buyer@mail.example"}
    yield {"type": "url", "value": "https://relay.example/v1/chat?user=jo.miller"}
    yield _indicator("192.0.2.64/26", name="Ask for jo.miller@mail.example, phone +1 202 555 0143")
    yield {"type": "threat-actor", "id": names.actor, "name": "Example Rival Lab"}
    yield {
        "type": "relationship",
        "relationship_type": "attributed-to",
        "source_ref": names.campaign,
        "target_ref": names.actor,
    }
    yield _indicator("203.0.113.32/27", description="Found by Kim, who got a bonus for it.")


def _conduct(names: _Names) -> Iterator[dict[str, Any]]:
    """C08, C09, C12, C16, C17: what to do about it, own defences, lawyers, and free text."""
    yield {"type": "course-of-action", "name": "Block all of it", "description": "Block by Friday."}
    yield {"type": "tool", "name": "The detection product that we bought"}
    yield _indicator("192.0.2.128/26", description="Our detector fires at the fortieth call.")
    yield {
        "type": "api-client-fingerprint",
        "ja4": "t13d1517h2_8daaf6152771_e5627efa2ab1",
        "user_agent_family": "aiohttp",
        "extensions": {_FINGERPRINT: {"extension_type": "new-sco"}},
    }
    yield {
        "type": "marking-definition",
        "id": names.marking,
        "definition_type": "statement",
        "definition": {"statement": "Law enforcement sensitive"},
    }
    yield _indicator("203.0.113.64/26", object_marking_refs=[names.marking])
    yield {
        "type": "note",
        "content": "Seen first on a Sunday, when nobody looked.",
        "object_refs": [names.campaign],
    }
    yield {
        "type": "report",
        "name": "What we saw in October",
        "published": "@now",
        "object_refs": [names.campaign],
    }


def _contents(_: _Names) -> Iterator[dict[str, Any]]:
    """C11, C14, C18 to C20: prompts, keys, handwriting, and what others lent."""
    yield {
        "type": "artifact",
        "mime_type": "text/plain",
        "payload_bin": "V3JpdGUgYSByZXBvcnQgb24gcmVsYXlz",
    }
    yield _indicator(
        "192.0.2.192/26",
        description="Found with key sk-proj-Zx9Qm2Lr7Vt4Kp8Wn3Bd6Hf1Jc5Ys0Ga of the account.",
    )
    yield _indicator("203.0.113.128/26", x_ticket="AUR-2291", labels=["block"], lang="en")
    yield _indicator(
        "203.0.113.192/26",
        external_references=[{"source_name": "a paid feed", "url": "https://feed.example/1"}],
    )


def _reach(_: _Names) -> Iterator[dict[str, Any]]:
    """What is too wide, has no basis, or is not for others at all."""
    yield _indicator("", pattern="[ipv6-addr:value = '2001:db8::/32']")
    yield _indicator("198.51.100.192/26", extensions=_context("egress-range", "S1"))
    yield _indicator(
        "198.51.100.0/26",
        extensions=_context("egress-range", "S1", threat_basis=["terms-of-service-only"]),
    )
    yield _indicator("198.51.100.32/27", extensions=_context("egress-range", "S4", **_FRAUD))


_ROOMS = (_business, _people, _conduct, _contents, _reach)
