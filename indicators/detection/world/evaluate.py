"""What each member sees alone, what all see together, and what could be had with all logs in clear.

The arms, each over the same accounts:

- *alone*: own detection, groups whose score reaches a threshold. The threshold is set on the very
  seeds that are measured, so that one (or ten) in 10,000 ordinary accounts is named: no member
  could set it better.
- *rows alone*: accounts in rows of findings, with no look at home.
- *all steps*: own detection at the shipped threshold, the findings of the pool, the drafts of
  members about rows that score alone, and the look at home with all of these.
- *in clear*: all logs as one member's, its threshold set as that of *alone*.

A member *sees* a campaign that holds three of its accounts if three of them are named to it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import pyarrow as pa

from indicators.detection import (
    applying,
    engines,
    graph,
    home,
    hunting,
    schema,
    scorecard,
    shipped,
    sources,
    tables,
)
from indicators.detection.document import Algorithm, Parameter
from indicators.detection.engines import Engine
from indicators.detection.home import Cluster, Clusters, Keys, Setup
from indicators.detection.run import Found
from indicators.detection.sources import Source
from indicators.detection.values import (
    Extract,
    Finding,
    Manifest,
    Parameters,
    Pooled,
    TemplateRow,
)
from indicators.detection.world import forum as forums
from indicators.detection.world import log as logs
from indicators.detection.world.attacks import Sent
from indicators.detection.world.crowd import Crowd
from indicators.detection.world.draws import Array

EPOCH = "2026Q4"
HELD = 3  # accounts of a campaign, so that a member is one that should see it
LIMITS = engines.Limits(memory=2 << 30, threads=1)


@dataclass(frozen=True, slots=True)
class Member:
    """One member after its work at home: its groups, and what it needs to look again."""

    number: int
    log: logs.Log
    found: Clusters
    groups: graph.Groups

    @property
    def guilty(self) -> Array:
        """Which of its accounts are a campaign's."""
        return forums.is_guilty(self.log.crowd)


@dataclass(frozen=True, slots=True)
class Scored:
    """The groups of a member (or of all in clear) as columns: what a threshold is set on."""

    score: Array
    lawful: Array  # ordinary accounts of each group
    held: Array  # (group, campaign at a member, accounts): three rows
    campaigns: Array  # how many each campaign has at each member
    ordinary: int

    @property
    def guilty(self) -> int:
        """Accounts of campaigns."""
        return int(self.campaigns.sum())


def keys_of(member: int) -> Keys:
    """A secret for each member of a world."""
    return Keys(sha256(f"world/{member}".encode()).digest(), EPOCH)


def worked(forum: forums.Forum, setup: Setup) -> Iterator[Member]:
    """Each member's work at home, one after the other."""
    for number, log in enumerate(forum.logs()):
        yield at_home(number, log, setup)


def at_home(number: int, log: logs.Log, setup: Setup) -> Member:
    """Tie, measure and score the groups of one log."""
    with engines.connect(limits=LIMITS) as engine:
        source = loaded(engine, log)
        found = home.clusters(source, setup, day=log.last, keys=keys_of(number))
    return Member(number, log, found, _groups(found))


def _groups(found: Clusters) -> graph.Groups:
    """The groups as the look at home takes them: those of two accounts are none."""
    sizes = tuple(len(one.accounts) for one in found.clusters)
    units = [account for one in found.clusters for account in one.accounts]
    columns = {
        "unit": pa.array(units, pa.int64()),
        "group": pa.array(np.repeat(np.arange(len(sizes)), sizes), pa.int64()),
    }
    return graph.Groups(pa.table(columns), sizes)


def loaded(engine: Engine, log: logs.Log) -> Source:
    """A log's tables in an engine."""
    for name, types in tables.LOG.items():
        engine.load(name, log.tables[name], types)
    return Source(engine, sources.LOG)


def judged(found: Clusters, card: Parameters) -> Clusters:
    """The same groups under another scorecard."""
    made = [_judged(one, card) for one in found.clusters]
    made.sort(key=lambda one: (-one.score, -len(one.accounts), one.row.cluster))
    return replace(found, clusters=tuple(made))


def _judged(one: Cluster, card: Parameters) -> Cluster:
    score = scorecard.score_of(one.row, card)
    giant = one.stays is not None and one.stays.code == "extract.giant"
    return replace(one, score=score, is_found=not giant and scorecard.is_found(score, card))


# --- alone ---------------------------------------------------------------------------------------


def scored(members: Sequence[Member]) -> Scored:
    """All groups of all members, as their own detection ranks them."""
    places = _places(members)
    score, lawful, held = [], [], []
    for member in members:
        group = member.log.crowd.group
        for cluster in member.found.clusters:
            accounts = np.array(cluster.accounts, dtype=np.int64)
            guilty = member.guilty[accounts]
            score.append(cluster.score)
            lawful.append(int((~guilty).sum()))
            counts = Counter(group[accounts[guilty]].tolist())
            held.append({places[(member.number, one)]: many for one, many in counts.items()})
    return _columns(score, lawful, held, places, members)


def in_clear(forum: forums.Forum, members: Sequence[Member], setup: Setup) -> Scored:
    """All logs as one: what its groups score, counted at the member where each account is."""
    whole = at_home(0, forum.clear([member.log for member in members]), setup)
    at: Array = np.repeat(np.arange(len(forum.crowds)), [len(crowd) for crowd in forum.crowds])
    group, guilty = whole.log.crowd.group, whole.guilty
    pairs = Counter(zip(at[guilty].tolist(), group[guilty].tolist(), strict=True))
    places = {pair: place for place, pair in enumerate(sorted(pairs))}
    score, lawful, held = [], [], []
    for cluster in whole.found.clusters:
        accounts = np.array(cluster.accounts, dtype=np.int64)
        inside = guilty[accounts]
        score.append(cluster.score)
        lawful.append(int((~inside).sum()))
        chosen = accounts[inside]
        counts = Counter(zip(at[chosen].tolist(), group[chosen].tolist(), strict=True))
        held.append({places[pair]: many for pair, many in counts.items()})
    campaigns = np.array([pairs[pair] for pair in places])
    return _made(score, lawful, held, campaigns, int((~guilty).sum()))


def joined(parts: Sequence[Scored]) -> Scored:
    """Several worlds' groups under one threshold."""
    held, row, column = [], 0, 0
    for part in parts:
        held.append(part.held + np.array([[row], [column], [0]]))
        row, column = row + len(part.score), column + len(part.campaigns)
    return Scored(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.lawful for part in parts]),
        np.concatenate(held, axis=1),
        np.concatenate([part.campaigns for part in parts]),
        sum(part.ordinary for part in parts),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """What an arm comes to: counts, so that worlds add up."""

    named: int  # accounts of campaigns
    guilty: int
    warned: int  # members that see a campaign of which they hold three
    holding: int
    false: int  # ordinary accounts
    ordinary: int

    def __add__(self, other: "Result") -> "Result":
        return Result(
            self.named + other.named,
            self.guilty + other.guilty,
            self.warned + other.warned,
            self.holding + other.holding,
            self.false + other.false,
            self.ordinary + other.ordinary,
        )

    @property
    def recall(self) -> float:
        """Share of the campaigns' accounts that are named."""
        return self.named / max(1, self.guilty)

    @property
    def seen(self) -> float:
        """Share of the members holding three that see three."""
        return self.warned / max(1, self.holding)

    @property
    def alarms(self) -> float:
        """False ones, in 10,000 ordinary accounts."""
        return 10_000 * self.false / max(1, self.ordinary)


def at_rate(groups: Scored, rate: float) -> tuple[Result, int]:
    """The lowest threshold that names at most this share of ordinary accounts, and its result."""
    order = np.argsort(-groups.score, kind="stable")
    score, false = groups.score[order], np.cumsum(groups.lawful[order])
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    fit = ends[false[ends] <= rate * groups.ordinary]
    if not len(fit):
        return _result(groups, np.zeros(len(score), dtype=bool)), int(score[0]) + 1
    threshold = int(score[fit[-1]])
    return _result(groups, groups.score >= threshold), threshold


def at_threshold(groups: Scored, threshold: int) -> Result:
    """The result of one threshold."""
    return _result(groups, groups.score >= threshold)


def _result(groups: Scored, chosen: Array) -> Result:
    group, place, many = groups.held
    seen = np.bincount(place, many * chosen[group], minlength=len(groups.campaigns))
    holding = groups.campaigns >= HELD
    return Result(
        named=int(seen.sum()),
        guilty=groups.guilty,
        warned=int((seen[holding] >= HELD).sum()),
        holding=int(holding.sum()),
        false=int(groups.lawful[chosen].sum()),
        ordinary=groups.ordinary,
    )


# --- together ------------------------------------------------------------------------------------


def sent(member: Member, setup: Setup) -> Sent:
    """The member's extract, with the truth of its rows."""
    drawn = home.extract(member.found, setup, keys=keys_of(member.number))
    accounts = {one.group: one.accounts for one in member.found.clusters}
    manifest = Manifest(member.log.last, EPOCH, "world", (), "0" * 64, "0" * 64)
    return Sent(
        Extract(manifest, drawn.clusters, drawn.templates),
        member.log.crowd,
        {row: np.array(accounts[group], dtype=np.int64) for row, group in drawn.groups.items()},
    )


def pooled(extracts: Iterable[Extract]) -> list[Pooled]:
    """The rows of all, each with the templates that it names."""
    return [
        one
        for member, extract in enumerate(extracts)
        for one in pooled_of(member, extract, range(len(extract.clusters)))
    ]


def pooled_of(member: int, extract: Extract, rows: Iterable[int]) -> list[Pooled]:
    """Some rows of a member's extract."""
    day, chosen = extract.manifest.day, (extract.clusters[row] for row in rows)
    return [
        Pooled(member, day, row, tuple(extract.templates[number] for number in row.templates))
        for row in chosen
    ]


def forms(member: Member, cluster: Cluster) -> tuple[TemplateRow, ...]:
    """The templates of a group as an extract would show them, where none shows them."""
    known = (member.found.templates[number] for number in cluster.row.templates)
    return tuple(
        TemplateRow(
            number, one.bands, schema.LENGTHS[1], schema.SAMPLES[1], schema.BASE_RATES[-1], ("en",)
        )
        for number, one in enumerate(known)
    )


def algorithms(card: Parameters | None = None) -> list[Algorithm]:
    """What is shipped, in force; with another scorecard where one is given."""
    return [
        replace(one, parameters=_other(one.parameters, card))
        if card and one.detector == "scorecard"
        else one
        for one in shipped.algorithms()
    ]


def _other(parameters: Mapping[str, Parameter], card: Parameters) -> dict[str, Parameter]:
    return {name: replace(one, value=card[name]) for name, one in parameters.items()}


def run(rows: Sequence[Pooled], algorithms: Sequence[Algorithm]) -> Found:
    """What the pool finds."""
    with engines.connect(limits=LIMITS) as engine:
        return applying.find(rows, algorithms, engine)


def released(findings: Sequence[Finding]) -> list[hunting.Released]:
    """What of findings and drafts reaches the members, in the words of a log."""
    return [
        hunting.Released(
            str(number),
            frozenset(finding.payment),
            frozenset(finding.device),
            tuple(template.bands for template in finding.templates),
        )
        for number, finding in enumerate(findings)
    ]


def looked(member: Member, told: Sequence[hunting.Released], setup: Setup) -> Array:
    """The accounts that the look at home names."""
    with engines.connect(limits=LIMITS) as engine:
        source = loaded(engine, member.log)
        hits = hunting.hunt(source, told, member.groups, limits=setup.limits)
    return np.unique(np.array([hit.account for hit in hits if not hit.is_victim], dtype=np.int64))


def own(member: Member) -> Array:
    """The accounts that the member's own detection names."""
    found = [account for one in member.found.clusters if one.is_found for account in one.accounts]
    return np.unique(np.array(found, dtype=np.int64))


def in_rows(sents: Sequence[Sent], findings: Iterable[Finding]) -> Mapping[int, Array]:
    """The accounts of each member that are in rows of these findings."""
    made: dict[int, list[Array]] = defaultdict(list)
    for finding in findings:
        for one in finding.rows:
            accounts = sents[one.member].accounts.get(one.row.row)
            if accounts is not None:
                made[one.member].append(accounts)
    return {member: np.unique(np.concatenate(parts)) for member, parts in made.items()}


def result_of(members: Sequence[Member], named: Mapping[int, Array]) -> Result:
    """What naming these accounts at each member comes to."""
    total = Result(0, 0, 0, 0, 0, 0)
    for member in members:
        chosen: Array = np.zeros(len(member.log.crowd), dtype=bool)
        chosen[named.get(member.number, np.array([], dtype=np.int64))] = True
        total += _of_member(member.log.crowd, member.guilty, chosen)
    return total


def _of_member(crowd: Crowd, guilty: Array, chosen: Array) -> Result:
    held = Counter(crowd.group[guilty].tolist())
    seen = Counter(crowd.group[guilty & chosen].tolist())
    holding = [group for group, many in held.items() if many >= HELD]
    return Result(
        named=int((guilty & chosen).sum()),
        guilty=int(guilty.sum()),
        warned=sum(seen[group] >= HELD for group in holding),
        holding=len(holding),
        false=int((chosen & ~guilty).sum()),
        ordinary=int((~guilty).sum()),
    )


# --- columns -------------------------------------------------------------------------------------


def _places(members: Sequence[Member]) -> dict[tuple[int, int], int]:
    pairs = [
        (member.number, group)
        for member in members
        for group in np.unique(member.log.crowd.group[member.guilty]).tolist()
    ]
    return {pair: place for place, pair in enumerate(pairs)}


def _columns(
    score: Sequence[int],
    lawful: Sequence[int],
    held: Sequence[Mapping[int, int]],
    places: Mapping[tuple[int, int], int],
    members: Sequence[Member],
) -> Scored:
    counts = {
        (member.number, group): many
        for member in members
        for group, many in Counter(member.log.crowd.group[member.guilty].tolist()).items()
    }
    campaigns = np.array([counts[pair] for pair in places])
    ordinary = sum(int((~member.guilty).sum()) for member in members)
    return _made(score, lawful, held, campaigns, ordinary)


def _made(
    score: Sequence[int],
    lawful: Sequence[int],
    held: Sequence[Mapping[int, int]],
    campaigns: Array,
    ordinary: int,
) -> Scored:
    triples = [
        (row, column, many) for row, counts in enumerate(held) for column, many in counts.items()
    ]
    columns = np.array(triples, dtype=np.int64).reshape(-1, 3).T
    return Scored(np.array(score), np.array(lawful), columns, campaigns, ordinary)
