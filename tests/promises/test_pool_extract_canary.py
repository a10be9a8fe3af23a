"""Nothing of a member's log stands in what leaves, in what is said, or in what stays behind.

Markers in account ids, mail addresses, cards, devices, prompts and model names are looked for in
every file but the log itself, and in all that the command says: through make, check, send and hunt,
and through each bad input.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from exchange.proof.remote import CREDENTIAL
from indicators.extract import command
from tests.shell import extracting
from tests.shell.extracting import CANARIES, MAP, Stand, serving
from tests.shell.test_pool_extract import finding

Rows = list[dict[str, Any]]
DAY = datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv(CREDENTIAL, "weir_secret")
    with serving(Stand()) as made:
        yield made


@pytest.fixture
def rows() -> Rows:
    return list(extracting.events(ordinary=1_300, day=DAY))


def run(room: Path, stand: Stand, name: str, *arguments: str | Path) -> int:
    given = [name, *map(str, arguments)]
    if name != "check":
        given += ["--url", stand.url]
    if name in ("make", "hunt"):
        given += ["--state", str(room / "state"), "--map", str(room / "map.toml")]
    return command.main(given)


def prepared(room: Path, rows: Rows) -> Path:
    (room / "map.toml").write_text(MAP.replace("2026-11-02", DAY.isoformat()))
    return extracting.write_log(room / "usage.jsonl", iter(rows))


def markers_in(data: bytes) -> list[str]:
    lower = data.lower()
    return [marker for marker in CANARIES if marker.encode() in lower]


def files_with_markers(room: Path, *, but: tuple[str, ...]) -> dict[str, list[str]]:
    """Every file but these, looked through as it lies and, if it is Parquet, value by value."""
    found = {}
    for path in room.rglob("*"):
        if path.is_file() and path.name not in but:
            seen = markers_in(path.read_bytes()) or markers_in(_values(path))
            if seen:
                found[str(path.relative_to(room))] = seen
    return found


def _values(path: Path) -> bytes:
    if path.suffix != ".parquet":
        return b""
    query = f"SELECT * FROM read_parquet('{path}')"  # noqa: S608 - a path of this test
    rows = duckdb.sql(query).fetchall()
    return json.dumps(rows, default=str).encode()


def test_no_marker_is_in_what_leaves_or_stays(
    rows: Rows,
    stand: Stand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    spare = tmp_path / "tmp"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    log = prepared(tmp_path, rows)
    extract = tmp_path / "extract"
    assert run(tmp_path, stand, "make", "--log", log, "--out", extract) == command.DONE
    assert run(tmp_path, stand, "check", extract) == command.DONE
    assert run(tmp_path, stand, "send", extract) == command.DONE
    (tmp_path / "findings.json").write_text(
        json.dumps(finding(stand, ("payment-instrument", "CANARYCARD-1")))
    )
    own, seen = tmp_path / "accounts.csv", tmp_path / "sightings.json"
    given = ("--findings", tmp_path / "findings.json", "--out", own, "--sightings", seen)
    assert run(tmp_path, stand, "hunt", *given) == command.DONE

    assert markers_in(own.read_bytes())  # the member's own list names its accounts: it found them
    mine = ("usage.jsonl", "map.toml", "accounts.csv")
    assert files_with_markers(tmp_path, but=mine) == {}
    assert all(not markers_in(body) for body in stand.taken)
    said = capfd.readouterr()
    assert markers_in((said.out + said.err).encode()) == []
    assert not (tmp_path / "state/work").exists()
    assert not list(spare.iterdir())


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 3])


def not_json(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'": "', b"CANARYPROMPT", 5_000))


def not_utf8(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"canaryprompt", b"canaryprompt\xff\xfe"))


def a_line_without_end(path: Path) -> None:
    path.write_bytes(b'{"user.id": "CANARYACCT' + b"canaryprompt" * 8_000_000)


def local_times(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'Z", "gen_ai', b'", "gen_ai'))


def no_payment(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"card"', b'"CANARYCARD"'))


def values_of_other_kinds(path: Path) -> None:
    path.write_bytes(
        path.read_bytes()
        .replace(b'"signup_day": "', b'"signup_day": "CANARYACCT')
        .replace(b'"is_staff": false', b'"is_staff": "CANARYACCT"')
        .replace(b'"client.address": "', b'"client.address": "CANARYDEV')
    )


def times_that_are_none(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"start_time": "2', b'"start_time": "CANARY.MAIL'))


@pytest.mark.parametrize(
    "spoiled",
    [
        cut_off,
        not_json,
        not_utf8,
        a_line_without_end,
        local_times,
        no_payment,
        values_of_other_kinds,
        times_that_are_none,
    ],
)
def test_a_bad_log_says_nothing_of_what_is_in_it(
    spoiled: Callable[[Path], None],
    rows: Rows,
    stand: Stand,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = prepared(tmp_path, rows[:1_200])
    spoiled(log)
    run(tmp_path, stand, "make", "--log", log, "--out", tmp_path / "extract")
    said = capfd.readouterr()
    assert said.err or said.out
    assert markers_in((said.out + said.err).encode()) == []
    assert files_with_markers(tmp_path, but=("usage.jsonl", "map.toml")) == {}
    assert "Traceback" not in said.err


def test_a_fault_of_ours_quotes_nothing(
    rows: Rows,
    stand: Stand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """An exception that nobody thought of carries a value in its text."""

    def broken(arguments: object) -> int:
        raise ValueError("CANARYACCT in a cell of CANARYCARD")

    monkeypatch.setattr(command, "COMMANDS", {"make": broken})
    log = prepared(tmp_path, rows[:10])
    assert run(tmp_path, stand, "make", "--log", log) == command.REFUSED
    said = capfd.readouterr()
    assert markers_in((said.out + said.err).encode()) == []
    assert "ValueError at test_pool_extract_canary.py" in said.err


def test_the_markers_are_seen_where_they_are(rows: Rows, tmp_path: Path) -> None:
    """The search itself works: in a log, in Parquet, and in whatever case."""
    extracting.write_log(tmp_path / "log.jsonl", iter(rows[:3]))
    duckdb.sql("SELECT 'CanaryCard-7' AS token").write_parquet(str(tmp_path / "t.parquet"))
    seen = files_with_markers(tmp_path, but=())
    assert set(seen) == {"log.jsonl", "t.parquet"}
