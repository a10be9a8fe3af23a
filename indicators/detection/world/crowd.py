"""Groups of accounts of one kind, before any member has them: what they are and what they hold."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from indicators.detection import schema
from indicators.detection.world.draws import Array, between, mixed
from indicators.detection.world.kinds import Kind

NOBODY = -1
CLIENTS = 40  # that everybody uses
POPULAR = 400  # templates that everybody uses: tutorials, examples, memes
METHODS = (
    "chain-of-thought-elicitation",
    "rubric-grading",
    "tool-trace-capture",
    "preference-pair-generation",
    "synthetic-instruction-generation",
    "multi-turn-self-play",
)
CAPABILITIES = (
    "reasoning-trace",
    "reward-grading",
    "agentic-tool-use",
    "software-engineering",
    "vision",
    "mathematics",
)
SURFACES = ("first-party-api", "first-party-app", "cloud-marketplace", "aggregator")
OLDEST = 900  # days


class Numbers:
    """Numbers that nothing else has: of cards, devices, addresses, templates, clients, groups."""

    def __init__(self, start: int) -> None:
        self._next = start

    def take(self, count: int) -> int:
        """The first of so many."""
        first = self._next
        self._next += int(count)
        return first


@dataclass(frozen=True, slots=True)
class Crowd:
    """Accounts as columns, and what they hold as pairs (account, thing)."""

    kind: Array  # index in the names of the world
    group: Array  # number of the group: of a campaign, a firm, a class
    entity: Array  # who is behind it in truth: people of a firm are one, strangers are not
    known: Array  # whether the member knows that entity
    age: Array  # days since its first day, at the end of the window
    gone: Array  # days since its last
    events: Array  # of an active day
    active: Array  # share of days
    width: Array
    centre: Array
    mismatch: Array
    moved: Array
    client: Array
    surface: Array
    token_account: Array
    token_kind: Array  # index in schema.KINDS
    token: Array
    used_account: Array
    used: Array  # number of a template
    steady: Array  # its likeness at two members, in thousandths
    tag_account: Array
    tag: Array  # index in METHODS; the capability of the same place goes with it

    def __len__(self) -> int:
        return len(self.kind)

    def part(self, chosen: Array) -> "Crowd":
        """Those of a mask over the accounts, renumbered."""
        places = np.cumsum(chosen) - 1
        made = {name: getattr(self, name)[chosen] for name in _COLUMNS}
        for owner, *things in _PAIRS:
            kept = chosen[getattr(self, owner)]
            made[owner] = places[getattr(self, owner)[kept]]
            made |= {name: getattr(self, name)[kept] for name in things}
        return Crowd(**made)


_PAIRS = (
    ("token_account", "token_kind", "token"),
    ("used_account", "used", "steady"),
    ("tag_account", "tag"),
)
_PAIRED = {name for pair in _PAIRS for name in pair}
_COLUMNS = tuple(field.name for field in fields(Crowd) if field.name not in _PAIRED)


def joined(crowds: Sequence[Crowd]) -> Crowd:
    """Several crowds as one, in their order."""
    offsets = np.cumsum([0, *(len(crowd) for crowd in crowds)])
    made = {}
    for field in fields(Crowd):
        parts = [getattr(crowd, field.name) for crowd in crowds]
        if field.name.endswith("_account"):
            parts = [part + offset for part, offset in zip(parts, offsets, strict=False)]
        made[field.name] = np.concatenate(parts)
    return Crowd(**made)


def gather(rng: Array, numbers: Numbers, kind: Kind, sizes: Array, *, code: int) -> Crowd:
    """The accounts of groups of these sizes."""
    sizes = np.asarray(sizes, dtype=np.int64)
    total, groups = int(sizes.sum()), len(sizes)
    group: Array = np.repeat(np.arange(groups), sizes)
    lots = _lots(rng, kind, sizes)
    new = rng.random(groups) < kind.fresh
    age = _ages(rng, kind, group, new=new)
    first_group = numbers.take(groups)
    strangers = _are_strangers(kind)
    entity: Array = numbers.take(total) + np.arange(total) if strangers else first_group + group
    own = rng.random(groups) < kind.own_client
    clients: Array = numbers.take(groups) + np.arange(groups)
    popular = 1 + np.minimum(rng.zipf(1.6, total) - 1, CLIENTS - 1)
    centre = rng.uniform(0, 24, groups)[group] + kind.apart * rng.standard_normal(total)
    tokens = [
        _tokens(rng, numbers, 0, lots, kind.carded, kind.per_card),
        _tokens(rng, numbers, 1, lots, kind.deviced, kind.per_device),
        _tokens(rng, numbers, 2, lots, 1.0, kind.per_egress),
        _own_address(rng, numbers, total, share=0.5 if kind.per_egress[0] else 1.0),
    ]
    used = _templates(rng, numbers, kind, group, groups)
    tagged = np.flatnonzero(rng.random(total) < rng.uniform(*kind.tagged, groups)[group])
    wanted = rng.integers(0, len(METHODS), (groups, 2))[group[tagged]]
    surface = SURFACES.index(kind.surface) if kind.surface else NOBODY
    return Crowd(
        kind=np.full(total, code),
        group=first_group + group,
        entity=entity,
        known=(rng.random(groups) < kind.known)[group],
        age=age,
        gone=_ends(rng, kind, group, groups, age),
        events=kind.events[0] * np.exp(kind.events[1] * rng.standard_normal(total)),
        active=rng.uniform(*kind.active, total),
        width=between(rng, *kind.width, groups)[group],
        centre=centre % 24,
        mismatch=rng.random(total) < rng.uniform(*kind.mismatch, groups)[group],
        moved=rng.random(total) < kind.moved,
        client=np.where(own[group], clients[group], popular),
        surface=np.where(rng.random(total) < 0.7, surface, rng.integers(0, 2, total)),
        token_account=np.concatenate([accounts for accounts, _ in tokens]),
        token_kind=np.repeat([0, 1, 2, 2], [len(accounts) for accounts, _ in tokens]),
        token=np.concatenate([held for _, held in tokens]),
        used_account=used[0],
        used=used[1],
        steady=used[2],
        tag_account=tagged,
        tag=np.where(rng.random(len(tagged)) < 0.7, wanted[:, 0], wanted[:, 1]),
    )


def _are_strangers(kind: Kind) -> bool:
    """Whether the accounts of a group belong to people who do not know one another."""
    return kind.name in {
        "benchmark",
        "carrier-nat",
        "hackathon",
        "launch-rush",
        "market-place",
        "open-source-tool",
        "school",
    }


def _lots(rng: Array, kind: Kind, sizes: Array) -> Array:
    """The sizes of the lots that the groups came in."""
    if kind.lot[0] >= int(sizes.max(initial=0)):
        return sizes
    made: list[int] = []
    for size in sizes.tolist():
        left = size
        while left:
            lot = min(left, int(rng.integers(kind.lot[0], kind.lot[1] + 1)))
            made.append(lot)
            left -= lot
    return np.array(made, dtype=np.int64)


def _ages(rng: Array, kind: Kind, group: Array, *, new: Array) -> Array:
    total, groups = len(group), len(new)
    waves = between(rng, *kind.waves, groups)
    # A new group began on so many days, all within the window.
    newest = rng.integers(2, schema.DAYS - 1, groups)
    wave = np.floor(rng.random(total) * waves[group]).astype(np.int64)
    days = mixed((group.astype(np.int64) << 8) + wave, 7) % 38
    spread = (newest[group] + np.where(waves[group] > 1, days.astype(np.int64), 0)) % 43 + 1
    # An old group's accounts came over the years, and some of late.
    old = rng.integers(schema.DAYS, OLDEST, total)
    late = rng.random(total) < kind.joined
    old = np.where(late, rng.integers(1, schema.DAYS, total), old)
    return np.where(new[group], spread, old)


def _ends(rng: Array, kind: Kind, group: Array, groups: int, age: Array) -> Array:
    ended = rng.random(len(age)) < rng.uniform(*kind.short, groups)[group]
    after = np.floor(rng.random(len(age)) * np.minimum(age, schema.DAYS)).astype(np.int64)
    return np.where(ended, after, 0)


def _tokens(
    rng: Array, numbers: Numbers, kind: int, sizes: Array, share: float, per: Sequence[float]
) -> tuple[Array, Array]:
    """Who holds which: cards come in blocks of accounts, machines and addresses as it happens."""
    none = np.array([], dtype=np.int64)
    if not per[1]:
        return none, none
    each = rng.uniform(*per, len(sizes))
    many = np.maximum(1, np.rint(sizes / each)).astype(np.int64)
    lot: Array = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(lot)) - starts[lot]
    blocks = rank * many[lot] // sizes[lot]
    scattered = np.floor(rng.random(len(lot)) * many[lot]).astype(np.int64)
    own = many[lot] >= sizes[lot]
    place = np.where(own, rank, scattered) if kind else blocks
    firsts = numbers.take(int(many.sum())) + np.cumsum(many) - many
    held = rng.random(len(lot)) < share
    return np.flatnonzero(held), (firsts[lot] + place)[held]


def _own_address(rng: Array, numbers: Numbers, total: int, *, share: float) -> tuple[Array, Array]:
    """An address of one's own: at home, or on the way."""
    held = np.flatnonzero(rng.random(total) < share)
    return held, numbers.take(len(held)) + np.arange(len(held))


def _templates(
    rng: Array, numbers: Numbers, kind: Kind, group: Array, groups: int
) -> tuple[Array, Array, Array]:
    total = len(group)
    many = between(rng, *kind.templates, groups)
    firsts = numbers.take(int(many.sum())) + np.cumsum(many) - many
    steady = np.rint(1000 * rng.uniform(*kind.steady, max(1, int(many.sum())))).astype(np.int64)
    uses = np.minimum(between(rng, *kind.uses, total), many[group])
    accounts: Array = np.repeat(np.arange(total), uses)
    start = rng.integers(0, 1 << 30, total)[accounts]
    rank = np.arange(len(accounts)) - (np.cumsum(uses) - uses)[accounts]
    # An account uses neighbours in the list of its group: those of one task.
    place = (start + rank) % np.maximum(1, many[group[accounts]])
    used = firsts[group[accounts]] + place
    known = steady[used - firsts[0]] if len(used) else np.array([], dtype=np.int64)
    also = np.flatnonzero(rng.random(total) < kind.popular)
    common = np.minimum(rng.zipf(1.25, len(also)), POPULAR)
    return (
        np.concatenate([accounts, also]),
        np.concatenate([used, common]),
        np.concatenate([known, np.full(len(also), 980)]),
    )
