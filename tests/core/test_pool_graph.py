"""Groups from ties: numbered by their smallest unit, whatever the order of what tied them."""

import random

import pyarrow as pa

from indicators.detection import graph


def tied(*rows: tuple[int, str]) -> pa.Table:
    columns = {
        "unit": pa.array([unit for unit, _ in rows], pa.int64()),
        "key": pa.array([key for _, key in rows], pa.string()),
    }
    return pa.table(columns)


def groups_of(made: graph.Groups) -> dict[int, int]:
    return dict(
        zip(
            made.rows.column("unit").to_pylist(),
            made.rows.column("group").to_pylist(),
            strict=True,
        )
    )


def test_what_meets_in_a_unit_is_one_group() -> None:
    cards = tied((9, "a"), (8, "a"), (3, "b"), (4, "b"))
    families = tied((8, "x"), (7, "x"))
    made = graph.components([cards, families])
    assert groups_of(made) == {3: 0, 4: 0, 7: 1, 8: 1, 9: 1}
    assert made.sizes == (2, 3)
    assert made.largest == 3


def test_equal_keys_of_two_detectors_tie_nothing() -> None:
    made = graph.components([tied((1, "a"), (2, "a")), tied((3, "a"), (4, "a"))])
    assert groups_of(made) == {1: 0, 2: 0, 3: 1, 4: 1}


def test_numbers_do_not_depend_on_the_order_of_rows() -> None:
    rows = [(unit, f"key {unit % 7}") for unit in range(100)]
    first = graph.components([tied(*rows)])
    for seed in range(5):
        random.Random(seed).shuffle(rows)  # noqa: S311 - an order, no secret
        again = graph.components([tied(*rows)])
        assert again.rows.equals(first.rows)
        assert again.sizes == first.sizes


def test_nothing_tied_is_no_group() -> None:
    for made in (graph.components([]), graph.components([tied()])):
        assert made.rows.num_rows == 0
        assert made.largest == 0


def test_pairs_make_groups_too() -> None:
    pairs = pa.table({"left": [5, 1, 2], "right": [6, 2, 3]})
    made = graph.of_pairs(pairs, "left", "right")
    assert groups_of(made) == {1: 0, 2: 0, 3: 0, 5: 1, 6: 1}
    none = graph.of_pairs(pairs.slice(0, 0), "left", "right")
    assert none.rows.num_rows == 0
