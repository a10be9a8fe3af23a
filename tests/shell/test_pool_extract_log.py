"""A member's log becomes days of a state: what is counted, what is left out, what is refused."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zstandard

from exchange.proof.refused import Refused
from indicators.extract import fold, prompts, read, state, window
from indicators.extract import map as maps
from indicators.extract.fold import Means, Tally
from indicators.extract.read import Wanted
from indicators.extract.state import State
from tests.shell import extracting
from tests.shell.extracting import DAY, GUILTY, MAP

Rows = list[dict[str, Any]]


def folded(
    room: Path, log: Path, mapped: str = MAP, *, first: date = DAY, last: date = DAY, **more: Any
) -> Tally:
    with state.opened(room / "state") as kept:
        return _folded(kept, log, mapped, Wanted(first, last, **more))


def _folded(
    kept: State, log: Path, mapped: str, wanted: Wanted, means: Means | None = None
) -> Tally:
    given, own = read.source(log), maps.parse(mapped)
    with fold.connection(kept, Means()) as duck:
        found = maps.match(read.columns(duck, given), own)
        maps.check(found)
        offset = read.has_offset(duck, given, found)
    wanted = Wanted(
        wanted.first, wanted.last, wanted.own, own.releases, wanted.one_in, has_offset=offset
    )
    return fold.fold(kept, given, found, wanted, means or Means())


def table(room: Path, name: str, day: date = DAY) -> Rows:
    found: Rows = pq.read_table(room / f"state/days/{day}/{name}.parquet").to_pylist()
    return found


@pytest.fixture
def rows() -> Rows:
    return list(extracting.events(ordinary=40))


def jsonl(room: Path, rows: Rows) -> Path:
    return extracting.write_log(room / "log.jsonl", rows)


def packed(room: Path, rows: Rows) -> Path:
    path = room / "log.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl(room, rows).read_bytes()))
    return path


def squeezed(room: Path, rows: Rows) -> Path:
    path = room / "log.jsonl.zst"
    path.write_bytes(zstandard.compress(jsonl(room, rows).read_bytes()))
    return path


def parquet(room: Path, rows: Rows) -> Path:
    path = room / "log.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def csv(room: Path, rows: Rows) -> Path:
    path = room / "log.csv"
    duckdb.sql(f"COPY (FROM '{parquet(room, rows)}') TO '{path}' (HEADER, DELIMITER ',')")
    return path


def attributes(room: Path, rows: Rows) -> Path:
    """As an exporter writes spans: attributes inside one column."""
    inside = [name for name in rows[0] if name.startswith(("user", "gen_ai", "client"))]
    spans = [
        {
            "attributes": {name: row[name] for name in inside},
            **{name: value for name, value in row.items() if name not in inside},
        }
        for row in rows
    ]
    return jsonl(room, spans)


@pytest.mark.parametrize("written", [jsonl, packed, squeezed, parquet, csv, attributes])
def test_each_form_of_a_log_gives_the_same_day(
    written: Callable[[Path, Rows], Path], rows: Rows, tmp_path: Path
) -> None:
    tally = folded(tmp_path, written(tmp_path, rows))
    assert (tally.events, tally.used, tally.accounts) == (len(rows), len(rows), GUILTY + 40)
    days = table(tmp_path, "account_day")
    busy = [day for day in days if day["events"] == 48]
    assert len(busy) == GUILTY
    assert all((day["flat"], day["mid"], day["moved"]) == (9, True, True) for day in busy)
    assert {f"{day['am']:012d}{day['pm']:012d}" for day in busy} == {"9" * 24}
    assert len({day["client"] for day in days}) == 1
    tokens = table(tmp_path, "account_token")
    shared = {row["token"] for row in tokens if row["kind"] == "device"}
    assert len(shared) == 3 + 40
    assert tally.templates == 1
    assert len(table(tmp_path, "account_template")) == GUILTY


def test_a_column_that_begins_empty_is_there_all_the_same(rows: Rows, tmp_path: Path) -> None:
    """The first accounts have no card: the log has the column nevertheless."""
    kept = [one["card"] for one in rows]
    log = jsonl(tmp_path, [one | {"card": None} for one in rows[:5]])
    with duckdb.connect(":memory:") as duck:
        names = {one.name for one in read.columns(duck, read.source(log))}
    assert "card" in names
    assert any(kept)


def test_a_day_folded_twice_is_the_same_day(rows: Rows, tmp_path: Path) -> None:
    log = jsonl(tmp_path, rows)
    folded(tmp_path, log)
    days = tmp_path / "state/days" / str(DAY)
    names = ("account", "account_day", "account_token", "account_tag", "account_template")
    before = {name: (days / f"{name}.parquet").read_bytes() for name in names}
    again = folded(tmp_path, log)
    assert before == {name: (days / f"{name}.parquet").read_bytes() for name in names}
    assert again.templates == 0


def test_days_leave_after_forty_five(rows: Rows, tmp_path: Path) -> None:
    folded(tmp_path, jsonl(tmp_path, rows))
    later = DAY + timedelta(days=45)
    moved = [row | {"start_time": f"{later}T10:00:00Z"} for row in rows]
    folded(tmp_path, jsonl(tmp_path, moved), first=later, last=later)
    assert [one.name for one in (tmp_path / "state/days").iterdir()] == [str(later)]


def test_staff_tests_and_free_trials_stay_out(rows: Rows, tmp_path: Path) -> None:
    """R8: by the column of the map, and by a list."""
    rows[-1]["is_staff"] = rows[-2]["is_staff"] = True
    own = frozenset({extracting.guilty(0)})
    tally = folded(tmp_path, jsonl(tmp_path, rows), own=own)
    assert (tally.own, tally.accounts) == (2 + 48, GUILTY - 1 + 39)


def test_times_in_a_zone_are_moved_to_utc(rows: Rows, tmp_path: Path) -> None:
    local = [row | {"start_time": row["start_time"].rstrip("Z")} for row in rows]
    log = jsonl(tmp_path, local)
    with pytest.raises(Refused) as refused:
        folded(tmp_path, log)
    assert refused.value.code == "log.local-time"
    tally = folded(tmp_path, log, MAP.replace("\n\n", '\nzone = "Europe/Berlin"\n\n', 1))
    assert tally.other_day == GUILTY * 2  # one hour of the campaign was the day before
    assert max(day["events"] for day in table(tmp_path, "account_day")) == 46


def test_shared_ranges_and_what_is_no_address_do_not_tie(rows: Rows, tmp_path: Path) -> None:
    rows[0]["client.address"] = "10.0.0.1"
    rows[1]["client.address"] = "canary.mail"
    tally = folded(tmp_path, jsonl(tmp_path, rows))
    assert (tally.shared_egress, tally.odd_egress) == (1, 1)


def test_an_account_with_two_days_of_sign_up_is_told(rows: Rows, tmp_path: Path) -> None:
    rows[0]["signup_day"] = "2026-10-01"
    tally = folded(tmp_path, jsonl(tmp_path, rows))
    assert tally.twice == 1
    assert any("earliest day" in line for line in tally.sentences())
    signups = {row["signup"] for row in table(tmp_path, "account")}
    assert date(2026, 10, 1) in signups


def test_a_prompt_of_ten_megabytes_is_counted_and_no_more(rows: Rows, tmp_path: Path) -> None:
    rows[0]["gen_ai.input.messages"] = "canaryprompt " * 800_000
    tally = folded(tmp_path, jsonl(tmp_path, rows))
    assert (tally.long_prompts, tally.used) == (1, len(rows))


def test_a_line_cut_in_the_middle_is_left_out_and_told(tmp_path: Path) -> None:
    log = jsonl(tmp_path, list(extracting.events(ordinary=500)))
    text = log.read_bytes()
    log.write_bytes(text[:-100])
    tally = folded(tmp_path, log)
    assert tally.no_account == 1
    assert any("broken" in line for line in tally.sentences())


def broken(room: Path, rows: Rows) -> Path:
    path = jsonl(room, rows)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line[:50] + b"\n" if n % 9 == 0 else line for n, line in
                              enumerate(lines)))  # fmt: skip
    return path


def cut(room: Path, rows: Rows) -> Path:
    path = packed(room, rows)
    path.write_bytes(path.read_bytes()[:-2_000])
    return path


def squeezed_and_cut(room: Path, rows: Rows) -> Path:
    path = squeezed(room, rows)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def endless(room: Path, rows: Rows) -> Path:
    path = parquet(room, rows)
    path.write_bytes(path.read_bytes()[:-50])
    return path


def unknown(room: Path, rows: Rows) -> Path:
    path = room / "log.txt"
    path.write_text("canaryacct")
    return path


def other_day(room: Path, rows: Rows) -> Path:
    return jsonl(room, [row | {"start_time": "2026-01-01T00:00:00Z"} for row in rows])


def nowhen(room: Path, rows: Rows) -> Path:
    return jsonl(room, [row | {"start_time": "yesterdayZ"} for row in rows])


def unpaid(room: Path, rows: Rows) -> Path:
    return jsonl(room, [{k: v for k, v in row.items() if k != "card"} for row in rows])


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (broken, "log.broken"),
        (cut, "log.unreadable"),
        (squeezed_and_cut, "log.unreadable"),
        (endless, "log.unreadable"),
        (unknown, "log.form"),
        (other_day, "log.empty"),
        (nowhen, "log.broken"),
        (unpaid, "map.column"),
    ],
)
def test_a_bad_log_is_refused_and_leaves_nothing(
    written: Callable[[Path, Rows], Path], code: str, rows: Rows, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as refused:
        folded(tmp_path, written(tmp_path, rows))
    assert refused.value.code == code
    said = f"{refused.value.sentence} {refused.value.path}".lower()
    assert not any(marker in said for marker in extracting.CANARIES)
    kept = tmp_path / "state"
    assert not list((kept / "days").iterdir()) if kept.exists() else True
    assert not (kept / "work").exists()


def test_a_line_of_a_hundred_megabytes_is_refused(rows: Rows, tmp_path: Path) -> None:
    rows[0]["gen_ai.input.messages"] = "canaryprompt " * (read.LONGEST_LINE // 4)
    with pytest.raises(Refused) as refused:
        folded(tmp_path, jsonl(tmp_path, rows))
    assert "32 MB" in refused.value.sentence


def test_the_state_is_for_its_owner_alone_and_says_nothing(rows: Rows, tmp_path: Path) -> None:
    folded(tmp_path, jsonl(tmp_path, rows))
    kept = tmp_path / "state"
    assert (kept.stat().st_mode & 0o777, (kept / "keys.json").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    for path in kept.rglob("*"):
        data = path.read_bytes().lower() if path.is_file() else b""
        assert not any(marker.encode() in data for marker in extracting.CANARIES), path
    (kept).chmod(0o755)
    with pytest.raises(Refused) as refused, state.opened(kept):
        pass
    assert refused.value.code == "state.mode"


def test_names_come_back_with_the_keys_and_not_without(rows: Rows, tmp_path: Path) -> None:
    folded(tmp_path, jsonl(tmp_path, rows))
    number = min(day["account"] for day in table(tmp_path, "account_day"))
    digest = f"{number:0{fold.DIGITS}x}"
    with state.opened(tmp_path / "state") as kept:
        names = kept.names({"account": {digest}})
    assert names["account", digest].startswith("CANARYACCT")
    (tmp_path / "state/keys.json").write_text(json.dumps({"secret": "00" * 32}))
    with state.opened(tmp_path / "state") as kept, pytest.raises(Refused) as refused:
        kept.names({"account": {digest}})
    assert refused.value.code == "state.keys"


def test_two_at_once_are_one_too_many(tmp_path: Path) -> None:
    with (
        state.opened(tmp_path / "state"),
        pytest.raises(Refused) as refused,
        state.opened(tmp_path / "state"),
    ):
        pass
    assert refused.value.code == "state.busy"


def test_an_account_that_was_there_when_the_state_began_is_not_new(
    rows: Rows, tmp_path: Path
) -> None:
    """Without a day of sign-up, being seen for the first time proves nothing on the first day."""
    mapped = MAP.replace('signup = "signup_day"\n', "")
    folded(tmp_path, jsonl(tmp_path, rows), mapped)
    with state.opened(tmp_path / "state") as kept, fold.connection(kept, Means()) as duck:
        place = window.write(kept, duck, day=DAY, spell=lambda one: [])
        first = {row["first_day"] for row in pq.read_table(place / "account.parquet").to_pylist()}
    assert first == {DAY - timedelta(days=45)}


def test_a_day_of_many_accounts_is_folded_in_little_memory(tmp_path: Path) -> None:
    """Two hundred thousand accounts, and so little for the engine that none may hold them all."""
    log, count = tmp_path / "log.parquet", 200_000
    number = pa.array(range(count)).cast(pa.string())
    began = int(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp())
    at = pa.array([(began + one % 86_400) * 1_000_000 for one in range(count)])
    names = {name: pc.binary_join_element_wise(name, number, "-")
             for name in ("user.id", "card", "device_id")}  # fmt: skip
    rows = {**names, "start_time": at.cast(pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(rows), log)
    with state.opened(tmp_path / "state") as kept:
        mapped = 'version = "weir-map/1"\n[columns]\npayment = "card"\ndevice = "device_id"\n'
        tally = _folded(kept, log, mapped, Wanted(DAY, DAY), Means(memory=80))
    assert (tally.used, tally.accounts) == (count, count)
    held = pq.read_table(tmp_path / f"state/days/{DAY}/account_token.parquet")
    assert held.num_rows == 2 * count
    order = held.select(["account", "kind", "token"])
    assert order.equals(order.sort_by([(name, "ascending") for name in order.column_names]))


def test_prompts_are_of_the_same_templates_however_they_are_spread(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = jsonl(tmp_path, rows)
    with state.opened(tmp_path / "state") as kept:  # the keys, so that accounts have one number
        _folded(kept, log, MAP, Wanted(DAY, DAY))
        kept.keep_templates([])
    before = table(tmp_path, "account_template")
    assert len(before) == GUILTY
    monkeypatch.setattr(prompts, "CHUNK", 5)
    monkeypatch.setattr(prompts, "_SPREAD", 12)
    folded(tmp_path, log)
    assert table(tmp_path, "account_template") == before
