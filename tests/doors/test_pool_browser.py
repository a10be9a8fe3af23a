"""The pool in a browser: an algorithm from its first draft into force, both widths and schemes."""

import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import LazySettings
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange import algorithms, findings, pool
from exchange.algorithms import is_on
from members.scope import Acting, acting
from tests import algorithms as made
from tests.cast import Cast, make_cast
from tests.doors.test_browser import sign_in
from tests.extracts import extract, parts
from tests.shell import sharing
from tests.shell.pooling import TEXTS, Pool, put_in_force, with_cards
from tests.shell.pooling import made as rows
from tests.shell.sharing import NOON, leave
from tests.shell.test_tokens import machine

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
    alike = page.get_by_role("table", name="What looks alike in the shipped world")
    expect(alike.get_by_role("row").filter(has_text="family").first).to_contain_text("none of")
    campaigns = page.get_by_role("table", name="Campaigns of the shipped world")
    expect(campaigns.get_by_role("row").nth(1)).to_contain_text("a member's log")
    order = page.locator("section[role=status] caption").all_inner_texts()
    assert [one.partition(" ")[0] for one in order][-2:] == ["What", "Campaigns"]
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


@pytest.fixture
def pool_of_five(settings: LazySettings, tmp_path: Path) -> Pool:
    """Five labs, algorithms in force, a finding that was released, and a draft of Aurora's."""
    made_pool = Pool(sharing.set_up(settings, tmp_path), settings)
    put_in_force(*TEXTS)
    own = [with_cards("own"), with_cards("own")]
    made_pool.send(made_pool.cast.ana, rows(1, with_cards("shared", own="a"), *own))
    made_pool.send(made_pool.cast.ben, rows(2, with_cards("shared", own="b")))
    assert made_pool.run() is not None
    leave(now=NOON + timedelta(hours=1))
    return made_pool


def test_ana_follows_a_finding_from_its_campaign_to_the_algorithm_that_found_it(
    page: Page, live_server: LiveServer, pool_of_five: Pool
) -> None:
    sign_in(page, live_server, "ana")
    page.get_by_role("link", name="Campaigns").first.click()
    page.get_by_role("link", name="XC-").first.click()
    shoot(page, "campaign")
    page.get_by_role("link", name="What it rests on").click()
    expect(page.get_by_text("The accounts are tied together by")).to_be_visible()
    shoot(page, "found")
    page.get_by_role("link", name="Accounts that share a card or a device").first.click()
    expect(page.get_by_text("runs on members' logs and the pool")).to_be_visible()
    shoot(page, "told")
    page.goto(f"{live_server.url}/pool/drafts/")
    page.get_by_role("link", name="A group of").first.click()
    expect(page.get_by_role("button", name="Send it")).to_be_visible()
    shoot(page, "draft")
    page.get_by_role("button", name="Throw it away").click()
    expect(page.get_by_text("Thrown away.")).to_be_visible()


def test_abel_reads_who_can_read_the_pool_and_what_his_company_sent(
    page: Page, live_server: LiveServer, cast: Cast, now: datetime
) -> None:
    who = machine(cast.ana, scopes=("extracts", "tokens"), name="extractor")
    with acting(who.acting()):
        sent = pool.send(who, parts(extract(1, day=now.date())), now=now)
    sign_in(page, live_server, "abel")
    page.get_by_role("link", name="Pool").click()
    expect(page.get_by_text("Nobody.", exact=True)).to_be_visible()
    expect(page.get_by_text(sent.digest)).to_be_visible()
    shoot(page, "officer")
    page.get_by_role("link", name="What we sent").click()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("This page follows by itself.")).to_be_visible()
    with acting(Acting(), role="worker"):
        assert pool.make(now=timezone.now()) == 1
    expect(page.get_by_role("heading", name="Row by row")).to_be_visible()
    page.get_by_text("Row 0:").click()
    shoot(page, "words")
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0


@pytest.mark.parametrize("width", [390, 1280])
def test_what_was_found_fits_both_widths_and_reads_well(
    browser: Browser, live_server: LiveServer, pool_of_five: Pool, width: int
) -> None:
    draft, *_ = findings.drafts(pool_of_five.cast.as_(pool_of_five.cast.ana))
    held = sharing.bodies(sharing.feed(pool_of_five.cast.aurora, now=NOON + timedelta(hours=1)))
    (campaign,) = [one["id"] for one in held if one["type"] == "campaign"]
    for name, pages in {
        "ana": [
            f"/campaigns/{campaign}/",
            f"/campaigns/{campaign}/found/",
            "/pool/",
            "/pool/extracts/",
            "/pool/drafts/",
            f"/pool/drafts/{draft.id}/",
        ],
        "pia": ["/health/", "/pool/"],
    }.items():
        look(browser, live_server, name, pages, width=width, scheme="light")


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
        look(browser, live_server, name, pages, width=width, scheme=scheme)


def look(
    browser: Browser,
    live_server: LiveServer,
    name: str,
    pages: list[str],
    *,
    width: int,
    scheme: Any,
) -> None:
    """Each page as somebody sees it: no wider than the window, and nothing for axe to say."""
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
        part = address.strip("/").split("/")[-1][:10]
        shoot(page, f"{name}-{number}-{part}-{width}-{scheme}")
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
        assert found.violations_count == 0, (name, address, found.generate_report())
    context.close()
