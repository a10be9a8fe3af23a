"""An algorithm is tried in a real child: what passes goes on, what fails says why, at its line."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from exchange import algorithms
from exchange.algorithms import trials
from exchange.models import Algorithm, AlgorithmText
from exchange.proof.refused import Forbidden, Refused
from tests import algorithms as made
from tests.cast import Cast, make_cast
from tests.shell.sharing import NOON

pytestmark = pytest.mark.django_db
needs_the_extra = pytest.mark.skipif(not algorithms.is_on(), reason="the extra is not installed")


@pytest.fixture
def cast() -> Cast:
    return make_cast(NOON)


@needs_the_extra
def test_what_passes_is_submitted_with_its_answer_and_what_fails_stays_a_draft(cast: Cast) -> None:
    ana = cast.as_(cast.ana)
    good = algorithms.starting_text()
    kept = algorithms.write(ana, good.replace("flat: 5", "flat: 6", 1), now=NOON)
    tried = algorithms.submit(ana, kept, now=NOON)
    assert not tried.passes
    (fault,) = tried.faults
    assert (fault.code, fault.line) == ("algorithm.case-fails", 45)
    assert [(one.name, one.holds) for one in tried.cases][-1] == ("a-job-at-night", False)
    assert Algorithm.objects.get().state == "draft"
    algorithms.write(ana, good, algorithm_id=kept, now=NOON)
    assert algorithms.submit(ana, kept, now=NOON).passes
    assert Algorithm.objects.get().state == "submitted"
    view = algorithms.view(ana, kept, now=NOON)
    assert view is not None
    assert view.tried is not None
    assert view.tried.passes
    assert b"a-job-at-night" not in bytes(AlgorithmText.objects.get().sealed_tests)


@needs_the_extra
def test_a_case_that_cannot_fail_is_named_with_what_it_misses(cast: Cast) -> None:
    ana = cast.as_(cast.ana)
    idle = algorithms.starting_text().replace("flat: 6, mid", "flat: 9, mid")
    tried = algorithms.try_out(ana, idle.replace("range: [3, 8]", "range: [6, 7]"), now=NOON)
    assert not tried.passes
    assert {one.code for one in tried.faults} == {"algorithm.cannot-fail"}
    assert all(one.holds for one in tried.cases)
    assert [one.is_noticed for one in tried.mutants].count(False) == 1


def test_only_an_analyst_of_a_member_has_one_tried(cast: Cast) -> None:
    for name in ("abel", "dora", "pia"):
        with pytest.raises(Forbidden):
            algorithms.try_out(cast.as_(getattr(cast, name)), algorithms.starting_text(), now=NOON)


def test_without_the_extra_the_pool_is_off_and_the_rest_goes_on(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(name: str, package: str | None = None) -> object:
        return None if name == "duckdb" else find_spec(name, package)

    monkeypatch.setattr("exchange.algorithms.trials.find_spec", without)
    ana = cast.as_(cast.ana)
    kept = algorithms.write(ana, made.text(), now=NOON)
    with pytest.raises(Refused, match="pool is off"):
        algorithms.submit(ana, kept, now=NOON)
    assert algorithms.faults_of("id: x", now=NOON)
    assert not algorithms.is_on()


def test_the_trial_is_a_file_of_the_core() -> None:
    root = Path(trials.__file__).resolve().parents[2]
    assert (root / (trials.MODULE.replace(".", "/") + ".py")).is_file()
