"""Question 1 from the click to an archive that verifies elsewhere; the pages in both widths."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange import ledger, lookback
from exchange.models import AnswerExport, ReleaseRecipient
from exchange.proof import pack
from exchange.questions import exports
from exchange.signers import signer_for
from members.scope import Acting, acting
from tests import running
from tests.doors import stage as stages
from tests.doors.stage import Stage
from tests.doors.test_browser import CHROMIUM, browser_type_launch_args, shoot, sign_in, stage
from tests.running import Running, wait_for

__all__ = ["browser_type_launch_args", "stage"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")

# What stands out of the page, for who mends it.
WIDE = """width => [...document.querySelectorAll('main *')]
    .filter(node => node.getBoundingClientRect().right > width)
    .slice(-3).map(node => node.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Web, workers, beat, sequencer: all of it as it runs."""
    with running.exchange(tmp_path_factory.mktemp("q")) as made:
        yield made


def published(whole: Running) -> bool:
    """Whether all that was contributed is numbered under a checkpoint."""
    state = running.program(whole.env, "count")
    return not (state["pending"] or state["unreleased"] or state["unpublished"])


def verify(file: Path, room: Path) -> "subprocess.CompletedProcess[str]":
    """The packed verifier, in a process without settings, database or this project's code."""
    verifier = room / "weir-verify.pyz"
    verifier.write_bytes(pack.archive("verify"))
    libraries = os.pathsep.join(one for one in sys.path if one.endswith("site-packages"))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": libraries}
    argv = [sys.executable, "-S", str(verifier), "archive", str(file)]
    return subprocess.run(argv, env=env, cwd=room, capture_output=True, text=True, check=False)


def test_abel_goes_from_the_click_to_a_verified_archive(
    page: Page, whole: Running, tmp_path: Path
) -> None:
    sent = stages.campaign(timezone.now())[:3]
    whole.contribute(sent, alias="inbox-relay-watch")
    wait_for("everything published", lambda: published(whole))
    link = running.program(whole.env, "links")["Abel"]
    page.goto(f"{whole.base_url}/sign-in/{link}/")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{whole.base_url}/")
    # 1 click to the question, 2 with its filters: what exactly did Borealis get, with reasons
    page.get_by_role("link", name="What a member got, with reasons").click()
    page.get_by_label("Recipient").select_option(label="Borealis")
    page.get_by_role("button", name="Ask", exact=True).click()
    table = page.get_by_role("table", name="Everything a company received about a campaign")
    expect(table.get_by_role("rowheader")).to_have_count(3)
    campaign = table.locator("code", has_text="campaign--").first.inner_text()
    page.get_by_label("Campaign").fill(campaign)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(table.get_by_role("rowheader")).to_have_count(3)
    with page.expect_download() as opening:
        table.get_by_role("link", name="Opening of entry").first.click()
    assert opening.value.suggested_filename.startswith("opening-")
    page.get_by_role("button", name="As a signed archive").click()
    expect(page.get_by_role("heading", name="Ready")).to_be_visible(timeout=60_000)
    shoot(page, "question-ready")
    with page.expect_download() as taken:
        page.get_by_role("link", name="weir-q1-").click()
    file = tmp_path / "answer.zip"
    taken.value.save_as(file)
    done = verify(file, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything verifies." in done.stdout
    spoiled = bytearray(file.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    file.write_bytes(bytes(spoiled))
    assert verify(file, tmp_path).returncode != 0
    page.goto(f"{whole.base_url}/questions/log/")
    expect(page.get_by_text("taken as archive")).to_be_visible()


def announced(stage: Stage) -> None:
    for purpose, uri in (("ledger", settings.SIGNER_LEDGER), ("bundle", settings.SIGNER_BUNDLE)):
        ledger.announce(purpose, signer_for(uri).public, now=timezone.now())
    stages.sequence(timezone.now())
    with acting(Acting(), role="worker"):
        while lookback.work(now=timezone.now()):
            pass


def work() -> AnswerExport:
    """What a worker does."""
    row = AnswerExport.objects.latest("created_at")
    signer = signer_for(settings.SIGNER_BUNDLE)
    with acting(Acting(), role="worker"):
        while exports.work(row.id, signer=signer, now=timezone.now()):
            pass
    return row


@pytest.mark.django_db(transaction=True)
def test_abel_asks_with_the_keyboard_alone(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    announced(stage)
    sign_in(page, live_server, "abel")
    page.goto(f"{live_server.url}/questions/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/questions/q1/")
    page.get_by_label("Recipient").focus()
    page.keyboard.type("Borealis")
    page.get_by_role("button", name="Ask", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**recipient=**")
    page.locator("body").press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Field by field")).to_be_visible()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_workspace_fits_and_can_be_read_by_all(
    browser: Browser, live_server: LiveServer, stage: Stage, width: int, scheme: str
) -> None:
    announced(stage)
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # axe is injected; the policy itself is tested over HTTP
    )
    page = context.new_page()
    sign_in(page, live_server, "abel")
    page.goto(f"{live_server.url}/questions/q1/?recipient={stage.cast.borealis.id}")
    page.get_by_role("button", name="As a table (CSV)").click()
    row = work()
    part = ReleaseRecipient.objects.get(
        recipient=stage.cast.borealis, release__circle=stage.cast.relay_watch
    )
    member = stage.cast.borealis.id
    addresses = [
        "/",
        "/questions/",
        f"/questions/q1/?recipient={member}",
        f"/questions/q2/?object={part.release.items.first().rendition.stix_id}",  # type: ignore[union-attr] # there is one
        "/questions/q6/",
        "/questions/q14/",
        "/questions/q20/",
        f"/questions/bytes/{part.idx}/1/",
        f"/questions/as-of/?member={member}&on=2099-01-01T00:00",
        f"/questions/exports/{row.id}/",
        "/questions/attest/",
        "/questions/log/",
        "/help/",
    ]
    for number, address in enumerate(addresses):
        page.goto(f"{live_server.url}{address}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (address, wide, page.evaluate(WIDE, width))
        shoot(page, f"questions-{number}-{width}-{scheme}")
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
        assert found.violations_count == 0, (address, found.generate_report())
    context.close()
