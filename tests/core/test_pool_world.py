"""The world that algorithms and the pool are tried on: the same each time, and as it says."""

import json
import tomllib
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest

from indicators.detection import schema, tables
from indicators.detection.world import crowd, draws, forum, kinds, log, logs, scenes

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


@pytest.fixture(scope="module")
def small() -> forum.Forum:
    return forum.forum(1, 4, middle=1_000, campaigns=10)


def test_a_campaign_is_spread_and_uses_its_cards_again(small: forum.Forum) -> None:
    held: dict[int, set[int]] = {}
    for member, each in enumerate(small.crowds):
        cards = (each.token_kind == 0) & forum.is_guilty(each)[each.token_account]
        for token in np.unique(each.token[cards]).tolist():
            held.setdefault(token, set()).add(member)
    assert sum(len(members) > 1 for members in held.values()) > len(held) / 4


def test_lawful_firms_stand_at_two_members(small: forum.Forum) -> None:
    whose: dict[int, set[int]] = {}
    for member, each in enumerate(small.crowds):
        for group in np.unique(each.group[forum.is_of_two(each)]).tolist():
            whose.setdefault(group, set()).add(member)
    assert len(whose) == 4 * forum.FIRMS
    assert max(map(len, whose.values())) == 2


def test_a_forum_is_the_same_each_time_and_each_log_by_itself(small: forum.Forum) -> None:
    again = forum.forum(1, 4, middle=1_000, campaigns=10)
    first = list(small.logs())
    assert again.log(2).tables["account_day"].equals(first[2].tables["account_day"])
    assert again.log(0).tables["template_band"].equals(first[0].tables["template_band"])


def test_one_template_is_near_at_two_members_and_not_equal(small: forum.Forum) -> None:
    bands = []
    for each in small.logs():
        guilty = forum.is_guilty(each.crowd)[each.crowd.used_account]
        values = each.tables["template_band"]["value"].to_numpy(zero_copy_only=False)
        own = guilty & (each.crowd.used > crowd.POPULAR)
        numbers: draws.Array = np.isin(np.unique(each.crowd.used), each.crowd.used[own])
        bands.append(
            {
                number: set(values[number * 32 : number * 32 + 32])
                for number in np.flatnonzero(numbers)
            }
        )
    shared = [
        len(one & other)
        for one in bands[0].values()
        for other in bands[1].values()
        if len(one & other) >= 2
    ]
    assert shared
    assert max(shared) < schema.BANDS


def test_raw_logs_are_lines_of_events_with_a_map(small: forum.Forum) -> None:
    few = list(islice(logs.lines(small, 0), 200))
    events = [json.loads(line) for line in few]
    times = [event["start_time"] for event in events]
    assert times == sorted(times)
    columns = tomllib.loads(logs.map_of())["columns"]
    assert set(columns.values()) <= set(events[0])
    assert few == list(islice(logs.lines(small, 0), 200))
