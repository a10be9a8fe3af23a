"""Files through the pages: columns chosen, large ones sealed as they come, the report read."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange import files
from exchange.models import ColumnMapping, File
from indicators.models import Contribution
from tests.doors.stage import Stage, as_owner, sequence, set_stage
from tests.doors.test_browser import browser_type_launch_args, shoot, sign_in
from tests.doors.test_web_pages import browser
from tests.shell import sharing

__all__ = ["browser_type_launch_args"]

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "canary-file-name-88.json"
TABLE = b"Adresse;Notiz\n203.0.113.0/24;CANARY-1\nno address;CANARY-2\n198.51.100.0/24;\n"


@pytest.fixture
def stage(settings: LazySettings, tmp_path: Path) -> Iterator[Stage]:
    settings.FILES_DIR = tmp_path / "files"
    cache.clear()
    yield set_stage(timezone.now())
    as_owner()


def hand(stage: Stage, body: bytes, step: str, *, name: str = NAME) -> Any:
    given = {
        "file": SimpleUploadedFile(name, body),
        "circle": str(stage.cast.relay_watch.id),
        "basis": "fraudulent-identity",
        "step": step,
    }
    return browser(stage.cast.ana).post("/contribute/file/", given)


def take() -> None:
    as_owner()
    for file_id in File.objects.values_list("id", flat=True):
        while files.work(file_id, now=timezone.now()):
            pass
    sequence(timezone.now())


def ranges(count: int) -> list[dict[str, Any]]:
    return [sharing.range_indicator(f"203.0.{n}.0/28") for n in range(count)]


def test_a_file_larger_than_a_body_is_sealed_and_taken_in_parts(
    stage: Stage, settings: LazySettings
) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 2_000
    assert (
        "Too large for a preview"
        in hand(stage, sharing.bundle(*ranges(9)), "preview").content.decode()
    )
    assert not list(settings.FILES_DIR.iterdir())
    answer = hand(stage, sharing.bundle(*ranges(9)), "send")
    assert answer.status_code == 302
    page = browser(stage.cast.ana).get(answer["Location"]).content.decode()
    assert NAME in page
    assert 'hx-trigger="every 2s"' in page
    take()
    ana = browser(stage.cast.ana)
    page = ana.get(answer["Location"]).content.decode()
    assert "9 taken" in page
    assert "hx-trigger" not in page
    listed = ana.get("/files/").content.decode()
    assert answer["Location"] in listed
    table = ana.get(f"{answer['Location']}report.csv")
    rows = list(csv.reader(io.StringIO(table.getvalue().decode())))
    assert [row[3] for row in rows] == ["success", *["yes"] * 9]


def test_what_is_too_large_is_said_and_leaves_nothing(stage: Stage, settings: LazySettings) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE, settings.MAX_FILE_LENGTH = 2_000, 3_000
    answer = hand(stage, sharing.bundle(*ranges(20)), "send")
    assert answer.status_code == 422
    assert "at most 3,000 octets" in answer.content.decode()
    assert not settings.FILES_DIR.exists() or not list(settings.FILES_DIR.iterdir())


def test_nobody_who_may_not_contribute_seals_anything(stage: Stage, settings: LazySettings) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 2_000
    given = {"file": SimpleUploadedFile(NAME, b"x" * 9_000), "step": "send"}
    for client in (browser(stage.cast.abel), browser(stage.cast.pia), Client()):
        assert client.post("/contribute/file/", given).status_code in (302, 404)
        given["file"] = SimpleUploadedFile(NAME, b"x" * 9_000)
    assert not settings.FILES_DIR.exists() or not list(settings.FILES_DIR.iterdir())


def test_a_form_that_is_not_whole_leaves_no_file(stage: Stage, settings: LazySettings) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 2_000
    given = {"file": SimpleUploadedFile(NAME, b"x" * 9_000), "circle": str(uuid4())}
    assert browser(stage.cast.ana).post("/contribute/file/", given).status_code == 422
    assert not list(settings.FILES_DIR.iterdir())


def test_columns_are_chosen_remembered_changed_and_forgotten(stage: Stage) -> None:
    chosen = hand(stage, TABLE, "columns", name="seen.csv")["Location"]
    ana = browser(stage.cast.ana)
    page = ana.get(chosen).content.decode()
    assert "Adresse" in page
    assert "203.0.113.0/24" in page
    given = {
        "step": "send",
        "circle": str(stage.cast.relay_watch.id),
        "basis": "fraudulent-identity",
    }
    unsaid = ana.post(chosen, given)
    assert unsaid.status_code == 422
    assert "names no column" in unsaid.content.decode()
    sent = ana.post(chosen, {**given, "column-0": "value"})
    assert sent.status_code == 302, sent.content.decode()
    take()
    page = browser(stage.cast.ana).get(chosen).content.decode()
    assert "2 taken" in page
    assert "1 not taken" in page
    assert "CANARY" not in page
    # The next one is read so by itself, also beside the form.
    shown = hand(stage, TABLE.replace(b"no address;CANARY-2\n", b""), "preview", name="seen.csv")
    assert "2 as address range" in shown.content.decode()
    ana = browser(stage.cast.ana)
    assert "Adresse" in ana.get("/columns/").content.decode()
    assert "Adresse" not in browser(stage.cast.ben).get("/columns/").content.decode()
    as_owner()
    key = ColumnMapping.objects.get().id
    assert browser(stage.cast.ben).post(f"/columns/{key}/", {"step": "forget"}).status_code == 404
    assert (
        browser(stage.cast.ana).post(f"/columns/{key}/", {"column-1": "value"}).status_code == 302
    )
    assert browser(stage.cast.ana).post(f"/columns/{key}/", {"step": "forget"}).status_code == 302
    as_owner()
    assert not ColumnMapping.objects.exists()


def test_a_file_that_is_not_sent_is_deleted(stage: Stage, settings: LazySettings) -> None:
    chosen = hand(stage, TABLE, "columns", name="seen.csv")["Location"]
    assert browser(stage.cast.ana).post(chosen, {"step": "discard"}).status_code == 302
    as_owner()
    assert not File.objects.exists()
    assert not list(settings.FILES_DIR.iterdir())


def test_misp_events_go_their_own_way(stage: Stage) -> None:
    body = json.dumps({"Event": {"info": "x", "Attribute": []}}).encode()
    assert "converted when they are sent" in hand(stage, body, "preview").content.decode()
    answer = hand(stage, body, "send")
    assert re.fullmatch(r"/files/[0-9a-f-]{36}/", answer["Location"])
    as_owner()
    assert File.objects.get().kind == "misp"
    assert Contribution.objects.count() == 1  # the stage's own


def test_nobody_else_reads_of_it(stage: Stage, settings: LazySettings) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 2_000
    place = hand(stage, sharing.bundle(*ranges(5)), "send")["Location"]
    take()
    for other in (
        stage.cast.ben,
        stage.cast.cleo,
        stage.cast.dora,
        stage.cast.otto,
        stage.cast.pia,
    ):
        reader = browser(other)
        assert reader.get(place).status_code == reader.get(f"/files/{uuid4()}/").status_code == 404
        assert reader.get(f"{place}report.csv").status_code == 404
        for page in ("/", "/files/", "/contributions/", "/holds/"):
            assert NAME not in reader.get(page).content.decode()


def test_ana_chooses_columns_by_keyboard_and_follows_to_the_report(
    page: Page, live_server: LiveServer, stage: Stage, tmp_path: Path
) -> None:
    sign_in(page, live_server, "ana")
    page.goto(f"{live_server.url}/contribute/file/")
    table = tmp_path / "seen.csv"
    table.write_bytes(TABLE)
    page.get_by_label("STIX file or table").set_input_files(table)
    page.get_by_label("Circle", exact=True).select_option(str(stage.cast.relay_watch.id))
    page.get_by_role("button", name="Choose columns").press("Enter")
    column = page.get_by_label("Column 1: Adresse")
    column.focus()
    page.keyboard.press("v")
    expect(column).to_have_value("value")
    page.get_by_label("Circle", exact=True).select_option(str(stage.cast.relay_watch.id))
    page.get_by_label("Fraudulent identity").check()
    look(page, "file-columns")
    page.get_by_role("button", name="Send").press("Enter")
    expect(page.get_by_role("progressbar")).to_be_visible()
    look(page, "file-progress")
    take()
    expect(page.get_by_text("2 taken")).to_be_visible(timeout=15_000)  # the page follows by itself
    expect(page.get_by_text("1 not taken")).to_be_visible()
    look(page, "file-report")
    page.goto(f"{live_server.url}/columns/")
    look(page, "columns")


def look(page: Page, name: str) -> None:
    """At both widths and in both lights; nothing runs over the edge."""
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
        for light in ("light", "dark"):
            page.emulate_media(color_scheme=light)
            shoot(page, f"{name}-{width}-{light}")
    page.set_viewport_size({"width": 1280, "height": 844})
