"""A named actor the whole way, in a browser on real processes: held, judged by two, received."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.running import Running, exchange, program, wait_for
from tests.shell.sharing import range_indicator, stamp

CHROMIUM = shutil.which("chromium")
SHOTS = os.environ.get("WEIR_SCREENSHOTS")
# Playwright's loop stays in this thread; tests after these would be taken for asynchronous ones.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
SUSPICION = "Cirrus is said to be behind it, says a customer."

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking"
    return {
        "executable_path": CHROMIUM,
        "args": ["--no-sandbox", *quiet.split(), "--disable-component-update", "--disable-sync"],
    }


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with exchange(tmp_path_factory.mktemp("desk")) as found:
        yield found


class Desk:
    """Everybody's browser, of one width."""

    def __init__(self, browser: Browser, running: Running, width: int) -> None:
        self.browser, self.running, self.width = browser, running, width
        self.links = program(running.env, "links")

    @contextmanager
    def page_of(self, name: str) -> Iterator[Page]:
        """A signed-in page; looked at as it is left."""
        context = self.browser.new_context(
            viewport={"width": self.width, "height": 860},
            bypass_csp=True,  # axe is injected; the policy itself is tested over HTTP
        )
        page = context.new_page()
        page.goto(f"{self.running.base_url}/sign-in/{self.links[name]}/")
        page.get_by_role("button", name=f"Sign in as {name}").click()
        page.wait_for_url(f"{self.running.base_url}/")
        yield page
        self.look(page, name)
        context.close()

    def look(self, page: Page, name: str) -> None:
        """It fits the width, and everybody can read it."""
        assert page.evaluate("document.documentElement.scrollWidth") <= self.width, page.url
        found = Axe().run(page)
        assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"
        if SHOTS:
            path = Path(SHOTS) / f"whole-{name}-{self.width}-{len(list(Path(SHOTS).iterdir()))}.png"
            page.screenshot(path=str(path), full_page=True)


@pytest.mark.parametrize(("width", "value"), [(390, "203.0.113.0/25"), (1280, "198.51.100.0/25")])
def test_a_named_actor_is_held_judged_by_two_and_received_without_the_name(
    browser: Browser, running: Running, tmp_path: Path, width: int, value: str
) -> None:
    desk = Desk(browser, running, width)
    now = stamp(datetime.now(UTC))
    obj = range_indicator(value, created=now, modified=now, valid_from=now, description=SUSPICION)
    file = tmp_path / "indicator.json"
    file.write_text(json.dumps(obj), encoding="utf-8")

    with desk.page_of("Ana") as page:
        page.goto(f"{running.base_url}/contribute/file/")
        page.get_by_label("STIX file").set_input_files(file)
        page.get_by_label("Circle", exact=True).select_option(label=circle_of(page))
        page.get_by_role("button", name="Preview what each recipient gets").click()
        expect(page.get_by_text("Held. Once released, what may pass leaves").first).to_be_visible()
        page.get_by_role("button", name="Send").click()
        held = page.get_by_text("1 held for counsel", exact=True)
        expect(held).to_be_visible(timeout=20_000)
        expect(
            page.get_by_text("Once released, what may pass leaves in the next window")
        ).to_be_visible()
        contribution = page.url

    with desk.page_of("Dora") as page:
        page.get_by_role("link", name="Work the queue").click()
        page.get_by_role("rowheader").get_by_role("link", name="C13").first.click()
        expect(page.get_by_text(SUSPICION)).to_have_count(0)
        page.get_by_label("Reason", exact=True).fill("Who is named here, and by whom?")
        page.get_by_role("button", name="Open the original").click()
        expect(page.locator("pre.json")).to_contain_text(SUSPICION)
        expect(page.get_by_text("D13-attribution").first).to_be_visible()
        decide(page, "Release", "The name stands in text that does not leave.")
        page.goto(f"{running.base_url}/holds/")
        expect(page.get_by_text("(1 of 2)").first).to_be_visible()

    with desk.page_of("Alma") as page:
        page.get_by_role("link", name="Holds", exact=True).click()
        page.get_by_role("rowheader").get_by_role("link", name="C13").first.click()
        expect(page.get_by_text("1 of 2 have released it")).to_be_visible()
        expect(page.get_by_text("The name stands in text that does not leave.")).to_be_visible()
        decide(page, "Release", "We stand by the address, and by nothing else.")
        page.goto(f"{running.base_url}/")
        expect(page.get_by_text("you released C13 on indicator").first).to_be_visible()

    with desk.page_of("Ben") as page:
        wait_for("received by Ben", lambda: value in reloaded(page))
        shown = reloaded(page)
        assert "Cirrus" not in shown
        assert "Somebody" not in shown

    with desk.page_of("Ana") as page:
        page.goto(contribution)
        expect(page.get_by_text("Borealis").first).to_be_visible()
        expect(page.get_by_text("The name stands in text").first).to_be_visible()


def circle_of(page: Page) -> str:
    """The option of the relay watch, with its members behind its name."""
    options = page.get_by_label("Circle").locator("option").all_inner_texts()
    return next(text for text in options if text.startswith("Relay watch"))


def decide(page: Page, word: str, reason: str) -> None:
    """Choose and write, as on every page of the desk."""
    page.get_by_role("radio", name=word).check()
    page.get_by_label("Written reason").fill(reason)
    page.get_by_role("button", name="Record the decision").click()
    expect(page.get_by_text("Approved: 1 hold.")).to_be_visible()


def reloaded(page: Page) -> str:
    """The page as it is now."""
    page.reload()
    return page.content()
