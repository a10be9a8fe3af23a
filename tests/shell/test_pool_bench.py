"""The benchmark of the detectors finds the campaigns that it drew, and leaves no log behind."""

import tempfile
from pathlib import Path

import pytest

from exchange.management.bench import detectors
from exchange.management.bench.report import Report


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
