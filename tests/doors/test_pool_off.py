"""Without the extras every process starts and works, and each page says that the pool is off."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests import running
from tests.running import Running, wait_for
from tests.shell import sharing

EXTRAS = (
    *("duckdb", "ibis", "sqlglot", "pyarrow", "scipy", "numpy", "pandas", "sigma"),
    *("chdb", "pyspark", "py4j"),
)
# As if they were not installed, in every process of ours that Python starts.
HOOK = f"""
from importlib.machinery import PathFinder

_found = PathFinder.find_spec
_missing = {EXTRAS!r}


def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in _missing else _found(name, path, target)


PathFinder.find_spec = find_spec
"""
OFF = "The pool is off"
CANARY = "what-nobody-takes-in"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A whole exchange in which no process has one of the packages."""
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    room = tmp_path_factory.mktemp("off")
    with running.exchange(room, {"PYTHONPATH": str(folder)}) as made:
        yield made


def ask(
    whole: Running, method: str, address: str, body: bytes = b"", **headers: str
) -> tuple[int, str, SimpleCookie]:
    """One request; what was answered, and what is to be kept of it."""
    parts = urlsplit(whole.base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(
            method, address, body, {k.replace("_", "-"): headers[k] for k in headers}
        )
        answer = connection.getresponse()
        kept = SimpleCookie("; ".join(answer.headers.get_all("Set-Cookie", [])))
        return answer.status, answer.read().decode("utf-8"), kept
    finally:
        connection.close()


def signed_in(whole: Running, name: str) -> str:
    """The cookies of somebody who has signed in."""
    address = f"/sign-in/{running.program(whole.env, 'links')[name]}/"
    _, _, kept = ask(whole, "GET", address)
    token = next(one for one in kept.values() if "csrf" in one.key)
    status, _, session = ask(
        whole,
        "POST",
        address,
        urlencode({"csrfmiddlewaretoken": token.value}).encode(),
        Cookie=f"{token.key}={token.value}",
        Referer=whole.base_url + address,
        Content_Type="application/x-www-form-urlencoded",
    )
    assert status == 302
    return "; ".join(f"{one.key}={one.value}" for one in session.values())


def read(whole: Running, name: str, address: str) -> str:
    """A page as somebody sees it."""
    status, text, _ = ask(whole, "GET", address, Cookie=signed_in(whole, name))
    assert status == 200
    return text


def logs(whole: Running) -> str:
    """What all processes have said."""
    files = (whole.room / "log").glob("*.log")
    return "\n".join(path.read_text("utf-8", "replace") for path in files)


def test_the_processes_have_none_of_the_packages(whole: Running) -> None:
    code = (
        "import sys; from importlib.util import find_spec;"
        "print([name for name in sys.argv[1:] if find_spec(name)])"
    )
    argv = [sys.executable, "-c", code, *EXTRAS, "django"]
    done = subprocess.run(argv, env=whole.env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['django']"


def test_the_settings_are_checked_and_nothing_is_missing(whole: Running) -> None:
    running.manage(whole.env, "check")
    running.manage(whole.env, "makemigrations", "--check", "--dry-run")


def test_what_aurora_gives_reaches_borealis(whole: Running) -> None:
    now = datetime.now(UTC)
    sent = [sharing.range_indicator(created=sharing.stamp(now), modified=sharing.stamp(now))]
    whole.contribute(sent)
    wait_for("a bundle at Borealis", lambda: whole.bundles("borealis"))


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("Ana", "/algorithms/"),
        ("Ana", "/algorithms/new/"),
        ("Ana", "/pool/extracts/"),
        ("Abel", "/pool/"),
        ("Dora", "/algorithms/"),
    ],
)
def test_every_page_of_the_pool_is_there_and_says_so(
    whole: Running, name: str, address: str
) -> None:
    shown = read(whole, name, address)
    assert OFF in shown
    assert "<h1" in shown


def test_pia_reads_why(whole: Running) -> None:
    assert "off: its extra or its keys are missing" in read(whole, "Pia", "/health/")


def test_an_extract_is_answered_with_a_sentence_and_nothing_is_kept(whole: Running) -> None:
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
        f"{CANARY}\r\n"
        for name in ("manifest", "clusters", "templates")
    )
    status, said, _ = ask(
        whole,
        "POST",
        "/api/extracts/",
        f"{parts}--x--\r\n".encode(),
        Content_Type="multipart/form-data; boundary=x",
        Authorization=f"Bearer {whole.secrets['Aurora']}",
    )
    assert (status, OFF in said, CANARY in said) == (503, True, False)
    _, body = whole.get("/api/extracts/", by="Aurora")
    assert json.loads(body) == {"extracts": []}


def test_the_worker_of_the_pool_runs_its_tasks_and_fails_none(whole: Running) -> None:
    log = whole.room / "log" / "pool.log"
    wait_for("a task of the pool", lambda: "succeeded" in log.read_text("utf-8"))
    said = log.read_text("utf-8")
    assert "show_extracts" in said
    for word in ("Traceback", "ModuleNotFoundError", "ImportError", "raised unexpected"):
        assert word not in logs(whole), word
    assert CANARY not in logs(whole)
    assert not whole.supervisor.deaths()


def test_the_command_of_the_extractor_says_what_to_install(whole: Running, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "indicators.extract", "make", str(tmp_path / "log.parquet")]
    done = subprocess.run(
        argv, env=whole.env, cwd=running.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "extract" in done.stderr
