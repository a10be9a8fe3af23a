"""The days kept, as the tables that detectors read (tables.LOG): Parquet in the work folder."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from exchange.proof.refused import Refused
from indicators.detection import schema
from indicators.detection.engines import Engine
from indicators.detection.sources import LOG as KIND
from indicators.detection.sources import Source
from indicators.detection.tables import LOG
from indicators.extract.prompts import Template
from indicators.extract.state import WINDOW, State

OLD = schema.DAYS  # days before its first use, of an account that was there when the state began

# The bands of a template, as they shall stand in the table.
Spell = Callable[[Template], Sequence[str]]
Connection = Any  # of DuckDB


def days_of(state: State, day: date) -> list[date]:
    """The days of the window that ends with this one; Refused where that one is not folded."""
    days = [one for one in state.days() if day - timedelta(days=schema.DAYS) < one <= day]
    if day not in days:
        sentence = "This day is not folded here: give its log with --log."
        raise Refused("state.day", sentence, "--day")
    return days


def kept(state: State, duck: Connection, *, day: date) -> Path:
    """The tables with bands in clear, written once for the days that there are."""
    place = state.folder / WINDOW / day.isoformat()
    if not place.exists():
        days_of(state, day)
        shutil.rmtree(place.parent, ignore_errors=True)
        place.parent.mkdir(mode=0o700)
        write(state, duck, day=day, spell=in_clear).rename(place)
    return place


def in_clear(template: Template) -> Sequence[str]:
    """The bands of a template as they stand at home."""
    return [band.hex() for band in template.bands]


def write(state: State, duck: Connection, *, day: date, spell: Spell) -> Path:
    """The tables of the window that ends with a day, in a folder of the work folder."""
    days = days_of(state, day)
    place = state.work / "log"
    (place / "account_day").mkdir(mode=0o700, parents=True)
    for one in days:
        os.link(state.day(one) / "account_day.parquet", place / f"account_day/{one}.parquet")
    _copy(duck, place / "account.parquet", _accounts(state, days), "account")
    for name, columns in (
        ("account_token", "account, kind, token"),
        ("account_tag", "account, kind, tag"),
        ("account_template", "account, template"),
    ):
        query = f"SELECT DISTINCT {columns} FROM {_of_days(state, days, name)}"
        _copy(duck, place / f"{name}.parquet", query, columns)
    samples = dict(
        duck.execute(
            "SELECT template, sum(prompts)::BIGINT FROM"
            f" {_of_days(state, days, 'account_template')} GROUP BY template"
        ).fetchall()
    )
    _templates(place, [one for one in state.templates() if one.template in samples], samples, spell)
    return place


def source(engine: Engine, place: Path) -> Source:
    """The tables of a folder, under their names."""
    for name, types in LOG.items():
        found = place / name
        engine.read(name, found if found.is_dir() else found.with_suffix(".parquet"), types)
    return Source(engine, KIND)


def _accounts(state: State, days: Sequence[date]) -> str:
    """An account is as old as its sign-up, or as its first use here."""
    began = state.days()[0]
    parts = " UNION ALL ".join(
        f"SELECT *, DATE '{one}' AS day FROM {_of_days(state, [one], 'account')}" for one in days
    )
    # Who was there when the state began may have been there for long.
    first = f"CASE WHEN min(day) = DATE '{began}' THEN min(day) - {OLD} ELSE min(day) END"
    return (
        f"SELECT account, CAST(coalesce(min(signup), {first}) AS DATE) AS first_day,"
        f" bool_or(carded) AS carded, bool_or(deviced) AS deviced, max(entity) AS entity"
        f" FROM ({parts}) GROUP BY account"
    )


def _templates(
    place: Path, known: Sequence[Template], samples: Mapping[int, int], spell: Spell
) -> None:
    lengths = [min(len(str(one.length)) - 1, len(schema.LENGTHS) - 1) for one in known]
    template = {
        "template": pa.array([one.template for one in known], pa.int64()),
        "length": pa.array(lengths, pa.int64()),
        "samples": pa.array([samples[one.template] for one in known], pa.int64()),
        "languages": pa.array([one.languages for one in known], pa.string()),
    }
    pq.write_table(pa.table(template), place / "template.parquet")
    bands = [
        (one.template, number, value)
        for one in known
        for number, value in enumerate(spell(one))
    ]  # fmt: skip
    band = {
        "template": pa.array([row[0] for row in bands], pa.int64()),
        "band": pa.array([row[1] for row in bands], pa.int64()),
        "value": pa.array([row[2] for row in bands], pa.string()),
    }
    pq.write_table(pa.table(band), place / "template_band.parquet")


def _of_days(state: State, days: Sequence[date], name: str) -> str:
    paths = ", ".join(_literal(str(state.day(day) / f"{name}.parquet")) for day in days)
    return f"read_parquet([{paths}])"


def _copy(duck: Connection, place: Path, query: str, order: str) -> None:
    duck.execute(
        f"COPY ({query} ORDER BY {order}) TO {_literal(str(place))}"
        " (FORMAT parquet, COMPRESSION zstd)"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
