"""Search by the keys: slash, paste, Enter, and Enter again opens; in both widths and schemes."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange.models import Rendition
from tests.cast import PASSWORD
from tests.doors.stage import Stage, set_stage

CHROMIUM = shutil.which("chromium")
SHOTS = os.environ.get("WEIR_SCREENSHOTS")
# Playwright's loop runs in this thread; Django would take that for an asynchronous request.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]


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


def sign_in(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/sign-in/")
    page.get_by_label("E-mail address").fill("ben@borealis.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}/")


def test_ben_pastes_presses_enter_and_opens(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    held = Rendition.objects.get(stix_type="indicator").stix_id
    sign_in(page, live_server)
    for start in ("/", "/help/", "/contribute/values/"):
        page.goto(live_server.url + start)
        page.get_by_role("heading").first.click()  # out of a field that took the focus
        page.keyboard.press("/")
        expect(page.get_by_label("Search what you hold")).to_be_focused()
        page.keyboard.insert_text("203[.]0[.]113[.]7")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search/?q=*")
        expect(page.get_by_role("rowheader").get_by_role("link").first).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/objects/{held}/")


def test_j_and_k_move_and_a_chip_narrows(page: Page, live_server: LiveServer, stage: Stage) -> None:
    sign_in(page, live_server)
    page.goto(f"{live_server.url}/search/")
    narrow = page.get_by_role("navigation", name="Narrow the search")
    narrow.get_by_role("link", name="campaign").first.click()
    page.wait_for_url("**/search/?type=campaign")
    expect(page.locator("[data-row]")).to_have_count(1)
    page.get_by_role("link", name="type campaign").first.click()
    page.wait_for_url("**/search/?")
    page.goto(f"{live_server.url}/search/?type=campaign&type=indicator")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("[data-row]").nth(1)).to_have_class("here")
    page.keyboard.press("k")
    expect(page.locator("[data-row]").nth(0)).to_have_class("here")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_search_fits_and_can_be_read_by_all(
    browser: Browser, live_server: LiveServer, stage: Stage, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # axe is injected; the policy itself is tested over HTTP
    )
    page = context.new_page()
    sign_in(page, live_server)

    def look(name: str) -> None:
        if SHOTS:
            path = Path(SHOTS) / f"search-{name}-{width}-{scheme}.png"
            page.screenshot(path=str(path), full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"

    for name, address in {
        "home": "/",
        "start": "/search/",
        "hits": "/search/?q=range&type=indicator",
        "none": "/search/?q=nowhere.example",
        "all": "/search/?version=all&from=2020-01-01",
        "personal": "/search/?q=who%40mail.example",
        "list": "/search/list/",
    }.items():
        page.goto(live_server.url + address)
        look(name)
    listed = "203.0.113.7\n198.51.100.0/24\nnowhere.example\nwho@mail.example\n" + "w" * 200
    page.get_by_label("Values").fill(listed)
    page.get_by_role("button", name="Check the list").click()
    expect(page.get_by_text("1 held")).to_be_visible()
    look("answers")
    context.close()
