"""The wheel of weir-extract: the same everywhere, without Django, and one pip command away."""

import io
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from django.utils import timezone

from exchange.proof.remote import CREDENTIAL
from indicators.extract import wheel
from tests.cast import make_cast
from tests.doors.stage import as_owner
from tests.doors.test_web_pages import browser, text
from tests.running import ROOT
from tests.shell import extracting
from tests.shell.extracting import MAP, Stand, serving

FOREIGN = ("django", "rest_framework", "celery", "redis", "psycopg", "stix2", "members")


def names() -> list[str]:
    return zipfile.ZipFile(io.BytesIO(wheel.archive())).namelist()


def test_the_same_tree_gives_the_same_wheel_without_any_setting(tmp_path: Path) -> None:
    argv = [sys.executable, "manage.py", "extractor_build", str(tmp_path)]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    packed = wheel.archive()
    assert (tmp_path / wheel.NAME).read_bytes() == packed
    assert done.stdout.split()[0] == sha256(packed).hexdigest()


def test_the_wheel_holds_what_it_needs_and_nothing_of_the_server() -> None:
    inside = [name for name in names() if name.endswith(".py")]
    rooms = ("exchange/proof/", "indicators/detection/", "indicators/extract/", "indicators/stix/")
    alone = ("exchange/__init__.py", "indicators/__init__.py")
    others = [name for name in inside if not name.startswith(rooms) and name not in alone]
    assert all(name.startswith("indicators/converters/") for name in others)
    assert "indicators/extract/command.py" in inside
    assert not any("world" in name or "wheel" in name for name in inside)


def test_the_command_imports_nothing_of_django() -> None:
    code = (
        "import sys, indicators.extract.command;"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()).isdisjoint(FOREIGN)


def test_the_wheel_asks_for_what_the_project_is_tested_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    tested = [*project["dependencies"], *optional["pool"]]
    assert set(wheel.NEEDS) <= set(tested)
    assert {name: list(needs) for name, needs in wheel.EXTRAS.items()} == {
        name: optional[name] for name in ("clickhouse", "spark")
    }


@pytest.mark.django_db
def test_a_member_fetches_it_from_the_help() -> None:
    cast = make_cast(timezone.now())
    client = browser(cast.ana)
    packed = wheel.archive()
    assert sha256(packed).hexdigest() in text(client, "/help/")
    answer = client.get("/extractor/")
    assert answer.content == packed
    assert answer["Content-Disposition"] == f'attachment; filename="{wheel.NAME}"'
    as_owner()
    assert browser(cast.dora).get("/extractor/").status_code == 404
    as_owner()


def installed(room: Path) -> Path:
    """A new environment with the wheel and what it asks for; skipped where no index answers."""
    (room / wheel.NAME).write_bytes(wheel.archive())
    uv = shutil.which("uv")
    python = room / "venv/bin/python"
    make = [uv, "venv", "-q"] if uv else [sys.executable, "-m", "venv"]
    subprocess.run([*make, str(room / "venv")], check=True, capture_output=True)
    pip = [uv, "pip", "install", "-q", "--python", str(python)] if uv else []
    pip = pip or [str(python), "-m", "pip", "install", "-q"]
    done = subprocess.run([*pip, str(room / wheel.NAME)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("no package index answers here")
    return python.with_name("weir-extract")


def test_one_pip_command_then_from_log_to_checked_file(tmp_path: Path) -> None:
    command = installed(tmp_path)
    day = datetime.now(UTC).date() - timedelta(days=1)
    (tmp_path / "map.toml").write_text(MAP.replace("2026-11-02", day.isoformat()))
    extracting.write_log(tmp_path / "usage.jsonl", extracting.events(day=day))
    env = {"PATH": os.environ["PATH"], CREDENTIAL: "weir_secret", "HOME": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [str(command), *arguments]
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)

    given = ("--log", "usage.jsonl", "--map", "map.toml")
    with serving(Stand()) as stand:
        columns = run("columns", *given)
        assert columns.returncode == 0, columns.stderr
        made = run("make", *given, "--url", stand.url)
        assert made.returncode == 0, made.stderr
        checked = run("check", "extract")
        assert checked.returncode == 0, checked.stderr
        assert checked.stdout.rstrip().endswith("it may be sent.")
        assert run("send", "extract", "--url", stand.url).returncode == 0
        assert len(stand.taken) == 1
