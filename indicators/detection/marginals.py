"""What real rows leave of the forum's table: dummies fill up what is missing, not more of the same.

All members' extracts are then alike on the whole, column by column, whatever their real rows are
and however many: a mean over an extract says little of who sent it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from indicators.detection.dummies import COLUMNS, LISTED, NAMED, TEMPLATE, WORDS, Weights
from indicators.detection.values import ClusterRow, TemplateRow


def rest_of(
    table: Mapping[str, Any],
    rows: Sequence[ClusterRow],
    templates: Sequence[TemplateRow],
    *,
    count: int,
) -> dict[str, Any]:
    """The table for the rows that are still to come of so many, where these are there already."""
    made = dict(table)
    sizes = {size: count * share for size, share in _shares(table["size"]).items()}
    made["size"] = _rest(table["size"], (row.size for row in rows), count)
    for name in ("payers", "devices"):
        made[name] = {
            size: _rest(
                weights,
                (getattr(row, name) for row in rows if row.size == size),
                sizes.get(size, 0),
            )
            for size, weights in table[name].items()
        }
    for name, of in NAMED.items():
        buckets = _buckets(table, of, sizes)
        made[name] = {
            bucket: _rest(
                weights,
                (len(getattr(row, name)) for row in rows if getattr(row, of) == bucket),
                buckets.get(bucket, 0),
            )
            for bucket, weights in table.get(name, {}).items()
        }
    for name in COLUMNS:
        made[name] = _rest(table[name], (getattr(row, name) for row in rows), count)
    for name in LISTED:
        made[name] = _rest(table[name], (len(getattr(row, name)) for row in rows), count)
    for name in WORDS:
        made[name] = _words(table[name], [getattr(row, name) for row in rows], count)
    made["template"] = _template(table, templates, count)
    return made


def _template(
    table: Mapping[str, Any], templates: Sequence[TemplateRow], count: int
) -> dict[str, Any]:
    known: Mapping[str, Any] = table["template"]
    expected = count * sum(int(n) * share for n, share in _shares(table["templates"]).items())
    made = {
        name: _rest(known[name], (getattr(one, name) for one in templates), expected)
        for name in TEMPLATE
    }
    languages = _words(known["languages"], [one.languages for one in templates], round(expected))
    return made | {"languages": languages}


def _buckets(table: Mapping[str, Any], of: str, sizes: Mapping[str, float]) -> Mapping[str, float]:
    """How many rows each bucket of payers or devices should have."""
    made: dict[str, float] = defaultdict(float)
    for size, expected in sizes.items():
        for bucket, share in _shares(table[of][size]).items():
            made[bucket] += expected * share
    return made


def _rest(weights: Weights, values: Iterable[object], expected: float) -> Weights:
    """What is missing of each value; of none, the table as it is."""
    seen = Counter(_nearest(weights, str(value)) for value in values)
    left = {
        name: max(0, round(1_000 * (expected * share - seen[name])))
        for name, share in _shares(weights).items()
    }
    return left if any(left.values()) else weights


def _words(permille: Weights, lists: Sequence[Sequence[str]], count: int) -> Weights:
    seen = Counter(word for words in lists for word in words)
    left = max(1, count - len(lists))
    return {
        word: min(1_000, max(0, (count * share - 1_000 * seen[word]) // left))
        for word, share in permille.items()
    }


def _nearest(weights: Weights, value: str) -> str:
    """The value of the table that stands for this one."""
    if value in weights or not value.isdigit():
        return value
    return min(weights, key=lambda known: (abs(int(known) - int(value)), known))


def _shares(weights: Weights) -> Mapping[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
