"""The look at home: released findings matched against the member's own log, on this machine alone.

Own cards and devices become tokens of the forum by blind evaluation, those that many accounts share
first, as far as the day's quota goes; what is known stays known for the quarter.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from exchange.proof.tokenise import QuotaUsed
from indicators.converters import form
from indicators.detection import engines, home, hunting, rules
from indicators.detection.hunting import Hit, Released
from indicators.extract import fold, window
from indicators.extract.findings import Found
from indicators.extract.make import Work
from indicators.extract.prompts import Template
from indicators.extract.state import State
from indicators.extract.tokens import Evaluator
from indicators.stix import fingerprints

# Evaluations of a day that are left for the day's extract: no row needs more than 160.
RESERVE = 48_000
COLUMNS = ("account", "finding", "name", "reasons", "group")
_KINDS = ("payment", "device")

Connection = Any  # of DuckDB


@dataclass(frozen=True, slots=True)
class Listed:
    """One account of the member's own that matches a finding, and why."""

    account: str
    finding: str
    name: str
    reasons: tuple[str, ...]
    group: int | None
    is_victim: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What the look at home came to."""

    accounts: tuple[Listed, ...]
    unevaluated: int  # own cards and devices of which the forum's token is not known yet


def look(
    state: State, work: Work, asked: Evaluator, released: Sequence[Found], *, day: date
) -> Looked:
    """The member's accounts that match what was released."""
    # 1. own values get tokens, the most useful first     2. findings in the words of this log
    # 3. matched, with their groups     4. numbers become the member's own names
    key = asked.band_key()
    with fold.connection(state, work.means) as duck:
        place = window.write(state, duck, day=day, spell=lambda one: _spelled(one, key))
        _evaluate(duck, str(place / "account_token.parquet"), asked)  # 1
        unevaluated = _unknown(duck, str(place / "account_token.parquet"), asked)
    own = _own(released, asked)  # 2
    limits = engines.Limits(
        memory=work.means.memory << 20, threads=work.means.threads, folder=state.work
    )
    with engines.connect(work.engine, limits) as engine:  # 3
        source = window.source(engine, place)
        groups = home.tied_by(source, work.setup)
        hits = hunting.hunt(source, own, groups, limits=work.setup.limits)
    return Looked(_listed(state, hits, {one.stix_id: one for one in released}), unevaluated)  # 4


def as_csv(accounts: Sequence[Listed]) -> str:
    """The member's own list."""
    rows = [
        [spelled(one.account), one.finding, spelled(one.name), "; ".join(one.reasons), one.group]
        for one in accounts
    ]
    return as_table(COLUMNS, rows)


def as_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as CSV; what is not there is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def as_json(accounts: Sequence[Listed]) -> str:
    """The same as JSON."""
    rows = [
        {
            "account": one.account,
            "finding": one.finding,
            "name": one.name,
            "reasons": list(one.reasons),
            "group": one.group,
        }
        for one in accounts
    ]
    return json.dumps(rows, indent=1) + "\n"


def sightings(
    accounts: Sequence[Listed], *, ids: Sequence[UUID], bundle_id: UUID, now: datetime
) -> str:
    """A bundle of one sighting for each finding that was seen, ready to contribute.

    It names the finding and the day; no account, and no number of them.
    """
    seen = sorted({one.finding for one in accounts if not one.is_victim})
    objects = []
    for finding, stix_id in zip(seen, ids, strict=False):
        said = form.sighting(
            finding, "true-positive", stix_id=stix_id, bundle_id=bundle_id, now=now
        )
        objects += json.loads(said)["objects"]
    bundle = {"type": "bundle", "id": f"bundle--{bundle_id}", "objects": objects}
    return json.dumps(bundle, indent=1) + "\n"


def _spelled(template: Template, key: bytes) -> Sequence[str]:
    """The bands under the forum's key, so that released ones can be compared."""
    return fingerprints.keyed(template.bands, key)


def _evaluate(duck: Connection, place: str, asked: Evaluator) -> None:
    """Ask for the tokens of cards and devices: those that tie accounts, then the rest."""
    per_day = int(asked.offer["quota"]["per_day"])
    free = asked.left - min(RESERVE, per_day // 4)
    rows = duck.execute(_ranked(place)).fetchall()
    wanted = [row for row in rows if row not in asked.known][: max(0, free)]
    for kind in _KINDS:
        try:
            asked.ask(kind, [token for of, token in wanted if of == kind])
        except QuotaUsed:
            return


def _ranked(place: str) -> str:
    """Each card and device that is not popular, what most accounts share first."""
    path = place.replace("'", "''")
    return (
        f"SELECT kind, token FROM read_parquet('{path}') WHERE kind IN ('payment', 'device')"
        f" GROUP BY kind, token HAVING count(*) <= {rules.SHIPPED.token_accounts}"
        " ORDER BY count(*) DESC, kind DESC, token"
    )


def _unknown(duck: Connection, place: str, asked: Evaluator) -> int:
    rows = duck.execute(_ranked(place)).fetchall()
    return sum(row not in asked.known for row in rows)


def _own(released: Sequence[Found], asked: Evaluator) -> list[Released]:
    """The findings with this log's digests where they have the forum's tokens."""
    digests: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (kind, digest), token in asked.known.items():
        digests[kind, token].append(digest)
    made = []
    for one in released:
        held = {
            kind: frozenset(
                digest
                for token in one.tokens.get(kind, ())
                for digest in digests.get((kind, token), ())
            )
            for kind in _KINDS
        }
        made.append(Released(one.stix_id, held["payment"], held["device"], one.templates))
    return made


def _listed(state: State, hits: Sequence[Hit], released: Mapping[str, Found]) -> tuple[Listed, ...]:
    digests = {hit.account: f"{hit.account:0{fold.DIGITS}x}" for hit in hits}
    names = state.names({"account": set(digests.values())})
    return tuple(
        Listed(
            account=names.get(("account", digests[hit.account]), digests[hit.account]),
            finding=hit.finding,
            name=released[hit.finding].name,
            reasons=tuple(hunting.REASONS[reason] for reason in hit.reasons),
            group=hit.group,
            is_victim=hit.is_victim,
        )
        for hit in hits
    )


def spelled(text: str) -> str:
    """What a spreadsheet would take for a formula has ' before it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
