"""The world that algorithms and the pool are tried on: the same each time, and as it says."""

import numpy as np
import pyarrow as pa
import pytest

from indicators.detection import schema, tables
from indicators.detection.world import crowd, draws, kinds, log, scenes

TYPES = {"int64": pa.int64(), "string": pa.string(), "date": pa.date32(), "boolean": pa.bool_()}


@pytest.mark.parametrize("name", scenes.NAMES)
@pytest.mark.parametrize(
    ("surface", "form"), [("log", tables.LOG), ("pool", tables.POOL)], ids=["log", "pool"]
)
def test_a_scene_is_tables_of_the_contract_without_nulls(
    name: str, surface: str, form: dict[str, dict[str, str]]
) -> None:
    scene = scenes.SURFACES[surface](name, 1)
    assert set(scene.tables) == set(form)
    for table, columns in form.items():
        made = scene.tables[table]
        assert {field.name: field.type for field in made.schema} == {
            column: TYPES[kind] for column, kind in columns.items()
        }
        assert all(column.null_count == 0 for column in made.columns)


@pytest.mark.parametrize("name", ["school", "multi-home", "hydra-relay"])
def test_a_scene_is_the_same_each_time_and_another_by_seed(name: str) -> None:
    for make in scenes.SURFACES.values():
        once, again, other = make(name, 3), make(name, 3), make(name, 4)
        assert all(once.tables[table].equals(again.tables[table]) for table in once.tables)
        assert not all(once.tables[table].equals(other.tables[table]) for table in once.tables)


@pytest.mark.parametrize("name", scenes.NAMES)
def test_only_a_campaign_is_guilty_and_every_scene_has_its_subject(name: str) -> None:
    for make in scenes.SURFACES.values():
        scene = make(name, 1)
        assert scene.subject
        assert scene.guilty == (scene.subject if name in scenes.CAMPAIGNS else frozenset())


def test_the_closed_list_of_look_alikes_is_there() -> None:
    assert set(scenes.LOOK_ALIKES) <= set(scenes.NAMES)
    assert {"market-place", "family", "many-cards"} <= set(scenes.NAMES)


def test_evenness_is_nine_for_a_machine_and_low_for_a_person() -> None:
    machine = np.full((1, schema.HOURS), 4)
    person: draws.Array = np.zeros((1, schema.HOURS), dtype=np.int64)
    person[0, 9:12] = (3, 5, 2)
    assert log.evenness(np.concatenate([machine, person])).tolist() == [9, 1]


def test_a_part_of_a_crowd_keeps_what_its_accounts_hold() -> None:
    rng = np.random.default_rng(1)
    firm = kinds.ORDINARY["many-cards"][1]
    whole = crowd.gather(rng, crowd.Numbers(1), firm, np.array([10, 20]), code=0)
    chosen = np.arange(len(whole)) >= 10
    part = whole.part(chosen)
    assert len(part) == 20
    held = {
        (account - 10, token)
        for account, token in zip(whole.token_account.tolist(), whole.token.tolist(), strict=True)
        if account >= 10
    }
    pairs = zip(part.token_account.tolist(), part.token.tolist(), strict=True)
    assert set(pairs) == held
    rejoined = crowd.joined([whole.part(~chosen), part])
    assert (rejoined.token_account == np.sort(rejoined.token_account)).sum() > 0
    assert len(rejoined) == len(whole)


def test_texts_of_numbers_are_hex_and_differ() -> None:
    texts = draws.hexes(np.arange(1_000), 1, 64).to_pylist()
    assert len(set(texts)) == 1_000
    assert all(len(text) == 64 and set(text) <= set("0123456789abcdef") for text in texts)
