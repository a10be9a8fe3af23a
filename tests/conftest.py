"""What all tests share: the environment, the services, the shared data.

PostgreSQL and Valkey start when the first test asks for them, so `pytest tests/core` needs neither.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
import pytest

from exchange.management import environment, services

ROOT = Path(__file__).resolve().parent.parent
GIVEN = {name: os.environ.get(name, "") for name in ("DATABASE_URL", "REDIS_URL")}
ROOM = Path(tempfile.mkdtemp(prefix="weir-test-"))
SEED = hashlib.sha256(b"weir tests").digest()

atexit.register(shutil.rmtree, ROOM, ignore_errors=True)
os.environ |= environment.complete(
    SEED, base_url="http://testserver", directory=ROOM, addresses=services.addresses(ROOM, GIVEN)
)
os.environ["ALLOWED_HOSTS"] = "testserver localhost 127.0.0.1"
# Before the first import of a model, so that fixtures may name models at the head of a module.
django.setup()


@pytest.fixture(scope="session")
def running_services() -> Iterator[dict[str, str]]:
    """A real PostgreSQL and a real Valkey, or those that the environment named from the start."""
    with ExitStack() as stack:
        yield stack.enter_context(services.running(ROOM, durable=False, given=GIVEN))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(running_services: dict[str, str]) -> None:
    """The test database is made on the running server."""


@pytest.fixture
def broker(running_services: dict[str, str]) -> str:
    """The address of the broker."""
    return running_services["REDIS_URL"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; a test that reads it says plainly when it is not there."""
    named = os.environ.get("WEIR_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"shared data not here: {folder}")
    return folder


# What is installed with an extra only, by the name it is imported under.
EXTRAS = {
    "duckdb": "pool",
    "ibis": "pool",
    "numpy": "pool",
    "pyarrow": "pool",
    "scipy": "pool",
    "sigma": "pool",
    "chdb": "clickhouse",
    "pyspark": "spark",
}


class ModuleOfAnExtra(pytest.Module):
    """A file of tests that says which extra it misses, where one is not installed."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Its tests, or a skip."""
        try:
            return super().collect()
        except self.CollectError as fault:
            missing = fault.__cause__
            name = missing.name if isinstance(missing, ModuleNotFoundError) else None
            extra = EXTRAS.get((name or "").split(".")[0])
            if extra is None or os.environ.get("CI") == "true":
                raise
            pytest.skip(f"the extra {extra!r} is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Every file of tests may need an extra."""
    return ModuleOfAnExtra.from_parent(parent, path=module_path)


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[Any]:
    """ClickHouse for a member's log: one for all tests, as there can be one in a process."""
    yield from _engine("clickhouse")


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Spark for a member's log: it takes seconds to start."""
    # Many short queries: what Java's second compiler gains never comes back.
    options = "--driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell"
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", options)
    yield from _engine("spark")


def _engine(name: str) -> Iterator[Any]:
    from exchange.proof.refused import Refused  # noqa: PLC0415 - beside what needs the extra
    from indicators.detection import engines  # noqa: PLC0415 - needs the extra

    with ExitStack() as stack:
        try:
            engine = stack.enter_context(engines.connect(name, engines.Limits(threads=1)))
        except Refused as refused:
            if os.environ.get("CI") == "true":
                pytest.fail(refused.sentence)
            pytest.skip(refused.sentence)
        yield engine
