"""Detectors that say which accounts of a log, or rows of the pool, belong together.

Each trap here has made one giant group of everybody: a shared egress or one template as a tie, a
lift over accounts that are in no pair's table, row pairs without a cap, an open tool's prompts.
"""

from indicators.detection import graph
from indicators.detection.arrow import Arrow, Table
from indicators.detection.engines import number
from indicators.detection.sources import LOG, Source, Values

# R5: a card or device of more accounts says nothing (carriers, site licences).
POPULAR_TOKEN = 500
# R4 at home: a template of more than one account in so many ties nobody (tutorials, benchmarks);
# in a log so small that this would be two or three accounts, one of up to POPULAR_LEAST may.
POPULAR_ONE_IN = 500
POPULAR_LEAST = 20
# An account with more templates runs a collection of them, and would pair each with each.
MOST_TEMPLATES = 64
# 1 - distinct / holders of a family's cards, or of its devices, in percent: users of an open tool
# have its prompts in common, and each a card of his own.
LEAST_SHARED = 15
# In percent: a third of a family's users began in the window. So does a campaign whose accounts are
# bought for it, each on a card of its own; users of a tool come over the years.
LEAST_NEW = 34
# When rows are paired, whatever a document of `near-template` says.
NEAR = {"min_bands": 2, "band_cap": 200}
CARRIED = ("payment", "device")


def shared_token(source: Source, values: Values, _: Table) -> Table:
    """Accounts or rows on one card or device; never on one egress."""
    name, unit, least = (
        ("account_token", "account", values["min"])
        if source.kind == LOG
        else ("row_token", "row", values["rows"])
    )
    held = source.table(name)
    held = held.filter(held.kind.isin(CARRIED))
    counted = held.group_by("kind", "token").agg(holders=held.count())
    fit = counted.filter(counted.holders >= least, counted.holders <= values["cap"])
    shared = source.keep("shared_token", fit.select("kind", "token"))
    found = held.inner_join(shared, ["kind", "token"])
    return found.select(unit=found[unit], key=found.kind + ":" + found.token)


def template_family(source: Source, values: Values, _: Table) -> Table:
    """Accounts that use two templates of a family whose users share cards or devices, or are new.

    A family is of templates that meet in `together` accounts or more, and `lift` times as often
    as chance would have it among the accounts that use such templates at all.
    """
    used = _fit_templates(source, least=values["together"], cap=values["cap"])
    families = source.engine.load(
        f"{source.prefix}stage_family", _families(source, used, values), graph.GROUPS
    )
    users = used.inner_join(families, used.template == families.unit)
    users = users.group_by("account", "group").agg(templates=users.count())
    users = source.keep("family_user", users.filter(users.templates >= 2))
    tied = source.keep("family_tied", _sharing(source, users).union(_new(source, users)).distinct())
    found = users.inner_join(tied, "group")
    return found.select(unit=found.account, key=found.group.cast("string"))


def _fit_templates(source: Source, *, least: int = 1, cap: int | None = None) -> Table:
    """Who uses which template, without the rare and the popular; with its users counted."""
    used = source.table("account_template")
    most = most_users(source) if cap is None else min(most_users(source), cap)
    counted = used.group_by("template").agg(holders=used.count())
    fit = counted.filter(counted.holders >= least, counted.holders <= most)
    return source.keep("template_use", used.inner_join(fit, "template"))


def most_users(source: Source) -> int:
    """How many accounts of a log may use a template that is not popular (R4 at home)."""
    accounts = number(source.engine, source.table("account").count())
    return max(POPULAR_LEAST, accounts // POPULAR_ONE_IN)


def _families(source: Source, used: Table, values: Values) -> Arrow:
    """Templates in families, numbered."""
    # Chance is counted among the accounts of this table: over all accounts of a member each two
    # templates that three accounts have in common would seem to meet far too often.
    accounts = number(source.engine, used.select("account").distinct().count())
    several = used.group_by("account").agg(templates=used.count())
    several = several.filter(several.templates >= 2, several.templates <= MOST_TEMPLATES)
    held = source.keep("several", used.inner_join(several, "account").drop("templates"))
    other = held.view()
    both = held.inner_join(
        other, [held.account == other.account, held.template < other.template]
    ).select(
        left=held.template,
        right=other.template,
        left_holders=held.holders,
        right_holders=other.holders,
    )
    pairs = both.group_by("left", "right", "left_holders", "right_holders").agg(
        together=both.count()
    )
    often = pairs.filter(
        pairs.together >= values["together"],
        pairs.together * accounts >= pairs.left_holders * pairs.right_holders * values["lift"],
    )
    edges = source.engine.run(often.select("left", "right"))
    return graph.of_pairs(edges, "left", "right").rows


def _sharing(source: Source, users: Table) -> Table:
    """The families whose users have cards, or devices, in common."""
    held = source.table("account_token")
    held = held.filter(held.kind.isin(CARRIED))
    theirs = users.inner_join(held, "account").select("group", "kind", "token")
    theirs = source.keep("family_token", theirs)
    # All holders of these tokens count, users of the family or not.
    counted = held.semi_join(theirs.select("kind", "token").distinct(), ["kind", "token"])
    counted = counted.group_by("kind", "token").agg(everybody=counted.count())
    fit = counted.filter(counted.everybody <= POPULAR_TOKEN)
    each = theirs.inner_join(fit, ["kind", "token"])
    each = each.group_by("group", "kind", "token").agg(holders=each.count())
    kinds = each.group_by("group", "kind").agg(
        holders=each.holders.cast("int64").sum(), tokens=each.count()
    )
    shared = kinds.filter((kinds.holders - kinds.tokens) * 100 >= kinds.holders * LEAST_SHARED)
    return source.keep("sharing", shared.select("group").distinct())


def _new(source: Source, users: Table) -> Table:
    """The families a third of whose users began in the window."""
    first = source.window()
    if first is None:  # nobody has used anything
        return users.select("group").limit(0)
    began = users.inner_join(source.table("account").select("account", "first_day"), "account")
    counted = began.group_by("group").agg(
        users=began.count(), new=(began.first_day >= first).cast("int64").sum()
    )
    return counted.filter(counted.new * 100 >= counted.users * LEAST_NEW).select("group")


def near_template(source: Source, values: Values, _: Table) -> Table:
    """Accounts or rows that use templates which are nearly equal to others.

    It marks and does not tie: one template in common is no tie.
    """
    name, unit = ("account_template", "account") if source.kind == LOG else ("row_template", "row")
    near = near_classes(source, values)
    used = source.table(name)
    if source.kind == LOG:
        used = _fit_templates(source)
    found = used.inner_join(near, used.template == near.unit)
    found = found.select(unit=found[unit], key=found.group.cast("string"))
    return found.distinct()


def near_classes(source: Source, values: Values) -> Table:
    """Templates (unit) that have `min_bands` bands in common with another, in classes (group)."""
    bands = source.table("template_band")
    counted = bands.group_by("band", "value").agg(carriers=bands.count())
    fit = counted.filter(counted.carriers >= 2, counted.carriers <= values["band_cap"])
    carried = source.keep("band", bands.inner_join(fit, ["band", "value"]).drop("carriers"))
    other = carried.view()
    both = carried.inner_join(
        other,
        [
            carried.band == other.band,
            carried.value == other.value,
            carried.template < other.template,
        ],
    ).select(left=carried.template, right=other.template)
    pairs = both.group_by("left", "right").agg(bands=both.count())
    near = source.engine.run(pairs.filter(pairs.bands >= values["min_bands"]).drop("bands"))
    rows = graph.of_pairs(near, "left", "right").rows
    return source.engine.load(f"{source.prefix}stage_near", rows, graph.GROUPS)


def row_pair(source: Source, values: Values, _: Table) -> Table:
    """Rows of two members that share templates which few rows have, two or more of them."""
    near = near_classes(source, NEAR)
    used = source.table("row_template")
    used = used.inner_join(near, used.template == near.unit).select("row", "group").distinct()
    used = source.keep("row_class", used)
    counted = used.group_by("group").agg(holders=used.count())
    # Without this cap the rows of everybody who works alike become one group.
    rare = used.semi_join(counted.filter(counted.holders <= values["rare"]), "group")
    rows = source.table("cluster_row").select("row", "member")
    rare = source.keep("rare_class", rare.inner_join(rows, "row"))
    other = rare.view()
    both = rare.inner_join(
        other, [rare.group == other.group, rare.row < other.row, rare.member != other.member]
    ).select(left=rare.row, right=other.row)
    pairs = both.group_by("left", "right").agg(together=both.count())
    pairs = source.keep("row_pair", pairs.filter(pairs.together >= values["together"]))
    key = pairs.left.cast("string") + ":" + pairs.right.cast("string")
    return pairs.select(unit=pairs.left, key=key).union(pairs.select(unit=pairs.right, key=key))
