"""A member's log for tests, written by hand: accounts, their days, and what they hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from indicators.detection import engines, schema, sources, tables

DAY = date(2026, 11, 2)
_KINDS = {"int64": pa.int64(), "boolean": pa.bool_(), "date": pa.date32()}


def ago(days: int) -> date:
    """So many days before the day of the extract."""
    return DAY - timedelta(days=days)


def token(number: int) -> str:
    """A token of the forum."""
    return f"{number:064x}"


def bands(number: int) -> list[str]:
    """The bands of a template; those of two numbers have none in common."""
    return [f"{number * 100 + band:016x}" for band in range(schema.BANDS)]


@dataclass
class Log:
    """The tables of a log, as rows in the order of tables.LOG."""

    rows: dict[str, list[tuple[Any, ...]]] = field(
        default_factory=lambda: {name: [] for name in tables.LOG}
    )

    def account(
        self, account: int, *, began: int = 10, carded: bool = True, entity: str = ""
    ) -> None:
        """An account that began so many days ago."""
        self.rows["account"].append((account, ago(began), carded, True, entity))

    def used(
        self,
        account: int,
        day: int,
        *,
        flat: int = 7,
        hours: str = "9" * 24,
        mid: bool = False,
        mismatch: bool = False,
        moved: bool = False,
        client: str = "",
    ) -> None:
        """A day of use, so many days ago."""
        halves = int(hours[:12]), int(hours[12:])
        self.rows["account_day"].append(
            (account, ago(day), 26, flat, *halves, mid, mismatch, moved, client)
        )

    def holds(self, kind: str, value: str, accounts: Iterable[int]) -> None:
        """A card, device or address of these accounts."""
        self.rows["account_token"] += [(account, kind, value) for account in accounts]

    def tagged(self, kind: str, tag: str, accounts: Iterable[int]) -> None:
        """What was noted of these accounts."""
        self.rows["account_tag"] += [(account, kind, tag) for account in accounts]

    def asks(
        self,
        template: int,
        accounts: Iterable[int],
        *,
        samples: int = 40,
        found: Sequence[str] | None = None,
    ) -> None:
        """A template that these accounts use."""
        self.rows["template"].append((template, 2, samples, "en zh"))
        self.rows["account_template"] += [(account, template) for account in accounts]
        listed = bands(template) if found is None else found
        self.rows["template_band"] += [(template, n, value) for n, value in enumerate(listed)]

    def changed(self, accounts: dict[int, tuple[object, ...]]) -> None:
        """Other values for these accounts."""
        known = self.rows["account"]
        self.rows["account"] = [(row[0], *accounts.get(row[0], row[1:])) for row in known]

    def unused(self, *accounts: range) -> None:
        """No day of these accounts."""
        gone = {account for some in accounts for account in some}
        days = self.rows["account_day"]
        self.rows["account_day"] = [row for row in days if row[0] not in gone]

    def strangers(self, count: int, *, start: int = 10_000) -> None:
        """Accounts that are tied to nobody."""
        for account in range(start, start + count):
            self.account(account, began=200)
            self.used(account, 0, flat=1)

    def campaign(self, start: int, accounts: int = 12, *, cards: int = 4, name: int = 1) -> None:
        """Relay accounts: `cards` cards, each on its share of them, on one device; even hours."""
        everybody = range(start, start + accounts)
        for account in everybody:
            self.account(account, began=10 if account % 2 else 3)
            for day in (0, 1):
                self.used(account, day)
        for card in range(cards):
            held = [one for one in everybody if (one - start) % cards == card]
            self.holds("payment", token(name * 1_000 + card), held)
        self.holds("device", token(name * 1_000 + 500), everybody)

    def loaded(self, engine: engines.Engine) -> sources.Source:
        """The log in an engine."""
        for name, types in tables.LOG.items():
            made = {
                column: pa.array([row[n] for row in self.rows[name]], _KINDS.get(kind, pa.string()))
                for n, (column, kind) in enumerate(types.items())
            }
            engine.load(name, pa.table(made), types)
        return sources.Source(engine, sources.LOG)
