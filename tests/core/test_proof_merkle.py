"""RFC 6962 trees and C2SP tiles, against a recursion over all leaves that shares no code."""

import hashlib

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.proof import merkle
from exchange.proof.refused import Refused

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "18b3f4474742d7990e7f466231aab1d496d61156a2c14f73bc27fe357d3194ed",
        "51aef818dd22dadc337e913d3be1024135561e417bb359e07ad255237b4dca0f",
        "cf8a04c93a68cde8f7239d4252c3bdbfdbed031df16270e46a2f370eade1010b",
        "50a83932bfef1fecffd2cceb616c9d34b8e9848585dfc5168164ae09468f58b3",
        "9585af410de9cd593bb33609e036360e2f51fa1993af4f80e18eb4a2a74c28a1",
        "96c844053dbeb20f434d1221f425e083ef91df666b6e7eaa9d2e1681be617dc7",
        "78ad758a78ac8fe125dcc83f308796f234d37ffc671793e828e7fdc48f671734",
        "30260a5b5ea82acb5766f3182e9f81618fc42b7cf784dee4724843cc23704ce2",
    )
]
ROOT_5 = bytes.fromhex("850b7a4e20512cac64cbdb73a608b8fcc918134280fe733c6a5de2f22035a12d")
ROOT_8 = bytes.fromhex("23a3c6aa7bad145264d4cfea06704a9ef515f5f0b0958dac42084aaf9f441576")
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]


def plain_root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 2.1, word for word."""
    n = len(hashes)
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashes[0]
    k = max(2**i for i in range(20) if 2**i < n)
    return hashlib.sha256(b"\x01" + plain_root(hashes[:k]) + plain_root(hashes[k:])).digest()


def leaf_hashes(count: int) -> list[bytes]:
    return [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(count)]


def tiles_of(hashes: list[bytes]) -> dict[merkle.Tile, bytes]:
    return merkle.append({}, 0, hashes)[0]


def reader(hashes: list[bytes]) -> merkle.Read:
    tiles = tiles_of(hashes)
    return lambda level, n: tiles[level, n]


def test_vectors_of_the_tree() -> None:
    changed, root = merkle.append({}, 0, HASHES)
    assert root == merkle.root(HASHES) == ROOT_8
    assert merkle.root(HASHES[:5]) == merkle.root_at(5, reader(HASHES)) == ROOT_5
    tile = hashlib.sha256(changed[0, 0]).hexdigest()
    assert tile == "5dcb6206c0fc472c2707517c9766baf870ba0071a19a493174386f159e0871b4"
    bundle = hashlib.sha256(merkle.entry_bundle(LEAVES)).hexdigest()
    assert bundle == "e6baa6c842303cf212254e4d78e4585760685fede61178d476a153b76e874088"
    assert HASHES[5].hex() == "25aac4a2735a0a06500ad097f115deb0ec6889fbb9ed0402167b6f95e09f6742"


CONSISTENCY_5_8 = [
    bytes.fromhex(text)
    for text in (
        "743415bf1d36bc9ee21b95e464abd8e538e98c6b456f76f1ca49b400e4f8449f",
        "25aac4a2735a0a06500ad097f115deb0ec6889fbb9ed0402167b6f95e09f6742",
        "8132784627d996cdd617f94b99e35bf3188aeb14755fc32c78fbb4ac82ad1a04",
        "2413ead0f1f6698d351f289c4c908af460a416ac7e5de9fea7ea603c9a5ac423",
    )
]


def test_vector_of_consistency() -> None:
    proof = merkle.consistency(5, 8, reader(HASHES))
    assert list(proof) == CONSISTENCY_5_8
    merkle.verify_consistency(5, 8, proof, ROOT_5, ROOT_8)
    with pytest.raises(Refused):  # its first hash removed
        merkle.verify_consistency(5, 8, proof[1:], ROOT_5, ROOT_8)


def test_inclusion_holds_at_its_own_index_and_root_only() -> None:
    proof = merkle.inclusion(5, 8, reader(HASHES))
    merkle.verify_inclusion(HASHES[5], 5, 8, proof, ROOT_8)
    for index, size, root in [(4, 8, ROOT_8), (5, 8, ROOT_5), (5, 6, ROOT_5), (-1, 8, ROOT_8)]:
        with pytest.raises(Refused):
            merkle.verify_inclusion(HASHES[5], index, size, proof, root)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=6))
def test_appending_in_any_pattern_gives_the_plain_root(batches: list[int]) -> None:
    hashes = leaf_hashes(sum(batches))
    stored: dict[merkle.Tile, bytes] = {}
    size = 0
    for batch in batches:
        edge = {tile: stored[tile] for tile in merkle.edge_of(size)}
        changed, root = merkle.append(edge, size, hashes[size : size + batch])
        for tile, data in changed.items():  # as the trigger on the table demands
            assert data.startswith(stored.get(tile, b""))
            assert len(data) <= 8192
        stored |= changed
        size += batch
        assert root == plain_root(hashes[:size])
    assert stored == tiles_of(hashes)


sizes = st.one_of(st.integers(1, 70), st.sampled_from([255, 256, 257, 511, 512, 513, 1000, 1281]))


def altered(proof: tuple[bytes, ...], data: st.DataObject) -> list[list[bytes]]:
    steps = list(proof)
    outcomes = [[*steps, steps[0] if steps else b"\x00" * 32]]
    if steps:
        at = data.draw(st.integers(0, len(steps) - 1))
        bit = data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(steps[at], "big") ^ (1 << bit)).to_bytes(32, "big")
        outcomes += [steps[:at] + steps[at + 1 :], [*steps[:at], flipped, *steps[at + 1 :]]]
    return outcomes


@settings(max_examples=150, deadline=None)
@given(sizes, st.data())
def test_every_inclusion_proof_verifies_and_no_altered_one(size: int, data: st.DataObject) -> None:
    later = size + data.draw(st.integers(0, 40))  # the tiles may already hold more
    hashes = leaf_hashes(later)
    index = data.draw(st.integers(0, size - 1))
    root = plain_root(hashes[:size])
    proof = merkle.inclusion(index, size, reader(hashes))
    merkle.verify_inclusion(hashes[index], index, size, proof, root)
    for other in altered(proof, data):
        with pytest.raises(Refused):
            merkle.verify_inclusion(hashes[index], index, size, other, root)
    with pytest.raises(Refused):
        merkle.verify_inclusion(b"\x00" * 32, index, size, proof, root)


@settings(max_examples=150, deadline=None)
@given(sizes, st.data())
def test_every_consistency_proof_verifies_and_no_altered_one(
    size: int, data: st.DataObject
) -> None:
    hashes = leaf_hashes(size)
    old = data.draw(st.integers(0, size))
    old_root, root = plain_root(hashes[:old]), plain_root(hashes)
    proof = merkle.consistency(old, size, reader(hashes))
    merkle.verify_consistency(old, size, proof, old_root, root)
    for other in altered(proof, data):
        with pytest.raises(Refused):
            merkle.verify_consistency(old, size, other, old_root, root)
    with pytest.raises(Refused):
        merkle.verify_consistency(old, size, proof, b"\x00" * 32, root)
    if old:
        with pytest.raises(Refused):
            merkle.verify_consistency(old, size, proof, old_root, b"\x00" * 32)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.data())
def test_an_independent_implementation_grows_the_same_tree(
    batches: list[int], data: st.DataObject
) -> None:
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    tiles: dict[merkle.Tile, bytes] = {}
    size = 0
    for batch in batches:
        leaves = [i.to_bytes(4, "big") for i in range(size, size + batch)]
        for leaf in leaves:
            theirs.append_entry(leaf)
        changed, root = merkle.append(tiles, size, [merkle.leaf_hash(leaf) for leaf in leaves])
        tiles |= changed
        size += batch
        assert theirs.get_state(size) == root
    old = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, size - 1))
    included = theirs.prove_inclusion(index + 1, size)
    path = merkle.inclusion(index, size, lambda level, n: tiles[level, n])
    included.path[1:] = path
    pymerkle.verify_inclusion(theirs.get_leaf(index + 1), root, included)
    pymerkle.verify_consistency(theirs.get_state(old), root, theirs.prove_consistency(old, size))
    grown = merkle.consistency(old, size, lambda level, n: tiles[level, n])
    merkle.verify_consistency(old, size, grown, theirs.get_state(old), root)


def test_a_proof_among_a_million_reads_few_tiles() -> None:
    # 2^20 leaves, all alike: each level has one value, so the tiles need not be built
    values = [merkle.leaf_hash(b"")]
    for _ in range(20):
        values.append(merkle.node_hash(values[-1], values[-1]))
    seen: list[merkle.Tile] = []

    def read(level: int, n: int) -> bytes:
        seen.append((level, n))
        return values[8 * level] * 256

    proof = merkle.inclusion(777_777, 2**20, read)
    merkle.verify_inclusion(values[0], 777_777, 2**20, proof, values[20])
    assert len(proof) == 20
    assert len(seen) == len(set(seen)) <= 4


@pytest.mark.parametrize(("old", "size"), [(9, 8), (-1, 8)])
def test_sizes_out_of_order_are_refused(old: int, size: int) -> None:
    with pytest.raises(Refused):
        merkle.consistency(old, size, reader(HASHES))
    with pytest.raises(Refused):
        merkle.verify_consistency(old, size, CONSISTENCY_5_8, ROOT_5, ROOT_8)


@pytest.mark.parametrize("index", [8, -1])
def test_a_leaf_outside_of_the_tree_has_no_proof(index: int) -> None:
    with pytest.raises(Refused):
        merkle.inclusion(index, 8, reader(HASHES))


def test_an_edge_that_is_not_as_it_was_is_refused() -> None:
    edge = tiles_of(HASHES[:5])
    assert merkle.edge_root(edge, 5) == ROOT_5
    for wrong in ({}, {(0, 0): edge[0, 0][:-32]}, {(0, 0): edge[0, 0] + b"\x00" * 32}):
        with pytest.raises(Refused) as refused:
            merkle.append(wrong, 5, HASHES[5:])
        assert refused.value.code == "merkle.edge"
    with pytest.raises(Refused):
        merkle.append(edge, 5, [b"short"])


def test_a_tile_that_lacks_hashes_is_refused() -> None:
    with pytest.raises(Refused):
        merkle.root_at(8, lambda _level, _n: HASHES[0])


def test_the_empty_tree_begins_every_tree() -> None:
    assert merkle.root([]) == merkle.edge_root({}, 0) == merkle.EMPTY_ROOT == plain_root([])
    assert merkle.append({}, 0, []) == ({}, merkle.EMPTY_ROOT)
    assert merkle.root_at(0, reader(HASHES)) == merkle.EMPTY_ROOT
    merkle.verify_consistency(0, 8, (), merkle.EMPTY_ROOT, ROOT_8)
    merkle.verify_consistency(0, 0, (), merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)


@pytest.mark.parametrize(
    ("n", "width", "name"),
    [
        (0, 256, "000"),
        (67, 8, "067.p/8"),
        (999, 256, "999"),
        (1000, 256, "x001/000"),
        (1234067, 256, "x001/x234/067"),
        (1234067, 255, "x001/x234/067.p/255"),
    ],
)
def test_tiles_have_one_name(n: int, width: int, name: str) -> None:
    assert merkle.tile_path(3, n, width) == f"tile/3/{name}"
    assert merkle.parse_tile_path(name) == (n, width)


@pytest.mark.parametrize(
    "name",
    ["", "67", "x000/067", "x001", "001/067", "067.p/0", "067.p/08", "067.p/256", "067.p/999",
     "067.p/", "067\n", "../067", "٠٦٧"],
)  # fmt: skip
def test_other_names_of_tiles_are_refused(name: str) -> None:
    with pytest.raises(Refused):
        merkle.parse_tile_path(name)


def test_entries_are_named_like_tiles() -> None:
    assert merkle.tile_path("entries", 0, 8) == "tile/entries/000.p/8"
