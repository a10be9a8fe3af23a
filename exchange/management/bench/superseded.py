"""Pages of a holding of which most of a half is superseded: at its ends and in its middle."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson

from exchange.management.bench import holding, taxii
from exchange.management.bench.report import Report, typical

OBJECTS = 1_000_000
PAGE = 1_000
TIMES = 100


def run(sizes: Sequence[int], report: Report) -> None:
    """Pages at both ends and in the middle of a holding of which most of a half is superseded."""
    size = (sizes or (OBJECTS,))[0]
    held = holding.fill(size, superseded=True, now=datetime.now(UTC))
    with taxii.running(held.secret) as site:
        report.title(f"{size:,} objects, nine tenths of the first half superseded")
        one = site.client(site.direct)
        last = size - PAGE - 2
        spots = {"start": -1, "middle": size // 2 - PAGE, "end": last - PAGE}
        found = _page_times(one, spots)
        least = min(found.values())
        for name, seconds in found.items():
            beside = f"{seconds * 1000:.1f} ms p50"
            report.ratio(
                f"page at {name} to the quickest", seconds / least, beside=beside, at_most=1.2
            )


def _page_times(one: taxii.Client, spots: Mapping[str, int]) -> dict[str, float]:
    """The median for each, asked in turns: what else the machine does meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in spots}
    for _ in range(TIMES):
        for name, after in spots.items():
            following = f"&next={_cursor(after)}" if after >= 0 else ""
            start = time.perf_counter()
            one.get(f"{taxii.OBJECTS}?limit={PAGE - 1}{following}")  # unaligned: never sealed
            times[name].append(time.perf_counter() - start)
    return {name: typical(found) for name, found in times.items()}


def _cursor(after: int) -> str:
    return urlsafe_b64encode(orjson.dumps([after, None])).decode().rstrip("=")
