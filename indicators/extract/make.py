"""One day's extract: ties, rows and templates by `indicators.detection.home`, tokens of the forum.

Written only if the rules pass that the exchange checks with the same module: what it would refuse
is never a file.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from exchange.proof.refused import Refused
from indicators.detection import engines, home, manifest, parquet, rules, schema
from indicators.detection.home import Clusters, Drawn, Keys, Setup
from indicators.detection.values import Extract, Manifest
from indicators.extract import fold, version, window
from indicators.extract.fold import Means
from indicators.extract.state import State
from indicators.extract.tokens import Evaluator
from indicators.stix import fingerprints

MANIFEST, CLUSTERS, TEMPLATES = "manifest.json", "clusters.parquet", "templates.parquet"

Source = Any  # of indicators.detection.sources


@dataclass(frozen=True, slots=True)
class Work:
    """How a day is worked through: the engine, what it may use, and what looks for what."""

    engine: str
    means: Means
    setup: Setup
    algorithms: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A day's extract, its files, and what of it only home may know."""

    extract: Extract
    files: Mapping[str, bytes]
    told: tuple[str, ...]


def make(state: State, work: Work, asked: Evaluator, *, day: date, today: date) -> Made:
    """The extract of a day; Refused with the first rule that it would break."""
    # 1. groups of the log     2. rows and templates, with the forum's tokens and bands
    # 3. the files, and the manifest beside them     4. the rules, as the exchange checks them
    keys = Keys(state.keys.of("home"), asked.epoch)
    found = clusters(state, work, day=day, keys=keys)  # 1
    bands = keyed_by(asked.band_key())
    drawn = home.extract(found, work.setup, keys=keys, tokens=asked.tokens, bands=bands)  # 2
    rows, templates = (  # 3
        parquet.write_clusters(drawn.clusters),
        parquet.write_templates(drawn.templates),
    )
    said = Manifest(
        day=day,
        key_epoch=asked.epoch,
        extractor=version.VERSION,
        algorithms=tuple(sorted(work.algorithms)),
        clusters=sha256(rows).hexdigest(),
        templates=sha256(templates).hexdigest(),
    )
    extract = Extract(said, drawn.clusters, drawn.templates)
    problems = rules.check(extract, today=today, limits=work.setup.limits)  # 4
    if problems:
        first = problems[0]
        raise Refused(first.code, first.sentence, first.path)
    files = {MANIFEST: manifest.write(said), CLUSTERS: rows, TEMPLATES: templates}
    return Made(extract, files, _told(found, drawn, asked))


def clusters(state: State, work: Work, *, day: date, keys: Keys) -> Clusters:
    """The groups of a state's log on a day."""
    with fold.connection(state, work.means) as duck:
        place = window.kept(state, duck, day=day)
    limits = engines.Limits(
        memory=work.means.memory << 20, threads=work.means.threads, folder=state.work
    )
    with engines.connect(work.engine, limits) as engine:
        return home.clusters(window.source(engine, place), work.setup, day=day, keys=keys)


def keyed_by(key: bytes) -> Callable[[Sequence[str]], Sequence[str]]:
    """Bands as they leave home."""
    return lambda bands: fingerprints.keyed([bytes.fromhex(one) for one in bands], key)


def write(made: Made, folder: Path) -> None:
    """Write the three files; the manifest comes last, so that half an extract is none."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in (CLUSTERS, TEMPLATES, MANIFEST):
            part = folder / f".{name}.part"
            how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(os.open(part, how, 0o600), "wb") as file:
                file.write(made.files[name])
            part.replace(folder / name)
    except OSError:
        raise Refused("usage.out", "The folder of --out cannot be written.", "--out") from None


def _told(found: Clusters, drawn: Drawn, asked: Evaluator) -> tuple[str, ...]:
    stays = Counter(one.stays.rule for one in found.clusters if one.stays is not None)
    reasons = ", ".join(f"{rule}: {count:,}" for rule, count in sorted(stays.items()))
    told = [
        f"{len(found.clusters):,} groups of accounts are tied in your log; {len(drawn.groups):,}"
        f" of them are rows of the extract, and {schema.ROWS - len(drawn.groups):,} rows are"
        " dummies that look like them.",
    ]
    if reasons:
        told.append(f"{sum(stays.values()):,} groups stay at home ({reasons}).")
    if asked.malformed:
        told.append(
            f"{asked.malformed:,} values have no spelling that a token could be made of, and were"
            " left out."
        )
    return (*told, f"{asked.left:,} evaluations are left of today's quota.")
