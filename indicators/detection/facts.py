"""The facts of groups of accounts, from a member's log: sums and lists by the engine, then values.

Everything about accounts is an aggregate that the engine makes; what comes out is one row for each
group, or a few for its lists, and only those become values here. The same expressions serve a whole
log and the narrowed tables of a minute.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import ibis

from indicators.detection import rules, schema
from indicators.detection.arrow import Arrow, Table
from indicators.detection.engines import number
from indicators.detection.sources import Source

# An account whose last use is so many days ago has ended.
ENDED = 7
# Accounts of a group, at least, that use a template, a client, or show a tag before it is said of
# the group; of a tag also a fifth of them.
HOLDERS = 2
TAG_SHARE = 5

Listed = tuple[str, ...]
_HOURS = tuple(f"h{hour}" for hour in range(schema.HOURS))


@dataclass(frozen=True, slots=True)
class Template:
    """A template of the log that a group uses, as far as it may be said."""

    template: int
    users: int  # accounts of the whole log
    length: int
    samples: int
    languages: Listed
    bands: Listed


@dataclass(frozen=True, slots=True)
class Group:
    """The exact facts of one group: numbers, before anything is bucketed."""

    group: int
    accounts: int
    payers: int
    devices: int
    first_day: date
    last_day: date
    days: int  # account-days with any use
    flat: int  # sums over account-days
    mid: int
    mismatch: int
    hours: tuple[int, ...]
    short: int  # accounts
    fresh: int
    pivot: int
    carded: int
    deviced: int
    start_days: int
    start_peak: int  # accounts that began on the day on which most began
    anchor: str  # a token by which the group is known again; empty where all of its are popular
    tokens: Mapping[str, Listed] = field(default_factory=dict)  # by schema.KINDS
    clients: Listed = ()
    templates: tuple[int, ...] = ()
    tags: Mapping[str, Listed] = field(default_factory=dict)  # capability, method, surface


@dataclass(frozen=True, slots=True)
class Facts:
    """What a log says of its groups, and of the templates that they use."""

    groups: tuple[Group, ...]
    templates: Mapping[int, Template]
    accounts: int  # of the whole log


def gather(
    source: Source,
    groups: Table,
    *,
    day: date,
    limits: rules.Limits = rules.SHIPPED,
    accounts: int | None = None,
) -> Facts:
    """The facts of groups (unit, group) over the days that end with this one.

    `accounts` is how many the whole log has, where the tables hold a part of it.
    """
    total = accounts
    if total is None:
        total = number(source.engine, source.table("account").count().cast("int64"))
    if not total:
        return Facts((), {}, 0)
    stages = _Stages(source, groups, day - timedelta(days=limits.days - 1), day, limits)
    lists = _lists(stages, total)
    templates = _templates(stages, {one for found in lists.templates.values() for one in found})
    made = []
    for row in _rows(source.engine.run(_sums(stages), "group")):
        group = row.pop("group")
        hours = tuple(row.pop(hour) for hour in _HOURS)
        made.append(Group(group=group, hours=hours, **row, **lists.of(group, templates)))
    return Facts(tuple(made), templates, total)


# --- the stages that the others are made of ------------------------------------------------------


class _Stages:
    """Accounts of groups with their days and tokens, each computed once."""

    def __init__(
        self, source: Source, groups: Table, first: date, last: date, limits: rules.Limits
    ) -> None:
        self.source, self.first, self.last, self.limits = source, first, last, limits
        grouped = groups.select(account=groups.unit, group=groups.group)
        account = source.table("account")
        self.accounts = source.keep("facts_accounts", grouped.inner_join(account, "account"))
        self.days = source.keep("facts_days", self._days())
        self.held = source.keep("facts_held", self._held())
        self.tokens = source.keep("facts_tokens", self._tokens())
        self.used = source.keep("facts_used", self._used())
        self.users = source.keep("facts_users", self._users())

    def _days(self) -> Table:
        """One row for each account: its days in the window, added up."""
        days = self.source.table("account_day")
        days = days.filter(days.day >= self.first, days.day <= self.last)
        days = days.inner_join(self.accounts.select("account", "group"), "account")
        return days.group_by("group", "account").agg(
            days=days.count(),
            first=days.day.min(),
            last=days.day.max(),
            flat=_sum(days.flat),
            mid=_count(days.mid),
            mismatch=_count(days.mismatch),
            moved=_flag(days.moved).max(),
            **{f"h{hour}": _sum(_digit(days.am, hour)) for hour in range(12)},
            **{f"h{hour + 12}": _sum(_digit(days.pm, hour)) for hour in range(12)},
        )

    def _held(self) -> Table:
        """(group, account, kind, token), each once."""
        held = self.source.table("account_token")
        held = held.inner_join(self.accounts.select("account", "group"), "account")
        return held.select("group", "account", "kind", "token").distinct()

    def _tokens(self) -> Table:
        """(group, kind, token, holders, everywhere): who holds it, in the group and in the log."""
        known = self.held.select("kind", "token").distinct()
        everywhere = self.source.table("account_token").inner_join(known, ["kind", "token"])
        everywhere = everywhere.group_by("kind", "token").agg(everywhere=everywhere.count())
        inside = self.held.group_by("group", "kind", "token").agg(holders=self.held.count())
        return inside.inner_join(everywhere, ["kind", "token"])

    def _used(self) -> Table:
        """(group, template, holders) of templates that two accounts of a group use."""
        used = self.source.table("account_template")
        used = used.inner_join(self.accounts.select("account", "group"), "account")
        used = used.select("group", "account", "template").distinct()
        used = used.group_by("group", "template").agg(holders=used.count())
        return used.filter(used.holders >= HOLDERS)

    def _users(self) -> Table:
        """(template, users) of these templates, over the whole log."""
        known = self.used.select("template").distinct()
        users = self.source.table("account_template").inner_join(known, "template")
        return users.group_by("template").agg(users=users.count())

    def kept_tokens(self) -> Table:
        """Of the tokens those that may be said: not popular (R5); egress of two accounts."""
        tokens = self.tokens
        is_egress = tokens.kind == "egress"
        most = is_egress.ifelse(self.limits.egress_accounts, self.limits.token_accounts)
        least = is_egress.ifelse(self.limits.egress_holders, 1)
        return tokens.filter(tokens.everywhere <= most, tokens.holders >= least)


def _sums(stages: _Stages) -> Table:
    """One row for each group, with all that is counted of it."""
    accounts, days = stages.accounts, stages.days
    counted = accounts.group_by("group").agg(
        accounts=accounts.count(),
        fresh=_count(accounts.first_day >= stages.first),
        carded=_count(accounts.carded),
        deviced=_count(accounts.deviced),
    )
    used = days.group_by("group").agg(
        first_day=days["first"].min(),
        last_day=days["last"].max(),
        short=_count(days["last"] <= stages.last - timedelta(days=ENDED)),
        pivot=_sum(days.moved),
        **{name: _sum(days[name]) for name in ("days", "flat", "mid", "mismatch", *_HOURS)},
    )
    began = accounts.group_by("group", "first_day").agg(began=accounts.count())
    began = began.group_by("group").agg(start_days=began.count(), start_peak=began.began.max())
    found = counted.inner_join(used, "group").inner_join(began, "group")
    for name, counts in (("payers", _payers(stages)), ("devices", _devices(stages))):
        counts = counts.select(counted=counts.group, **{name: counts.many})
        found = found.left_join(counts, found.group == counts.counted).drop("counted")
        found = found.mutate(**{name: found[name].coalesce(0)})
    # Accounts may each have many cards, and are not more customers for it.
    return found.mutate(payers=(found.payers > found.accounts).ifelse(found.accounts, found.payers))


def _payers(stages: _Stages) -> Table:
    """By legal entity where known, else by card: five cards of one firm are one payer."""
    accounts = stages.accounts
    known = accounts.filter(accounts.entity != "")
    known = known.select("group", payer="entity:" + known.entity)
    held = stages.held
    cards = held.filter(held.kind == "payment").inner_join(
        accounts.filter(accounts.entity == "").select("account"), "account"
    )
    cards = cards.select("group", payer="card:" + cards.token)
    payers = known.union(cards).distinct()
    return payers.group_by("group").agg(many=payers.count())


def _devices(stages: _Stages) -> Table:
    devices = stages.tokens.filter(stages.tokens.kind == "device")
    return devices.group_by("group").agg(many=devices.count())


# --- lists ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Lists:
    anchors: Mapping[int, str]
    tokens: Mapping[tuple[int, str], list[str]]
    clients: Mapping[int, list[str]]
    templates: Mapping[int, list[int]]
    tags: Mapping[tuple[int, str], list[str]]

    def of(self, group: int, templates: Mapping[int, Template]) -> dict[str, Any]:
        return {
            "anchor": self.anchors.get(group, ""),
            "tokens": {
                kind: tuple(sorted(self.tokens.get((group, kind), ()))) for kind in schema.KINDS
            },
            "clients": tuple(sorted(filter(_CLIENT.fullmatch, self.clients.get(group, ())))),
            "templates": tuple(
                sorted(one for one in self.templates.get(group, ()) if one in templates)
            ),
            "tags": {kind: tuple(sorted(self.tags.get((group, kind), ()))) for kind in _TAGS},
        }


_CLIENT = re.compile(r"[0-9a-f]{32}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_WORDS: Mapping[str, Listed] = {
    "capability": schema.CAPABILITIES,
    "method": schema.METHODS,
    "surface": schema.SURFACES,
}
_TAGS: Mapping[str, str] = {
    "capability": "capabilities",
    "method": "methods",
    "surface": "surface",
}


def _lists(stages: _Stages, total: int) -> _Lists:
    run = stages.source.engine.run
    return _Lists(
        anchors={row["group"]: row["token"] for row in _rows(run(_anchors(stages), "group"))},
        tokens=_by_two(run(_listed_tokens(stages)), "kind", "token"),
        clients=_by_one(run(_clients(stages)), "client"),
        templates=_by_one(run(_used(stages, total)), "template"),
        tags=_by_two(run(_tags(stages)), "kind", "tag"),
    )


def _anchors(stages: _Stages) -> Table:
    """The smallest card or device of the oldest account: it stays while the group grows."""
    kept = stages.kept_tokens().filter(lambda table: table.kind.isin(("payment", "device")))
    held = stages.held.inner_join(kept.select("group", "kind", "token"), ["group", "kind", "token"])
    held = held.inner_join(stages.accounts.select("account", "first_day"), "account")
    # A card ("payment") before a device.
    order = [held.first_day, held.kind.desc(), held.token]
    place = ibis.row_number().over(group_by="group", order_by=order)
    return held.mutate(place=place).filter(lambda table: table.place == 0).select("group", "token")


def _listed_tokens(stages: _Stages) -> Table:
    tokens = stages.kept_tokens()
    made = []
    for kind, most in schema.MOST_TOKENS.items():
        of_kind = tokens.filter(tokens.kind == kind)
        made.append(_first(of_kind, "token", most, "holders").select("group", "kind", "token"))
    return ibis.union(*made)


def _clients(stages: _Stages) -> Table:
    days = stages.source.table("account_day")
    days = days.filter(days.day >= stages.first, days.day <= stages.last, days.client != "")
    days = days.inner_join(stages.accounts.select("account", "group"), "account")
    seen = days.select("group", "account", "client").distinct()
    counted = seen.group_by("group", "client").agg(holders=seen.count())
    counted = counted.filter(counted.holders >= HOLDERS)
    return _first(counted, "client", schema.MOST_CLIENTS, "holders").select("group", "client")


def _used(stages: _Stages, total: int) -> Table:
    """What a group uses and not too many of the log's accounts (R4)."""
    users = stages.users
    # As rules.keeps_template, and below the last bucket of schema.BASE_RATES.
    rare = users.filter(
        users.users * 1_000 <= total * stages.limits.template_permille, users.users * 100 < total
    )
    kept = stages.used.inner_join(rare, "template")
    return _first(kept, "template", schema.MOST_TEMPLATES, "holders").select("group", "template")


def _tags(stages: _Stages) -> Table:
    tags = stages.source.table("account_tag")
    ours = tags.inner_join(stages.accounts.select("account", "group"), "account")
    ours = ours.select("group", "account", "kind", "tag").distinct()
    counted = ours.group_by("group", "kind", "tag").agg(holders=ours.count())
    sizes = stages.accounts.group_by("group").agg(accounts=stages.accounts.count())
    counted = counted.inner_join(sizes, "group")
    counted = counted.filter(
        counted.holders >= HOLDERS, counted.holders * TAG_SHARE >= counted.accounts
    )
    made = []
    for kind, column in _TAGS.items():
        # What is no word of the closed lists is nobody's business but the member's.
        of_kind = counted.filter(counted.kind == kind, counted.tag.isin(_WORDS[kind]))
        most = schema.MOST_WORDS[column]
        made.append(_first(of_kind, "tag", most, "holders").select("group", "kind", "tag"))
    return ibis.union(*made)


def _templates(stages: _Stages, wanted: set[int]) -> dict[int, Template]:
    """The templates that groups use, with their bands; one without all its bands is none."""
    source = stages.source
    users = stages.users
    known = source.table("template").inner_join(users, "template")
    band = source.table("template_band")
    band = band.inner_join(users.select("template"), "template")
    bands: dict[int, dict[int, str]] = defaultdict(dict)
    for row in _rows(source.engine.run(band.select("template", "band", "value"), "template")):
        if row["template"] in wanted:
            bands[row["template"]][row["band"]] = row["value"]
    made = {}
    for row in _rows(source.engine.run(known, "template")):
        found = bands.get(row["template"], {})
        if set(found) == set(range(schema.BANDS)):
            listed = tuple(found[band] for band in range(schema.BANDS))
            spoken = set(filter(_LANGUAGE.fullmatch, row.pop("languages").split()))
            languages = tuple(sorted(spoken))[: schema.MOST_LANGUAGES]
            made[row["template"]] = Template(**row, languages=languages, bands=listed)
    return made


# --- small words ---------------------------------------------------------------------------------


def _flag(condition: Any) -> Any:  # noqa: ANN401 - columns of Ibis
    return condition.ifelse(1, 0).cast("int64")


def _count(condition: Any) -> Any:  # noqa: ANN401 - columns of Ibis
    return _sum(_flag(condition))


def _sum(column: Any) -> Any:  # noqa: ANN401 - columns of Ibis
    return column.sum().cast("int64")


def _digit(twelve: Any, hour: int) -> Any:  # noqa: ANN401 - columns of Ibis
    """The digit of an hour: the first of twelve is the highest."""
    return twelve // 10 ** (11 - hour) % 10


def _first(table: Table, name: str, most: int, by: str) -> Table:
    """The values of each group that most of it hold; of equals the smaller."""
    place = ibis.row_number().over(group_by="group", order_by=[table[by].desc(), table[name]])
    return table.mutate(place=place).filter(lambda found: found.place < most)


def _rows(found: Arrow) -> Iterable[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def _by_one(found: Arrow, name: str) -> dict[int, list[Any]]:
    made: dict[int, list[Any]] = defaultdict(list)
    for row in _rows(found):
        made[row["group"]].append(row[name])
    return made


def _by_two(found: Arrow, second: str, name: str) -> dict[tuple[int, str], list[str]]:
    made: dict[tuple[int, str], list[str]] = defaultdict(list)
    for row in _rows(found):
        made[(row["group"], row[second])].append(row[name])
    return made
