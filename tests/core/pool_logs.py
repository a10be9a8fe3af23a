"""Correlations and logs that are drawn, for engines and for pySigma's own backend."""

import random
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from exchange.proof.refused import Refused
from indicators.detection import document, sigma
from tests.core.algorithm_material import CORRELATION, spoiled, written

FIRST = date(2026, 1, 1)
LOGSOURCE = {"category": "usage", "product": "genai-gateway"}
TYPES = ("event_count", "value_count", "temporal", "temporal_ordered")


def correlation(
    *rules: Mapping[str, Any], service: str = "account-day", **asked: Any
) -> document.Algorithm:
    made = spoiled(CORRELATION, "body", "rules", to=[])
    made["body"]["rules"] = [
        {
            "name": f"r{index}",
            "logsource": {**LOGSOURCE, "service": service},
            "detection": dict(detection),
        }
        for index, detection in enumerate(rules)
    ]
    whole = {
        "type": "event_count",
        "rules": [f"r{index}" for index in range(len(rules))],
        "group-by": ["client"],
        "timespan": "3d",
        "condition": {"gte": 2},
        **{name.replace("_", "-"): value for name, value in asked.items()},
    }
    made["body"]["correlation"] = {name: value for name, value in whole.items() if value != ...}
    if service != "account-day":
        made["runs_on"] = "pool"
        for case in made["tests"]:
            case["rows"] = {"cluster_row": [{"row": 1}]}
    return document.parse(written({**made, "parameters": {}}))


COLUMNS = {
    "flat": "number",
    "events": "number",
    "mid": "flag",
    "mismatch": "flag",
    "moved": "flag",
    "carded": "flag",
    "client": "text",
}


def _term(rng: random.Random) -> tuple[str, Any]:
    name = rng.choice(list(COLUMNS))
    if COLUMNS[name] == "flag":
        return name, rng.random() < 0.6
    if name == "client":
        return rng.choice([("client|exists", rng.random() < 0.7), ("client", None)])
    if name == "events":
        return f"events|{rng.choice(['gte', 'lt', 'gt', 'lte'])}", rng.choice([5, 20, 100])
    if rng.random() < 0.3:
        return "flat", [rng.randrange(10) for _ in range(3)]
    return f"flat|{rng.choice(['gte', 'lte', 'gt', 'lt'])}", rng.randrange(2, 8)


def _detection(rng: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in ("sel_a", "sel_b")[: rng.randint(1, 2)]:
        maps = [
            dict(_term(rng) for _ in range(rng.randint(1, 2))) for _ in range(rng.randint(1, 2))
        ]
        made[name] = maps if len(maps) > 1 else maps[0]
    both = ["sel_a and not sel_b", "sel_a or sel_b", "1 of sel_*", "not (sel_a and sel_b)"]
    one = ["sel_a", "sel_a", "not sel_a"]
    return {**made, "condition": rng.choice(both if len(made) == 2 else one)}


def _asked(rng: random.Random, kind: str) -> dict[str, Any]:
    kind = kind or rng.choice(TYPES)
    rules = rng.randint(1, 2) if kind.endswith("count") else rng.randint(2, 3)
    operator = rng.choice(["gte", "gte", "gt", "lt", "lte", "eq", "neq"])
    asked: dict[str, Any] = {
        "type": kind,
        "group_by": ["client", *rng.choice([[], ["mid"], ["account"], ["first_day"], ["who"]])],
        "timespan": rng.choice(["1d", "2d", "3d", "1w", "48h"]),
        "condition": {operator: rng.randint(1, 4)},
        "count": rules,
    }
    if kind == "value_count":
        asked["condition"]["field"] = rng.choice(["account", "flat", "moved"])
    if kind == "temporal_ordered" or (kind == "temporal" and rng.random() < 0.5):
        asked["condition"] = ...
    if "who" in asked["group_by"]:
        asked["aliases"] = {"who": {f"r{n}": rng.choice(["am", "pm"]) for n in range(rules)}}
    return asked


def drawn_correlation(rng: random.Random, kind: str = "") -> document.Algorithm:
    """A correlation that is read: what contradicts itself selects nothing, and is refused."""
    asked = _asked(rng, kind)
    made = correlation(*(_detection(rng) for _ in range(asked.pop("count"))), **asked)
    try:
        sigma.read(made)
    except Refused:
        return drawn_correlation(rng, kind)
    return made


def drawn_log(rng: random.Random, number: int) -> list[dict[str, Any]]:
    """One log: its clients are its own, so logs side by side never meet in a group."""
    days = sorted({(rng.randrange(6), rng.randrange(14)) for _ in range(rng.randint(3, 30))})
    return [
        {
            "account": 10 * number + account,
            "day": FIRST + timedelta(days=day),
            "first_day": FIRST + timedelta(days=account % 3),
            "carded": account % 2 == 0,
            "flat": rng.randrange(10),
            "events": rng.choice([0, 5, 19, 20, 21, 400]),
            "mid": rng.random() < 0.5,
            "mismatch": rng.random() < 0.3,
            "moved": rng.random() < 0.3,
            "am": rng.randrange(3),
            "pm": rng.randrange(3),
            "client": rng.choice([f"log{number}-a", f"log{number}-b", ""]),
        }
        for account, day in days
    ]


def tables_of_logs(logs: list[list[dict[str, Any]]]) -> dict[str, tuple[dict[str, Any], ...]]:
    """Several logs side by side, as rows of tables.LOG."""
    rows = [row for log in logs for row in log]
    accounts = {row["account"]: row for row in rows}
    own = ("first_day", "carded")
    return {
        "account_day": tuple({k: v for k, v in row.items() if k not in own} for row in rows),
        "account": tuple(
            {"account": number, **{name: row[name] for name in own}}
            for number, row in accounts.items()
        ),
    }
