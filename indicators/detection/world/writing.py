"""Write the small world's raw logs to a folder: a file a member, and the map that reads them.

    python -m indicators.detection.world.writing FOLDER SEED MEMBER [MEMBER ...]

A name beside a member's place in the world is that of its file: `aurora.jsonl`. Beside it lies what
is true, which no member has: `aurora.truth`, the accounts of campaigns, a line each.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from indicators.detection.world import forum as forums
from indicators.detection.world import logs

MIDDLE = 400  # ordinary accounts of the median member: a demo is quick


def write(folder: Path, seed: int, names: list[str], *, only: str = "") -> None:
    """The logs of the days up to yesterday; of one member alone, if one is named."""
    last = datetime.now(UTC).date() - timedelta(days=1)
    world = logs.small(seed, len(names), middle=MIDDLE)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "map.toml").write_text(logs.map_of(last), encoding="utf-8")
    for member, name in enumerate(names):
        if only not in ("", name):
            continue
        guilty = np.flatnonzero(forums.is_guilty(world.crowds[member])).tolist()
        truth = "".join(f"acct-{account:07d}\n" for account in guilty)
        (folder / f"{name}.truth").write_text(truth, encoding="ascii")
        with (folder / f"{name}.jsonl").open("wb") as out:
            out.writelines(logs.lines(world, member, last=last))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[4:], only=sys.argv[3].strip("-"))
