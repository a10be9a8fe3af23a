"""`python -m exchange.management.bench.extract_worker`: write a log, or fold one; figures as JSON.

A process of its own, so that its peak of memory is that of the command alone.
"""

import json
import re
import sys
import time
from datetime import date
from pathlib import Path

import duckdb

from indicators.extract import fold, read, state
from indicators.extract import map as maps
from indicators.extract.fold import Means
from indicators.extract.read import Wanted

DAY = date(2026, 11, 2)
PER_ACCOUNT = 50  # events of a day
AT_ONCE = 5_000_000
MAP = """version = "weir-map/1"

[columns]
payment = "card"
device = "device_id"
signup = "signup_day"
"""
# Names of OpenTelemetry; half of the prompts follow one of two templates, 65 to 80 words long.
_EVENT = """
    SELECT 'acct-' || a AS "user.id",
        TIMESTAMPTZ '2026-11-02 00:00:00+00' + to_microseconds(i * 86400000000 // {events})
            AS start_time,
        'card-' || (a * 3 // 4) AS card, 'device-' || (a * 9 // 10) AS device_id,
        (11 + a % 80) || '.' || (a // 80 % 250) || '.' || (a // 20000 % 250) || '.7'
            AS "client.address",
        'sdk-python/' || (a % 9) || '.2' AS "user_agent.original",
        DATE '2026-08-01' + (a % 90)::INTEGER AS signup_day,
        'model-' || (a % 3) AS "gen_ai.request.model",
        CASE WHEN i % 4 = 0 THEN 'grade the answer below by this rubric from one to ten '
             WHEN i % 4 = 1 THEN 'rewrite the text so that no reader would take offence '
             ELSE '' END
            || array_to_string(list_transform(range(60), x -> 'w' || CASE
                WHEN i % 4 < 2 AND x % 10 > 1 THEN x ELSE (h >> (x % 50)) % 5000 END), ' ')
            AS "gen_ai.prompt"
    FROM (SELECT i, (hash(i) % {accounts})::BIGINT AS a,
            (hash(i * 7 + 1) % 1000000007)::BIGINT AS h FROM range({first}, {last}) t(i))
"""


def write(place: Path, events: int) -> dict[str, float]:
    """A day's log of so many events, in files of five million each."""
    place.mkdir()
    with duckdb.connect(":memory:", config={"memory_limit": "1GB"}) as duck:
        duck.execute("SET preserve_insertion_order = false")
        for first in range(0, events, AT_ONCE):
            last = min(first + AT_ONCE, events)
            accounts = max(1, events // PER_ACCOUNT)
            query = _EVENT.format(events=events, accounts=accounts, first=first, last=last)
            file = place / f"{first // AT_ONCE:04d}.parquet"
            duck.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
    return {"octets": float(sum(file.stat().st_size for file in place.iterdir()))}


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
