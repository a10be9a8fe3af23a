"""Detectors that say something of groups which others have tied; a mark ties nobody.

In a log a mark lies on a whole group (unit, group). In the pool a row is a group already, and has
its start and its pivot among its columns; only equal hours are looked for in groups of rows.
"""

from indicators.detection.arrow import Table
from indicators.detection.schema import HOURS
from indicators.detection.sources import LOG, Source, Values

PACED = 4  # evenness of the day (`flat`) from which on a machine sets the pace
LEAST = 3  # accounts of a group that a mark rests on, at least
_HALF = HOURS // 2
_HOURS = tuple(f"h{hour}" for hour in range(HOURS))
_MEANS = tuple(f"m{hour}" for hour in range(HOURS))


def synchronised_start(source: Source, values: Values, groups: Table) -> Table:
    """Groups of which half began on one day, and all on a few days: in waves."""
    if source.kind != LOG:
        rows = source.table("cluster_row")
        marked = rows.filter(rows.start_peak >= values["peak"], rows.start_days <= values["waves"])
        return _rows(marked)
    accounts = source.table("account")
    # Whoever was there before the log begins did not begin on its first day.
    first = source.table("account_day").day.min()
    began = groups.inner_join(accounts, groups.unit == accounts.account)
    began = began.select("group", "first_day")
    began = began.cross_join(source.table("account_day").agg(log_begins=first))
    began = began.filter(began.first_day > began.log_begins)
    days = began.group_by("group", "first_day").agg(accounts=began.count())
    waves = days.group_by("group").agg(
        peak=days.accounts.cast("int64").max(), start_days=days.count()
    )
    sizes = groups.group_by("group").agg(size=groups.count())
    found = waves.inner_join(sizes, "group")
    marked = found.filter(
        found.peak >= LEAST,
        found.peak * 10 >= found["size"] * values["peak"],
        found.start_days <= values["waves"],
    )
    return _whole(groups, marked)


def rate_shape(source: Source, values: Values, groups: Table) -> Table:
    """Groups of which half keep the same hours of the day, as machines do."""
    profile = source.keep(
        "profile", _of_accounts(source, groups) if source.kind == LOG else _of_rows(source, groups)
    )
    sums = {mean: profile[hour].sum() for hour, mean in zip(_HOURS, _MEANS, strict=True)}
    paced = profile.group_by("group").agg(paced=profile.count(), **sums)
    paced = paced.select("group", **_rounded(paced, _MEANS, _MEANS, paced.paced))
    paced = source.keep("mean_profile", paced)
    step = profile.inner_join(paced, "group")
    for hour, mean in zip(_HOURS, _MEANS, strict=True):
        apart = values["distance"]
        step = step.filter(step[hour] - step[mean] <= apart, step[mean] - step[hour] <= apart)
    step = step.group_by("group").agg(step=step.count())
    sizes = groups.group_by("group").agg(size=groups.count())
    found = step.inner_join(sizes, "group")
    least = LEAST if source.kind == LOG else 2
    return _whole(groups, found.filter(found.step >= least, found.step * 2 >= found["size"]))


def _of_accounts(source: Source, groups: Table) -> Table:
    """The mean hours of each account's machine-paced days."""
    days = source.table("account_day")
    days = days.filter(days.flat >= PACED).select("account", "am", "pm")
    theirs = days.inner_join(groups, days.account == groups.unit)
    theirs = theirs.select("unit", "group", **_digits(theirs))
    sums = {hour: theirs[hour].sum() for hour in _HOURS}
    each = theirs.group_by("unit", "group").agg(days=theirs.count(), **sums)
    return each.select("unit", "group", **_rounded(each, _HOURS, _HOURS, each.days))


def _of_rows(source: Source, groups: Table) -> Table:
    """The hours of machine-paced rows."""
    rows = source.table("cluster_row")
    theirs = rows.filter(rows.flat >= PACED).inner_join(groups, rows.row == groups.unit)
    return theirs.select("unit", "group", **_digits(theirs))


def _digits(table: Table) -> Table:
    """The relative rate of each hour, as a column of its own."""
    return {
        name: table["am" if hour < _HALF else "pm"] // 10 ** (_HALF - 1 - hour % _HALF) % 10
        for hour, name in enumerate(_HOURS)
    }


def _rounded(
    table: Table, sums: tuple[str, ...], names: tuple[str, ...], count: Table
) -> dict[str, Table]:
    """Means as whole numbers, halves up."""
    return {
        name: (table[total] * 2 + count) // (count * 2)
        for total, name in zip(sums, names, strict=True)
    }


def pivot(source: Source, values: Values, groups: Table) -> Table:
    """Groups that moved to a publicly released model within 24 hours, more than all others did."""
    if source.kind != LOG:
        return _pivoted_rows(source, values)
    days = source.table("account_day")
    rush = days.group_by("day").agg(everybody=days.count(), rushed=days.moved.cast("int64").sum())
    rush = source.keep("rush", rush.filter(rush.rushed > 0))
    then = days.select("account", "day", "moved").inner_join(rush, "day")
    theirs = then.inner_join(groups, then.account == groups.unit)
    each = theirs.group_by("group", "day", "everybody", "rushed").agg(
        seen=theirs.count(), moved=theirs.moved.cast("int64").sum()
    )
    # moved / seen - rushed / everybody >= excess / 10, in whole numbers
    more = each.moved * each.everybody - each.rushed * each.seen
    marked = each.filter(
        each.moved >= LEAST, more * 10 >= each.seen * each.everybody * values["excess"]
    )
    return _whole(groups, marked)


def _pivoted_rows(source: Source, values: Values) -> Table:
    """Rows that moved more than their own member's rows of that day do: no other's count."""
    rows = source.table("cluster_row")
    rush = rows.group_by("member", "day").agg(everybody=rows.count(), rushed=rows.pivot.sum())
    found = rows.inner_join(rush, ["member", "day"])
    more = found.pivot * found.everybody - found.rushed
    return _rows(found.filter(more >= found.everybody * values["excess"]))


def _rows(marked: Table) -> Table:
    return marked.select(unit=marked.row, key=marked.row.cast("string"))


def _whole(groups: Table, marked: Table) -> Table:
    """All units of the groups that bear the mark."""
    found = groups.semi_join(marked.select("group").distinct(), "group")
    return found.select(unit=found.unit, key=found.group.cast("string"))
