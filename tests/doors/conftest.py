"""What tests of the doors share: one campaign that was carried through, and who asks for it."""

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from tests.doors.clients import client_of
from tests.doors.stage import Stage, set_stage
from tests.doors.verifying import Desk, set_desk


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


@pytest.fixture
def desk(
    settings: LazySettings,
    tmp_path: Path,
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    return set_desk(live_server.url, tmp_path, settings, monkeypatch, capsys)
