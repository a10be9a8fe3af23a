"""Algorithms that tests begin with; each is whole, and spoiled one thing at a time."""

import copy
from collections.abc import Mapping
from typing import Any

import orjson

ROWS = {"account_token": [{"account": n, "kind": "payment", "token": "card-1"} for n in range(4)]}
TWO_CARDS = {
    "account_token": [{"account": n, "kind": "payment", "token": f"card-{n % 2}"} for n in range(4)]
}
TAGS = {
    "atlas": ["AML.T0024.002"],
    "phases": ["bulk-elicitation"],
    "capabilities": [],
    "methods": [],
    "threat_basis": ["fraudulent-identity"],
}

DETECTOR: Mapping[str, Any] = {
    "id": "5b1f5c4e-6a41-4c6b-9a59-0f0f4f1b7a01",
    "version": 1,
    "title": {"who": "accounts", "shows": ["shared-card-or-device"]},
    "kind": "detector",
    "body": {"detector": "shared-token"},
    "runs_on": "both",
    "parameters": {
        "min": {"value": 3, "range": [2, 5]},
        "rows": {"value": 2, "range": [2, 4]},
        "cap": {"value": 500, "range": [50, 2000]},
    },
    "false_positives": ["firm"],
    "tags": TAGS,
    "tests": [
        {"name": "one-card", "expect": "match", "on": "log", "why": "Four share.", "rows": ROWS},
        {
            "name": "one-more-card",
            "expect": "match",
            "on": "log",
            "why": "Four share.",
            "rows": ROWS,
        },
        {
            "name": "a-firm-of-two",
            "expect": "no-match",
            "on": "log",
            "look_alike": "firm",
            "why": "Two people pay with one card.",
            "rows": TWO_CARDS,
        },
    ],
    "base_rate_bucket": "lt-1e-4",
    "valid_until": {"days": 180},
    "licence": "Apache-2.0",
}

PACED = {"account_day": [{"account": 1, "flat": 7, "mid": True}]}
UNPACED = {"account_day": [{"account": 1, "flat": 2, "mid": True}]}
_LOGSOURCE = {"category": "usage", "product": "genai-gateway", "service": "account-day"}

SIGMA: Mapping[str, Any] = {
    **DETECTOR,
    "id": "5b1f5c4e-6a41-4c6b-9a59-0f0f4f1b7a02",
    "title": {"who": "accounts", "shows": ["machine-paced"]},
    "kind": "sigma",
    "body": {
        "logsource": _LOGSOURCE,
        "detection": {
            "paced": {"flat|gte": 6, "mid": True},
            "condition": "paced",
        },
    },
    "runs_on": "log",
    "parameters": {"flat": {"value": 6, "range": [3, 8], "at": ["detection", "paced", "flat|gte"]}},
    "false_positives": ["scheduled-job"],
    "tests": [
        {"name": "paced", "expect": "match", "why": "Even hours.", "rows": PACED},
        {"name": "paced-again", "expect": "match", "why": "Even hours.", "rows": PACED},
        {
            "name": "a-job-at-night",
            "expect": "no-match",
            "look_alike": "scheduled-job",
            "why": "It runs at one hour.",
            "rows": UNPACED,
        },
    ],
}

CORRELATION: Mapping[str, Any] = {
    **SIGMA,
    "id": "5b1f5c4e-6a41-4c6b-9a59-0f0f4f1b7a03",
    "kind": "sigma-correlation",
    "body": {
        "rules": [
            {
                "name": "paced",
                "logsource": _LOGSOURCE,
                "detection": {"paced": {"flat|gte": 6}, "condition": "paced"},
            }
        ],
        "correlation": {
            "type": "event_count",
            "rules": ["paced"],
            "group-by": ["account"],
            "timespan": "7d",
            "condition": {"gte": 3},
        },
    },
    "parameters": {
        "days": {"value": 3, "range": [2, 6], "at": ["correlation", "condition", "gte"]}
    },
    "tests": [
        {
            "name": "three-days",
            "expect": "match",
            "why": "Three even days.",
            "rows": {
                "account_day": [
                    {"account": 1, "day": f"2026-01-0{n}", "flat": 7} for n in range(1, 4)
                ]
            },
        },
        {
            "name": "three-other-days",
            "expect": "match",
            "why": "Three even days.",
            "rows": {
                "account_day": [
                    {"account": 2, "day": f"2026-01-0{2 * n}", "flat": 8} for n in range(1, 4)
                ]
            },
        },
        {
            "name": "two-days",
            "expect": "no-match",
            "look_alike": "scheduled-job",
            "why": "Two even days.",
            "rows": {
                "account_day": [
                    {"account": 1, "day": f"2026-01-0{n}", "flat": 7} for n in range(1, 3)
                ]
            },
        },
    ],
}


def spoiled(document: Mapping[str, Any], *steps: str | int, to: object) -> dict[str, Any]:
    """The document with another value at one place; `...` takes the place away."""
    made: dict[str, Any] = copy.deepcopy(dict(document))
    place: Any = made
    for step in steps[:-1]:
        place = place[step]
    if to is ...:
        del place[steps[-1]]
    else:
        place[steps[-1]] = to
    return made


def written(document: Mapping[str, Any]) -> bytes:
    """A document as bytes that are JSON, and so YAML too."""
    return orjson.dumps(document)
