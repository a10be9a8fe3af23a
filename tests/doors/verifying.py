"""A member's verifier before a live exchange, and the superuser who changes what is past."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone

from exchange import ledger, release
from exchange.ledger import sequencer, witnesses
from exchange.models import LedgerEntry, LedgerHead
from exchange.proof import merkle, verify
from exchange.proof.remote import CREDENTIAL
from exchange.signers import signer_for
from members.models import Member, User
from tests.cast import Cast, make_cast
from tests.doors.clients import secret_of
from tests.shell.sharing import Way, range_indicator

SCOPES = ("ledger-read", "taxii-read")
MINUTE = timedelta(minutes=1)


@dataclass
class Desk:
    """Ben's verifier, and the exchange that it asks."""

    cast: Cast
    url: str
    state: Path
    folder: Path
    settings: LazySettings
    capsys: pytest.CaptureFixture[str]
    said: str = ""

    @property
    def way(self) -> Way:
        return Way(self.cast, self.cast.relay_watch)

    def give(self, value: str, now: datetime | None = None) -> None:
        """Aurora shares one indicator with the relay watch."""
        self.way.give(range_indicator(value), now=now or timezone.now())
        release.open_windows(now=now or timezone.now())
        self.publish(now)

    def publish(self, now: datetime | None = None) -> None:
        """One round of the sequencer."""
        moment = now or timezone.now()
        ledger.integrate(now=moment)
        ledger.publish(signer_for(self.settings.SIGNER_LEDGER), now=moment)

    def check(self, *more: str | Path) -> int:
        """The command, as a member runs it."""
        asked = ["check", "--url", self.url, "--state", str(self.state), *map(str, more)]
        code = verify.main(asked)
        self.said = self.capsys.readouterr().out
        return code

    def cosign(self, *people: User) -> None:
        """The witnesses of these people's members sign what was newest as this interval began."""
        for person in people:
            member = person.member
            assert member is not None
            secret = self.folder / f"{member.slug}.secret"
            if not secret.exists():
                secret.write_text(secret_of(person, "ledger-read"))
            key = self.folder / f"{member.slug}.key"
            state = self.folder / f"{member.slug}.state"
            name = f"{member.slug}.example/witness"
            common = ["witness", "--url", self.url, "--state", str(state), "--name", name]
            common += ["--credential-file", str(secret)]
            if not key.exists():
                assert verify.main([*common, "--key", str(key), "--new-key"]) == 0
                vkey = self.capsys.readouterr().out.splitlines()[-1]
                witnesses.add(member, vkey, now=timezone.now())
                self.publish()
            assert verify.main([*common, "--key", str(key)]) == 0
        self.said = self.capsys.readouterr().out


@contextmanager
def tampering() -> Iterator[Callable[..., int]]:
    """The database's superuser, whom no trigger stops."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")

        def execute(statement: str, *given: Any) -> int:
            cursor.execute(statement, given)
            return int(cursor.rowcount)

        yield execute
        cursor.execute("SET session_replication_role = origin")


def entry_of(member: Member, *, kind: str = "release") -> LedgerEntry:
    """The newest entry of a kind that a member was told of."""
    row = LedgerEntry.objects.filter(to_member=member, kind=kind).order_by("-idx").first()
    assert row is not None
    return row


def set_desk(
    url: str,
    folder: Path,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    """Borealis holds three indicators of Aurora's, each under a checkpoint of its own."""
    settings.WEIR_BASE_URL = url
    settings.LEDGER_DIR = folder / "ledger"
    before = timezone.now() - 30 * MINUTE
    cast = make_cast(before)
    for purpose in ("ledger", "bundle", "delivery"):
        uri = getattr(settings, f"SIGNER_{purpose.upper()}")
        ledger.announce(purpose, signer_for(uri).public, now=before)
    release.constants_to([cast.borealis.id, cast.aurora.id], now=before)
    monkeypatch.setenv(CREDENTIAL, secret_of(cast.ben, *SCOPES))
    desk = Desk(cast, url, folder / "weir.state", folder, settings, capsys)
    desk.publish(before)
    for n in range(3):
        desk.give(f"203.0.{n}.0/24", before + (n + 1) * MINUTE)
    return desk


def rebuild() -> None:
    """Every tile and the head from the leaves that are there now."""
    head = LedgerHead.objects.create(pk=1, size=0, root=merkle.EMPTY_ROOT)
    leaves = LedgerEntry.objects.order_by("idx").values_list("leaf", flat=True)
    sequencer.grow(head, [merkle.leaf_hash(bytes(leaf)) for leaf in leaves])
