"""Ana's machine against the exchange itself: algorithms, tokens, an extract that is taken."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from pytest_django.live_server_helper import LiveServer

from exchange.models.pool import Extract
from exchange.proof.remote import CREDENTIAL
from indicators.extract import command
from tests.doors.clients import secret_of
from tests.doors.stage import as_owner
from tests.shell import extracting, sharing
from tests.shell.extracting import CANARIES, MAP


@pytest.fixture
def secret(settings: LazySettings, tmp_path: Path, transactional_db: None) -> str:
    settings.TOKEN_QUOTA_NEW = 200_000
    cast = sharing.set_up(settings, tmp_path)
    return secret_of(cast.ana, "tokens", "extracts")


def test_an_extract_is_made_checked_and_taken(
    secret: str,
    tmp_path: Path,
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    day = datetime.now(UTC).date() - timedelta(days=1)
    monkeypatch.setenv(CREDENTIAL, secret)
    (tmp_path / "map.toml").write_text(MAP.replace("2026-11-02", day.isoformat()))
    log = extracting.write_log(tmp_path / "usage.jsonl", extracting.events(day=day))
    url, out = live_server.url, str(tmp_path / "extract")
    given = ["--log", str(log), "--map", str(tmp_path / "map.toml"), "--url", url]
    state = ["--state", str(tmp_path / "state")]
    assert command.main(["make", *given, *state, "--out", out]) == command.DONE
    assert command.main(["check", out]) == command.DONE
    assert command.main(["send", out, "--url", url]) == command.DONE
    assert command.main(["send", out, "--url", url]) == command.DONE  # the same again is the same
    as_owner()
    (taken,) = Extract.objects.all()
    assert (taken.state, taken.day) == ("taken", day)
    said = json.dumps(capfd.readouterr()).lower()
    assert not any(marker in said for marker in CANARIES)
