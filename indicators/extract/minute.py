"""Near real time: what a minute of the log is tied to, against the days that are folded.

A minute touches only its tokens, their accounts and those accounts' days
(`indicators.detection.minute`). No day is folded by it: that is done when the day is over.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indicators.detection import engines, home, minute
from indicators.detection.engines import number
from indicators.detection.home import Cluster, Keys
from indicators.extract import fold, window
from indicators.extract.make import Work
from indicators.extract.state import State

COLUMNS = ("group", "score", "size", "account")
_AS_THEY_ARE = ("account_token", "account_tag", "account_template")

Table = Any  # of Arrow


@dataclass(frozen=True, slots=True)
class Seen:
    """One account of a group that the minute touched, and how the group scores."""

    group: int
    score: int
    size: str
    account: str


def look(state: State, work: Work, *, day: date, since: date) -> tuple[Seen, ...]:
    """The groups that a minute of a day touches and that count by their score alone.

    The minute's tables lie in the work folder; `since` is the last day that is folded.
    """
    with fold.connection(state, work.means) as duck:
        place = window.kept(state, duck, day=since)
    limits = engines.Limits(
        memory=work.means.memory << 20, threads=work.means.threads, folder=state.work
    )
    with engines.connect(work.engine, limits) as engine:
        whole = window.source(engine, place)
        accounts = number(engine, whole.table("account").count().cast("int64"))
        batch = _batch(state.begun(day), place, day=day)
        if day == since:  # what the day has so far says more of an account than a minute
            told = pq.read_table(state.day(day) / "account_day.parquet", columns=["account"])
            new = pc.invert(pc.is_in(batch["account_day"]["account"], told["account"]))
            batch["account_day"] = batch["account_day"].filter(new)
        narrowed = minute.narrowed(whole, batch)
        keys = Keys(state.keys.of("home"), "minute")
        found = home.clusters(narrowed, work.setup, day=day, keys=keys, accounts=accounts)
    return _named(state, [one for one in found.clusters if one.is_found], day=day)


def _batch(minute_of: Path, place: Path, *, day: date) -> dict[str, Table]:
    """The minute's rows; of an account that is known its first day stays."""
    batch = {name: pq.read_table(minute_of / f"{name}.parquet") for name in _AS_THEY_ARE}
    batch["account_day"] = pq.read_table(minute_of / "account_day.parquet")
    account = pq.read_table(minute_of / "account.parquet")
    wanted = account["account"].combine_chunks()
    known = pq.read_table(
        place / "account.parquet",
        columns=["account", "first_day"],
        filters=pc.field("account").isin(wanted),
    )
    before = dict(zip(known["account"].to_pylist(), known["first_day"].to_pylist(), strict=True))
    signups = zip(account["account"].to_pylist(), account["signup"].to_pylist(), strict=True)
    first = [before.get(one) or signup or day for one, signup in signups]
    batch["account"] = account.drop_columns(["signup"]).append_column(
        "first_day", pa.array(first, pa.date32())
    )
    return batch


def _named(state: State, found: list[Cluster], *, day: date) -> tuple[Seen, ...]:
    digests = {one: f"{one:0{fold.DIGITS}x}" for group in found for one in group.accounts}
    names = state.names({"account": set(digests.values())}, beside=state.begun(day))
    return tuple(
        Seen(
            group=place,
            score=group.score,
            size=group.row.size,
            account=names.get(("account", digests[one]), digests[one]),
        )
        for place, group in enumerate(found, start=1)
        for one in group.accounts
    )
