"""The pool in a browser: an algorithm from its first draft into force, both widths and schemes."""

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange import algorithms
from exchange.algorithms import is_on
from tests import algorithms as made
from tests.cast import Cast, make_cast
from tests.doors.test_browser import sign_in

CHROMIUM = shutil.which("chromium")
SHOTS = os.environ.get("WEIR_SCREENSHOTS")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
    pytest.mark.skipif(not is_on(), reason="the extra `pool` is not installed"),
]
REASON = "Read it, and tried it on what looks alike."


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking"
    return {
        "executable_path": CHROMIUM,
        "args": ["--no-sandbox", *quiet.split(), "--disable-component-update", "--disable-sync"],
    }


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def cast(now: datetime) -> Cast:
    return make_cast(now)


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"pool-{name}.png"), full_page=True)


def turn_to(page: Page, server: LiveServer, name: str) -> None:
    """Another person of the cast sits down."""
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, server, name)
    page.goto(f"{server.url}/algorithms/")


def test_ana_writes_one_sees_its_case_fail_and_five_people_bring_it_into_force(
    page: Page, live_server: LiveServer, cast: Cast, now: datetime
) -> None:
    sign_in(page, live_server, "ana")
    page.get_by_role("link", name="Pool").click()
    page.get_by_role("link", name="Algorithms").first.click()
    page.get_by_role("link", name="Write an algorithm").click()
    editor = page.get_by_label("The algorithm, in YAML")
    good = editor.input_value()
    editor.fill(good.replace("version: 1", "version: one"))
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("heading", name="Please mend")).to_be_visible()
    expect(page.locator("section[role=alert] tbody th").first).to_have_text("3")
    shoot(page, "syntax")
    # Its author forgot that a job at night may be even as well: the case says so.
    editor.fill(good.replace("flat|gte: 6", "flat|gte: 5").replace("value: 6,", "value: 5,"))
    page.get_by_role("button", name="Try it").click()
    failed = page.get_by_role("row").filter(has_text="a-job-at-night").last
    expect(failed).to_contain_text("a match")
    expect(page.get_by_role("heading", name="Not yet")).to_be_visible()
    shoot(page, "case-fails")
    editor.fill(good)
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("heading", name="Every case holds, and each can fail")).to_be_visible()
    shoot(page, "case-holds")
    page.get_by_role("button", name="Keep as a draft").click()
    page.get_by_role("button", name="Run its tests and submit").click()
    expect(page.get_by_text("A second person of your company has it next.")).to_be_visible()
    title = page.locator("h1").inner_text()

    turn_to(page, live_server, "alma")
    page.get_by_role("link", name=title).first.click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("The forum's counsel has it next.")).to_be_visible()

    turn_to(page, live_server, "dora")
    page.get_by_role("link", name=title).first.click()
    shoot(page, "counsel")
    for point in page.get_by_role("checkbox").all():
        point.check()
    page.locator("#review-reason").fill(REASON)
    page.get_by_role("button", name="It may go on").click()
    expect(page.get_by_text("Reviewed. It may be")).to_be_visible()

    turn_to(page, live_server, "pia")
    page.get_by_role("link", name=title).first.click()
    expect(page.get_by_text("You put it in force by its digest.")).to_be_visible()
    shoot(page, "operator")
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_text("In force from now on.")).to_be_visible()
    assert [one.kind for one in algorithms.active(timezone.now())] == ["sigma"]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_both_widths_and_read_well(
    browser: Browser, live_server: LiveServer, cast: Cast, width: int, scheme: Any
) -> None:
    now = timezone.now()
    rows = {
        state: made.put(cast, state, now=now)
        for state in ("draft", "submitted", "approved", "reviewed", "active", "suspended")
    }
    made.tried(rows["reviewed"], now=now)
    for name, pages in {
        "alma": ["/algorithms/", *(f"/algorithms/{rows[one].id}/" for one in rows), "/pool/"],
        "ana": ["/algorithms/new/"],
        "dora": [
            "/algorithms/",
            *(f"/algorithms/{rows[one].id}/" for one in ("approved", "suspended")),
        ],
        "pia": [f"/algorithms/{rows['reviewed'].id}/", "/health/"],
    }.items():
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
        )
        page = context.new_page()
        sign_in(page, live_server, name)
        for number, address in enumerate(pages):
            page.goto(f"{live_server.url}{address}")
            page.wait_for_load_state("load")
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, (name, address, wide)
            shoot(page, f"{name}-{number}-{width}-{scheme}")
            found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
            assert found.violations_count == 0, (name, address, found.generate_report())
        context.close()
