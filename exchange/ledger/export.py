"""The published log as static files, which any tlog client reads."""

from collections.abc import Iterator
from pathlib import Path

from exchange.ledger import reading
from exchange.proof import merkle


def write(folder: Path) -> int:
    """Write the published tree as static files that any tlog client reads; its size."""
    size = reading.signed_size()
    for level in range(8):
        for n, width in tiles_of(size >> merkle.HEIGHT * level):
            name = merkle.tile_path(level, n, width)
            _write(folder / name, reading.tile(level, name.split("/", 2)[2]))
    for n, width in tiles_of(size):
        name = merkle.tile_path("entries", n, width)
        _write(folder / name, reading.entries(name.split("/", 2)[2]))
    _write(folder / "checkpoint", reading.checkpoint(size).encode())
    return size


def tiles_of(count: int) -> Iterator[tuple[int, int]]:
    """The tiles of so many hashes: number and width."""
    full, rest = divmod(count, merkle.WIDTH)
    yield from ((n, merkle.WIDTH) for n in range(full))
    if rest:
        yield full, rest


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
