"""A policy change previewed in a browser, who sees what of one object, and each circle beside."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange import policies, replay
from exchange.models import Preview, PreviewLine
from exchange.policy import documents
from indicators.models import Version
from tests.doors.stage import Stage, campaign
from tests.doors.test_browser import CHROMIUM, browser_type_launch_args, shoot, sign_in, stage

__all__ = ["browser_type_launch_args", "stage"]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]
STRICTER = {
    "version": 2,
    "title": "Fewer kinds",
    "drop_kinds": ["egress-range"],
    "dates": "month",
}


def draft(stage: Stage) -> None:
    abel = stage.cast.as_(stage.cast.abel)
    policies.draft(abel, documents.write(STRICTER), note="Ranges change hands.", now=timezone.now())


def work() -> Preview:
    """What a worker does."""
    row = Preview.objects.get()
    while replay.work(row.id, now=timezone.now()):
        pass
    row.refresh_from_db()
    return row


def test_abel_previews_a_change_of_his_policy(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    draft(stage)
    sign_in(page, live_server, "abel")
    page.goto(f"{live_server.url}/policy/")
    page.get_by_role("link", name="Previews").click()
    page.get_by_role("button", name="Estimate").click()
    expect(page.get_by_text("about 1 second")).to_be_visible()
    shoot(page, "preview-estimate")
    page.get_by_role("button", name="Start the preview").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    shoot(page, "preview-progress")
    row = work()
    expect(page.get_by_role("heading", name="Newly hidden")).to_be_visible()
    expect(page.get_by_role("heading", name="Newly visible")).to_be_visible()
    hidden = page.get_by_role("region", name="Newly hidden")
    lines = PreviewLine.objects.filter(preview=row, way__in=("hidden", "tighter")).count()
    expect(hidden.get_by_role("rowheader")).to_have_count(lines)
    shoot(page, "preview-lists")
    page.get_by_role("link", name="member/2/drop-kind").first.click()
    expect(page.get_by_role("navigation", name="Filters that are set")).to_be_visible()
    page.get_by_role("region", name="Newly hidden").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Under the draft")).to_be_visible()
    shoot(page, "preview-line")


def test_abel_cancels_what_takes_too_long(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    draft(stage)
    sign_in(page, live_server, "abel")
    page.goto(f"{live_server.url}/previews/")
    page.get_by_role("button", name="Estimate").click()
    page.get_by_role("button", name="Start the preview").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled. Nothing of it is kept.")).to_be_visible()


def test_ana_looks_who_sees_what_with_the_keyboard(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    version = Version.objects.get(contribution_id=stage.contribution, object__stix_type="indicator")
    sign_in(page, live_server, "ana")
    page.goto(f"{live_server.url}/mine/{version.id}/")
    table = page.get_by_role("table", name="Recipients by fields")
    expect(table.get_by_role("columnheader", name="Borealis, Ember")).to_be_visible()
    row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="description"))
    row.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(row.get_by_text("Free text is not forwarded.").first).to_be_visible()
    shoot(page, "who-sees-what")
    page.get_by_label("As of").fill(f"{timezone.now():%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Show what had been received").click()
    expect(page.get_by_text("the bytes that left, nothing computed")).to_be_visible()
    shoot(page, "as-of")


def test_ana_turns_the_pages_of_a_large_file(
    page: Page, live_server: LiveServer, stage: Stage, tmp_path: Path
) -> None:
    objects = [obj for _ in range(20) for obj in campaign(timezone.now())[:3]]
    file = tmp_path / "many.json"
    body = {"type": "bundle", "id": f"bundle--{uuid4()}", "objects": objects}
    file.write_text(json.dumps(body))
    sign_in(page, live_server, "ana")
    page.goto(f"{live_server.url}/contribute/file/")
    page.get_by_label("STIX file").set_input_files(file)
    page.get_by_label("Circle").select_option(str(stage.cast.relay_watch.id))
    page.get_by_role("button", name="Preview what each recipient gets").click()
    expect(page.get_by_text("Objects 1 to 50 of 60 shown")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Relay watch (chosen)")).to_be_visible()
    shoot(page, "each-circle")
    page.get_by_role("button", name="Further objects").click()
    expect(page.get_by_text("Objects 51 to 60 of 60 shown")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_these_pages_fit_and_can_be_read_by_all(
    browser: Browser, live_server: LiveServer, stage: Stage, width: int, scheme: str
) -> None:
    draft(stage)
    version = Version.objects.get(contribution_id=stage.contribution, object__stix_type="indicator")
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # axe is injected; the policy itself is tested over HTTP
    )
    page = context.new_page()
    sign_in(page, live_server, "abel")
    page.goto(f"{live_server.url}/previews/")
    page.get_by_role("button", name="Estimate").click()
    page.get_by_role("button", name="Start the preview").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    row = work()
    line = PreviewLine.objects.filter(preview=row, path="").earliest("id")
    addresses = [
        "/previews/",
        f"/previews/{row.id}/",
        f"/previews/{row.id}/lines/{line.id}/",
        f"/mine/{version.id}/?on=2030-01-01T12:00",
    ]
    for number, address in enumerate(addresses):
        page.goto(f"{live_server.url}{address}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (address, wide)
        shoot(page, f"whatif-{number}-{width}-{scheme}")
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
        assert found.violations_count == 0, (address, found.generate_report())
    context.close()
