"""Keep a copy of the whole log, and name the first tile that is not what its checkpoint signs."""

from collections.abc import Iterator
from pathlib import Path

from exchange.proof import merkle
from exchange.proof.log import Contradiction, View
from exchange.proof.refused import Refused


def check(view: View, folder: Path, before: str) -> Iterator[str]:
    """Fetch every tile and every entry; what was kept from the last time must be its beginning.

    `before` is the checkpoint of that time.
    """
    # 1. each tile begins with what was kept of it     2. the edge leads to the signed root
    # 3. each full tile hashes to what the tile above it says, from the top down
    # 4. each entry is the one that its leaf hash is of
    size = view.point.size
    levels = list(_levels(size))
    for level, count in levels:
        for n in _tiles(count):
            _compare(view, folder, before, level, n)  # 1
    _check_root(view, before)  # 2
    for level, count in reversed(levels[1:]):
        for n in range(count):
            _check_child(view, before, level - 1, n)  # 3
    for n in _tiles(size):
        _check_entries(view, before, n)  # 4
    yield f"  all {size} entries and {sum(len(_tiles(count)) for _, count in levels)} tiles"


def keep(view: View, folder: Path) -> None:
    """Write down the copy, once nothing in it is wrong and the log grew from the last one."""
    for level, count in _levels(view.point.size):
        for n in _tiles(count):
            path = folder / _name(level, n)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(view.read(level, n))


def _compare(view: View, folder: Path, before: str, level: int, n: int) -> None:
    path = folder / _name(level, n)
    kept = path.read_bytes() if path.exists() else b""
    now = view.read(level, n)
    if now[: len(kept)] == kept:
        return
    at = next(i for i in range(0, len(kept), merkle.HASH) if _hash(kept, i) != _hash(now, i))
    first = (n * merkle.WIDTH + at // merkle.HASH) << merkle.HEIGHT * level
    raise _wrong(level, n, f"is not what it was, from entry {first} on", view, before)


def _check_root(view: View, before: str) -> None:
    size = view.point.size
    try:
        root = merkle.root_at(size, view.read)
    except Refused:
        root = b""
    if root != view.point.root:
        level, n = merkle.edge_of(size)[-1] if merkle.edge_of(size) else (0, 0)
        raise _wrong(
            level, n, "and the others at the edge do not lead to the signed root", view, before
        )


def _check_child(view: View, before: str, level: int, n: int) -> None:
    """The tile above was found right before: so it is this one that is wrong."""
    parent = view.read(level + 1, n // merkle.WIDTH)
    data = view.read(level, n)
    hashes = [data[at : at + merkle.HASH] for at in range(0, len(data), merkle.HASH)]
    if merkle.root(hashes) != _hash(parent, n % merkle.WIDTH * merkle.HASH):
        raise _wrong(level, n, "does not hash to what its checkpoint signs", view, before)


def _check_entries(view: View, before: str, n: int) -> None:
    hashes = view.read(0, n)
    for i, leaf in enumerate(view.remote.leaves(n, view.point.size)):
        if merkle.leaf_hash(leaf) != _hash(hashes, i * merkle.HASH):
            raise Contradiction(
                "tile.entry",
                f"The entry shown is not the one whose hash stands in tile 0/{n}.",
                *_notes(view, before),
                path=f"entry {n * merkle.WIDTH + i}",
            )


def _levels(size: int) -> Iterator[tuple[int, int]]:
    level = 0
    while count := size >> merkle.HEIGHT * level:
        yield level, count
        level += 1


def _tiles(count: int) -> range:
    return range(-(-count // merkle.WIDTH))


def _name(level: int, n: int) -> str:
    return merkle.tile_path(level, n)


def _hash(data: bytes, at: int) -> bytes:
    return data[at : at + merkle.HASH]


def _wrong(level: int, n: int, how: str, view: View, before: str) -> Contradiction:
    return Contradiction(
        "tile.wrong", f"Tile {level}/{n} {how}.", *_notes(view, before), path=f"tile {level}/{n}"
    )


def _notes(view: View, before: str) -> tuple[str, ...]:
    return (before, view.signed) if before and before != view.signed else (view.signed,)
