"""The benchmarks of the pool find the campaigns that they drew, and leave nothing behind."""

import re
import tempfile
from pathlib import Path

import pytest

from exchange.management.bench import detectors
from exchange.management.bench.report import Report
from tests.doors.test_bench import bench


def test_the_detectors_benchmark_draws_a_log_and_ties_its_campaigns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long it took is for a quiet machine: here it is only said."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines: list[str] = []
    detectors.run([40_000], Report(lines.append, []))
    assert lines[0].startswith("Detectors over 40,000 account-days of 2,000 accounts")
    found = {line.split()[0]: line for line in lines[2:7]}
    assert found.keys() == {*detectors.TIES, *detectors.MARKS}
    assert "(0 rows)" not in found["shared-token"] + found["rate-shape"] + found["pivot"]
    assert "bar 90,000" in lines[7]
    assert "bar 5,000" in lines[-1]
    assert lines[-1].startswith("  one minute of 1,500 rows")
    assert list(tmp_path.iterdir()) == []


def test_the_benchmark_of_a_run_sends_a_pool_and_releases_its_campaigns() -> None:
    """It ends itself with an error where a campaign is not found or not released."""
    with tempfile.TemporaryDirectory(prefix="weir-b-") as room:
        done = bench("pool-run", "--objects", "3", "2", room=Path(room))
        left = list(Path(room).iterdir())
    assert "Runs over 3 members x 300 rows, and x 2 days" in done.stdout, done.stderr
    assert re.search(r"one day, findings written .* bar 5,000: .* \(900 rows;", done.stdout)
    assert re.search(r"all days, findings written .* \(1,800 rows\)", done.stdout)
    assert re.search(r"to released findings .* bar 10,000: .* \(2 findings to 3 ", done.stdout)
    (computed,) = re.findall(r"computed for it +(\d+\.\d\d) s of a core +\((.*)\)", done.stdout)
    parts = [float(number) for number in re.findall(r"\d+\.\d", computed[1])]
    assert len(parts) == 4
    assert abs(sum(parts) - float(computed[0])) < 0.3
    assert re.search(r"memory of the run .* bar 6,144: met", done.stdout)
    assert left == []
