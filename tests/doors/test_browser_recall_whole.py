"""Taking back the whole way, in a browser on real processes.

To the last acknowledgement, and from a recipient's click to every holder's revoked copy.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.doors.test_browser_desk import CHROMIUM, Desk, browser_type_launch_args, reloaded
from tests.running import Running, exchange, manage, wait_for
from tests.shell.sharing import range_indicator, stamp

__all__ = ["browser_type_launch_args"]
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
HOLDING = "/taxii2/forum/collections/circle-relay-watch/objects/"
NOTE = "It names a public resolver."
# What the clock of the workers does each minute, some minutes long.
MINUTES = """
import time
from django.utils import timezone
from exchange import erasure, persons, recall
for _ in range(12):
    now = timezone.now()
    persons.work(now=now), recall.tell_waiting(now=now), erasure.work(now=now)
    time.sleep(1)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with exchange(tmp_path_factory.mktemp("recall")) as found:
        yield found


def held(running: Running, value: str) -> list[dict[str, Any]]:
    """What Borealis holds of a value, as its own machine pulls it."""
    _, answer = running.get(HOLDING + "?match[type]=indicator", by="Borealis")
    objects: list[dict[str, Any]] = json.loads(answer).get("objects", [])
    return [obj for obj in objects if value in obj["pattern"]]


def share(running: Running, value: str) -> str:
    """Aurora's indicator, received by both others of the circle; the forum's id of it."""
    now = stamp(datetime.now(UTC))
    obj = range_indicator(value, created=now, modified=now, valid_from=now)
    running.contribute([obj], alias="inbox-relay-watch")
    wait_for("held by Borealis", lambda: held(running, value))
    wait_for("pushed to Borealis", lambda: value in pushed(running, "borealis"))
    wait_for("pushed to Ember", lambda: value in pushed(running, "ember"))
    return str(held(running, value)[0]["id"])


def pushed(running: Running, name: str) -> str:
    """All that was ever pushed to a member, as text."""
    return "\n".join(body.decode() for body, _ in running.bundles(name).values())


def recalls_pushed(running: Running, name: str) -> int:
    return sum(1 for one in running.pushed(name) if one.get("event") == "recall")


def webhook(page: Page, running: Running, button: str) -> None:
    """Ben pauses or resumes where his company is pushed to."""
    page.goto(f"{running.base_url}/subscriptions/")
    page.get_by_role("link", name="Borealis").first.click()
    page.get_by_role("button", name=button, exact=True).click()


def recall_it(page: Page, running: Running, value: str, reason: str) -> str:
    """Ana finds what came of hers and takes it back; the page on which she follows it."""
    page.goto(f"{running.base_url}/contributions/")
    page.get_by_role("rowheader").get_by_role("link").first.click()
    page.get_by_role("link", name="indicator").first.click()
    page.get_by_role("link", name="Recall", exact=True).click()
    expect(page.get_by_text("2 recipients")).to_be_visible()
    order(page, reason)
    return page.url


def order(page: Page, reason: str) -> None:
    page.get_by_label(reason).check()
    page.get_by_label("Note").fill(NOTE)
    page.get_by_role("button", name="Recall now").click()
    expect(page.get_by_text("Recalled. Nobody is served it any more.")).to_be_visible()


@pytest.mark.parametrize(("width", "value"), [(390, "203.0.113.0/26"), (1280, "198.51.100.0/26")])
def test_a_recall_is_seen_through_to_the_last_acknowledgement(
    browser: Browser, running: Running, width: int, value: str
) -> None:
    """Ember's machine answers the push; Borealis' is paused, so Ben says it himself."""
    desk = Desk(browser, running, width)
    name = share(running, value)
    before = recalls_pushed(running, "ember")
    with desk.page_of("Ben") as page:
        webhook(page, running, "Pause")

    with desk.page_of("Ana") as page:
        followed = recall_it(page, running, value, "False positive")
        wait_for("one acknowledged", lambda: "1 of 2 acknowledged" in reloaded(page))
        row = page.get_by_role("row", name="Ember")
        expect(row.get_by_text("acknowledged")).to_be_visible()
        expect(page.get_by_role("row", name="Borealis").get_by_text("sent")).to_be_visible()

    with desk.page_of("Ben") as page:
        told = page.get_by_role("region", name="Recalled")
        expect(told.get_by_text(name)).to_be_visible()
        assert NOTE not in page.content()
        told.get_by_role("row", name=name).get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_text("Acknowledged.")).to_be_visible()
        row = page.get_by_role("row", name=name)
        expect(row.get_by_text("acknowledged", exact=True)).to_be_visible()

    with desk.page_of("Ana") as page:
        page.goto(followed)
        expect(page.get_by_text("2 of 2 acknowledged").first).to_be_visible()
        bar = page.get_by_role("progressbar")
        assert bar.get_attribute("value") == bar.get_attribute("max") == "2"

    assert recalls_pushed(running, "ember") == before + 1
    last = list(running.bundles("ember").values())
    texts = [body.decode() for body, _ in last if '"revoked":true' in body.decode()]
    assert any(name in text for text in texts)
    assert not any(value in text for text in texts)
    with desk.page_of("Ben") as page:
        webhook(page, running, "Resume")


def test_a_persons_erasure_is_carried_out_by_the_workers_and_the_ledger_stays_whole(
    browser: Browser, running: Running
) -> None:
    """Abel enters it, Alma approves; each process has its own rights in the database."""
    person, value = "Heron Nightingale", "203.0.113.128/26"
    desk = Desk(browser, running, 1280)
    now = stamp(datetime.now(UTC))
    obj = range_indicator(value, created=now, modified=now, valid_from=now, description=person)
    running.contribute([obj], alias="inbox-relay-watch")
    wait_for("held by Borealis", lambda: held(running, value))
    name = str(held(running, value)[0]["id"])
    with desk.page_of("Abel") as page:
        page.goto(f"{running.base_url}/requests/")
        page.get_by_label("that it be erased").check()
        page.get_by_label("By what they are found").fill(person.upper())
        page.get_by_label("Reason").fill("By letter of 3 November.")
        page.get_by_role("button", name="Search").click()
        wait_for("found", lambda: "1 found" in reloaded(page))
        request = page.url
    with desk.page_of("Alma") as page:
        page.goto(request)
        expect(page.get_by_text("Borealis")).to_be_visible()
        page.get_by_label("Reason").fill("The law gives it to them.")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("Decided, and recorded.")).to_be_visible()
        manage({**running.env, "DATABASE_ROLE": "worker"}, "shell", "-c", MINUTES)
        wait_for("done", lambda: ">done<" in reloaded(page))
        expect(page.get_by_text("received it; its bytes are erased here").first).to_be_visible()
    _, answer = running.get(f"{HOLDING}?match[id]={name}", by="Borealis")
    (copy,) = json.loads(answer)["objects"]
    assert copy["revoked"] is True
    manage({**running.env, "DATABASE_ROLE": "owner"}, "ledger_check", "--full")
    manage({**running.env, "DATABASE_ROLE": "worker"}, "retention", "--dry-run")
    manage({**running.env, "DATABASE_ROLE": "worker"}, "retention")


@pytest.mark.parametrize(("width", "value"), [(390, "203.0.113.64/26"), (1280, "198.51.100.64/26")])
def test_a_false_positive_goes_from_a_click_to_every_holders_revoked_copy(
    browser: Browser, running: Running, width: int, value: str
) -> None:
    """Ben says it: on a phone on the object's page, at a desk with one key in the list."""
    desk = Desk(browser, running, width)
    name = share(running, value)
    before = {lab: recalls_pushed(running, lab) for lab in ("borealis", "ember")}
    with desk.page_of("Ben") as page:
        if width == 390:
            page.goto(f"{running.base_url}/objects/{name}/")
            page.get_by_role("button", name="False positive").click()
        else:
            expect(page.get_by_role("row", name=value)).to_be_visible()
            listed = page.get_by_role("table", name="Objects received since yesterday")
            at = next(
                n
                for n, text in enumerate(listed.locator("[data-row]").all_inner_texts())
                if value in text
            )
            for _ in range(at + 1):
                page.keyboard.press("j")
            page.keyboard.press("f")
        expect(page.get_by_text("Sent as a sighting. It leaves without your name.")).to_be_visible()

    with desk.page_of("Ana") as page:
        wait_for("asked", lambda: "Recipients say that something is wrong" in reloaded(page))
        task = page.get_by_role("region", name="Recipients say that something is wrong")
        expect(task.get_by_text("false positive").first).to_be_visible()
        assert not any(word in task.inner_text() for word in ("Borealis", "Ben", "Ember"))
        # Nothing happened by the click alone.
        assert not held(running, value)[0].get("revoked")
        task.get_by_role("link", name="Recall", exact=True).first.click()
        order(page, "False positive")
        wait_for("all acknowledged", lambda: "2 of 2 acknowledged" in reloaded(page))
        page.goto(f"{running.base_url}/")
        assert "Recipients say that something is wrong" not in page.content()

    for lab in ("borealis", "ember"):
        assert recalls_pushed(running, lab) > before[lab]
        copies = [json.loads(body) for body, _ in running.bundles(lab).values()]
        newest = [obj for one in copies for obj in one["objects"] if obj["id"] == name]
        assert any(obj.get("revoked") for obj in newest), lab
    assert held(running, value) == []
    _, answer = running.get(f"{HOLDING}?match[id]={name}", by="Borealis")
    (copy,) = json.loads(answer)["objects"]
    assert copy["revoked"] is True

    with desk.page_of("Ben") as page:
        page.goto(f"{running.base_url}/objects/{name}/")
        expect(page.get_by_text("revoked").first).to_be_visible()
        answers = page.get_by_role("region", name="What became of what you said")
        expect(answers.get_by_text("recalled")).to_be_visible()
        assert "Aurora" not in answers.inner_text()
