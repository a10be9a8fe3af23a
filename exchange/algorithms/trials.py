"""An algorithm tried in a process of its own: its cases, its mutants, each fault at its line.

The child has the document and the shipped world, and nothing of the pool or of a member. A member
has one trial at a time, so that no member takes every place, and the exchange a few: each is some
seconds of a processor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.util import find_spec
from typing import Any

import orjson
from django.db import connection, transaction

from exchange import children
from exchange.proof.refused import Forbidden, Refused
from indicators.detection import document
from indicators.detection.document import Fault
from members.auth import Principal

MODULE = "indicators.detection.trying"
MEMORY = 1 << 30
SECONDS = 40
SLOTS = 2  # at a time, in the whole exchange
_MOST = 1 << 20
_EXTRA = ("duckdb", "ibis", "pyarrow", "scipy", "sigma")


@dataclass(frozen=True, slots=True)
class Case:
    """One test that travels with it, and what came of it."""

    name: str
    is_match: bool
    look_alike: str
    why: str
    holds: bool
    came: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to spoil it, and whether a case notices."""

    what: str
    is_noticed: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """One scene of the shipped world: how many of its subject were hit, and of the others."""

    scene: str
    runs_on: str
    is_campaign: bool
    subject: int
    hit: int
    others: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial said: passes only if every case holds, and each way to spoil it is noticed."""

    faults: tuple[Fault, ...] = ()
    cases: tuple[Case, ...] = ()
    mutants: tuple[Mutant, ...] = ()
    world: tuple[Seen, ...] = ()
    raw: bytes = b""

    @property
    def passes(self) -> bool:
        """Whether it may be handed on."""
        return (
            not self.faults
            and bool(self.cases)
            and all(one.holds for one in self.cases)
            and all(one.is_noticed for one in self.mutants)
        )

    @property
    def by_kind(self) -> tuple[tuple[bool, tuple[Seen, ...]], ...]:
        """The scenes of the shipped world: what only looks alike first, then the campaigns."""
        kinds = (
            (one, tuple(s for s in self.world if s.is_campaign is one)) for one in (False, True)
        )
        return tuple((is_campaign, found) for is_campaign, found in kinds if found)


def is_on() -> bool:
    """Whether this exchange has what the pool needs: the extra `pool`."""
    return all(find_spec(name) is not None for name in _EXTRA)


def demand_on() -> None:
    """Refused where the extra is not installed."""
    if not is_on():
        raise Refused("pool.off", "The pool is off: the extra `pool` of this exchange is missing.")


def faults_of(text: str, *, now: datetime) -> tuple[Fault, ...]:
    """What is wrong by form and sense, each at its line; judged here, without a child."""
    return document.check(text.encode(), today=now.astimezone(UTC).date()).faults


@transaction.atomic
def try_out(principal: Principal, text: str, *, now: datetime) -> Tried:
    """Try a document that its author is still writing; nothing of it is kept."""
    if not principal.may("write-algorithm") or principal.user_id is None:
        raise Forbidden("An algorithm is tried by an analyst of a member.")
    return of(principal, text, today=now.astimezone(UTC).date())


def of(principal: Principal, text: str, *, today: date) -> Tried:
    """What the child says of a document; its faults of form need none."""
    faults = document.check(text.encode(), today=today).faults
    if faults:
        return Tried(faults=faults)
    demand_on()
    _take_slot(principal)
    raw = children.run(MODULE, text.encode(), memory=MEMORY, seconds=SECONDS, most=_MOST)
    return read(raw)


def read(raw: bytes) -> Tried:
    """The child's answer, or one that was kept."""
    said = orjson.loads(raw)
    return Tried(
        faults=tuple(_fault(one) for one in said["faults"]),
        cases=tuple(_case(one) for one in said["cases"]),
        mutants=tuple(Mutant(str(one["what"]), bool(one["noticed"])) for one in said["mutants"]),
        world=tuple(_seen(one) for one in said.get("world", ())),
        raw=raw,
    )


def _fault(one: Mapping[str, Any]) -> Fault:
    line = one.get("line")
    return Fault(one["code"], one["sentence"], one["path"], None if line is None else int(line))


def _case(one: Mapping[str, Any]) -> Case:
    return Case(
        name=str(one["name"]),
        is_match=one["expect"] == "match",
        look_alike=str(one.get("look_alike", "")),
        why=str(one["why"]),
        holds=bool(one["holds"]),
        came=str(one["came"]),
    )


def _seen(one: Mapping[str, Any]) -> Seen:
    return Seen(
        scene=str(one["scene"]),
        runs_on=str(one["runs_on"]),
        is_campaign=bool(one["campaign"]),
        subject=int(one["subject"]),
        hit=int(one["hit"]),
        others=int(one["others"]),
    )


def _take_slot(principal: Principal) -> None:
    """One trial for a member and a few in all, until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 23))", [str(principal.member_id)]
        )
        if not cursor.fetchone()[0]:
            said = "One trial of your company's runs already. Wait for its end."
            raise Refused("algorithm.trial", said)
        for slot in range(SLOTS):
            cursor.execute("SELECT pg_try_advisory_xact_lock(2023, %s)", [slot])
            if cursor.fetchone()[0]:
                return
    said = "Others try their algorithms just now. Try again in a minute."
    raise Refused("algorithm.busy", said)
