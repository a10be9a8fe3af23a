"""Extracts as a member's extractor makes them, drawn from a seed: good ones, for tests to spoil."""

import random
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256

from indicators.detection import manifest, parquet, rules, schema
from indicators.detection.values import ClusterRow, Extract, Manifest, TemplateRow

TODAY = date(2026, 11, 26)
_TEMPLATES = 40


def extract(seed: int = 1, *, day: date = TODAY, rows: int = schema.ROWS) -> Extract:
    """One day of a member; the same seed gives the same rows."""
    draw = random.Random(seed)  # noqa: S311 - test data
    clusters = tuple(_cluster(draw, number, day) for number in range(rows))
    used = sorted({one for row in clusters for one in row.templates})
    numbers = {one: place for place, one in enumerate(used)}
    clusters = tuple(
        replace(row, templates=tuple(numbers[one] for one in row.templates)) for row in clusters
    )
    templates = tuple(_template(draw, number) for number in range(len(used)))
    return Extract(_manifest(day), clusters, templates)


def spoiled(good: Extract, number: int, **changed: object) -> Extract:
    """The same with other values in one row of `clusters`."""
    rows = list(good.clusters)
    rows[number] = replace(rows[number], **changed)  # type: ignore[arg-type] # whatever a test spoils
    return replace(good, clusters=tuple(rows))


def largest(*, day: date = TODAY) -> Extract:
    """As large as an extract may be: every list full, every row with templates of its own."""
    draw = random.Random(3)  # noqa: S311 - test data
    good = extract(1, day=day)
    texts = hexes(draw, 64, 64)
    rows = tuple(
        replace(
            row,
            payment=texts,
            device=texts,
            devices="1k-up",
            egress=texts[:32],
            templates=tuple(range(row.row * 32, row.row * 32 + 32)),
        )
        for row in good.clusters
    )
    templates = tuple(
        replace(_template(draw, number), languages=()) for number in range(len(rows) * 32)
    )
    return replace(good, clusters=rows, templates=templates)


def parts(
    made: Extract, clusters: bytes | None = None, templates: bytes | None = None
) -> tuple[bytes, bytes, bytes]:
    """Manifest and files as they are sent; a test may put other bytes in the place of a file."""
    clusters = parquet.write_clusters(made.clusters) if clusters is None else clusters
    templates = parquet.write_templates(made.templates) if templates is None else templates
    said = replace(
        made.manifest,
        clusters=sha256(clusters).hexdigest(),
        templates=sha256(templates).hexdigest(),
    )
    return manifest.write(said), clusters, templates


def hexes(draw: random.Random, count: int, digits: int) -> tuple[str, ...]:
    """So many different sorted texts of hexadecimal digits."""
    return tuple(sorted({f"{draw.getrandbits(digits * 4):0{digits}x}" for _ in range(count)}))


def _manifest(day: date) -> Manifest:
    return Manifest(
        day=day,
        key_epoch=rules.epoch_of(day),
        extractor="1.0.0",
        algorithms=(("0b54c5a2-1f0c-4b9b-8f7e-0d8a2f9a4c11", "ab" * 32),),
        clusters="00" * 32,
        templates="00" * 32,
    )


def _cluster(draw: random.Random, number: int, day: date) -> ClusterRow:
    size = draw.randrange(1, 5)
    shares = {name: draw.choice(schema.TENTHS) for name in schema.SHARES}
    shares["fresh"] = draw.choice((6, 8, 10))
    first = day - timedelta(days=draw.randrange(10, 44))
    return ClusterRow(
        row=number,
        cluster=f"{draw.getrandbits(64):016x}",
        size=schema.SIZES[size],
        payers=schema.SIZES[draw.randrange(0, size + 1)],
        devices=schema.SIZES[size],
        first_day=first,
        last_day=day - timedelta(days=draw.randrange(0, 10)),
        payment=hexes(draw, draw.randrange(3, 12), 64),
        device=hexes(draw, draw.randrange(0, 5), 64),
        egress=hexes(draw, draw.randrange(0, 3), 64),
        client=hexes(draw, draw.randrange(0, 3), 32),
        templates=tuple(sorted(draw.sample(range(_TEMPLATES), draw.randrange(0, 4)))),
        flat=draw.randrange(4, 10),
        hours="".join(str(draw.randrange(10)) for _ in range(24)),
        start_days=draw.choice(schema.START_DAYS),
        capabilities=tuple(sorted(draw.sample(schema.CAPABILITIES, draw.randrange(0, 3)))),
        methods=tuple(sorted(draw.sample(schema.METHODS, draw.randrange(0, 3)))),
        surface=("first-party-api",),
        **shares,
    )


def _template(draw: random.Random, number: int) -> TemplateRow:
    return TemplateRow(
        template=number,
        bands=tuple(f"{draw.getrandbits(64):016x}" for _ in range(schema.BANDS)),
        length_bucket=draw.choice(schema.LENGTHS),
        sample_bucket=draw.choice(schema.SAMPLES),
        base_rate_bucket=draw.choice(schema.BASE_RATES),
        languages=tuple(sorted(draw.sample(("en", "de", "fr", "ja"), draw.randrange(0, 3)))),
    )
