"""Apply the active algorithms to the pool's rows, in an engine, and say what they come to."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from indicators.detection import graph, run, scorecard, sigma, ties, windows
from indicators.detection.document import Algorithm
from indicators.detection.engines import Engine
from indicators.detection.run import Card, Found, Held, Ran
from indicators.detection.schema import BASE_RATES, FEW, KINDS, LENGTHS, SAMPLES, SIZES
from indicators.detection.sent import BANDS
from indicators.detection.sources import POOL, Source
from indicators.detection.tables import POOL as TABLES
from indicators.detection.values import ClusterRow, Pooled

Arrow = Any  # of pyarrow
Pairs = tuple[tuple[int, str], ...]
Said = tuple[Algorithm, Pairs]
SCORECARD = "scorecard"
_TYPES = {"int64": pa.int64(), "string": pa.string(), "date": pa.date32()}
_TAGS = {"capability": "capabilities", "method": "methods", "surface": "surface"}


def find(
    pooled: Iterable[Pooled],
    algorithms: Iterable[Algorithm],
    engine: Engine,
    *,
    is_disputed: Callable[[Pooled], bool] = lambda _: False,
) -> Found:
    """What the algorithms find in these rows; whoever sent first changes nothing."""
    rows = Held.of(pooled)
    tables = tables_of(rows.rows)
    return found_in(rows, tables, algorithms, lambda: engine, is_disputed=is_disputed)


def found_in(
    rows: run.Rows,
    tables: Mapping[str, Arrow],
    algorithms: Iterable[Algorithm],
    connected: Callable[[], Engine],
    *,
    is_disputed: Callable[[Pooled], bool] = lambda _: False,
) -> Found:
    """The same of rows whose tables are made already."""
    chosen = in_order(algorithms)
    engine = connected()
    source = loaded(engine, tables)
    pairs: list[Said] = []
    for one in chosen:
        groups = None if is_tie(one) else group_table(pairs)
        pairs.append((one, applied(source, one, groups)))
    return concluded(rows, pairs, is_disputed=is_disputed)


def concluded(
    rows: run.Rows,
    pairs: Sequence[Said],
    *,
    is_disputed: Callable[[Pooled], bool] = lambda _: False,
) -> Found:
    """What the answers of the algorithms come to."""
    ran = [
        Ran((one.id, one.version), is_tie=is_tie(one), pairs=said)
        for one, said in pairs
        if one.detector != SCORECARD
    ]
    cards = [
        Card((one.id, one.version), one.values) for one, _ in pairs if one.detector == SCORECARD
    ]
    alone = {unit for one, said in pairs if one.detector == SCORECARD for unit, _ in said}
    return run.found(rows, ran, cards, alone=alone, is_disputed=is_disputed)


def in_order(algorithms: Iterable[Algorithm]) -> list[Algorithm]:
    """Those that run on the pool: first what ties, then what marks; each by id and version."""
    on_pool = [one for one in algorithms if one.runs_on in ("pool", "both")]
    return sorted(on_pool, key=lambda one: (not is_tie(one), one.id, one.version))


def is_tie(algorithm: Algorithm) -> bool:
    """Whether its groups tie rows together."""
    known = ties.DETECTORS.get(algorithm.detector)
    return known is not None and known.is_tie


@dataclass(frozen=True, slots=True)
class Loading(Source):
    """The tables of a pool, each in the engine from when it is first asked for."""

    given: Mapping[str, Arrow] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    def table(self, name: str) -> Any:  # noqa: ANN401 - of Ibis
        """One of tables.POOL."""
        if name not in self._known:
            self.engine.load(name, self.given[name], TABLES[name])
            self._known.add(name)
        return self.engine.table(name)


def loaded(engine: Engine, tables: Mapping[str, Arrow]) -> Source:
    """The tables of the pool, for an engine."""
    return Loading(engine, POOL, given=tables)


def applied(source: Source, algorithm: Algorithm, groups: Arrow | None = None) -> Pairs:
    """What one algorithm says: rows, each with the key that it shares with others."""
    made = source.engine.run(expression(source, algorithm, groups), "unit", "key")
    units, keys = made.column("unit").to_pylist(), made.column("key").to_pylist()
    return tuple(zip(units, keys, strict=True))


def expression(source: Source, algorithm: Algorithm, groups: Arrow | None = None) -> Any:  # noqa: ANN401 - of Ibis
    """What one algorithm asks of the pool, as (unit, key)."""
    if algorithm.kind != "detector":
        return _of_rows(source, algorithm, sigma.find(source, algorithm))
    if algorithm.detector == SCORECARD:
        named = {name: source.table(name) for name in scorecard.TABLES}
        return scorecard.marked(named, algorithm.values)
    table = None
    if groups is not None:
        table = source.engine.load("stage_grouped", groups, graph.GROUPS)
    return ties.find(source, algorithm.detector, algorithm.values, groups=table)


def lone_of(algorithm: Algorithm) -> frozenset[str]:
    """The lists of which a rule looks at what one row alone may hold (`sent.Columns.whole`)."""
    if algorithm.kind == "detector":
        return frozenset()
    rules, correlation = sigma.read(algorithm)
    asked = {name for rule in rules for name in rule.used()}
    if correlation is not None:
        asked |= windows.asked_of_one(correlation, rules[0].service)
    return frozenset(asked) & {*KINDS, BANDS}


def _of_rows(source: Source, algorithm: Algorithm, hit: Any) -> Any:  # noqa: ANN401 - of Ibis
    """A rule on templates hits the rows that use them."""
    rules, _ = sigma.read(algorithm)
    if rules[0].service.unit == "row":
        return hit
    used = source.table("row_template")
    hit = source.keep("hit", hit)
    found = used.inner_join(hit, used.template == hit.unit)
    return found.select(unit=found.row, key=found.key).distinct()


def group_table(pairs: Sequence[Said]) -> Arrow:
    """(unit, group) of what was tied, for what marks groups."""
    tied = [_pairs_table(said) for one, said in pairs if is_tie(one)]
    return graph.components(tied).rows


def _pairs_table(said: Pairs) -> Arrow:
    return pa.table(
        {
            "unit": pa.array([unit for unit, _ in said], pa.int64()),
            "key": pa.array([key for _, key in said], pa.string()),
        }
    )


# --- rows as tables ------------------------------------------------------------------------------


def tables_of(rows: Sequence[Pooled]) -> dict[str, Arrow]:
    """Rows that are at hand as tables.POOL; a row's number is its place."""
    # One member's equal templates are one, whichever of its rows use it; the newest speaks for it.
    used = sorted(
        (one.member, template.bands, one.day, row)
        for row, one in enumerate(rows)
        for template in one.templates
    )
    newest = {(member, bands): row for member, bands, _, row in used}
    numbers = {name: number for number, name in enumerate(newest)}
    templates = [
        (row, next(one for one in rows[row].templates if one.bands == bands))
        for (_, bands), row in newest.items()
    ]
    made: dict[str, Sequence[Collection[Any]]] = {
        "cluster_row": [_facts(number, one) for number, one in enumerate(rows)],
        "row_token": [
            (number, kind, token)
            for number, one in enumerate(rows)
            for kind in ("payment", "device", "egress")
            for token in getattr(one.row, kind)
        ],
        "row_client": [
            (number, client) for number, one in enumerate(rows) for client in one.row.client
        ],
        "row_tag": [
            (number, kind, tag)
            for number, one in enumerate(rows)
            for kind, name in _TAGS.items()
            for tag in getattr(one.row, name)
        ],
        "row_template": [(row, numbers[member, bands]) for member, bands, _, row in used],
        "template_row": [
            (
                number,
                rows[row].member,
                rows[row].day,
                LENGTHS.index(one.length_bucket),
                SAMPLES.index(one.sample_bucket),
                BASE_RATES.index(one.base_rate_bucket),
                " ".join(one.languages),
            )
            for number, (row, one) in enumerate(templates)
        ],
        "template_band": [
            (number, place, band)
            for number, (_, one) in enumerate(templates)
            for place, band in enumerate(one.bands)
        ],
    }
    return {name: _table(name, made[name]) for name in TABLES}


def _facts(number: int, pooled: Pooled) -> tuple[Any, ...]:
    row: ClusterRow = pooled.row
    found = {
        "row": number,
        "member": pooled.member,
        "day": pooled.day,
        "size": SIZES.index(row.size),
        "payers": SIZES.index(row.payers),
        "devices": -1 if row.devices == FEW else SIZES.index(row.devices),
        "am": int(row.hours[:12]),
        "pm": int(row.hours[12:]),
    }
    return tuple(found[n] if n in found else getattr(row, n) for n in TABLES["cluster_row"])


def _table(name: str, rows: Sequence[Collection[Any]]) -> Arrow:
    columns = list(zip(*rows, strict=True)) or [()] * len(TABLES[name])
    arrays = [
        pa.array(column, _TYPES[kind])
        for column, kind in zip(columns, TABLES[name].values(), strict=True)
    ]
    return pa.table(arrays, names=list(TABLES[name]))
