"""Which column is what: the names of OpenTelemetry, own maps, and what is missing."""

from datetime import UTC, datetime

import pytest

from exchange.proof.refused import Refused
from indicators.extract import map as maps
from indicators.extract.map import Column, Map


def columns(*names: str, kind: str = "VARCHAR") -> list[Column]:
    return [Column(name, f'"{name}"', kind) for name in names]


def own(text: str) -> Map:
    return maps.parse(f'version = "weir-map/1"\n{text}')


NEEDED = ("user.id", "start_time", "card", "device_id")
OWN = '[columns]\npayment = "card"\ndevice = "device_id"\n'


@pytest.mark.parametrize(
    "name",
    ["user.id", "enduser.pseudo.id", "enduser.id", "attributes.user.id", "SpanAttributes.user.id"],
)
def test_an_account_is_found_under_each_name_that_it_had(name: str) -> None:
    assert maps.match(columns(name), Map()).columns["account"].name == name


@pytest.mark.parametrize(
    ("need", "newer", "older"),
    [
        ("account", "user.id", "enduser.id"),
        ("prompt", "gen_ai.input.messages", "gen_ai.prompt"),
        ("model", "gen_ai.request.model", "gen_ai.response.model"),
        ("client", "ja4", "user_agent.original"),
    ],
)
def test_of_two_names_the_newer_counts(need: str, newer: str, older: str) -> None:
    assert maps.match(columns(older, newer), Map()).columns[need].name == newer


def test_an_own_map_goes_before_the_built_in_names() -> None:
    found = maps.match(columns("user.id", "customer"), own('[columns]\naccount = "customer"\n'))
    assert found.columns["account"].name == "customer"


def test_a_map_without_a_base_knows_its_own_names_alone() -> None:
    found = maps.match(columns("user.id", "start_time"), own('base = "none"\n'))
    assert not found.columns


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("user.id", "account"),
        ("start_time", "time"),
        ("card", "payment"),
        ("device_id", "device"),
    ],
)
def test_nothing_runs_without_what_is_needed(without: str, told: str) -> None:
    kept = [name for name in NEEDED if name != without]
    named = {"payment": "card", "device": "device_id"}
    mapped = Map(columns={need: name for need, name in named.items() if name in kept})
    with pytest.raises(Refused) as refused:
        maps.check(maps.match(columns(*kept), mapped))
    assert refused.value.code == "log.columns"
    assert told in refused.value.sentence


def test_a_legal_entity_stands_in_for_a_card() -> None:
    mapped = own('[columns]\nentity = "payer"\ndevice = "device_id"\n')
    maps.check(maps.match(columns("user.id", "start_time", "payer", "device_id"), mapped))


def test_what_is_missing_is_told_with_what_it_costs() -> None:
    found = maps.match(columns(*NEEDED), own(OWN))
    maps.check(found)
    told = found.sentences()
    assert "account: column user.id" in told
    assert any(line.startswith("prompt: missing; no templates") for line in told)
    assert any(line.startswith("own use: missing; your staff") for line in told)


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("[columns\n", "map.toml", ""),
        ('surprise = "x"\n', "map.key", "surprise"),
        ('base = "other"\n', "map.base", "base"),
        ('[columns]\nnonsense = "x"\n', "map.key", "columns.nonsense"),
        ("[columns]\npayment = 3\n", "map.form", "columns.payment"),
        ('zone = "Mars/Olympus"\n', "map.zone", "zone"),
        ("[releases]\nmodel = 2026-11-01T00:00:00\n", "map.release", "releases, line 1"),
        ('[own]\nname = "x"\n', "map.key", "own.name"),
    ],
)
def test_a_bad_map_is_refused_by_its_place(text: str, code: str, path: str) -> None:
    with pytest.raises(Refused) as refused:
        own(text)
    assert (refused.value.code, refused.value.path) == (code, path)


def test_a_map_of_another_version_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        maps.parse('version = "weir-map/9"\n')
    assert refused.value.code == "map.version"


def test_a_key_that_looks_like_a_value_is_not_repeated() -> None:
    with pytest.raises(Refused) as refused:
        own('[columns]\n"Ana@mail.example" = "x"\n')
    assert "Ana" not in refused.value.path + refused.value.sentence


def test_a_named_column_that_is_not_there_is_told() -> None:
    with pytest.raises(Refused) as refused:
        maps.match(columns(*NEEDED), own('[columns]\nprompt = "text"\n'))
    assert refused.value.path == "columns.prompt"


def test_releases_are_moments_in_utc() -> None:
    mapped = own('[releases]\n"model-x" = 2026-11-01T19:00:00+02:00\n')
    assert mapped.releases == (("model-x", datetime(2026, 11, 1, 17, tzinfo=UTC)),)


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("2026-11-02T10:00:00Z", True),
        ("2026-11-02T10:00:00.123+02:00", True),
        ("2026-11-02 10:00:00-0500", True),
        ("2026-11-02T10:00:00", False),
        ("2026-11-02", False),
    ],
)
def test_whether_a_time_carries_its_offset(text: str, *, has: bool) -> None:
    assert maps.carries_offset(text) is has


@pytest.mark.parametrize(("kind", "has_offset"), [("VARCHAR", False), ("TIMESTAMP", True)])
def test_local_times_need_a_zone(kind: str, *, has_offset: bool) -> None:
    (column,) = columns("start_time", kind=kind)
    with pytest.raises(Refused) as refused:
        maps.instant(column, has_offset=has_offset, zone="")
    assert refused.value.code == "log.local-time"
    assert "Europe/Berlin" in maps.instant(column, has_offset=has_offset, zone="Europe/Berlin")
