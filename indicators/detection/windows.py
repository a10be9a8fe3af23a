"""Sigma correlations over days: windows slide, and end on each day on which a rule matched.

A window of `timespan` days holds its last day and as many before it, both ends included, as Sigma's
windows include both moments. Within one: `event_count` counts events (a unit on a day, whatever
rules it matched), `value_count` distinct values, `temporal` the rules that matched, and
`temporal_ordered` asks for all rules, each on a later day than the one before it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ibis

from exchange.proof.refused import Refused
from indicators.detection import schema
from indicators.detection.fields import Field, Service
from indicators.detection.sources import Source

Table = Any  # of Ibis
Column = Any

DAY = 86_400
_COUNTS: Mapping[str, Callable[[Column, int], Column]] = {
    "GT": lambda count, bar: count > bar,
    "GTE": lambda count, bar: count >= bar,
    "LT": lambda count, bar: count < bar,
    "LTE": lambda count, bar: count <= bar,
    "EQ": lambda count, bar: count == bar,
    "NEQ": lambda count, bar: count != bar,
}


class Matcher(Protocol):
    """A rule of a correlation (`sigma.Rule`)."""

    @property
    def service(self) -> Service:
        """Whose table it looks at."""

    def used(self) -> frozenset[str]:
        """The fields that its condition names."""

    def condition(self, frame: "Frame") -> Column:
        """The condition on the rows of a frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The rows that a rule looks at: `unit`, `at` (a day as a number), and its fields."""

    source: Source
    service: Service
    rows: Table

    def elements(self, field: Field) -> Table:
        """Each element of a list: (unit, element)."""
        listed = self.source.table(field.table)
        if field.of:
            listed = listed.filter(listed.kind == field.of)
        return listed.select(unit=listed[self.service.unit], element=listed[field.column])


@dataclass(frozen=True, slots=True)
class Asked:
    """A correlation with its rules; `name` keeps its stages apart from those of others."""

    name: str
    correlation: Any
    rules: tuple[Matcher, ...]


def framed(source: Source, service: Service, used: Iterable[str]) -> Frame:
    """The table of a service with what it needs of the table `account`."""
    rows = source.table(service.table)
    if any(service.fields[name].of_account for name in used):
        wanted = source.table("account").select("account", "first_day", "carded", "deviced")
        rows = rows.inner_join(wanted, "account")
    at = rows.day.epoch_days().cast("int64")
    return Frame(source, service, rows.mutate(unit=rows[service.unit], at=at))


def check(correlation: Any, service: Service) -> None:  # noqa: ANN401 - of pySigma
    """Refused where a correlation asks for what the subset does not have."""
    kind = correlation.type.name.lower()
    if service.place == "pool" and kind not in ("event_count", "value_count"):
        sentence = "On the pool only event_count and value_count are read."
        raise Refused("sigma.type", sentence, "body.correlation.type")
    _check_timespan(correlation.timespan.seconds)
    _check_fields(correlation, service)
    counted = correlation.condition.fieldref
    if (counted is not None) != (kind == "value_count"):
        sentence = "value_count names the field whose values it counts; others name none."
        raise Refused("sigma.condition", sentence, "body.correlation.condition")
    if kind == "temporal_ordered" and not _asks_for_all(correlation):
        sentence = "temporal_ordered asks for all its rules: leave the condition out."
        raise Refused("sigma.condition", sentence, "body.correlation.condition")


def _check_timespan(seconds: int) -> None:
    path = "body.correlation.timespan"
    if seconds > schema.DAYS * DAY:
        raise Refused("sigma.timespan", f"A timespan is at most {schema.DAYS} days.", path)
    if seconds % DAY:
        sentence = "The tables know days and no hours: a timespan is of whole days."
        raise Refused("sigma.timespan", sentence, path)


def _check_fields(correlation: Any, service: Service) -> None:  # noqa: ANN401 - of pySigma
    path = "body.correlation.group-by"
    lists = 0
    for index, name in enumerate(correlation.group_by):
        places = {_column_of(correlation, number, name) for number in _numbers(correlation)}
        for column in places:
            field = service.fields.get(column)
            if field is None:
                raise Refused("sigma.field", "There is no such field.", f"{path}[{index}]")
            if not field.may_group:
                sentence = "This is not grouped by: each group would be one member's, or a country."
                raise Refused("sigma.group-by", sentence, f"{path}[{index}]")
        kinds = {service.fields[column].kind for column in places}
        if len(kinds) > 1:
            sentence = "An alias stands for fields of one kind."
            raise Refused("sigma.alias", sentence, "body.correlation.aliases")
        lists += any(service.fields[column].is_list for column in places)
    if lists > 1:
        sentence = "Two lists are not grouped by at once: each of one would meet each of the other."
        raise Refused("sigma.cross-join", sentence, path)
    _check_aliases(correlation)
    counted = correlation.condition.fieldref
    if counted is not None and counted not in service.fields:
        said = "There is no such field."
        raise Refused("sigma.field", said, "body.correlation.condition.field")


def _check_aliases(correlation: Any) -> None:  # noqa: ANN401 - of pySigma
    names = {reference.reference for reference in correlation.rules}
    for alias in correlation.aliases:
        if {target.reference for target in alias.mapping} != names:
            sentence = "An alias says for each rule of the correlation which field it stands for."
            raise Refused("sigma.alias", sentence, "body.correlation.aliases")
        if alias.alias not in correlation.group_by:
            sentence = "An alias is a name that group-by uses."
            raise Refused("sigma.alias", sentence, "body.correlation.aliases")


def _asks_for_all(correlation: Any) -> bool:  # noqa: ANN401 - of pySigma
    condition = correlation.condition
    asked = (condition.op.name, condition.count)
    return asked == ("GTE", len(correlation.rules))


def _numbers(correlation: Any) -> range:  # noqa: ANN401 - of pySigma
    return range(len(correlation.rules))


def _column_of(correlation: Any, number: int, name: str) -> str:  # noqa: ANN401 - of pySigma
    """The field of one rule that a name of `group-by` stands for."""
    reference = correlation.rules[number].reference
    for alias in correlation.aliases:
        if alias.alias == name:
            for target, field in alias.mapping.items():
                if target.reference == reference:
                    return str(field)
    return name


def asked_of_one(correlation: Any, service: Service) -> frozenset[str]:  # noqa: ANN401 - of pySigma
    """The fields of which it matters what a single unit holds, and no other, beside its rules'.

    A group by a value that one unit alone has is of one event and of one value of each field: where
    two are asked for it is never found. So such values may be left out before.
    """
    counted = correlation.condition.fieldref
    fields = {str(counted)} if counted is not None else set()
    kind, condition = correlation.type.name.lower(), correlation.condition
    is_one = kind == "event_count" or (
        kind == "value_count" and not service.fields[str(counted)].is_list
    )
    if service.place == "pool" and is_one and _asks_for_two(condition):
        return frozenset(fields)
    names = [
        _column_of(correlation, number, name)
        for number in _numbers(correlation)
        for name in correlation.group_by
    ]
    return frozenset(fields | set(names))


def _asks_for_two(condition: Any) -> bool:  # noqa: ANN401 - of pySigma
    least = {"GTE": condition.count, "GT": condition.count + 1}.get(condition.op.name, 0)
    return bool(least >= 2)


# --- what is found -------------------------------------------------------------------------------


def found(source: Source, asked: Asked, *, is_negated: bool = False) -> Table:
    """Each unit that had a part in a window that fulfils the condition, with its group."""
    units = hits(source, asked).select("unit", "key").distinct()
    if not is_negated:
        return units
    service = asked.rules[0].service
    every = framed(source, service, ()).rows.select("unit").distinct()
    left = every.filter(~every.unit.isin(units.unit))
    return left.select("unit", key=left.unit.cast("string"))


def hits(source: Source, asked: Asked) -> Table:
    """The same, event by event: (unit, at, key)."""
    events = source.keep(f"sigma_{asked.name}", _events(source, asked))
    return _hit(asked, events).select("unit", "at", "key").distinct()


def _events(source: Source, asked: Asked) -> Table:
    """What the rules matched: unit, day, group, number of the rule, value that is counted."""
    parts = [_matched(source, asked, number) for number in range(len(asked.rules))]
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _matched(source: Source, asked: Asked, number: int) -> Table:
    rule, correlation = asked.rules[number], asked.correlation
    columns = [_column_of(correlation, number, name) for name in correlation.group_by]
    counted = correlation.condition.fieldref
    named = (*columns, *((str(counted),) if counted is not None else ()))
    frame = framed(source, rule.service, {*rule.used(), *named})
    rows = frame.rows.filter(rule.condition(frame))
    fields = {column: rule.service.fields[column] for column in columns}
    rows = rows.select(
        "unit",
        "at",
        slot=ibis.literal(number, "int64"),
        **{
            f"in_{name}": _text(rows[one.column]) for name, one in fields.items() if not one.is_list
        },
        **({"value": _scalar(rows, rule.service.fields[counted])} if counted is not None else {}),
    )
    for column, field in fields.items():
        if field.is_list:
            rows = rows.inner_join(_elements(frame, field, f"in_{column}"), "unit")
        if field.may_be_absent:
            rows = rows.filter(rows[f"in_{column}"] != "")
    if counted is not None and rule.service.fields[counted].is_list:
        # Beside each element the empty one: who has none still is in the window.
        has = rows.drop("value").inner_join(
            _elements(frame, rule.service.fields[counted], "value"), "unit"
        )
        rows = ibis.union(_loose(rows), _loose(has.select(rows.columns)))
    key = rows[f"in_{columns[0]}"]
    for column in columns[1:]:
        key = key + "|" + rows[f"in_{column}"]
    value = ("value",) if counted is not None else ()
    return _loose(rows.select("unit", "at", "slot", *value, key=key).distinct())


def _loose(rows: Table) -> Table:
    """With types as unions compare them: whether a column may be empty is part of its type."""
    return rows.cast({name: kind.copy(nullable=True) for name, kind in rows.schema().items()})


def _elements(frame: Frame, field: Field, name: str) -> Table:
    listed = frame.elements(field)
    return listed.select("unit", **{name: _text(listed.element)})


def _scalar(rows: Table, field: Field) -> Column:
    return ibis.literal("") if field.is_list else _text(rows[field.column])


def _text(column: Column) -> Column:
    """A value of a group or of a count as text, the same on each engine."""
    if column.type().is_boolean():
        return column.ifelse("1", "0")
    return column if column.type().is_string() else column.cast("string")


def _hit(asked: Asked, events: Table) -> Table:
    """The events of the windows that fulfil the condition."""
    kind = asked.correlation.type.name.lower()
    span = asked.correlation.timespan.seconds // DAY
    if kind == "temporal_ordered":
        return _hit_in_order(events, len(asked.rules), span)
    windows = _windows(events, events.select("key", "at").distinct(), span)
    measured = _MEASURES[kind](events, span)
    holds = _COUNTS[asked.correlation.condition.op.name]
    good = measured.filter(holds(measured.number, asked.correlation.condition.count))
    days = good.select("key", "end").inner_join(windows, ["key", "end"])
    return events.inner_join(days.select("key", "at").distinct(), ["key", "at"])


def _windows(events: Table, daily: Table, span: int) -> Table:
    """What each window holds of a table by group and day: (key, end, ...)."""
    ends = events.select("key", end=events.at).distinct()
    joined = ends.inner_join(daily, "key")
    return joined.filter(joined.at <= joined.end, joined.at >= joined.end - span)


def _events_in(events: Table, span: int) -> Table:
    once = events.select("unit", "key", "at").distinct()
    daily = once.group_by("key", "at").agg(events=once.count())
    held = _windows(events, daily, span)
    return held.group_by("key", "end").agg(number=held.events.sum().cast("int64"))


def _values_in(events: Table, span: int) -> Table:
    held = _windows(events, events.select("key", "at", "value").distinct(), span)
    once = held.select("key", "end", "value").distinct()
    is_one = (once.value != "").ifelse(1, 0).cast("int64")
    return once.group_by("key", "end").agg(number=is_one.sum().cast("int64"))


def _rules_in(events: Table, span: int) -> Table:
    held = _windows(events, events.select("key", "at", "slot").distinct(), span)
    once = held.select("key", "end", "slot").distinct()
    return once.group_by("key", "end").agg(number=once.count())


_MEASURES: Mapping[str, Callable[[Table, int], Table]] = {
    "event_count": _events_in,
    "value_count": _values_in,
    "temporal": _rules_in,
}


def _hit_in_order(events: Table, rules: int, span: int) -> Table:
    """The first event of each rule that is later than that of the rule before it."""
    daily = events.select("key", "at", "slot").distinct()
    found = events.select("key", end=events.at).distinct()
    found = found.mutate(after=found.end - span - 1)
    for slot in range(rules):
        of_rule = daily.filter(daily.slot == slot).select("key", "at")
        joined = found.inner_join(of_rule, "key")
        joined = joined.filter(joined.at > joined.after, joined.at <= joined.end)
        kept = [name for name in found.columns if name.startswith("first_")]
        found = joined.group_by("key", "end", *kept).agg(**{f"first_{slot}": joined.at.min()})
        found = found.mutate(after=found[f"first_{slot}"])
    firsts = [
        found.select("key", at=found[f"first_{slot}"], slot=ibis.literal(slot, "int64"))
        for slot in range(rules)
    ]
    days = ibis.union(*firsts, distinct=True) if rules > 1 else firsts[0].distinct()
    return events.inner_join(days, ["key", "at", "slot"])
