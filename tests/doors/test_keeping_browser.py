"""The pages of what is kept, held, asked and overdue fit, and can be read by all."""

import os
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from exchange import feedback, legalholds, persons, recall, reminders
from exchange.legalholds import Wanted
from indicators.models import Version
from members import onboarding
from members.models import User
from tests.doors.stage import Stage, as_owner, sequence, set_stage
from tests.doors.test_browser import CHROMIUM, browser_type_launch_args, shoot

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]
__all__ = ["browser_type_launch_args"]
WHY = "A regulator asked about it, in writing."
LONG = timedelta(days=4)


def enter(page: Page, server: LiveServer, person: User) -> None:
    """By a link, as a person who forgot the password would."""
    as_owner()
    secret = onboarding.sign_in_link(person, now=timezone.now(), uses=1)
    page.goto(f"{server.url}/sign-in/{secret}/")
    page.get_by_role("button", name=f"Sign in as {person.name}").click()
    page.wait_for_url(f"{server.url}/")


def set_scene(stage: Stage) -> str:
    """A recall that is overdue and passed over, holds of both sides, a request with a find."""
    cast, now = stage.cast, timezone.now()
    then = now - LONG
    version = Version.objects.get(contribution_id=stage.contribution, object__stix_type="indicator")
    recall.order(cast.as_(cast.ana), version.object_id, reason="false-positive", note=WHY, now=then)
    recall.tell_waiting(now=then)
    sequence(now)
    for days in (1, 3):
        reminders.work(now=then + timedelta(days=days, minutes=1))
    alma, dora, abel = cast.as_(cast.alma), cast.as_(cast.dora), cast.as_(cast.abel)
    legalholds.place(alma, Wanted("contribution", str(stage.contribution)), reason=WHY, now=now)
    made = legalholds.place(dora, Wanted("period", since=then, until=now), reason=WHY, now=now)
    legalholds.lift(dora, made, reason="The case is closed.", now=now)
    request = persons.ask(
        abel, kind="erasure", values=["Greedy Heron"], reason="By letter of 3 Nov.", now=now
    )
    persons.work(now=now)
    assert feedback.tasks(cast.as_(cast.ana)) == ()
    return f"/requests/{request}/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_of_keeping_fit_and_can_be_read_by_all(
    browser: Browser, live_server: LiveServer, width: int, scheme: str
) -> None:
    stage = set_stage(timezone.now())
    request = set_scene(stage)
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,  # axe is injected; the policy itself is tested over HTTP
    )
    page = context.new_page()
    pages = {
        "ben": ["/", "/recalls/received/"],
        "alma": ["/legal-holds/", "/retention/", request],
        "abel": ["/", "/requests/", "/recalls/overdue/"],
        "dora": ["/legal-holds/", "/retention/"],
        "otto": ["/", "/recalls/overdue/"],
    }
    for who, addresses in pages.items():
        enter(page, live_server, getattr(stage.cast, who))
        for n, address in enumerate(addresses):
            page.goto(live_server.url + address)
            shoot(page, f"keeping-{who}-{n}-{width}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
            found = Axe().run(page)
            assert found.violations_count == 0, f"{address}: {found.generate_report()}"
        page.get_by_role("button", name="Sign out").click()
    context.close()
