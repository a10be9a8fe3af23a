"""A member's groups: tied in its own log, measured, scored, and what of them may leave.

    clusters(...)   all groups with their accounts, rows and scores: own detection, and hunting
    extract(...)    the 300 rows and their templates of a day, as values

1. ties make groups of accounts     2. facts of each group, exact     3. bucketed: a ClusterRow
4. its score     5. R1, R2, R6: what may not leave stays, and why     6. ranked, cut
7. tokens and bands become the forum's     8. dummies fill up     9. order and numbers

R8 is before all this: the tables that come in hold no account of the member's staff, tests or free
trials. Keys and the forum's tokens are arguments; equal arguments give equal rows.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256
from hmac import digest
from typing import Any

from indicators.detection import (
    dummies,
    facts,
    graph,
    marginals,
    rules,
    schema,
    scorecard,
    sources,
    ties,
)
from indicators.detection.document import Algorithm
from indicators.detection.facts import Facts, Group, Template
from indicators.detection.rules import Limits, Problem
from indicators.detection.sources import Source, Values
from indicators.detection.values import ClusterRow, Parameters, TemplateRow

SCORECARD = "scorecard"
SECRET = 32
# A group of more than a tenth of the log's accounts is no group: something glues strangers.
GIANT_PERCENT = 10
GIANT_LEAST = 30

_BAND = re.compile(r"[0-9a-f]{16}")

# What becomes of a kind's own values outside: blind tokens of the forum for those of the log.
Tokens = Callable[[str, Collection[str]], Mapping[str, str]]
# The bands of a template under the forum's key (`fingerprints.keyed`), where the log has others.
Bands = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Setup:
    """What of the active algorithms acts at home: the ties with their parameters, one scorecard."""

    ties: tuple[tuple[str, Values], ...] = (("shared-token", {}), ("template-family", {}))
    card: Parameters = field(default_factory=lambda: scorecard.START)
    limits: Limits = rules.SHIPPED


@dataclass(frozen=True, slots=True)
class Keys:
    """The member's secret, which never leaves it, and the quarter of the forum's tokens."""

    secret: bytes
    epoch: str

    def __post_init__(self) -> None:
        """A short secret would let others recognise groups, order and dummies."""
        if len(self.secret) < SECRET:
            raise ValueError(f"the secret of a member has {SECRET} octets or more")

    def named(self, use: str, name: str) -> bytes:
        """An HMAC under the secret, for one use."""
        return digest(self.secret, f"weir/{use}/{name}".encode(), sha256)


@dataclass(frozen=True, slots=True)
class Cluster:
    """One group of a log.

    Tokens of `row` are the log's own, its templates the log's numbers; `stays` says which rule
    keeps it at home, if one does.
    """

    group: int
    accounts: tuple[int, ...]
    row: ClusterRow
    score: int
    is_found: bool  # by its score alone: own detection
    stays: Problem | None


@dataclass(frozen=True, slots=True)
class Clusters:
    """All groups of a log on a day, the highest score first."""

    day: date
    clusters: tuple[Cluster, ...]
    templates: Mapping[int, Template]
    accounts: int  # of the whole log


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is sent, and which row is which group; no group is a dummy, and only home knows it."""

    clusters: tuple[ClusterRow, ...]
    templates: tuple[TemplateRow, ...]
    groups: Mapping[int, int]  # row: group


def setup_of(algorithms: Iterable[Algorithm], limits: Limits = rules.SHIPPED) -> Setup:
    """What active documents say of a log; without a scorecard among them, the weights by reason.

    Ties are those that run on a log. Of several scorecards the newest counts.
    """
    active = sorted(algorithms, key=lambda one: (one.version, one.id))
    tied = tuple(
        (one.detector, one.values)
        for one in active
        if one.detector not in ("", SCORECARD) and ties.detector_of(one.detector).is_tie
        if sources.LOG in ties.detector_of(one.detector).runs_on
        if one.runs_on in (sources.LOG, "both")
    )
    cards = [one.values for one in active if one.detector == SCORECARD]
    return Setup(tied, cards[-1] if cards else scorecard.START, limits)


# --- all groups ----------------------------------------------------------------------------------


def clusters(
    source: Source, setup: Setup, *, day: date, keys: Keys, accounts: int | None = None
) -> Clusters:
    """The groups of a log over the days that end with this one.

    `accounts` is how many the whole log has, where the tables hold what a minute touches: there the
    users of a template are counted among those alone, so such rows are for home and never sent.
    """
    limits = setup.limits
    tied = tied_by(source, setup)
    table = ties.grouped(source, tied)  # 1
    found = facts.gather(source, _large(table), day=day, limits=limits, accounts=accounts)  # 2
    members = _accounts(tied)
    seen: Counter[str] = Counter()
    made = []
    for group, row in _apart([(one, row_of(one, limits)) for one in found.groups]):  # 3
        score = scorecard.score_of(row, setup.card)  # 4
        # Without a card or device to be known by it is one of today, and stays at home.
        anchor = group.anchor or f"account {members[group.group][0]}"
        seen[anchor] += 1
        row = replace(row, cluster=_cluster(keys, anchor, seen[anchor]))
        is_giant = _is_giant(group, found)
        made.append(
            Cluster(
                group=group.group,
                accounts=tuple(members[group.group]),
                row=row,
                score=score,
                is_found=not is_giant and scorecard.is_found(score, setup.card),
                stays=next(_reasons(group, row, limits, is_giant=is_giant), None),  # 5
            )
        )
    made.sort(key=_rank)  # 6
    return Clusters(day, tuple(made), found.templates, found.accounts)


def tied_by(source: Source, setup: Setup) -> graph.Groups:
    """The groups that the ties make, of any size."""
    run = source.engine.run
    return graph.components(
        run(ties.find(source, name, values), "unit") for name, values in setup.ties
    )


def _apart(rows: Sequence[tuple[Group, ClusterRow]]) -> Iterator[tuple[Group, ClusterRow]]:
    """Without an address that two groups name: strangers leave by it, so it ties nobody.

    A large log leaves such addresses out for their many accounts (R5) and a small one does not: how
    many rows still name one would tell which of the two a log is.
    """
    seen = Counter(address for _, row in rows for address in row.egress)
    for group, row in rows:
        own = tuple(address for address in row.egress if seen[address] == 1)
        yield group, replace(row, egress=own)


def row_of(group: Group, limits: Limits = rules.SHIPPED) -> ClusterRow:
    """The row of a group, every number bucketed; its own name and number are still to come."""
    of_accounts = {name: fifths(getattr(group, name), group.accounts) for name in _OF_ACCOUNTS}
    of_days = {name: fifths(getattr(group, name), group.days) for name in ("mid", "mismatch")}
    first_days = sum(group.start_days >= least for least in schema.START_DAYS)
    return ClusterRow(
        row=0,
        cluster="",
        size=rules.bucket_of(group.accounts),
        payers=rules.bucket_of(group.payers),
        devices=rules.bucket_of(group.devices),
        first_day=group.first_day,
        last_day=group.last_day,
        payment=group.tokens["payment"],
        device=group.tokens["device"],
        egress=group.tokens["egress"],
        client=group.clients,
        templates=group.templates,
        flat=rounded(group.flat, group.days),
        hours=digits(group.hours),
        start_days=schema.START_DAYS[first_days - 1],
        capabilities=group.tags["capability"],
        methods=group.tags["method"],
        surface=group.tags["surface"],
        **of_accounts,
        **of_days,
    )


_OF_ACCOUNTS = ("short", "fresh", "pivot", "carded", "deviced", "start_peak")


def fifths(part: int, whole: int) -> int:
    """A share to the nearest fifth, written in tenths; of a half the larger."""
    return 2 * ((10 * part + whole) // (2 * whole))


def rounded(total: int, count: int) -> int:
    """A mean to the nearest whole number; of a half the larger."""
    return (2 * total + count) // (2 * count)


def digits(sums: Sequence[int]) -> str:
    """The shape of 24 sums, the largest as 9: no rate is left in it."""
    most = max(sums)
    return "".join(str(rounded(9 * one, most) if most else 0) for one in sums)


def _large(table: Any) -> Any:  # noqa: ANN401 - tables of Ibis
    """Groups of three accounts or more: two have no bucket, and say nothing."""
    sizes = table.group_by("group").agg(many=table.count())
    sizes = sizes.filter(sizes.many >= schema.SIZE_FLOORS[0])
    return table.inner_join(sizes.select("group"), "group").select("unit", "group")


def _accounts(tied: graph.Groups) -> list[list[int]]:
    """The accounts of each group, in their order."""
    made: list[list[int]] = [[] for _ in tied.sizes]
    columns = (tied.rows.column(name).to_pylist() for name in ("unit", "group"))
    for unit, group in zip(*columns, strict=True):
        made[group].append(unit)
    return made


def _cluster(keys: Keys, anchor: str, times: int) -> str:
    """The name of a group: that of its oldest account's card, new each quarter.

    Two groups may meet in a card that ties too few to join them: the second has a name of its own.
    """
    return keys.named(f"cluster/{keys.epoch}/{times}", anchor).hex()[:16]


def _is_giant(group: Group, found: Facts) -> bool:
    return group.accounts >= GIANT_LEAST and group.accounts * 100 > found.accounts * GIANT_PERCENT


def _reasons(group: Group, row: ClusterRow, limits: Limits, *, is_giant: bool) -> Iterator[Problem]:
    """Why a group stays at home, by exact numbers where the rules know only buckets."""
    if is_giant:
        said = "A group of over a tenth of all accounts is glued together by something usual."
        yield Problem("extract.giant", "R5", "size", said)
    if group.accounts < limits.accounts:
        said = f"A row has {limits.accounts} accounts or more."
        yield Problem("extract.r1", "R1", "size", said)
    if group.payers < limits.payers:
        said = f"A row has {limits.payers} payers or more."
        yield Problem("extract.r2", "R2", "payers", said)
    if len(row.payment) < limits.payers:
        said = f"A row names the payment tokens of {limits.payers} payers or more."
        yield Problem("extract.r2", "R2", "payment", said)
    if not rules.has_basis(row, limits):
        said = (
            "The group names no method, and is not both new and either machine-paced or by clients"
            " that are not what they say."
        )
        yield Problem("extract.r6", "R6", "flat", said)


def _rank(cluster: Cluster) -> tuple[int, int, str]:
    return -cluster.score, -len(cluster.accounts), cluster.row.cluster


# --- what leaves ---------------------------------------------------------------------------------


def extract(
    found: Clusters,
    setup: Setup,
    *,
    keys: Keys,
    tokens: Tokens | None = None,
    bands: Bands | None = None,
) -> Drawn:
    """The rows and templates of the day: real ones, and dummies up to the fixed number."""
    limits = setup.limits
    chosen = [one for one in found.clusters if one.stays is None][: limits.rows]  # 6
    if tokens is not None:
        chosen = [replace(one, row=row) for one, row in _spoken(chosen, tokens)]  # 7
    # The check that the exchange makes, on what it would get: nothing that it refuses is sent.
    day = found.day
    chosen = [one for one in chosen if not rules.check_row(one.row, day=day, limits=limits)]
    used = {number for one in chosen for number in one.row.templates}
    made = ((number, _form(found, number, bands, limits)) for number in sorted(used))  # 7
    forms = {number: form for number, form in made if form and _is_keyed(form)}
    real = [
        (one.row, tuple(forms[n] for n in one.row.templates if n in forms), one.group)
        for one in chosen
    ]
    like = _like(found, setup, keys)
    table = marginals.rest_of(
        like.table,
        [row for row, _, _ in real],
        list(forms.values()),
        count=limits.rows,
        usual=dummies.usual(like),
    )
    filled = dummies.dummies(replace(like, table=table), limits.rows - len(real), day=day)  # 8
    rows = real + [(one.row, one.templates, None) for one in filled]
    return _placed(rows, keys, day)


def _like(found: Clusters, setup: Setup, keys: Keys) -> dummies.Source:
    """What dummies are made of, to be like the groups of this log."""
    rows = [one.row for one in found.clusters]
    carried = (name for name in dummies.OPTIONAL if any(getattr(row, name) for row in rows))
    return dummies.Source(
        secret=keys.secret,
        epoch=keys.epoch,
        table=dummies.shipped(),
        card=setup.card,
        limits=setup.limits,
        carried=frozenset(carried),
        clients=Counter(client for row in rows for client in row.client),
    )


def _spoken(chosen: Sequence[Cluster], tokens: Tokens) -> Iterator[tuple[Cluster, ClusterRow]]:
    """The rows with the forum's tokens; one that the forum has none for is left out."""
    known: dict[str, Mapping[str, str]] = {}
    for kind in schema.KINDS:
        wanted = sorted({value for one in chosen for value in getattr(one.row, kind)})
        known[kind] = tokens(kind, wanted) if wanted else {}
    for one in chosen:
        spoken: dict[str, Any] = {
            kind: tuple(
                sorted({known[kind][v] for v in getattr(one.row, kind) if v in known[kind]})
            )
            for kind in schema.KINDS
        }
        yield one, replace(one.row, **spoken)


def _form(found: Clusters, number: int, bands: Bands | None, limits: Limits) -> TemplateRow | None:
    """A template of the log as the others see it; none where it is not below the common rate."""
    template, rate = found.templates[number], rules.base_rate(limits)
    if not rules.is_below(template.users, found.accounts, rate):
        return None
    return TemplateRow(
        template=0,
        bands=tuple(bands(template.bands) if bands else template.bands),
        length_bucket=schema.LENGTHS[min(max(template.length, 0), len(schema.LENGTHS) - 1)],
        sample_bucket=samples_bucket(template.samples),
        base_rate_bucket=rate,
        languages=template.languages,
    )


def _is_keyed(form: TemplateRow) -> bool:
    return all(map(_BAND.fullmatch, form.bands))


def samples_bucket(count: int) -> str:
    """The decade of a number of prompts; 10 million and more are one."""
    place = len(str(max(count, 2))) - 1
    return schema.SAMPLES[min(place, len(schema.SAMPLES) - 1)]


def _placed(
    rows: Sequence[tuple[ClusterRow, tuple[TemplateRow, ...], int | None]], keys: Keys, day: date
) -> Drawn:
    """Rows and templates in an order that says nothing, new each day, and numbered so."""  # 9
    use = f"order/{day.isoformat()}"
    forms = {template for _, templates, _ in rows for template in templates}
    ordered = sorted(
        forms, key=lambda one: (keys.named(use, "".join(one.bands)), one.sample_bucket)
    )
    numbers = {template: number for number, template in enumerate(ordered)}
    placed = sorted(rows, key=lambda one: keys.named(use, one[0].cluster))
    made = tuple(
        replace(row, row=number, templates=tuple(sorted({numbers[one] for one in templates})))
        for number, (row, templates, _) in enumerate(placed)
    )
    groups = {number: group for number, (_, _, group) in enumerate(placed) if group is not None}
    templates = tuple(replace(one, template=number) for one, number in numbers.items())
    return Drawn(made, templates, groups)
