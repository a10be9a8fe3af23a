"""The bootstrap takes an environment that has the lock, and no other, for ready."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import bootstrap

LOCK = """\
django==5.2.19 \\
    --hash=sha256:00
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:00
    # via weir
"""


def test_pins_are_read_with_their_conditions() -> None:
    assert bootstrap.pins(LOCK) == [("django", "5.2.19", False), ("colorama", "0.4.6", True)]


@pytest.mark.parametrize(
    ("lock", "is_ready"),
    [
        (f"pytest=={importlib.metadata.version('pytest')} \\\n", True),
        ("pytest==0.0.1 \\\n", False),  # some other version is not ours
        ("no-such-package==1.0 \\\n", False),
        ("no-such-package==1.0 ; sys_platform == 'win32' \\\n", True),
    ],
)
def test_only_the_versions_of_the_lock_count(tmp_path: Path, lock: str, *, is_ready: bool) -> None:
    (tmp_path / "some.lock").write_text(lock)
    assert bootstrap.has_pins(tmp_path / "some.lock") is is_ready


def test_it_loads_on_a_python_that_has_nothing() -> None:
    code = "import sys; from deploy import bootstrap; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code],
        cwd=bootstrap.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'django" not in done.stdout


def test_the_locks_hold_hashes_and_no_address() -> None:
    for name in bootstrap.CONTAINS:
        text = (bootstrap.ROOT / name).read_text()
        pinned = bootstrap.pins(text)
        assert len(pinned) > 30
        assert text.count("--hash=sha256:") >= len(pinned)
        assert "http" not in text


def test_the_development_lock_holds_all_of_the_other() -> None:
    runtime, development = (
        {
            (name, version)
            for name, version, _ in bootstrap.pins((bootstrap.ROOT / lock).read_text())
        }
        for lock in ("requirements.lock", "requirements-dev.lock")
    )
    assert runtime <= development
