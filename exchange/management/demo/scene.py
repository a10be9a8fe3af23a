"""How the demo speaks: headings, wrapped lines, and numbers that are watched as they grow."""

import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.db import connection
from django.utils import timezone
from taxii2client.v21 import Collection, Server
from tqdm import tqdm

from exchange.management.demo import cast
from members import credentials

PATIENCE = 90.0
WIDTH = 100
SCOPES = ("taxii-read", "taxii-write", "ledger-read")


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the running parts are."""

    base_url: str
    hooks: str
    received: Path
    bundle: Path | None


@dataclass(frozen=True, slots=True)
class Scene:
    """The cast, the parts, and how to speak."""

    cast: cast.Cast
    parts: Parts
    say: Callable[[str], object]
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def head(self, text: str) -> None:
        """A new part of the story."""
        self.say(f"\n── {text} " + "─" * max(3, WIDTH - 4 - len(text)))

    def item(self, label: str, text: str, *, width: int = 10) -> None:
        """A line that begins with a label; what is too long goes on below its own text."""
        indent = " " * (width + 4)
        lines = textwrap.wrap(text, WIDTH - len(indent)) or [""]
        self.say(f"  {label:{width}}  {lines[0]}")
        for line in lines[1:]:
            self.say(indent + line)

    def secret_of(self, person: str) -> str:
        """A TAXII credential of this person's member, minted once for a run; it lasts a day."""
        if person not in self.secrets:
            wanted = credentials.Wanted("Demo", SCOPES, days=1)
            minted = credentials.mint(self.cast.principal(person), wanted, now=timezone.now())
            self.secrets[person] = minted[1]
        return self.secrets[person]

    def collection(self, person: str, alias: str) -> Collection:
        """A collection as a TAXII client finds it: by discovery, with a credential."""
        url = f"{self.parts.base_url}/taxii2/"
        server = Server(url, user="any", password=self.secret_of(person))
        for collection in server.default.collections:
            if collection.alias == alias:
                return collection
        raise LookupError(alias)

    def watch(
        self, what: str, count: Callable[[], int], *, goal: Callable[[], int], patience: float = 0
    ) -> int:
        """Wait until a number has grown to its goal; a bar where somebody looks. The last count."""
        limit = time.monotonic() + (patience or PATIENCE)
        with _bar(what) as draw:
            done, wanted = count(), goal()
            while done < wanted and time.monotonic() < limit:
                draw(done, wanted)
                time.sleep(0.1)
                connection.close_if_unusable_or_obsolete()
                done, wanted = count(), goal()
            draw(done, wanted)
        if done < wanted:
            self.say(f"  {done} of {wanted} {what}; the rest takes longer than expected.")
        return done


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    bar = tqdm(
        desc=f"  {what}",
        total=1,
        leave=False,
        disable=not sys.stderr.isatty(),
        ncols=WIDTH - 10,
        bar_format="{desc} {bar} {n_fmt}/{total_fmt}",
    )
    with bar as progress:

        def draw(done: int, wanted: int) -> None:
            progress.total = max(wanted, 1)
            progress.n = done
            progress.refresh()

        yield draw
