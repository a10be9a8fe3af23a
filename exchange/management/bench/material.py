"""Typical objects of about 1 KB, as an analyst's tool writes them; the same for the same seed."""

import json
import random
import uuid
from typing import Any

from exchange.policy.catalogue import CONTEXT

_TEXT = "Seen in front of several hundred accounts that were made within one day."
# With this text instead an indicator has about 1.35 KB.
LONG = (
    f"{_TEXT} The accounts paid with cards of one issuer and asked for the same few subjects in"
    " turn, at a steady pace through the night, and went silent together when the first of them"
    " was closed; the next day others came back from the neighbouring range with the same client"
    " and went on where these had stopped."
)
_KINDS = (
    ("egress-range", "S1", "access-provisioning"),
    ("reseller-domain", "S2", "resale"),
    ("client-fingerprint", "S1", "bulk-elicitation"),
)


def indicators(count: int, *, seed: int = 1, text: str = _TEXT) -> list[dict[str, Any]]:
    """Indicators of three kinds in turn, each with a pattern, a context and texts that stay."""
    draw = random.Random(seed)  # noqa: S311 - the same objects in every run
    return [_indicator(draw, index) | {"description": text} for index in range(count)]


def octets(objects: list[dict[str, Any]]) -> int:
    """How large they are on average, as JSON."""
    return sum(len(json.dumps(obj)) for obj in objects) // len(objects)


def _indicator(draw: random.Random, index: int) -> dict[str, Any]:
    kind, sensitivity, phase = _KINDS[index % len(_KINDS)]
    day = f"2026-11-{draw.randint(1, 23):02d}T{draw.randint(10, 23)}:17:22.118Z"
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid.UUID(int=draw.getrandbits(128), version=4)}",
        "created_by_ref": "identity--8a5fd7a4-4c2b-4b7e-9c7c-6b1b8f0b6a10",
        "created": day,
        "modified": day,
        "name": f"Relay {index}",
        "description": "",
        "labels": ["relay", "seen-twice"],
        "indicator_types": ["malicious-activity"],
        "confidence": draw.randint(30, 100),
        "pattern": _pattern(draw, kind),
        "pattern_type": "stix",
        "valid_from": day,
        "kill_chain_phases": [{"kill_chain_name": "model-extraction", "phase_name": phase}],
        "object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"],
        "extensions": {
            CONTEXT: {
                "extension_type": "property-extension",
                "schema_version": "1.0",
                "indicator_kind": kind,
                "sensitivity": sensitivity,
                "threat_basis": ["fraudulent-identity"],
                "phases_observed": [phase],
                "base_rate_bucket": "lt-1e-5",
                "match_method": "exact",
            }
        },
    }


def _pattern(draw: random.Random, kind: str) -> str:
    if kind == "egress-range":
        low, high = draw.randint(0, 255), draw.randint(0, 255)
        one, other = f"198.18.{low}.0/24", f"198.19.{high}.0/25"
        return f"[ipv4-addr:value = '{one}' OR ipv4-addr:value = '{other}']"
    if kind == "reseller-domain":
        return f"[domain-name:value IN ('r{draw.getrandbits(40):x}.example', 'r.example')]"
    digits = f"{draw.getrandbits(96):024x}"
    ja4 = f"t13d1516h2_{digits[:12]}_{digits[12:]}"
    return f"[api-client-fingerprint:ja4 = '{ja4}']"
