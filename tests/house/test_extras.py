"""Without an extra its tests say so and are skipped; in CI that is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# As if none of these were installed.
WITHOUT = (
    "import sys; sys.modules.update(dict.fromkeys(('duckdb', 'ibis', 'pyarrow', 'scipy')));"
    "import pytest; sys.exit(pytest.main(['-q', '-rs', 'tests/core/test_pool_ties.py']))"
)


@pytest.mark.parametrize(("ci", "status", "words"), [("", 5, "1 skipped"), ("true", 2, "1 error")])
def test_tests_of_an_extra_that_is_missing_are_skipped_and_fail_in_ci(
    ci: str, status: int, words: str
) -> None:
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        cwd=ROOT,
        env=env | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, words in done.stdout) == (status, True), done.stdout
    if not ci:
        assert "the extra 'pool' is not installed" in done.stdout
