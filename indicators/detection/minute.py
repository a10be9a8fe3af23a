"""One minute of a log against all of its days: only what it touches is looked at.

    touched tokens -> their accounts -> those accounts' days, tokens, tags and templates

What was narrowed is a log of its own for detectors that look at tokens, starts and hours. Families
and pivots weigh an account against all others of the log: whole, they come with the day.
"""

from collections.abc import Mapping

import pyarrow as pa

from indicators.detection import graph, ties, tying
from indicators.detection.arrow import Arrow, Table
from indicators.detection.sources import Source
from indicators.detection.tables import LOG

DETECTORS = ("shared-token", "synchronised-start", "rate-shape")
PREFIX = "minute_"
STANDING = "standing_"
# A row of the minute stands in the place of the log's row with the same of these columns.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "account": ("account",),
    "account_day": ("account", "day"),
    "account_token": ("account", "kind", "token"),
    "account_tag": ("account", "kind", "tag"),
    "account_template": ("account", "template"),
}


def standing(source: Source) -> Source:
    """The log in tables of the engine's own, for many minutes: files are slower to look into."""
    for name in LOG:
        source.engine.keep(f"{STANDING}{name}", source.table(name))
    return Source(source.engine, source.kind, STANDING)


def narrowed(source: Source, batch: Mapping[str, Arrow]) -> Source:
    """The log of the accounts that a minute's rows (names of tables.LOG) touch, the rows in it.

    Its cards, devices and templates are those that are not popular in the whole log (R4, R5), and
    of each card and device that the minute touches all accounts are there.
    """
    # 1. the minute's rows     2. who else holds their cards and devices
    # 3. all that the log has of those accounts     4. without what everybody holds or uses
    new = {name: _given(source, name, batch) for name in LOG}  # 1
    accounts = _accounts(source, new)  # 2
    for name, keys in _KEYS.items():  # 3
        whole = source.table(name).semi_join(accounts, "account").anti_join(new[name], list(keys))
        source.engine.keep(f"{PREFIX}{name}", whole.union(new[name]))
    made = Source(source.engine, source.kind, PREFIX)
    _without_popular_tokens(source, made)  # 4
    _without_popular_templates(source, made)
    used = made.table("account_template").select("template").distinct()
    for name in ("template", "template_band"):
        whole = source.table(name).semi_join(used, "template")
        source.engine.keep(f"{PREFIX}{name}", whole)
    return made


def groups(minute: Source) -> graph.Groups:
    """What the accounts of a minute are tied to, by cards and devices."""
    return ties.tied(minute, {"shared-token": {}})


def _given(source: Source, name: str, batch: Mapping[str, Arrow]) -> Table:
    rows = batch.get(name)
    if rows is None:
        rows = pa.table({column: pa.array([], pa.string()) for column in LOG[name]})
    return source.engine.load(f"{PREFIX}new_{name}", rows, LOG[name])


def _accounts(source: Source, new: Mapping[str, Table]) -> Table:
    """The accounts of the minute, and who holds a card or device of theirs if few do."""
    touched = new["account_token"].filter(new["account_token"].kind.isin(tying.CARRIED))
    touched = touched.select("kind", "token").distinct()
    held = source.table("account_token").semi_join(touched, ["kind", "token"])
    held = source.engine.keep(f"{PREFIX}stage_held", held)
    counted = held.group_by("kind", "token").agg(holders=held.count())
    few = counted.filter(counted.holders <= tying.POPULAR_TOKEN)
    others = held.semi_join(few, ["kind", "token"]).select("account")
    own = [new[name].select("account") for name in _KEYS]
    for part in own:
        others = others.union(part)
    return source.engine.keep(f"{PREFIX}stage_account", others.distinct())


def _without_popular_tokens(source: Source, made: Source) -> None:
    tokens = made.table("account_token")
    theirs = tokens.filter(tokens.kind.isin(tying.CARRIED)).select("kind", "token").distinct()
    theirs = made.keep("token", theirs)
    counted = source.table("account_token").semi_join(theirs, ["kind", "token"])
    counted = counted.group_by("kind", "token").agg(holders=counted.count())
    popular = counted.filter(counted.holders > tying.POPULAR_TOKEN)
    popular = made.keep("popular", popular.select("kind", "token"))
    kept = made.keep("fit_token", tokens.anti_join(popular, ["kind", "token"]))
    made.engine.keep(f"{PREFIX}account_token", kept)


def _without_popular_templates(source: Source, made: Source) -> None:
    used = made.table("account_template")
    theirs = made.keep("template", used.select("template").distinct())
    counted = source.table("account_template").semi_join(theirs, "template")
    counted = counted.group_by("template").agg(holders=counted.count())
    popular = counted.filter(counted.holders > tying.most_users(source))
    popular = made.keep("popular_template", popular.select("template"))
    kept = made.keep("fit_template", used.anti_join(popular, "template"))
    made.engine.keep(f"{PREFIX}account_template", kept)
