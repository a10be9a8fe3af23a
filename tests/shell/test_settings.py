"""A bad setting stops the start by its name, and no log line holds what an exception says."""

import json
import logging
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from exchange import settings, telemetry
from exchange.proof.refused import Refused


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="NOT_THERE is not set"):
        settings.text("NOT_THERE")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("FALSE", False), ("", True), ("yes", None), ("1", None)],
)
def test_a_flag_is_true_or_false(
    monkeypatch: pytest.MonkeyPatch, value: str, *, expected: bool | None
) -> None:
    monkeypatch.setenv("A_FLAG", value)
    if expected is None:
        with pytest.raises(ImproperlyConfigured, match="A_FLAG="):
            settings.flag("A_FLAG", default=True)
    else:
        assert settings.flag("A_FLAG", default=True) is expected


@pytest.mark.parametrize(("value", "expected"), [("7", 7), ("", 3), ("-7", None), ("7.5", None)])
def test_a_number_is_whole(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: int | None
) -> None:
    monkeypatch.setenv("A_NUMBER", value)
    if expected is None:
        with pytest.raises(ImproperlyConfigured, match="A_NUMBER="):
            settings.number("A_NUMBER", default=3)
    else:
        assert settings.number("A_NUMBER", default=3) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("24 72 168", (24, 72, 168)), ("1", (1,)), ("", None), ("72 24", None), ("24 24", None)]
    + [(wrong, None) for wrong in ("0 24", "24h", "-1", "24,72")],
)
def test_reminders_go_out_at_rising_hours(value: str, expected: tuple[int, ...] | None) -> None:
    if expected is None:
        with pytest.raises(ImproperlyConfigured, match="RECALL_REMINDERS="):
            settings._hours("RECALL_REMINDERS", value)
    else:
        assert settings._hours("RECALL_REMINDERS", value) == expected


def test_days_of_retention_are_said_class_by_class() -> None:
    assert settings._days("RETENTION", "notes=500 mails=30") == {"notes": 500, "mails": 30}
    for wrong in ("notes", "notes=", "=5", "notes=five", "notes=-1"):
        with pytest.raises(ImproperlyConfigured, match="RETENTION="):
            settings._days("RETENTION", wrong)


def test_a_mail_server_is_named_without_showing_its_password() -> None:
    assert settings._mail_server("smtps://us:secret@mail.example:465").hostname == "mail.example"
    for wrong in ("mail.example", "https://us:secret@mail.example", "smtp://"):
        with pytest.raises(ImproperlyConfigured) as fault:
            settings._mail_server(wrong)
        assert "secret" not in str(fault.value)


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the file\n")
    monkeypatch.setenv("A_SECRET", "of the environment")
    assert settings.secret("A_SECRET") == "of the environment"
    monkeypatch.setenv("A_SECRET_FILE", str(tmp_path / "secret"))
    assert settings.secret("A_SECRET") == "of the file"
    monkeypatch.setenv("A_SECRET_FILE", str(tmp_path / "gone"))
    with pytest.raises(ImproperlyConfigured, match="A_SECRET_FILE="):
        settings.secret("A_SECRET")


def logged(error: Exception) -> dict[str, object]:
    """The log line of an exception that a library reports with its text."""
    try:
        raise error
    except (ValueError, Refused):
        record = logging.LogRecord(
            "celery.app.trace",
            logging.ERROR,
            __file__,
            1,
            "it failed: %s",
            (error,),
            sys.exc_info(),
        )
    line = telemetry.formatter().format(record)
    assert "10.9.8.7" not in line
    return dict(json.loads(line))


def test_an_exception_is_logged_by_type_and_place_only() -> None:
    line = logged(ValueError("Failing row contains (10.9.8.7)."))
    assert line["error"] == "ValueError"
    assert str(line["at"]).count("test_settings.py") == 1
    assert line["event"] == "it failed: %s"


def test_a_refusal_is_logged_with_its_code() -> None:
    assert logged(Refused("some.code", "About 10.9.8.7."))["code"] == "some.code"
