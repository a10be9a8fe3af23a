"""The demo, as a newcomer runs it: to the end of its story, again, and until Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import ROOT, free_port

PATIENCE = 400.0
ROLES = ("Ana", "Abel", "Alma", "Ben", "Cleo", "Dora", "Otto", "Pia")


def start(room: Path, told: Path, *more: str) -> subprocess.Popen[bytes]:
    """The demo in a terminal of its own; nothing of the tests' environment reaches it."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    argv = [sys.executable, "manage.py", "demo", "--dir", str(room), *more]
    with told.open("wb") as sink:
        return subprocess.Popen(
            argv, env=env, cwd=ROOT, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )


def left_of(room: Path) -> list[str]:
    """The processes that still have this folder in their command or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(room) in said:
            found.append(said[:200].decode("utf-8", "replace"))
    return found


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def story(room: Path, record_testsuite_property: Callable[[str, object], None]) -> str:
    """What the first run tells."""
    began = time.monotonic()
    told = room.parent / "first.txt"
    process = start(room, told, f"--port={free_port()}", "--once")
    try:
        code = process.wait(PATIENCE)
    finally:
        process.kill()
    text = told.read_text(encoding="utf-8")
    assert code == 0, text[-4000:]
    record_testsuite_property("demo, first run, whole story, s", round(time.monotonic() - began))
    record_testsuite_property("demo, first run, page, s", seconds_to_the_page(text))
    return text


def seconds_to_the_page(text: str) -> int:
    found = re.search(r"The page is up after (\d+) s:  http://127\.0\.0\.1:\d+/", text)
    assert found, text[:2000]
    return int(found[1])


def test_the_page_is_up_within_a_minute_and_before_the_story(story: str) -> None:
    assert seconds_to_the_page(story) < 60
    assert story.index("The page is up") < story.index("Aurora contributes")


def test_the_pool_finds_what_no_member_could_and_leads_back_to_accounts(story: str) -> None:
    part = story[story.index("The pool:") : story.index("Look for yourself")]
    assert "Every rule is kept" in part
    found = re.search(r"found +(\d+) findings are of groups at two or more members", part)
    hunted = re.search(r"Borealis +(\d+) of its accounts match .* (\d+) of them", part)
    assert found, part
    assert hunted, part
    assert int(found[1]) > 0
    assert int(hunted[1]) > 0
    assert "acct-" not in story  # no account of any log is told


def test_every_object_is_accounted_for(story: str) -> None:
    part = story[story.index("What became of each object") : story.index("Counsel decides")]
    counts = {
        name: int(number)
        for number, name in re.findall(r"^ +(\d+)  ([a-z]+(?: [a-z]+)?)", part, re.MULTILINE)
    }
    total = counts.pop("in all")
    assert total >= 60
    assert f"of {total} contributed" in part
    assert counts.keys() >= {"accepted", "held", "incomplete", "withheld", "refused"}
    assert sum(counts.values()) == total


def test_counsel_alone_and_together_released_something(story: str) -> None:
    flat = " ".join(story.split())
    assert "Dora releases it" in flat
    assert "Alma and Dora release evidence of class C13" in flat


def test_what_was_pushed_was_pulled_and_the_archive_verifies(story: str) -> None:
    flat = " ".join(story.split())
    found = re.search(r"pulled (\d+) objects; (\d+) of the (\d+) that were pushed to it", flat)
    assert found
    assert found[1] == found[2] == found[3]
    assert "sees 0 of the 3 objects of the circle" in flat
    assert flat.count("No number is missing") == 2
    assert "Everything verifies." in story


def test_each_role_gets_a_link(story: str) -> None:
    for name in ROLES:
        assert re.search(
            rf"^  {name} .*\n(?: .*\n)?? +http://\S+/sign-in/\S+/$", story, re.MULTILINE
        )


def test_nothing_of_it_runs_on(story: str, room: Path) -> None:
    assert story
    assert left_of(room) == []


def test_a_second_run_works_and_ctrl_c_stops_everything(story: str, room: Path) -> None:
    assert story
    told = room.parent / "second.txt"
    process = start(room, told)
    try:
        limit = time.monotonic() + PATIENCE
        while "Ctrl-C stops it all." not in told.read_text(encoding="utf-8", errors="replace"):
            assert process.poll() is None, told.read_text(encoding="utf-8")[-4000:]
            assert time.monotonic() < limit
            time.sleep(0.2)
        assert left_of(room)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
    text = told.read_text(encoding="utf-8")
    assert "Everything verifies." in text
    assert "every process that the demo started has ended" in text
    assert left_of(room) == []
