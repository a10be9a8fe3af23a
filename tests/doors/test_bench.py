"""`manage.py bench` measures on a database of its own and leaves nothing behind."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT


def bench(*arguments: str, room: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with nothing but a path and a place for its files."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TMPDIR": str(room)}
    return subprocess.run(
        [sys.executable, "manage.py", "bench", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_policy_benchmark_prints_ratios_and_what_they_were_made_of() -> None:
    # A short path of its own: a socket's address has room for 108 octets.
    with tempfile.TemporaryDirectory(prefix="weir-b-") as room:
        done = bench("policy", "--objects", "12", room=Path(room))
        left = list(Path(room).iterdir())
    titles = re.findall(r"^\S.*\[\d+ cores, load average", done.stdout, re.MULTILINE)
    assert len(titles) == 2, done.stderr
    assert re.search(r"100 members to 3: deciding and rendering +\d+\.\d\d x  bar 1.3", done.stdout)
    assert left == []


def test_the_intake_benchmark_follows_the_memory_of_each_worker() -> None:
    with tempfile.TemporaryDirectory(prefix="weir-b-") as room:
        done = bench("intake", "--objects", "40", room=Path(room))
        left = list(Path(room).iterdir())
    figures = re.findall(r"most memory of each process after +(\d+) objects: ", done.stdout)
    assert figures == [str(4 * tenth) for tenth in range(1, 11)], done.stderr
    assert re.search(r"objects, by what both cores compute for them .* bar 5,000", done.stdout)
    assert re.search(r"Contribution to release of 40 indicators, 100 members", done.stdout)
    assert left == []


def test_the_questions_are_asked_of_a_seeded_year_and_each_archive_verifies_elsewhere() -> None:
    with tempfile.TemporaryDirectory(prefix="weir-b-") as room:
        done = bench("questions", "--objects", "120", room=Path(room))
    for number in range(1, 21):
        assert f"  q{number}, first page, member's officer" in done.stdout, done.stderr
    assert done.stdout.count("offline: Everything verifies.") == 20


def test_the_latency_benchmark_runs_a_whole_exchange_and_says_what_it_took() -> None:
    """How long it took is for a quiet machine: here it is only said."""
    with tempfile.TemporaryDirectory(prefix="weir-b-") as room:
        done = bench("latency", "--objects", "2", room=Path(room))
        left = list(Path(room).iterdir())
    assert re.search(r"posted to visible, p50 +[\d,.]+ ms  bar 200:", done.stdout), done.stderr
    assert re.search(r"posted to visible, p99 +[\d,.]+ ms  bar 1,000:", done.stdout)
    assert re.search(r"in all +[\d,.]+ ms  \(of a core: web \d+%, quick \d+%", done.stdout)
    assert left == []


def test_a_benchmark_that_does_not_exist_is_said_to() -> None:
    with tempfile.TemporaryDirectory(prefix="weir-b-") as room:
        done = bench("sorting", room=Path(room))
    assert done.returncode != 0
    assert "invalid choice: 'sorting'" in done.stderr
