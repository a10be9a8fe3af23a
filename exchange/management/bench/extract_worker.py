"""`python -m exchange.management.bench.extract_worker`: write a log, or fold one; figures as JSON.

A process of its own, so that its peak of memory is that of the command alone.
"""

import json
import re
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indicators.extract import fold, read, state
from indicators.extract import map as maps
from indicators.extract.fold import Means
from indicators.extract.read import Wanted

DAY = date(2026, 11, 2)
PER_ACCOUNT = 50  # events of a day
IN_A_FILE = 5_000_000
AT_ONCE = 100_000  # events of a row group
MAP = """version = "weir-map/1"

[columns]
payment = "card"
device = "device_id"
signup = "signup_day"
"""
# Half of the prompts follow one of two templates, 70 words long, of which 12 differ.
ASKED = (
    "grade the answer below by this rubric from one to ten",
    "rewrite the text so that no reader would take offence",
)
FIXED = tuple(" ".join(f"w{10 * part + n}" for n in range(2, 10)) for part in range(6))
VOCABULARY, PHRASES = 5_000, 1 << 16

Array = Any  # of numpy, or of Arrow


def write(place: Path, events: int) -> dict[str, float]:
    """A day's log of so many events under names of OpenTelemetry, in files of five million each."""
    place.mkdir()
    accounts = max(1, events // PER_ACCOUNT)
    drawn = np.random.default_rng(20261102)
    two, three = (_phrases(drawn, words) for words in (2, 3))
    for first in range(0, events, IN_A_FILE):
        last = min(first + IN_A_FILE, events)
        writer = None
        for begin in range(first, last, AT_ONCE):
            numbers = np.arange(begin, min(begin + AT_ONCE, last))
            who = drawn.integers(accounts, size=len(numbers))
            table = _facts(numbers, who, events)
            table["gen_ai.prompt"] = _prompts(drawn, len(numbers), two, three)
            part = pa.table(table)
            if writer is None:
                file = place / f"{first // IN_A_FILE:04d}.parquet"
                writer = pq.ParquetWriter(file, part.schema, compression="zstd")
            writer.write_table(part)
        if writer is not None:
            writer.close()
    return {"octets": float(sum(file.stat().st_size for file in place.iterdir()))}


def _facts(numbers: Array, who: Array, events: int) -> dict[str, Array]:
    """All of some events but their prompts."""
    began = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    micros = int(began.timestamp()) * 1_000_000 + numbers * 86_400_000_000 // events
    address = [who % 80 + 11, who // 80 % 250, who // 20_000 % 250]
    signup = (date(2026, 8, 1) - date(1970, 1, 1)).days + who % 90
    return {
        "user.id": _joined("acct-", who),
        "start_time": pa.array(micros, pa.timestamp("us", "UTC")),
        "card": _joined("card-", who * 3 // 4),
        "device_id": _joined("device-", who * 9 // 10),
        "client.address": _joined(*(part for one in address for part in (one, ".")), "7"),
        "user_agent.original": _joined("sdk-python/", who % 9, ".2"),
        "signup_day": pa.array(signup.astype(np.int32), pa.date32()),
        "gen_ai.request.model": _joined("model-", who % 3),
    }


def _prompts(drawn: Array, count: int, two: Array, three: Array) -> Array:
    """Two of four follow a template each, the others none: sixty words that nobody else wrote."""
    made = []
    for asked in ASKED:
        parts: list[Any] = [asked]
        for fixed in FIXED:
            parts += [two.take(_chosen(drawn, count // 4)), fixed]
        made.append(pc.binary_join_element_wise(*parts, " "))
    free = count - 2 * (count // 4)
    said = [three.take(_chosen(drawn, free)) for _ in range(20)]
    made.append(pc.binary_join_element_wise(*said, " "))
    return pa.concat_arrays(made).take(pa.array(drawn.permutation(count)))


def _phrases(drawn: Array, words: int) -> Array:
    found = drawn.integers(VOCABULARY, size=(PHRASES, words)).tolist()
    return pa.array([" ".join(f"w{word}" for word in phrase) for phrase in found])


def _chosen(drawn: Array, count: int) -> Array:
    return pa.array(drawn.integers(PHRASES, size=count))


def _joined(*parts: str | Array) -> Array:
    texts = [one if isinstance(one, str) else pa.array(one).cast(pa.string()) for one in parts]
    return pc.binary_join_element_wise(*texts, "")


def folded(log: Path, room: Path) -> dict[str, float]:
    """Fold it into a new state, on one core."""
    given, mapped = read.source(log), maps.parse(MAP)
    with state.opened(room) as kept:
        means = Means()
        with fold.connection(kept, means) as duck:
            found = maps.match(read.columns(duck, given), mapped)
            maps.check(found)
        one_in = read.ONE_IN if given.is_large else 1
        began, cpu = time.perf_counter(), time.process_time()
        tally = fold.fold(kept, given, found, Wanted(DAY, DAY, one_in=one_in), means)
    return {
        "events": float(tally.used),
        "accounts": float(tally.accounts),
        "prompts": float(tally.prompts),
        "templates": float(tally.templates),
        "wall": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "peak": _peak(),
    }


def _peak() -> float:
    # Not getrusage: its peak is inherited from whoever forked this process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return float(found[1]) * 1024 if found else 0.0


if __name__ == "__main__":
    if sys.argv[1] == "write":
        found = write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        found = folded(Path(sys.argv[2]), Path(sys.argv[3]))
    sys.stdout.write(json.dumps(found))
