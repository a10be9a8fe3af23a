"""What all tests share: the environment, the services, the shared data.

PostgreSQL and Valkey start when the first test asks for them, so `pytest tests/core` needs neither.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

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
