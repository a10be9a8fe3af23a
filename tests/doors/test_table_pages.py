"""A table of values on its way in through the page: read, previewed, and sent whole or not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from indicators.models import Contribution, ForumObject
from tests.doors.stage import Stage, as_owner, set_stage
from tests.doors.test_browser import browser_type_launch_args, shoot, sign_in
from tests.doors.test_web_pages import browser

__all__ = ["browser_type_launch_args"]

pytestmark = pytest.mark.django_db(transaction=True)
GOOD = b"value,type,confidence,remark\n203.0.113.0/24,range,40,CANARY-7\nrelay.example,,,\n"
BAD = GOOD + b"=HYPERLINK(1),,,\nrelay.example,,,\n"


@pytest.fixture
def stage() -> Iterator[Stage]:
    cache.clear()
    yield set_stage(timezone.now())
    as_owner()


def upload(stage: Stage, body: bytes, step: str, name: str = "seen.csv") -> Any:
    given = {
        "file": SimpleUploadedFile(name, body, content_type="text/csv"),
        "circle": str(stage.cast.relay_watch.id),
        "basis": "fraudulent-identity",
        "step": step,
    }
    return browser(stage.cast.ana).post("/contribute/file/", given)


def test_ana_sees_what_was_read_of_her_table_and_sends_it(stage: Stage) -> None:
    shown = upload(stage, GOOD, "preview")
    page = shown.content.decode()
    assert "1 as domain name, 1 as address range." in page
    assert "1 other left unread" in page
    assert "All 2 objects shown" in page
    assert "CANARY-7" not in page
    sent = upload(stage, GOOD, "send")
    assert sent.status_code == 302
    as_owner()
    row = Contribution.objects.order_by("-received_at").first()
    assert row is not None
    assert (row.source, row.total) == ("file", 2)


def test_a_table_with_a_row_that_cannot_be_read_is_not_sent(stage: Stage) -> None:
    as_owner()
    before = (Contribution.objects.count(), ForumObject.objects.count())
    answer = upload(stage, BAD, "send")
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Nothing was sent. 2 rows cannot be read." in page
    assert "HYPERLINK" not in page
    assert "stands in an earlier row" in page
    as_owner()
    assert (Contribution.objects.count(), ForumObject.objects.count()) == before


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"name\na\n", "names no column"),
        (b"value\n", "has no row"),
        (b"PK\x03\x04" + b"\x00" * 90, "NUL"),
        (b"value\n" + b"a.example\n" * 20_001, "at most 20,000 rows"),
    ],
)
def test_what_is_no_table_is_refused_in_words(stage: Stage, body: bytes, says: str) -> None:
    answer = upload(stage, body, "preview")
    assert answer.status_code == 422
    assert says in answer.content.decode()


def test_ana_reads_the_faults_of_a_table_beside_the_form(
    page: Page, live_server: LiveServer, stage: Stage, tmp_path: Path
) -> None:
    sign_in(page, live_server, "ana")
    page.goto(f"{live_server.url}/contribute/file/")
    file = tmp_path / "seen.csv"
    file.write_bytes(BAD)
    page.get_by_label("STIX file or table").set_input_files(file)
    page.get_by_label("Circle", exact=True).select_option(str(stage.cast.relay_watch.id))
    page.get_by_label("Fraudulent identity").check()
    page.get_by_role("button", name="Preview what each recipient gets").click()
    expect(page.get_by_role("heading", name="What was read of the table")).to_be_visible()
    expect(page.get_by_text("2 rows cannot be read")).to_be_visible()
    shoot(page, "table")
    page.set_viewport_size({"width": 390, "height": 844})
    wide = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(wide)
    shoot(page, "table-narrow")
