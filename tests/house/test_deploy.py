"""What is shipped for operators says what it must."""

import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "weir-pool.service"


def test_the_unit_of_the_pool_leaves_no_way_to_a_disk_and_has_its_bounds() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    for wanted in (
        "MemoryMax=8G",
        "MemorySwapMax=0",
        "LimitCORE=0",
        "NoNewPrivileges=yes",
        "ProtectProc=invisible",
        "ProtectSystem=strict",
        "Environment=POOL_KEY_FILE=%d/pool_key",
    ):
        assert wanted in lines
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    assert "--queues pool " in start
    assert not [
        line for line in lines if line.startswith(("Environment=POOL_KEY=", "Environment=SIG"))
    ]
    assert UNIT.name in (DEPLOY / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_knows_every_word_of_the_unit() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert not said
