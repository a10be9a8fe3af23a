"""What tests of the doors share: one campaign that was carried through, and who asks for it."""

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from tests.doors.clients import client_of
from tests.doors.stage import Stage, set_stage


@pytest.fixture
def stage(settings: LazySettings, tmp_path: Path) -> Stage:
    settings.LEDGER_DIR = tmp_path / "ledger"
    return set_stage(timezone.now())


@pytest.fixture
def ben(stage: Stage) -> Client:
    return client_of(stage.cast.ben)


@pytest.fixture
def cleo(stage: Stage) -> Client:
    return client_of(stage.cast.cleo)


@pytest.fixture
def ana(stage: Stage) -> Client:
    return client_of(stage.cast.ana)
