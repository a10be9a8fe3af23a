"""Tokens of the forum for own values: asked blindly, within the quota, and kept for the quarter.

What leaves this machine are points that fit every value (`exchange.proof.oprf`). An answer is on
the disk before the next question: what was paid for is not lost.
"""

import argparse
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from exchange.proof import oprf, tokenise
from exchange.proof.refused import Refused
from exchange.proof.tokenise import Exchange
from indicators.detection import schema
from indicators.extract.state import State
from indicators.stix import fingerprints

_BAND_KEY = "band-key"


@dataclass(slots=True)
class Evaluator:
    """The exchange's blind evaluation for one state, in the quarter that is live."""

    state: State
    door: Exchange
    say: Callable[[str], None]
    offer: Mapping[str, Any]
    epoch: str
    circle: str
    left: int
    malformed: int = 0
    known: dict[tuple[str, str], str] = field(default_factory=dict)

    def tokens(self, kind: str, digests: Collection[str]) -> Mapping[str, str]:
        """The forum's token for each digest of the state; QuotaUsed where the day has no more."""
        self.ask(kind, sorted(digests))
        return {one: self.known[kind, one] for one in digests if (kind, one) in self.known}

    def ask(self, kind: str, digests: Sequence[str]) -> None:
        """Have these evaluated that are not known yet, the first ones first."""
        wanted = [one for one in digests if (kind, one) not in self.known]
        texts = self.state.names({kind: set(wanted)})
        spelled: dict[str, list[str]] = {}  # one spelling may have several digests
        for digest in wanted:
            text = texts.get((kind, digest))
            if text is not None:
                try:
                    one = oprf.checked(schema.TOKEN_KINDS[kind], text)
                except Refused:
                    self.malformed += 1
                    continue
                spelled.setdefault(one, []).append(digest)
        for rows in self._evaluated(schema.TOKEN_KINDS[kind], list(spelled)):
            self._keep(kind, [(d, token) for text, token in rows for d in spelled[text]])

    def band_key(self) -> bytes:
        """The key of the forum's bands in the quarter."""
        name = fingerprints.KEY_VALUE
        if (_BAND_KEY, name) not in self.known:
            for rows in self._evaluated(fingerprints.KEY_KIND, [name]):
                self._keep(_BAND_KEY, rows)
        return fingerprints.key_of(self.known[_BAND_KEY, name])

    def _evaluated(self, kind: str, spelled: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
        if not spelled:
            return
        options = argparse.Namespace(kind=kind, circle=self.circle, epoch=self.epoch)
        run = tokenise.scoped(options, self.offer, spelled, spelled)
        run.left, run.say = self.left, self.say
        try:
            yield from run.rows(self.door, start=0)
        finally:
            self.left = run.left

    def _keep(self, kind: str, rows: Sequence[tuple[str, str]]) -> None:
        self.known.update(((kind, digest), token) for digest, token in rows)
        if rows:
            columns = {
                "kind": pa.array([kind] * len(rows), pa.string()),
                "digest": pa.array([digest for digest, _ in rows], pa.string()),
                "token": pa.array([token for _, token in rows], pa.string()),
            }
            self.state.append(_place(self.epoch), pa.table(columns))


def evaluator(state: State, door: Exchange, say: Callable[[str], None]) -> Evaluator:
    """Ask what is offered now; Refused where the credential has no seat in the forum's circle."""
    offer = door.offer()
    try:
        (circle,) = [one["id"] for one in offer["circles"] if one["forum"] is True]
        (epoch,) = [str(one["epoch"]) for one in offer["epochs"] if one["live"]]
        left = int(offer["quota"]["left"])
    except (KeyError, TypeError, ValueError):
        sentence = "The exchange offers no tokens of the forum's circle to this credential."
        raise Refused("token.offer", sentence, "--url") from None
    made = Evaluator(state, door, say, offer, epoch, str(circle), left)
    made.known.update(kept(state, epoch))
    return made


def kept(state: State, epoch: str) -> dict[tuple[str, str], str]:
    """The tokens of a quarter that were evaluated before; of other quarters nothing is kept."""
    state.drop_others(_place(epoch))
    found: dict[tuple[str, str], str] = {}
    for part in state.parts(_place(epoch)):
        keys = zip(part["kind"].to_pylist(), part["digest"].to_pylist(), strict=True)
        found.update(zip(keys, part["token"].to_pylist(), strict=True))
    return found


def _place(epoch: str) -> str:
    return f"tokens/{epoch}.sealed"
