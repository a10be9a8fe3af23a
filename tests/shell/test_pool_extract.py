"""From a member's log to an extract that the exchange takes, and back to the member's accounts."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from exchange.proof import keyed, oprf
from exchange.proof.remote import CREDENTIAL
from indicators.detection import manifest, parquet, rules, taking
from indicators.detection.values import ClusterRow, Extract
from indicators.extract import command, make
from indicators.stix import validate
from tests.shell import extracting
from tests.shell.extracting import GUILTY, MAP, K, Stand, serving


def today() -> date:
    return datetime.now(UTC).date()


def yesterday() -> date:
    return today() - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Home:
    """A member's machine: a log, a map, a state and an exchange."""

    room: Path
    stand: Stand

    def run(self, name: str, *arguments: str | Path) -> int:
        given = [*map(str, arguments)]
        if name != "check":
            given += ["--url", self.stand.url]
        if name in ("make", "hunt", "minute"):
            given += ["--state", str(self.room / "state"), "--map", str(self.room / "map.toml")]
        return command.main([name, *given])

    def make(self, *arguments: str | Path, out: str = "extract") -> int:
        return self.run("make", "--out", self.room / out, *arguments)

    def extract(self, out: str = "extract") -> Extract:
        found = self.room / out
        parts = [(found / name).read_bytes() for name in (make.CLUSTERS, make.TEMPLATES)]
        said = manifest.read((found / make.MANIFEST).read_bytes())
        return parquet.read(said, *parts, rows=rules.SHIPPED.rows)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Aurora's machine, after its first day."""
    room = tmp_path_factory.mktemp("aurora")
    (room / "map.toml").write_text(MAP.replace("2026-11-02", yesterday().isoformat()))
    log = extracting.write_log(room / "usage.jsonl", extracting.events(day=yesterday()))
    with pytest.MonkeyPatch.context() as patch, serving(Stand()) as stand:
        patch.setenv(CREDENTIAL, "weir_secret")
        found = Home(room, stand)
        assert found.make("--log", log) == command.DONE
        yield found


def real(home: Home) -> ClusterRow:
    """The one row that is no dummy: its cards are those of the campaign."""
    tokens = {oprf.token(K, "payment-instrument", f"CANARYCARD-{n}") for n in range(4)}
    (row,) = [row for row in home.extract().clusters if set(row.payment) == tokens]
    return row


# --- make, check, send ---------------------------------------------------------------------------


def test_the_campaign_is_a_row_and_says_what_it_may(home: Home) -> None:
    row = real(home)
    assert (row.size, row.payers, row.devices) == ("10-29", "3-4", "3-4")
    assert (row.flat, row.fresh, row.hours) == (9, 10, "9" * 24)
    assert row.last_day == yesterday()
    devices = {oprf.token(K, "device", f"CANARYDEV-{n}") for n in range(3)}
    assert set(row.device) == devices
    assert row.egress == (oprf.token(K, "ip-address", "11.22.33.44"),)
    assert len(row.templates) == 1


def test_the_exchange_takes_what_was_made(home: Home) -> None:
    extract = home.extract()
    assert len(extract.clusters) == rules.SHIPPED.rows
    files = [(home.room / "extract" / name).read_bytes() for name in
             (make.MANIFEST, make.CLUSTERS, make.TEMPLATES)]  # fmt: skip
    taken = taking.opened((files[0], files[1], files[2]), today=today())
    assert taken == extract


def test_send_posts_the_three_parts_as_they_lie(home: Home) -> None:
    assert home.run("send", home.room / "extract") == command.DONE
    (body,) = home.stand.taken
    for name in (make.MANIFEST, make.CLUSTERS, make.TEMPLATES):
        assert (home.room / "extract" / name).read_bytes() in body
    assert re.findall(rb'name="([a-z]+)"', body) == [b"manifest", b"clusters", b"templates"]


def test_what_the_exchange_refuses_is_told_with_its_reason(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"code": "extract.seen", "sentence": "This was sent before.", "path": "manifest"}
    taken, home.stand.status = home.stand.status, {"state": "refused", "refused": said}
    try:
        assert home.run("send", home.room / "extract") == command.REFUSED
    finally:
        home.stand.status = taken
    assert "This was sent before. (extract.seen, manifest)" in capsys.readouterr().err


def test_the_same_day_made_again_asks_for_nothing_and_is_the_same(home: Home) -> None:
    before = home.stand.points
    assert home.make(out="again") == command.DONE
    assert home.stand.points == before
    assert home.extract("again") == home.extract()


def test_a_row_changed_by_hand_is_not_sent(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Abel looks at what was changed, and the exchange never sees it."""
    extract = home.extract()
    rows = parquet.write_clusters(extract.clusters[:-1])
    said = json.loads((home.room / "extract" / make.MANIFEST).read_bytes())
    said["clusters"] = sha256(rows).hexdigest()
    (tmp_path / make.MANIFEST).write_text(json.dumps(said))
    (tmp_path / make.CLUSTERS).write_bytes(rows)
    (tmp_path / make.TEMPLATES).write_bytes((home.room / "extract" / make.TEMPLATES).read_bytes())
    sent = len(home.stand.taken)
    assert home.run("check", tmp_path) != command.DONE
    assert home.run("send", tmp_path) != command.DONE
    assert len(home.stand.taken) == sent
    assert "300" in capsys.readouterr().err


def test_check_says_row_by_row_what_the_file_gives_away(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert home.run("check", home.room / "extract") == command.DONE
    told = capsys.readouterr().out
    assert "No prompt and no answer" in told
    number = real(home).row
    assert f"Row {number}: " in told
    assert told.count("\n  Row ") == rules.SHIPPED.rows
    assert told.rstrip().endswith("it may be sent.")


def test_an_extract_of_last_week_is_shown_and_not_let_through(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (make.MANIFEST, make.CLUSTERS, make.TEMPLATES):
        (tmp_path / name).write_bytes((home.room / "extract" / name).read_bytes())
    said = json.loads((tmp_path / make.MANIFEST).read_bytes())
    said["day"] = (today() - timedelta(days=7)).isoformat()
    (tmp_path / make.MANIFEST).write_text(json.dumps(said))
    assert home.run("check", tmp_path) == command.REFUSED
    told = capsys.readouterr()
    assert "Row 0: " in told.out
    assert "extract.day-late" in told.err


def test_an_extract_that_is_not_there_is_told(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert home.run("check", tmp_path) == command.USAGE
    assert "manifest.json" in capsys.readouterr().err


def test_a_day_that_was_not_folded_cannot_be_made(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert home.make("--day", today().isoformat(), out="never") == command.USAGE
    assert "not folded" in capsys.readouterr().err
    assert not (home.room / "never").exists()


def test_without_quota_nothing_is_written_and_the_rest_is_asked_another_day(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = ("--log", home.room / "usage.jsonl", "--map", home.room / "map.toml")
    poor = ["--state", tmp_path / "state", "--url", home.stand.url, "--out", tmp_path / "extract"]
    left, home.stand.left = home.stand.left, 5
    try:
        given = [str(one) for one in ("make", *log, *poor)]
        assert command.main(given) == command.QUOTA
        assert not (tmp_path / "extract").exists()
        before = home.stand.points
        home.stand.left = 100
        assert command.main(["make", *map(str, poor)]) == command.DONE
        assert home.stand.points - before == 4 + 3 + 1 + 1 - 5
    finally:
        home.stand.left = left
    assert "run it again" in capsys.readouterr().err


def test_what_the_exchange_has_active_is_named_in_the_manifest(home: Home) -> None:
    assert "GET /api/algorithms/" in home.stand.seen


# --- a minute ---


def test_a_minute_is_tied_to_the_days_before(home: Home) -> None:
    """A new account pays with a card of the campaign: who else holds it is named at once."""
    new = extracting.event(
        "CANARYACCT-new",
        datetime(today().year, today().month, today().day, 0, 1, tzinfo=UTC),
        card="CANARYCARD-0",
        device="CANARYDEV-new",
        address="11.22.33.45",
        prompt="canaryprompt",
        signup=today(),
    )
    other = new | {"user.id": "CANARYACCT-alone", "card": "another", "device_id": "another"}
    log = extracting.write_log(home.room / "minute.jsonl", [new, other])
    out = home.room / "minute.csv"
    days = sorted(one.name for one in (home.room / "state/days").iterdir())
    assert home.run("minute", "--log", log, "--out", out) == command.DONE
    with out.open(encoding="utf-8", newline="") as file:
        found = {row["account"] for row in csv.DictReader(file)}
    assert found == {"CANARYACCT-new", *(extracting.guilty(n) for n in range(0, GUILTY, 4))}
    assert sorted(one.name for one in (home.room / "state/days").iterdir()) == days


# --- hunt ----------------------------------------------------------------------------------------


def token_of(kind: str, value: str, epoch: str) -> dict[str, Any]:
    made = keyed.Made(kind, "forum", epoch)
    return keyed.observable(oprf.token(K, kind, value), made)


def finding(stand: Stand, *values: tuple[str, str]) -> dict[str, Any]:
    """A campaign with a cluster that shares tokens, as the exchange releases it."""
    tokens = [token_of(kind, value, stand.epoch) for kind, value in values]
    campaign = {"type": "campaign", "id": f"campaign--{uuid4()}", "name": "XC-2026ab3de"}
    cluster = {
        "type": "account-cluster",
        "id": f"account-cluster--{uuid4()}",
        "shared_token_refs": [one["id"] for one in tokens],
    }
    tied = {
        "type": "relationship",
        "id": f"relationship--{uuid4()}",
        "source_ref": cluster["id"],
        "target_ref": campaign["id"],
    }
    return {"type": "bundle", "objects": [campaign, cluster, tied, *tokens]}


def hunted(home: Home, bundle: dict[str, Any], *more: str | Path) -> list[dict[str, str]]:
    path, out = home.room / "findings.json", home.room / "accounts.csv"
    path.write_text(json.dumps(bundle))
    assert home.run("hunt", "--findings", path, "--out", out, *more) == command.DONE
    assert out.stat().st_mode & 0o777 == 0o600
    with out.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_released_card_finds_its_accounts_and_their_group(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    found = hunted(home, finding(home.stand, ("payment-instrument", "CANARYCARD-0")))
    assert {row["account"] for row in found} == {extracting.guilty(n) for n in range(GUILTY)}
    reasons = {row["account"]: row["reasons"] for row in found}
    assert "payment instrument" in reasons[extracting.guilty(4)]
    assert "tied to accounts" in reasons[extracting.guilty(5)]
    assert {row["name"] for row in found} == {"XC-2026ab3de"}
    assert "12 of your accounts match" in capsys.readouterr().err


def test_a_card_that_nobody_here_holds_finds_nobody(home: Home) -> None:
    assert hunted(home, finding(home.stand, ("payment-instrument", "another"))) == []


def test_tokens_of_another_quarter_match_nothing(home: Home) -> None:
    bundle = finding(home.stand, ("payment-instrument", "CANARYCARD-0"))
    for obj in bundle["objects"]:
        if obj["type"] == "keyed-token":
            obj["key_epoch"] = "2020Q1"
    assert hunted(home, bundle) == []


def test_the_list_as_json_and_sightings_ready_to_contribute(home: Home, tmp_path: Path) -> None:
    bundle = finding(home.stand, ("device", "CANARYDEV-1"))
    seen = tmp_path / "seen.json"
    (tmp_path / "f.json").write_text(json.dumps(bundle))
    out = tmp_path / "accounts.json"
    done = home.run("hunt", "--findings", tmp_path / "f.json", "--out", out, "--sightings", seen)
    assert done == command.DONE
    listed = json.loads(out.read_text())
    assert len(listed) == GUILTY
    objects = json.loads(seen.read_text())["objects"]
    assert [one["sighting_of_ref"] for one in objects] == [bundle["objects"][0]["id"]]
    for one in objects:
        assert not validate.problems(one)
    assert "CANARY" not in seen.read_text()


def test_findings_are_pulled_over_taxii(home: Home, tmp_path: Path) -> None:
    home.stand.objects = finding(home.stand, ("device", "CANARYDEV-1"))["objects"]
    out = tmp_path / "accounts.csv"
    assert home.run("hunt", "--collection", "holding", "--out", out) == command.DONE
    assert len(out.read_text().splitlines()) == 1 + GUILTY


def test_what_is_shared_most_is_evaluated_first_and_the_rest_is_told(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = finding(home.stand, ("device", "CANARYDEV-1"))
    (tmp_path / "f.json").write_text(json.dumps(bundle))
    log = ("--log", home.room / "usage.jsonl", "--map", home.room / "map.toml")
    left, home.stand.left = home.stand.left, 48_000 + 9
    try:
        given = ["hunt", *log, "--findings", tmp_path / "f.json", "--out", tmp_path / "a.csv",
                 "--state", tmp_path / "state", "--url", home.stand.url]  # fmt: skip
        assert command.main([str(one) for one in given]) == command.DONE
    finally:
        home.stand.left = left
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + GUILTY
    told = capsys.readouterr().err
    assert "2,999 of your cards and devices are not evaluated yet" in told


@pytest.mark.parametrize(
    ("text", "code"),
    [("{", "findings.form"), ('{"objects": 3}', "findings.form"), ("", "findings.form")],
)
def test_findings_that_are_none_are_refused(
    home: Home, tmp_path: Path, text: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.json").write_text(text)
    assert home.run("hunt", "--findings", tmp_path / "f.json") == command.USAGE
    assert code in capsys.readouterr().err


# --- other engines -------------------------------------------------------------------------------


@pytest.mark.parametrize(("engine", "module"), [("clickhouse", "chdb"), ("spark", "pyspark")])
def test_every_engine_makes_the_same_files_from_the_log(
    home: Home, engine: str, module: str
) -> None:
    """From the raw log on: what a member's own engine ties is what DuckDB ties, byte for byte."""
    if find_spec(module) is None and os.environ.get("CI") != "true":
        pytest.skip(f"the extra {engine!r} is not installed")
    # Many short queries: what Java's second compiler gains never comes back.
    options = "--driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell"
    environment = {"PYSPARK_SUBMIT_ARGS": options, **os.environ}
    files = {}
    for name in ("duckdb", engine):
        out = home.room / f"by-{name}"
        # In a process of its own, as a member has it: of ClickHouse there can be one in a process.
        given = ["make", "--url", home.stand.url, "--state", home.room / "state", "--out", out,
                 "--map", home.room / "map.toml", "--log", home.room / "usage.jsonl",
                 "--engine", name]  # fmt: skip
        argv = [sys.executable, "-m", "indicators.extract.command", *map(str, given)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == command.DONE, done.stderr
        files[name] = [(out / file).read_bytes() for file in
                       (make.MANIFEST, make.CLUSTERS, make.TEMPLATES)]  # fmt: skip
    assert files[engine] == files["duckdb"]
    assert real(home).size == "10-29"
