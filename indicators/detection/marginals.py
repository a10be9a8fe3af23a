"""What real rows leave of the forum's table: dummies fill up what is missing, not more of the same.

All members' extracts are then alike on the whole, column by column, whatever their real rows are
and however many: a mean over an extract says little of who sent it. What it does not hide: rows
that score as no dummy may, and rows that tie to another member's, can be counted by who knows the
scorecard or holds the pool.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from indicators.detection import schema
from indicators.detection.dummies import COLUMNS, LISTED, NAMED, TEMPLATE, WORDS, Weights
from indicators.detection.values import ClusterRow, TemplateRow


def rest_of(
    table: Mapping[str, Any],
    rows: Sequence[ClusterRow],
    templates: Sequence[TemplateRow],
    *,
    count: int,
    usual: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The table for the rows that are still to come of so many, where these are there already.

    `usual` is the table of what dummies come to that are drawn from this one. It is another, for
    what would be found alone is drawn again: of ten dummies with a method, say, four stay. An
    extract is to be like one of dummies alone, so more are drawn of what seldom stays.
    """
    usual = table if usual is None else usual
    made = dict(table)
    sizes = {size: count * share for size, share in _shares(usual["size"]).items()}
    made["size"] = _rest(table["size"], usual["size"], (row.size for row in rows), count)
    for name in ("payers", "devices"):
        made[name] = {
            size: _rest(
                weights,
                usual[name].get(size, {}),
                (getattr(row, name) for row in rows if row.size == size),
                sizes.get(size, 0),
            )
            for size, weights in table[name].items()
        }
    for name, of in NAMED.items():
        buckets = _buckets(usual, of, sizes)
        made[name] = {
            bucket: _rest(
                weights,
                usual.get(name, {}).get(bucket, {}),
                (len(getattr(row, name)) for row in rows if getattr(row, of) == bucket),
                buckets.get(bucket, 0),
            )
            for bucket, weights in table.get(name, {}).items()
        }
    for name in COLUMNS:
        values: Iterable[object] = (getattr(row, name) for row in rows)
        made[name] = _rest(table[name], usual[name], values, count)
    for name in LISTED:
        values = (len(getattr(row, name)) for row in rows)
        made[name] = _rest(table[name], usual[name], values, count)
    for name in WORDS:
        made[name] = _words(table[name], usual[name], [getattr(row, name) for row in rows], count)
    made["template"] = _template(table, usual, templates, count)
    return made


def _template(
    table: Mapping[str, Any],
    usual: Mapping[str, Any],
    templates: Sequence[TemplateRow],
    count: int,
) -> dict[str, Any]:
    known: Mapping[str, Any] = table["template"]
    expected = count * sum(int(n) * share for n, share in _shares(usual["templates"]).items())
    made = {
        name: _rest(known[name], known[name], (getattr(one, name) for one in templates), expected)
        for name in TEMPLATE
    }
    spoken = [one.languages for one in templates]
    languages = _words(known["languages"], known["languages"], spoken, round(expected))
    return made | {"languages": languages}


def _buckets(table: Mapping[str, Any], of: str, sizes: Mapping[str, float]) -> Mapping[str, float]:
    """How many rows each bucket of payers or devices should have."""
    made: dict[str, float] = defaultdict(float)
    for size, expected in sizes.items():
        for bucket, share in _shares(table[of].get(size, {})).items():
            made[bucket] += expected * share
    return made


def _rest(weights: Weights, usual: Weights, values: Iterable[object], expected: float) -> Weights:
    """What is missing of each value; of none, the table as it is."""
    seen = Counter(_nearest(weights, str(value)) for value in values)
    drawn, stay = _shares(weights), _shares(usual)
    left, owed = {}, 0.0
    for name in sorted(weights, key=_place, reverse=True):
        # What there is too much of is taken from the next lower value: so the mean stays too.
        missing = expected * stay.get(name, 0) - seen[name] - owed
        owed = max(0.0, -missing)
        often = drawn[name] / stay[name] if stay.get(name) else 1.0
        left[name] = max(0, round(1_000 * often * missing))
    return {name: left[name] for name in weights} if any(left.values()) else weights


def _place(value: str) -> int:
    """Where a value stands among those of its column."""
    return int(value) if value.isdigit() else _ORDER.get(value, -1)


_ORDER = {
    name: place
    for order in (schema.SIZES, schema.LENGTHS, schema.SAMPLES)
    for place, name in enumerate(order)
}


def _words(
    permille: Weights, usual: Weights, lists: Sequence[Sequence[str]], count: int
) -> Weights:
    seen = Counter(word for words in lists for word in words)
    left = max(1, count - len(lists))
    made, owed = {}, 0
    # What there is too much of is taken from the next word: so many rows have one at all.
    for word in sorted(permille, key=lambda one: (seen[one], one), reverse=True):
        stays = usual.get(word, 0)
        missing = count * stays - 1_000 * seen[word] - owed
        owed = max(0, -missing)
        made[word] = min(1_000, max(0, missing) * permille[word] // (left * stays)) if stays else 0
    return {word: made[word] for word in permille}


def _nearest(weights: Weights, value: str) -> str:
    """The value of the table that stands for this one."""
    if value in weights or not value.isdigit():
        return value
    return min(weights, key=lambda known: (abs(int(known) - int(value)), known))


def _shares(weights: Weights) -> Mapping[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total else {}
