"""Grow the ledger's tree tile by tile, and prove what is in it (RFC 6962, C2SP tlog-tiles).

A tile (level, n) holds up to 256 hashes, concatenated: level 0 the leaf hashes, level 1 the roots
of full tiles of level 0, and so on. Nothing here needs all leaves, `root` apart.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256

from exchange.proof.refused import Refused

Tile = tuple[int, int]
Read = Callable[[int, int], bytes]  # (level, n) -> the tile as stored; a partial one may be longer

HASH = 32
WIDTH = 256
HEIGHT = 8  # a tile spans 8 levels of the tree
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash under which an entry stands in the tree."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes; for trees small enough to hold."""
    hashes = list(leaf_hashes)
    while len(hashes) > 1:
        odd = hashes[-1:] if len(hashes) % 2 else []  # moves up unpaired, as RFC 6962 has it
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        hashes = [node_hash(left, right) for left, right in pairs] + odd
    return hashes[0] if hashes else EMPTY_ROOT


# Growing


def edge_of(size: int) -> tuple[Tile, ...]:
    """The partial tiles at the right edge of a tree: all that `append` needs to know of it."""
    levels = range((size.bit_length() + HEIGHT - 1) // HEIGHT)
    counts = [(level, size >> HEIGHT * level) for level in levels]
    return tuple((level, count // WIDTH) for level, count in counts if count % WIDTH)


def edge_root(edge: Mapping[Tile, bytes], size: int) -> bytes:
    """The root of a tree from its edge tiles alone."""
    peaks: list[bytes] = []  # from the smallest complete subtree to the largest
    for level, n in edge_of(size):
        hashes = _split(_partial(edge, level, n, size))
        lo, peaks_here = 0, []
        while lo < len(hashes):
            width = 1 << (len(hashes) - lo).bit_length() - 1
            peaks_here.append(root(hashes[lo : lo + width]))
            lo += width
        peaks += reversed(peaks_here)
    return _fold(peaks)


def append(
    edge: Mapping[Tile, bytes], size: int, new: Sequence[bytes]
) -> tuple[dict[Tile, bytes], bytes]:
    """Append leaf hashes to a tree of `size` leaves; returns the changed tiles and the new root.

    Full tiles come out with 8192 bytes; a partial one is a prefix of what it will become.
    """
    if any(len(each) != HASH for each in new):
        raise Refused("merkle.hash", "A leaf hash has 32 bytes.")
    known = {tile: _partial(edge, *tile, size) for tile in edge_of(size)}
    changed: dict[Tile, bytes] = {}
    level, hashes = 0, list(new)
    while hashes:
        first = (size >> HEIGHT * level) // WIDTH
        data = known.get((level, first), b"") + b"".join(hashes)
        chunks = [data[at : at + HASH * WIDTH] for at in range(0, len(data), HASH * WIDTH)]
        changed |= {(level, first + i): chunk for i, chunk in enumerate(chunks)}
        hashes = [root(_split(chunk)) for chunk in chunks if len(chunk) == HASH * WIDTH]
        level += 1
    return changed, edge_root(known | changed, size + len(new))


def _partial(tiles: Mapping[Tile, bytes], level: int, n: int, size: int) -> bytes:
    width = (size >> HEIGHT * level) % WIDTH
    data = tiles.get((level, n), b"")
    if len(data) != HASH * width:
        raise Refused("merkle.edge", f"Edge tile {level}/{n} of a tree of {size} is not as it was.")
    return data


def _split(data: bytes) -> list[bytes]:
    return [data[at : at + HASH] for at in range(0, len(data), HASH)]


def _fold(peaks: Iterable[bytes]) -> bytes:
    """Join complete subtrees, smallest (rightmost) first."""
    joined = b""
    for peak in peaks:
        joined = node_hash(peak, joined) if joined else peak
    return joined or EMPTY_ROOT


# Proving


def root_at(size: int, read: Read) -> bytes:
    """The root of the first `size` leaves."""
    return _range(0, size, cache(read))


def inclusion(index: int, size: int, read: Read) -> tuple[bytes, ...]:
    """The proof that leaf `index` is in the tree of the first `size` leaves."""
    if not 0 <= index < size:
        raise Refused("merkle.range", f"A tree of {size} has no leaf {index}.")
    read, lo, hi, path = cache(read), 0, size, []
    while hi - lo > 1:  # RFC 6962 2.1.1, from the root down
        middle = lo + _left(hi - lo)
        if index < middle:
            path.append(_range(middle, hi, read))
            hi = middle
        else:
            path.append(_range(lo, middle, read))
            lo = middle
    return tuple(reversed(path))


def consistency(old: int, size: int, read: Read) -> tuple[bytes, ...]:
    """The proof that the tree of `old` leaves is the beginning of the tree of `size` leaves."""
    if not 0 <= old <= size:
        raise Refused("merkle.range", f"A tree of {size} does not grow from one of {old}.")
    if old in (0, size):
        return ()
    read, lo, hi, path = cache(read), 0, size, []
    while old != hi:  # RFC 6962 2.1.2, from the root down
        middle = lo + _left(hi - lo)
        if old <= middle:
            path.append(_range(middle, hi, read))
            hi = middle
        else:
            path.append(_range(lo, middle, read))
            lo = middle
    if lo:  # otherwise it is the old root, which the verifier has
        path.append(_range(lo, hi, read))
    return tuple(reversed(path))


def _left(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1


def _range(lo: int, hi: int, read: Read) -> bytes:
    """The hash over leaves lo to hi - 1, where lo is a boundary of the tree over them."""
    peaks = []
    while lo < hi:
        height = (hi - lo).bit_length() - 1
        peaks.append(_complete(height, lo >> height, read))
        lo += 1 << height
    return _fold(reversed(peaks))


def _complete(height: int, i: int, read: Read) -> bytes:
    """The i-th complete subtree of this height, from the one tile that has its hashes."""
    level, rest = divmod(height, HEIGHT)
    n, offset = divmod(i << rest, WIDTH)
    end = HASH * (offset + (1 << rest))
    data = read(level, n)[HASH * offset : end]
    if len(data) != HASH << rest:
        raise Refused("merkle.tile", f"Tile {level}/{n} is shorter than the tree needs.")
    return root(_split(data))


# Checking


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Refuse unless the proof puts this leaf at this index of the tree with this root."""
    # RFC 9162 2.1.3.2
    if not 0 <= index < size:  # 1
        raise Refused("merkle.inclusion", "The index is not in the tree.")
    fn, sn, found = index, size - 1, leaf_hash  # 2, 3
    for step in proof:  # 4
        if sn == 0:  # 4a
            raise Refused("merkle.inclusion", "The inclusion proof is too long.")
        if fn & 1 or fn == sn:  # 4b
            found = node_hash(step, found)
            fn, sn = _risen(fn, sn)
        else:
            found = node_hash(found, step)
        fn, sn = fn >> 1, sn >> 1  # 4c
    if sn or found != root:  # 5
        raise Refused("merkle.inclusion", "The inclusion proof does not lead to the root.")


def verify_consistency(
    old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes
) -> None:
    """Refuse unless the proof shows that the old tree is the beginning of the new one."""
    if old in (0, size):  # nothing to prove: the empty tree begins every tree
        if proof or old_root != (root if old else EMPTY_ROOT):
            raise Refused("merkle.consistency", "The two trees do not agree.")
        return
    # RFC 9162 2.1.4.2
    path = list(proof)
    if not path or not 0 < old < size:  # 1
        raise Refused("merkle.consistency", "The consistency proof does not fit the sizes.")
    if old & (old - 1) == 0:  # 2: a power of two: the old root itself is the first step
        path.insert(0, old_root)
    fn, sn = old - 1, size - 1  # 3
    while fn & 1:  # 4
        fn, sn = fn >> 1, sn >> 1
    found_old = found = path[0]  # 5
    for step in path[1:]:  # 6
        if sn == 0:  # 6a
            raise Refused("merkle.consistency", "The consistency proof is too long.")
        if fn & 1 or fn == sn:  # 6b
            found_old, found = node_hash(step, found_old), node_hash(step, found)
            fn, sn = _risen(fn, sn)
        else:
            found = node_hash(found, step)
        fn, sn = fn >> 1, sn >> 1  # 6c
    if sn or found_old != old_root or found != root:  # 7
        raise Refused("merkle.consistency", "The consistency proof does not join the two roots.")


def _risen(fn: int, sn: int) -> tuple[int, int]:
    """Climb while the node is a left child without a sibling."""
    while fn and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


# Names of tiles

_TILE = re.compile(r"((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


def tile_path(level: int | str, n: int, width: int = WIDTH) -> str:
    """Where a tile is served: `tile/0/x001/x234/067`, a partial one with `.p/<width>` behind."""
    groups = [f"{n % 1000:03d}"]
    while n := n // 1000:
        groups.insert(0, f"x{n % 1000:03d}")
    return f"tile/{level}/{'/'.join(groups)}" + (f".p/{width}" if width < WIDTH else "")


def parse_tile_path(text: str) -> tuple[int, int]:
    """Read what follows `tile/<level>/`: the number of the tile and its width."""
    match = _TILE.fullmatch(text)
    if match is None or text.startswith("x000/"):
        raise Refused("merkle.path", "This is not the name of a tile.")
    n = int(re.sub("[x/]", "", match[1]) + match[2])
    width = int(match[3] or WIDTH)
    if match[3] and width >= WIDTH:
        raise Refused("merkle.path", "This is not the name of a tile.")
    return n, width


def entry_bundle(leaves: Iterable[bytes]) -> bytes:
    """What `tile/entries/<n>` serves: each entry behind its length in two bytes."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)
