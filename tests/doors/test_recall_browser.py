"""A recall in a browser, from the button to the acknowledgement; the pages fit and can be read."""

import os
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from exchange import contribute, recall, release
from indicators.converters import form as converter
from indicators.models import Version
from tests.doors.stage import Stage, as_owner, sequence, set_stage
from tests.doors.test_browser import CHROMIUM, browser_type_launch_args, shoot, sign_in
from tests.doors.test_recall_pages import held_id

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]
__all__ = ["browser_type_launch_args"]


@pytest.fixture
def stage() -> Stage:
    return set_stage(timezone.now())


def indicator_of(stage: Stage) -> Version:
    return Version.objects.get(contribution_id=stage.contribution, object__stix_type="indicator")


def test_ana_recalls_from_the_button_to_the_acknowledgement(
    page: Page, live_server: LiveServer, stage: Stage
) -> None:
    sign_in(page, live_server, "ana")
    page.goto(f"{live_server.url}/mine/{indicator_of(stage).pk}/")
    page.get_by_role("link", name="Recall", exact=True).click()
    expect(page.get_by_text("2 recipients")).to_be_visible()
    page.get_by_label("False positive").check()
    page.get_by_label("Note").fill("It names a public resolver.")
    page.get_by_role("button", name="Recall now").click()
    expect(page.get_by_text("Nobody is served it any more. Its recipients")).to_be_visible()
    recall.tell_waiting(now=timezone.now())
    sequence(timezone.now())
    held_id(stage.cast.ben, stage, timezone.now())
    page.reload()
    expect(page.get_by_text("1 of 2 acknowledged").first).to_be_visible()
    expect(page.get_by_role("row", name="Borealis").get_by_text("acknowledged")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_of_taking_back_fit_and_can_be_read_by_all(
    browser: Browser, live_server: LiveServer, stage: Stage, width: int, scheme: str
) -> None:
    now = timezone.now()
    name = held_id(stage.cast.ben, stage, now)
    body = converter.sighting(
        name, "false-positive", stix_id=stage.contribution, bundle_id=stage.contribution, now=now
    )
    ben = stage.cast.as_(stage.cast.ben)
    circle_id = stage.cast.relay_watch.id
    sent = contribute.submit(ben, body, circle_id=circle_id, source="form", now=now)
    contribute.accept(sent, now=now)
    later = now + timedelta(minutes=16)
    release.open_windows(now=later)
    sequence(later)
    campaign = Version.objects.get(contribution_id=stage.contribution, object__stix_type="campaign")
    made = recall.order(
        stage.cast.as_(stage.cast.alma),
        campaign.object_id,
        reason="leak",
        note="It named a customer of ours.",
        now=later,
    )
    recall.tell_waiting(now=later)
    sequence(later + timedelta(seconds=1))
    as_owner()
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # axe is injected; the policy itself is tested over HTTP
    )
    page = context.new_page()
    indicator = indicator_of(stage)
    pages = {
        "ana": [
            "/",
            "/recalls/",
            f"/recalls/{made}/",
            f"/recalls/of/{indicator.object_id}/",
            f"/mine/{indicator.pk}/",
            f"/objects/{name}/",
            "/help/",
        ],
        "dora": ["/", "/recalls/", f"/recalls/{made}/"],
    }
    for who, addresses in pages.items():
        sign_in(page, live_server, who)
        for n, address in enumerate(addresses):
            page.goto(live_server.url + address)
            shoot(page, f"recall-{who}-{n}-{width}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
            found = Axe().run(page)
            assert found.violations_count == 0, f"{address}: {found.generate_report()}"
        page.get_by_role("button", name="Sign out").click()
    context.close()
