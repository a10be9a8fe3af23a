"""What tests of runs are made of: extracts with a campaign in them, algorithms in force, runs."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_bytes
from uuid import UUID, uuid4

import orjson
from django.conf import LazySettings

from exchange import runs
from exchange.algorithms.sealed import seal_of, text_aad
from exchange.models import Algorithm, AlgorithmText, Run
from exchange.models import pool as pooled
from exchange.pool import kept
from indicators.detection import document, packing, scorecard, sealing, taking
from indicators.detection.values import ClusterRow, Extract
from members.models import User
from members.scope import Acting, acting
from tests.cast import Cast
from tests.core.algorithm_material import DETECTOR, spoiled
from tests.extracts import extract, hexes, parts
from tests.shell.sharing import NOON

DAY = timedelta(days=1)
# Only what a campaign's rows have tells here, so that nothing else is found by chance.
WEIGHTS = {**dict.fromkeys(scorecard.WEIGHTS, 0), "flat": 10, "mid": 10, "mismatch": 10}
THRESHOLD, MARGIN = 250, 23


def cards(count: int, seed: str) -> tuple[str, ...]:
    """Tokens of cards; the same seed gives the same."""
    return hexes(random.Random(seed), count, 64)  # noqa: S311 - test data


def made(
    seed: int,
    *campaign: ClusterRow | dict[str, object],
    day: datetime = NOON,
) -> Extract:
    """A day in which nobody is a campaign, but for the rows that are given."""
    base = extract(seed, day=day.date())
    rows = [replace(row, mid=2, mismatch=2, egress=()) for row in base.clusters]
    for number, changed in enumerate(campaign):
        found = {
            **{
                "flat": 9,
                "mid": 10,
                "fresh": 10,
                "mismatch": 10,
                "cluster": f"{seed:012x}{number:04x}",
            },
            **(changed if isinstance(changed, dict) else {}),
        }
        rows[number] = replace(rows[number], **found)  # type: ignore[arg-type] # columns of a row
    return replace(base, clusters=tuple(rows))


def text_of(detector: str, number: int, **values: int) -> bytes:
    """An algorithm of the closed set."""
    changed = spoiled(DETECTOR, "id", to=f"5b1f5c4e-6a41-4c6b-9a59-0f0f4f1b7b{number:02d}")
    changed |= {
        "body": {"detector": detector},
        "runs_on": "pool" if detector == "row-pair" else "both",
        "parameters": {
            name: {"value": value, "range": sorted((value, value + 1))}
            for name, value in values.items()
        },
    }
    return orjson.dumps(changed)


CARD_TEXT = text_of("scorecard", 3, **WEIGHTS, threshold=THRESHOLD, own_margin=MARGIN)
TEXTS = (text_of("shared-token", 1), CARD_TEXT)


def put_in_force(*texts: bytes, now: datetime = NOON, kept_as: bytes = b"") -> list[UUID]:
    """Algorithms as their whole review leaves them; `kept_as` is another text than was reviewed."""
    found = []
    for text in texts:
        parsed = document.parse(text)
        row = Algorithm(
            id=uuid4(),
            document_id=UUID(parsed.id),
            version=parsed.version,
            kind=parsed.kind,
            detector=parsed.detector,
            runs_on=parsed.runs_on,
            title=parsed.title,
            digest=bytes.fromhex(parsed.digest),
            valid_days=180,
            valid_until=(now + 100 * DAY).date(),
            state=Algorithm.State.ACTIVE,
            created_at=now,
            changed_at=now,
            activated_at=now,
        )
        row.save(force_insert=True)
        sealed = seal_of(None).seal(kept_as or text, aad=text_aad(row.id))
        AlgorithmText.objects.create(algorithm=row, sealed=sealed)
        found.append(row.id)
    return found


@dataclass(frozen=True, slots=True)
class Pool:
    """A forum whose members send extracts, and whose runs are asked for one by one."""

    cast: Cast
    settings: LazySettings

    def send(self, user: User, given: Extract, *, now: datetime = NOON) -> None:
        """A member's day as its intake leaves it, which its own tests judge."""
        member, day, framed = user.member, given.manifest.day, taking.framed(parts(given))
        assert member is not None
        pooled.Extract.objects.filter(member=member, day=day, state="taken").update(
            state="replaced", ended_at=now
        )
        for kept_rows in (pooled.SealedExtract, pooled.ExtractKey):
            kept_rows.objects.filter(member=member, day=day).delete()
        row = pooled.Extract.objects.create(
            member=member,
            state="taken",
            day=day,
            digest=sha256(framed).digest(),
            clusters=sha256(framed).digest(),
            octets=len(framed),
            received_at=now,
        )
        key, place = token_bytes(sealing.KEY), kept.aad(member.id, day, row.id)
        sealed = sealing.seal(key, token_bytes(sealing.NONCE), packing.pack(given), aad=place)
        wrapped = sealing.wrap(self.settings.POOL_PUBLIC_KEY, key, aad=place)
        pooled.SealedExtract.objects.create(extract=row, member=member, day=day, sealed=sealed)
        pooled.ExtractKey.objects.create(member=member, day=day, wrapped=wrapped)

    def run(self, *, now: datetime = NOON, limit: runs.Limit | None = None) -> Run | None:
        """What the worker of the queue `pool` does each minute."""
        with acting(Acting(), role="worker"):
            key = runs.work(now=now, limit=limit)
        return Run.objects.get(pk=key) if key is not None else None


def with_cards(*names: str, own: str = "", count: int = 3) -> dict[str, object]:
    """A row that holds these cards, and some of its own."""
    held: Sequence[str] = [card for name in names for card in cards(3, name)]
    return {"payment": tuple(sorted({*held, *(cards(count, own) if own else ())})), "device": ()}
