"""The pages in a browser: the main ways, the keys, both widths, both schemes, and accessibility."""

import os
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange import docket, inbox, openings, review
from indicators.models import Original
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


def sign_in(page: Page, server: LiveServer, name: str) -> None:
    domain = "forum" if name in ("dora", "otto", "pia") else "aurora"
    page.goto(f"{server.url}/sign-in/")
    page.get_by_label("E-mail address").fill(f"{name}@{domain}.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}/")


def shoot(page: Page, name: str) -> None:
    """A picture for those who look; only where a folder is named."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def desk_of(stage: Stage) -> tuple[UUID, UUID]:
    """A hold that counsel asks about, and an original that both officers have spoken of."""
    cast, now = stage.cast, timezone.now()
    hold = docket.queue(cast.as_(cast.dora)).rows[0].id
    text = "Which public source names them?"
    review.act(cast.as_(cast.dora), [hold], act="ask", reason=text, now=now)
    version = Original.objects.filter(version__object__stix_type="indicator").latest("version_id")
    abel = cast.as_(cast.abel)
    text = "A dispute about where it came from."
    wish = openings.offer(abel, version.version_id, reason=text, now=now)
    openings.answer(cast.as_(cast.otto), wish, is_yes=True, reason="I will look.", now=now)
    return hold, wish


def test_ana_pastes_values_and_sends_them(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    sign_in(page, live_server, "ana")
    page.get_by_role("link", name="Paste values").click()
    page.get_by_label("Values").fill("198.51.100.0/24\nrelay.example\n")
    page.get_by_role("button", name="Check the values").click()
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_label("Circle").select_option(str(stage.cast.relay_watch.id))
    page.get_by_label("Fraudulent identity").check()
    page.get_by_role("button", name="Preview what each recipient gets").click()
    expect(page.get_by_role("heading", name="What each recipient would get")).to_be_visible()
    expect(page.locator(".lens").first).to_be_visible()
    shoot(page, "preview")
    page.get_by_role("button", name="Send 2 values").click()
    expect(page.get_by_text("Every object is accounted for below")).to_be_visible()


def test_ana_previews_a_file_beside_the_form(
    page: Page, live_server: LiveServer, stage: Stage, tmp_path: Path
) -> None:
    sign_in(page, live_server, "ana")
    page.goto(f"{live_server.url}/contribute/file/")
    broken = tmp_path / "broken.json"
    broken.write_text('{"type": "bundle", ')
    page.get_by_label("STIX file").set_input_files(broken)
    page.get_by_role("button", name="Preview what each recipient gets").click()
    expect(page.get_by_text("The file was not taken")).to_be_visible()
    expect(page.locator("#file-said")).to_contain_text("broken.json")


def test_the_lens_switches_recipients(page: Page, live_server: LiveServer, stage: Stage) -> None:
    sign_in(page, live_server, "ana")
    page.goto(f"{live_server.url}/contributions/{stage.contribution}/")
    page.get_by_role("link", name=f"indicator {stage.indicator[11:19]}").click()
    lens = page.locator(".lens")
    expect(lens.get_by_text("Free text is not forwarded.").first).to_be_visible()
    switch = page.get_by_role("navigation", name="As seen by")
    expect(switch.get_by_role("link").first).to_be_visible()
    switch.get_by_role("link").last.click()
    expect(switch.locator("[aria-current]")).to_have_count(1)
    shoot(page, "lens")


def test_dora_works_the_queue_by_keys(page: Page, live_server: LiveServer, stage: Stage) -> None:
    sign_in(page, live_server, "dora")
    page.get_by_role("link", name="Work the queue").click()
    page.wait_for_url("**/holds/**", wait_until="load")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("[data-row][aria-selected=true]")).to_have_count(1)
    page.keyboard.press("x")
    expect(page.locator("[data-row][aria-selected=true]")).to_have_count(0)
    page.keyboard.press("b")  # the row where one stands is marked with it
    expect(page.locator("[data-row][aria-selected=true]")).to_have_count(1)
    expect(page.get_by_label("Ask back")).to_be_checked()
    page.keyboard.type("Which public source names it?")
    shoot(page, "holds")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Asked back: 1 hold.")).to_be_visible()


def test_dora_opens_an_original_with_a_reason(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    sign_in(page, live_server, "dora")
    page.goto(f"{live_server.url}/holds/")
    page.get_by_role("rowheader").get_by_role("link", name="C13").first.click()
    expect(page.get_by_text("Somebody Ltd")).to_have_count(0)
    page.get_by_label("Reason", exact=True).fill("Is a company named here?")
    page.get_by_role("button", name="Open the original").click()
    expect(page.locator("pre.json")).to_contain_text("Somebody Ltd")
    expect(page.get_by_role("heading", name="What would leave")).to_be_visible()
    shoot(page, "hold-opened")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_can_be_read_by_all(
    browser: Browser, live_server: LiveServer, stage: Stage, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # axe is injected; the policy itself is tested over HTTP
    )
    page = context.new_page()
    now = timezone.now()
    campaign = inbox.campaigns(stage.cast.as_(stage.cast.ana), now=now)[0].card.stix_id
    version = f"/contributions/{stage.contribution}/"
    hold, wish = desk_of(stage)
    by_name = {
        "ana": ["/", "/campaigns/", f"/campaigns/{campaign}/", f"/objects/{campaign}/", version]
        + [
            "/contribute/values/",
            "/contribute/file/",
            "/entries/",
            "/policy/",
            "/statistics/",
            "/help/",
        ]
        + ["/subscriptions/", "/credentials/", "/people/", "/settings/", "/tokens/"]
        + ["/contributions/", "/again/", "/archive/"],
        "abel": ["/", "/originals/", f"/originals/{wish}/"],
        "dora": ["/", "/holds/", f"/holds/{hold}/", "/holds/all/"],
        "alma": ["/", "/holds/", f"/holds/{hold}/"],
        "otto": ["/", "/originals/", f"/originals/{wish}/"],
        "pia": ["/", "/health/", "/members/"],
    }
    for name, pages in by_name.items():
        sign_in(page, live_server, name)
        for address in pages:
            page.goto(live_server.url + address)
            shoot(page, f"{name}-{address.strip('/').replace('/', '-')[:30]}-{width}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
            found = Axe().run(page)
            assert found.violations_count == 0, f"{address}: {found.generate_report()}"
        page.get_by_role("button", name="Sign out").click()
    context.close()
