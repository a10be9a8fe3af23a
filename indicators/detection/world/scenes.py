"""Small named scenes with truth: what algorithms are tried on, at home and on the pool.

A scene has one subject (a look-alike, or a campaign) among four hundred ordinary people; the same
name and seed give the same tables on every machine. `log` makes what a member sees of it
(tables.LOG), `pool` what two or three members would have sent of it (tables.POOL): there, a group
at a member is a row, whatever a member would have tied.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from indicators.detection import schema, tables
from indicators.detection.world import kinds, log
from indicators.detection.world.crowd import Crowd, Numbers, gather, joined
from indicators.detection.world.draws import Array, Table, hexes
from indicators.detection.world.kinds import Kind

BACKGROUND = 400
_CODES = {"person": 0, "subject": 1, "other": 2}
_CLUSTER = 21  # salt
# Kinds of small groups: accounts of each, and how many of them a scene has.
_SMALL = {"family": (4, 12), "many-accounts": (4, 12), "scheduled-job": (12, 3)}

# The closed list of what an algorithm's document may name, and three that are tried beside it.
LOOK_ALIKES = (
    "school",
    "hackathon",
    "firm",
    "lawful-reseller",
    "benchmark",
    "open-source-tool",
    "carrier-nat",
    "scheduled-job",
    "launch-rush",
    "multi-home",
)
ALSO_LAWFUL = ("market-place", "family", "many-cards", "automated-firm", "many-accounts")
CAMPAIGNS = tuple(kinds.CAMPAIGNS)
NAMES = (*LOOK_ALIKES, *ALSO_LAWFUL, *CAMPAIGNS)


@dataclass(frozen=True, slots=True)
class Scene:
    """Tables, and which of their units (accounts, or rows of the pool) are a campaign's."""

    name: str
    seed: int
    tables: Mapping[str, Table]
    subject: frozenset[int]  # units of what the scene is about
    guilty: frozenset[int]  # the same, if it is a campaign; else none


def at_home(name: str, seed: int = 1) -> Scene:
    """What one member's log shows of it."""
    rng, crowd = _crowd(name, seed)
    units = frozenset(np.flatnonzero(crowd.kind == _CODES["subject"]).tolist())
    written = log.written(rng, crowd)
    return Scene(name, seed, written.tables, units, units if name in CAMPAIGNS else frozenset())


def in_pool(name: str, seed: int = 1) -> Scene:
    """What the rows of three members (two for a firm at two) show of it."""
    rng, crowd = _crowd(name, seed)
    members = 2 if name == "multi-home" else 3
    at = rng.integers(0, members, len(crowd))
    made = _Rows()
    subject: set[int] = set()
    for member in range(members):
        part = crowd.part(at == member)
        written = log.written(rng, part, home=member + 1)
        for group in np.unique(part.group[part.kind != _CODES["person"]]):
            accounts = np.flatnonzero(part.group == group)
            if len(accounts) < schema.SIZE_FLOORS[0]:
                continue
            row = made.add(written, accounts, member)
            if part.kind[accounts[0]] == _CODES["subject"]:
                subject.add(row)
    units = frozenset(subject)
    guilty = units if name in CAMPAIGNS else frozenset()
    return Scene(name, seed, made.tables(), units, guilty)


SURFACES: Mapping[str, Callable[[str, int], Scene]] = MappingProxyType(
    {"log": at_home, "pool": in_pool}
)


def _kind(name: str) -> Kind:
    if name == kinds.MULTI_HOME.name:
        return kinds.MULTI_HOME
    return (kinds.CAMPAIGNS.get(name) or kinds.ORDINARY[name])[1]


def _crowd(name: str, seed: int) -> tuple[Array, Crowd]:
    """The subject, and people and firms around it."""
    rng = np.random.default_rng([seed, NAMES.index(name)])
    numbers = Numbers(1_000)
    kind = _kind(name)
    middle = int(min(kind.size[0], 150))
    # A scene shows the kind in its plain form: large enough to be seen, and all of it new where
    # some are, for it is then that it looks most like a campaign.
    size, groups = _SMALL.get(name, (max(24, middle), 1))
    plain = replace(kind, fresh=1.0) if kind.fresh > 0 else kind
    subject = gather(rng, numbers, plain, np.full(groups, size), code=_CODES["subject"])
    people = gather(rng, numbers, kinds.PERSON, np.ones(BACKGROUND, int), code=_CODES["person"])
    firm = kinds.ORDINARY["firm"][1]
    others = gather(rng, numbers, firm, np.full(8, 9), code=_CODES["other"])
    return rng, joined([people, subject, others])


class _Rows:
    """Rows of a pool in the making; buckets are indexes, lists are rows of their own tables."""

    def __init__(self) -> None:
        self._made: dict[str, list[dict[str, object]]] = {name: [] for name in tables.POOL}

    def add(self, written: log.Log, accounts: Array, member: int) -> int:
        """The row of these accounts of a member; its number."""
        row = len(self._made["cluster_row"])
        crowd, window = written.crowd, schema.DAYS
        days = written.tables["account_day"]
        mine = np.isin(days["account"].to_numpy(), accounts)
        day = {name: days[name].to_numpy()[mine] for name in ("account", "flat", "am", "pm", "mid")}
        cards, devices = (self._held(crowd, accounts, kind) for kind in (0, 1))
        age, gone = crowd.age[accounts], crowd.gone[accounts]
        starts = np.unique(age[age < window], return_counts=True)[1]
        last = days["day"].to_numpy()[mine].astype(int)
        self._made["cluster_row"].append(
            {
                "row": row,
                "member": member,
                "day": written.last,
                "cluster": hexes(crowd.group[accounts[:1]], _CLUSTER + member, 16)[0].as_py(),
                "size": _bucket(len(accounts)),
                "payers": _bucket(len(np.unique(cards))),
                "devices": _bucket(len(np.unique(devices))),
                "first_day": log.day_of(written.last, int(min(age.max(), window - 1))),
                "last_day": log.day_of(log.EPOCH, -int(last.max(initial=0))),
                "flat": int(day["flat"].mean()) if len(day["flat"]) else 0,
                "am": _level(day["am"]),
                "pm": _level(day["pm"]),
                "mid": _fifths(np.unique(day["account"][day["mid"]]), accounts),
                "short": _fifths(accounts[gone > 0], accounts),
                "fresh": _fifths(accounts[age < window], accounts),
                "mismatch": _fifths(accounts[crowd.mismatch[accounts]], accounts),
                "pivot": _fifths(accounts[crowd.moved[accounts]], accounts),
                "carded": _share(len(np.unique(self._who(crowd, accounts, 0))), len(accounts)),
                "deviced": _share(len(np.unique(self._who(crowd, accounts, 1))), len(accounts)),
                "start_days": max(n for n in schema.START_DAYS if n <= max(1, len(starts))),
                "start_peak": _share(int(starts.max(initial=0)), len(accounts)),
            }
        )
        self._lists(written, accounts, row, member)
        return row

    def _lists(self, written: log.Log, accounts: Array, row: int, member: int) -> None:
        crowd = written.crowd
        for number, kind in enumerate(schema.KINDS):
            held, counts = np.unique(self._held(crowd, accounts, number), return_counts=True)
            held = held[counts > 1] if kind == "egress" else held
            texts = sorted(log.token(held).to_pylist())[: schema.MOST_TOKENS[kind]]
            self._made["row_token"] += [
                {"row": row, "kind": kind, "token": token} for token in texts
            ]
        clients = np.unique(crowd.client[accounts])[: schema.MOST_CLIENTS]
        self._made["row_client"] += [
            {"row": row, "client": client} for client in hexes(clients, 4, 32).to_pylist()
        ]
        tags = written.tables["account_tag"].filter(
            pa.array(np.isin(written.tables["account_tag"]["account"].to_numpy(), accounts))
        )
        pairs = {(pair["kind"], pair["tag"]) for pair in tags.to_pylist()}
        self._made["row_tag"] += [
            {"row": row, "kind": kind, "tag": tag} for kind, tag in sorted(pairs)
        ]
        self._shared_templates(written, accounts, row, member)

    def _shared_templates(self, written: log.Log, accounts: Array, row: int, member: int) -> None:
        uses = written.tables["account_template"].filter(
            pa.array(np.isin(written.tables["account_template"]["account"].to_numpy(), accounts))
        )
        used, counts = np.unique(uses["template"].to_numpy(), return_counts=True)
        texts = written.tables["template"].to_pylist()
        values = written.tables["template_band"]["value"].to_pylist()
        for template in used[counts > 1][: schema.MOST_TEMPLATES].tolist():
            number = len(self._made["template_row"])
            said = texts[template]
            self._made["row_template"].append({"row": row, "template": number})
            self._made["template_row"].append(
                {
                    "template": number,
                    "member": member,
                    "day": written.last,
                    "length": said["length"],
                    "samples": min(len(str(said["samples"])) - 1, len(schema.SAMPLES) - 1),
                    "base_rate": 4,
                    "languages": said["languages"],
                }
            )
            first = template * schema.BANDS
            self._made["template_band"] += [
                {"template": number, "band": band, "value": values[first + band]}
                for band in range(schema.BANDS)
            ]

    def tables(self) -> Mapping[str, Table]:
        """As Arrow, in the types that the detectors read."""
        return {
            name: pa.table(
                {
                    column: pa.array([made[column] for made in self._made[name]], _TYPES[form])
                    for column, form in columns.items()
                }
            )
            for name, columns in tables.POOL.items()
        }

    @staticmethod
    def _held(crowd: Crowd, accounts: Array, kind: int) -> Array:
        return crowd.token[(crowd.token_kind == kind) & np.isin(crowd.token_account, accounts)]

    @staticmethod
    def _who(crowd: Crowd, accounts: Array, kind: int) -> Array:
        return np.intersect1d(crowd.token_account[crowd.token_kind == kind], accounts)


_TYPES = {"int64": pa.int64(), "string": pa.string(), "date": pa.date32(), "boolean": pa.bool_()}


def _bucket(number: int) -> int:
    return int(np.searchsorted(schema.SIZE_FLOORS, number, side="right")) - 1


def _share(part: int, whole: int) -> int:
    return 2 * (5 * part // max(1, whole))


def _fifths(some: Array, every: Array) -> int:
    return _share(len(some), len(every))


def _level(digits: Array) -> int:
    """Twelve digits, each the mean of the days'."""
    places = [(digits // 10**power) % 10 for power in range(11, -1, -1)]
    return int("".join(str(int(place.mean())) if len(place) else "0" for place in places))
