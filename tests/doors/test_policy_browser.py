"""The policy desk in a browser: from draft to force, both widths, and the floor on paper."""

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange import audiences, policies, replay
from exchange.models import PolicyDraft
from exchange.policy import documents, terms
from tests.doors.stage import Stage, set_stage
from tests.doors.test_browser import sign_in

CHROMIUM = shutil.which("chromium")
SHOTS = os.environ.get("WEIR_SCREENSHOTS")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]
LOOSER = {**terms.shipped_floor(), "version": 2, "confidence_cap": 95, "minimum_circle": 4}


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking"
    return {
        "executable_path": CHROMIUM,
        "args": ["--no-sandbox", *quiet.split(), "--disable-component-update", "--disable-sync"],
    }


@pytest.fixture
def stage() -> Stage:
    return set_stage(timezone.now())


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"policy-{name}.png"), full_page=True)


def previewed(stage: Stage) -> None:
    """A worker's part between Dora's draft and Pia's approval."""
    dora, now = stage.cast.as_(stage.cast.dora), timezone.now()
    made = replay.start(
        dora,
        kind="floor",
        member_id=None,
        document=PolicyDraft.objects.get().document,
        since=now - timedelta(days=30),
        until=now,
        now=now,
    )
    while replay.work(made, now=now):
        pass


def test_dora_loosens_the_floor_and_pia_puts_it_in_force(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    sign_in(page, live_server, "dora")
    page.get_by_role("link", name="Policy").first.click()
    page.get_by_role("link", name="Write a draft").click()
    editor = page.get_by_label("The policy, in YAML")
    editor.fill("version: 2\n")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("heading", name="Please mend")).to_be_visible()
    shoot(page, "faults")
    editor.fill(documents.write(LOOSER))
    page.get_by_label("Why").fill("After the meeting of the forum.")
    page.get_by_role("button", name="Check").click()
    first = page.locator(".changes li").first
    expect(first).to_contain_text("confidence_cap: 95, was 90.")
    expect(first).to_have_class("looser")
    shoot(page, "checked")
    page.get_by_role("button", name="Keep as a draft").click()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("It waits for the forum's operator.")).to_be_visible()
    previewed(stage)
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, live_server, "pia")
    page.goto(f"{live_server.url}/policy/")
    page.get_by_role("link", name="2: The shipped floor").click()
    expect(page.get_by_text("newly shown")).to_be_visible()
    shoot(page, "draft")
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_text("Confirm that you saw the list")).to_be_visible()
    page.go_back()
    page.get_by_label("I saw the list of what this newly exposes.").check()
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_text("In force.", exact=True)).to_be_visible()
    assert audiences.floor_in_force()[1].version == 2


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_desk_fits_both_widths_and_reads_well(
    browser: Browser, live_server: LiveServer, stage: Stage, width: int, scheme: Any
) -> None:
    abel = stage.cast.as_(stage.cast.abel)
    draft = policies.draft(abel, "version: 1\nbackfill: live\ndates: month\n", now=timezone.now())
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    sign_in(page, live_server, "abel")
    for name, address in (
        ("desk", "/policy/"),
        ("floor", "/policy/floor/"),
        ("write", "/policy/drafts/new/"),
        ("own-draft", f"/policy/drafts/{draft}/"),
    ):
        page.goto(f"{live_server.url}{address}")
        page.wait_for_load_state("load")
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, (name, wide)
        shoot(page, f"{name}-{width}-{scheme}")
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
        assert found.violations_count == 0, (name, found.generate_report())
    context.close()


def test_the_floor_on_paper_is_whole(
    page: Page, live_server: LiveServer, stage: Stage, tmp_path: Path
) -> None:
    sign_in(page, live_server, "abel")
    page.goto(f"{live_server.url}/policy/floor/")
    page.emulate_media(media="print")
    expect(page.locator(".rail")).to_be_hidden()
    last = page.locator(".floor table tbody tr").last
    expect(last).to_be_visible()
    paper = Path(SHOTS or tmp_path) / "floor.pdf"
    page.pdf(path=str(paper), format="A4", prefer_css_page_size=True)
    assert paper.read_bytes().startswith(b"%PDF")
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
