"""The scorecard: whole weights over what a row says of its group, and a whole score.

    score = sum of weight * fact + sum of weight * (fact * fact // 8), of the pairs
    found: score >= threshold             own evidence of a row: score >= threshold - own_margin

The facts are small whole numbers, each growing one way, and every member and the pool take them of
the same columns. What they are, in the order of `FACTS`:

    size                       0 to 6: half decade of accounts
    payers devices             0 for fewer than three, then 1 to 7: half decade of them
    flat                       evenness of the day's hours, 0 to 9
    mid short fresh mismatch   shares in tenths, as they stand in the row
    pivot carded deviced
    start_peak
    start_days                 0 to 5: over 1, 2, 4, 8, 16, 32 days did the accounts begin
    templates egress           how many, at most 8: more of them says no more
    methods                    10 if a way of eliciting is named, else 0

A pair is two facts that say together what neither says alone: a class is new and ends soon, a tool
has templates, a young firm is paced by machines; a campaign has each of it at once. Without pairs
the best weights name far fewer accounts of campaigns at the same false alarms, and of careful ones
less than half. A document that does not name a pair gives it no weight.

No fact is whose, from where, in which language, or on which day: none can single out a customer.

Weights, `threshold` and `own_margin` share one unit and come from the document of the algorithm.
The expressions use methods of the tables alone, so this module needs no extra.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from indicators.detection import schema
from indicators.detection.values import ClusterRow, Parameters

if TYPE_CHECKING:
    from ibis import Column, Table

Facts = Mapping[str, int]

FACTS = (
    "size",
    "payers",
    "devices",
    "flat",
    "mid",
    "short",
    "fresh",
    "mismatch",
    "pivot",
    "carded",
    "deviced",
    "start_peak",
    "start_days",
    "templates",
    "egress",
    "methods",
)
# Chosen on the fitting worlds, one after the other, by what each adds to the sixteen.
PAIRS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        f"{one}_with_{other}": (one, other)
        for one, other in (
            ("flat", "mid"),
            ("flat", "templates"),
            ("payers", "templates"),
            ("devices", "mismatch"),
            ("devices", "fresh"),
            ("fresh", "egress"),
            ("egress", "methods"),
            ("short", "carded"),
            ("short", "templates"),
            ("short", "mismatch"),
            ("templates", "egress"),
            ("pivot", "egress"),
        )
    }
)
PART = 8  # of a product of two facts, so that it is about as large as one
WEIGHTS = (*FACTS, *PAIRS)
TABLES = ("cluster_row", "row_token", "row_tag", "row_template")  # that it is taken of
MOST = MappingProxyType({"templates": 8, "egress": 8, "methods": 1})
NAMED = 10  # `methods`, where one is named

# Of the document: what each parameter may be.
RANGES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {name: (-40, 40) for name in WEIGHTS} | {"threshold": (0, 1_000), "own_margin": (0, 100)}
)
# Weights by reason, before they were fitted on a world. A campaign is paced by a machine, of middle
# volumes, new, says it is a client that it is not, and asks by template; its accounts outnumber its
# payers and devices, and begin in few waves. Age, payers of their own and a spread of beginnings
# are what a school, a firm or a reseller has.
START: Parameters = MappingProxyType(
    {
        "size": 4,
        "payers": -2,
        "devices": -3,
        "flat": 6,
        "mid": 4,
        "short": 3,
        "fresh": 4,
        "mismatch": 5,
        "pivot": 4,
        "carded": 1,
        "deviced": 1,
        "start_peak": 3,
        "start_days": -2,
        "templates": 5,
        "egress": 2,
        "methods": 1,
        "threshold": 170,
        "own_margin": 20,
    }
    | dict.fromkeys(PAIRS, 0)
)

_SHARES = ("mid", "short", "fresh", "mismatch", "pivot", "carded", "deviced", "start_peak")


# --- of values -----------------------------------------------------------------------------------


def facts_of(row: ClusterRow) -> Facts:
    """The sixteen facts of one row."""
    shares = {name: getattr(row, name) for name in _SHARES}
    return shares | {
        "size": schema.SIZES.index(row.size),
        "payers": _place(row.payers),
        "devices": _place(row.devices),
        "flat": row.flat,
        "start_days": schema.START_DAYS.index(row.start_days),
        "templates": min(len(row.templates), MOST["templates"]),
        "egress": min(len(row.egress), MOST["egress"]),
        "methods": NAMED if row.methods else 0,
    }


def facts_of_group(rows: Sequence[ClusterRow]) -> Facts:
    """The facts of several rows as of one group; of one row, those of that row.

    Accounts, payers and devices add up (by the lower ends of their buckets), shares and pace are
    means by accounts, rounded down, and of lists the longest counts: rows of two members may show
    the same template or address, so adding would count one thing twice.
    """
    each = [facts_of(row) for row in rows]
    if len(each) == 1:
        return each[0]
    weights = [schema.SIZE_FLOORS[facts["size"]] for facts in each]
    made = {name: _mean(each, weights, name) for name in ("flat", "start_days", *_SHARES)}
    made |= {name: max(facts[name] for facts in each) for name in MOST}
    made["size"] = _bucket(sum(weights))
    for name in ("payers", "devices"):
        known = [facts[name] for facts in each if facts[name]]
        made[name] = _bucket(sum(schema.SIZE_FLOORS[one - 1] for one in known)) + 1
    return made


def score(facts: Facts, parameters: Parameters) -> int:
    """The score of a row's or a group's facts."""
    alone = sum(parameters[name] * facts[name] for name in FACTS)
    paired = (
        parameters.get(name, 0) * (facts[one] * facts[other] // PART)
        for name, (one, other) in PAIRS.items()
    )
    return alone + sum(paired)


def score_of(row: ClusterRow, parameters: Parameters) -> int:
    """The score of one row."""
    return score(facts_of(row), parameters)


def is_found(points: int, parameters: Parameters) -> bool:
    """Whether a group with this score is one that the scorecard names."""
    return points >= parameters["threshold"]


def is_evidence(points: int, parameters: Parameters) -> bool:
    """Whether a row with this score has evidence of its own, so that others' rows may add to it."""
    return points >= parameters["threshold"] - parameters["own_margin"]


def _mean(each: Iterable[Facts], weights: Sequence[int], name: str) -> int:
    weighed = sum(weight * facts[name] for facts, weight in zip(each, weights, strict=True))
    return weighed // sum(weights)


def _place(bucket: str) -> int:
    return 0 if bucket == schema.FEW else schema.SIZES.index(bucket) + 1


def _bucket(number: int) -> int:
    """The place of the bucket of a number; -1 below the first."""
    return sum(number >= floor for floor in schema.SIZE_FLOORS) - 1


# --- of tables -----------------------------------------------------------------------------------


def scored(tables: Mapping[str, "Table"], parameters: Parameters) -> "Table":
    """Each row of `cluster_row` (of the pool, or of a member's own groups) with its score."""
    rows = tables["cluster_row"]
    egress = tables["row_token"].filter(tables["row_token"].kind == "egress")
    methods = tables["row_tag"].filter(tables["row_tag"].kind == "method")
    for name, counted in (
        ("templates", tables["row_template"]),
        ("egress", egress),
        ("methods", methods),
    ):
        rows = _with_count(rows, counted, name)
    columns = {name: _column(rows, name).cast("int64") for name in FACTS}
    points = sum(parameters[name] * columns[name] for name in FACTS)
    for name, (one, other) in PAIRS.items():
        if weight := parameters.get(name, 0):
            points += weight * (columns[one] * columns[other] // PART)
    return rows.select("row", score=points.cast("int64"))


def marked(tables: Mapping[str, "Table"], parameters: Parameters) -> "Table":
    """Rows that the scorecard names alone: (unit, key), each with a key of its own."""
    rows = scored(tables, parameters)
    rows = rows.filter(rows.score >= parameters["threshold"])
    return rows.select(unit=rows.row, key=rows.row.cast("string"))


def _with_count(rows: "Table", listed: "Table", name: str) -> "Table":
    counts = listed.group_by(listed.row).agg(many=listed.count().cast("int64"))
    counts = counts.select(counted=counts.row, many=counts.many)
    joined = rows.left_join(counts, rows.row == counts.counted)
    # ClickHouse fills what finds no partner with 0, the others with NULL.
    capped = joined.many.coalesce(0).clip(upper=MOST[name])
    return joined.mutate(**{f"n_{name}": capped}).drop("counted", "many")


def _column(rows: "Table", name: str) -> "Column":
    if name == "methods":
        return rows.n_methods * NAMED
    if name in MOST:
        return rows[f"n_{name}"]
    if name in ("payers", "devices"):  # in the table -1 stands for few
        return rows[name] + 1
    if name == "start_days":
        # Its place in schema.START_DAYS: how many of the later ones it has reached.
        return sum((rows.start_days >= days).ifelse(1, 0) for days in schema.START_DAYS[1:])
    return rows[name]
