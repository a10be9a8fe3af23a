"""The look at home: which accounts of a member's own log match what was released, and why.

1. an account that holds a released card or device     2. one that uses two released templates of
one finding (two equal bands each)     3. the rest of a group of which two accounts, or a third,
matched so

What is popular at home says nothing: a card or device of more accounts than R5 allows, a template
of more than 0.2 % of the accounts (in a small log, of more than twenty). And an account that was
there before the window and shows nothing else than a card is told as a victim's: campaigns pay with
stolen cards too. The result is the member's own list, and leaves it in no form.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from indicators.detection import graph, rules, tying
from indicators.detection.arrow import Table
from indicators.detection.engines import number
from indicators.detection.rules import Limits
from indicators.detection.sources import Source
from indicators.stix import fingerprints

TEMPLATES = 2  # of one finding, that an account uses
MATCHED = 2  # accounts of a group, so that all of it is named; or
PART = 3  # so that every third of it matched

PAYMENT, DEVICE, TEMPLATE, GROUP = "payment", "device", "template", "group"
VICTIM = "victim"
REASONS: Mapping[str, str] = {
    PAYMENT: "holds a payment instrument that the finding names",
    DEVICE: "holds a device that the finding names",
    TEMPLATE: "uses two prompt templates of the finding",
    GROUP: "is tied to accounts that match the finding",
    VICTIM: "was there before, and has nothing but a payment instrument that the finding names:"
    " it may have been stolen",
}
_TYPES: Mapping[str, Mapping[str, str]] = {
    "token": {"finding": "int64", "kind": "string", "token": "string"},
    "band": {"finding": "int64", "released": "int64", "value": "string"},
}


@dataclass(frozen=True, slots=True)
class Released:
    """What of one finding can be matched, in the words of the log: its tokens and its bands."""

    name: str
    payment: frozenset[str] = frozenset()
    device: frozenset[str] = frozenset()
    templates: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One account that matches one finding; `group` is its number among the groups given."""

    account: int
    finding: str
    reasons: tuple[str, ...]  # keys of REASONS, sorted
    group: int | None

    @property
    def is_victim(self) -> bool:
        """Whether it says of the account that its card may have been stolen, and nothing else."""
        return self.reasons == (VICTIM,)


def hunt(
    source: Source,
    released: Sequence[Released],
    groups: graph.Groups,
    *,
    limits: Limits = rules.SHIPPED,
) -> tuple[Hit, ...]:
    """The accounts that match, by finding and account; findings in their given order."""
    run = source.engine.run
    matched: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in run(_holders(source, released, limits)).to_pylist():
        matched[row["finding"]][row["account"]].add(row["kind"])
    for row in run(_users(source, released, limits)).to_pylist():
        matched[row["finding"]][row["account"]].add(TEMPLATE)
    _tell_victims(source, matched)
    of_account = _groups(groups, {one for found in matched.values() for one in found})
    members = _members(groups, set(of_account.values()))
    return tuple(
        Hit(account, released[finding].name, tuple(sorted(reasons)), of_account.get(account))
        for finding in sorted(matched)
        for account, reasons in sorted(_with_groups(matched[finding], of_account, members).items())
    )


def _with_groups(
    matched: Mapping[int, set[str]],
    of_account: dict[int, int],
    members: Mapping[int, Sequence[int]],
) -> dict[int, set[str]]:
    """What matched, and the rest of the groups of which enough matched."""
    found = {account: set(reasons) for account, reasons in matched.items()}
    counts: dict[int, int] = defaultdict(int)
    for account, reasons in matched.items():
        if account in of_account and VICTIM not in reasons:
            counts[of_account[account]] += 1
    for group, count in counts.items():
        if count >= MATCHED or count * PART >= len(members[group]):
            for account in members[group]:
                if VICTIM in found.setdefault(account, {GROUP}):
                    found[account] = {PAYMENT, GROUP}
                of_account[account] = group
    return found


def _tell_victims(source: Source, matched: Mapping[int, dict[int, set[str]]]) -> None:
    """Old accounts that match by a card alone."""
    by_card = {
        account
        for found in matched.values()
        for account, reasons in found.items()
        if reasons == {PAYMENT}
    }
    first = source.window()
    if not by_card or first is None:
        return
    wanted = source.engine.load(
        f"{source.prefix}hunted_cards",
        pa.table({"account": pa.array(sorted(by_card), pa.int64())}),
        {"account": "int64"},
    )
    accounts = source.table("account").inner_join(wanted, "account")
    old = accounts.filter(accounts.first_day < first).select("account")
    for account in source.engine.run(old).column("account").to_pylist():
        for found in matched.values():
            if found.get(account) == {PAYMENT}:
                found[account] = {VICTIM}


# --- by token and by template --------------------------------------------------------------------


def _holders(source: Source, released: Sequence[Released], limits: Limits) -> Table:
    """(finding, account, kind) of released cards and devices that are not popular here."""
    wanted = _loaded(source, "token", _tokens(released))
    held = source.table("account_token").inner_join(wanted, ["kind", "token"])
    held = source.keep("hunted_tokens", held.select("finding", "account", "kind", "token"))
    ours = held.select("account", "kind", "token").distinct()
    popular = ours.group_by("kind", "token").agg(holders=ours.count())
    kept = popular.filter(popular.holders <= limits.token_accounts).select("kind", "token")
    held = held.inner_join(kept, ["kind", "token"])
    return held.select("finding", "account", "kind").distinct()


def _users(source: Source, released: Sequence[Released], limits: Limits) -> Table:
    """(finding, account) of those that use two templates of one finding, each near another."""
    wanted = _loaded(source, "band", _bands(released))
    bands = source.table("template_band").inner_join(wanted, "value")
    near = bands.group_by("finding", "released", "template").agg(equal=bands.count())
    near = source.keep("hunted_templates", near.filter(near.equal >= fingerprints.NEAR))
    users = source.table("account_template")
    users = users.inner_join(near.select("template").distinct(), "template")
    counted = users.group_by("template").agg(users=users.count())
    accounts = number(source.engine, source.table("account").count().cast("int64"))
    most = max(tying.POPULAR_LEAST, accounts * limits.home_template_permille // 1_000)
    rare = counted.filter(counted.users <= most).select("template")
    near = near.inner_join(rare, "template")
    used = users.select("account", "template").inner_join(near, "template")
    # Two of ours near one of theirs are one; so are two of theirs near one of ours.
    used = source.keep("hunted_uses", used.select("finding", "account", "template", "released"))
    several = [
        _several(used, name).select("finding", "account") for name in ("template", "released")
    ]
    return several[0].inner_join(several[1], ["finding", "account"])


def _several(used: Table, name: str) -> Table:
    """Accounts with two of these or more; counted after they were made distinct, for an engine's
    own count of what is distinct may be an estimate."""
    each = used.select("finding", "account", name).distinct()
    counted = each.group_by("finding", "account").agg(many=each.count())
    return counted.filter(counted.many >= TEMPLATES)


def _tokens(released: Sequence[Released]) -> Iterable[tuple[int, str, str]]:
    for place, one in enumerate(released):
        for kind, values in ((PAYMENT, one.payment), (DEVICE, one.device)):
            yield from ((place, kind, value) for value in sorted(values))


def _bands(released: Sequence[Released]) -> Iterable[tuple[int, int, str]]:
    """A finding has those bands alone that its rows share; the number of a band is in its value."""
    for place, one in enumerate(released):
        for template, bands in enumerate(one.templates):
            yield from ((place, template, value) for value in sorted(set(bands)))


def _loaded(source: Source, name: str, rows: Iterable[tuple[object, ...]]) -> Table:
    types = _TYPES[name]
    columns = list(zip(*rows, strict=True)) or [() for _ in types]
    kinds = {"int64": pa.int64(), "string": pa.string()}
    made = {
        column: pa.array(values, kinds[types[column]])
        for column, values in zip(types, columns, strict=True)
    }
    return source.engine.load(f"{source.prefix}hunted_{name}", pa.table(made), types)


# --- groups --------------------------------------------------------------------------------------


def _groups(groups: graph.Groups, accounts: set[int]) -> dict[int, int]:
    """The group of each of these accounts that has one."""
    wanted = pa.array(sorted(accounts), pa.int64())
    rows = groups.rows.filter(pc.is_in(groups.rows.column("unit"), value_set=wanted))
    return {row["unit"]: row["group"] for row in rows.to_pylist()}


def _members(groups: graph.Groups, wanted: set[int]) -> dict[int, list[int]]:
    """All accounts of these groups."""
    chosen = pa.array(sorted(wanted), pa.int64())
    rows = groups.rows.filter(pc.is_in(groups.rows.column("group"), value_set=chosen))
    made: dict[int, list[int]] = {group: [] for group in wanted}
    for row in rows.to_pylist():
        made[row["group"]].append(row["unit"])
    return made
