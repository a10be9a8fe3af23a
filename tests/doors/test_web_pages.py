"""Every page, for every role; what Cleo cannot see; how many queries a list costs."""

import re
from collections.abc import Iterator
from datetime import datetime

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange import audit, docket, inbox
from members import credentials, onboarding
from members.models import User
from tests.cast import PASSWORD
from tests.doors.stage import SECRET_WORDS, Stage, as_owner, set_stage
from tests.shell import sharing

pytestmark = pytest.mark.django_db

BACKEND = "django.contrib.auth.backends.ModelBackend"
FOR_ALL = ["/", "/help/", "/policy/", "/settings/", "/people/", "/statistics/", "/tokens/"]
FOR_ALL += ["/archive/", "/algorithms/", "/pool/"]
OF_A_MEMBER = ["/subscriptions/", "/credentials/"]
READING = ["/campaigns/", "/contributions/", "/entries/", "/entries/?slot=to", "/holds/"]
READING += ["/pool/extracts/"]
READING += ["/search/", "/search/?q=relay", "/search/list/"]
TAKING_BACK = ["/recalls/"]
GIVING = ["/contribute/values/", "/contribute/file/", "/algorithms/new/"]
MAY = {
    "ana": [*FOR_ALL, *OF_A_MEMBER, *READING, *TAKING_BACK, *GIVING],
    "abel": [
        *FOR_ALL,
        *OF_A_MEMBER,
        *READING,
        *TAKING_BACK,
        "/previews/",
        "/originals/",
        "/again/",
    ],
    "alma": [
        *FOR_ALL,
        *OF_A_MEMBER,
        *READING,
        *TAKING_BACK,
        "/previews/",
        "/originals/",
        "/holds/all/",
        "/again/",
    ],
    "ben": [*FOR_ALL, *OF_A_MEMBER, *READING, *TAKING_BACK, *GIVING],
    "cleo": [*FOR_ALL, *OF_A_MEMBER, *READING, *TAKING_BACK, *GIVING],
    "dora": [*FOR_ALL, *TAKING_BACK, "/holds/", "/holds/all/", "/previews/"],
    "otto": [*FOR_ALL, "/originals/"],
    "pia": [*FOR_ALL, "/health/", "/members/", "/previews/"],
}
EVERY = sorted({page for pages in MAY.values() for page in pages})


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def stage(now: datetime) -> Iterator[Stage]:
    cache.clear()
    yield set_stage(now)
    as_owner()


def browser(user: User) -> Client:
    """A signed-in browser."""
    as_owner()
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def text(client: Client, page: str) -> str:
    """A page that must be there."""
    as_owner()
    response = client.get(page)
    assert response.status_code == 200, page
    return response.content.decode()


@pytest.mark.parametrize("name", MAY)
def test_every_role_gets_its_pages_and_no_others(stage: Stage, name: str) -> None:
    client = browser(getattr(stage.cast, name))
    for page in EVERY:
        as_owner()
        expected = 200 if page in MAY[name] else 404
        assert client.get(page).status_code == expected, page


def test_who_has_not_signed_in_is_asked_to(stage: Stage) -> None:
    for page in EVERY:
        as_owner()
        response = Client().get(page)
        assert response.status_code == 302
        assert response["Location"].startswith("/sign-in/?next=")


def test_a_rail_has_at_most_seven_words(stage: Stage) -> None:
    for name in MAY:
        page = text(browser(getattr(stage.cast, name)), "/")
        rail = re.search(r'<nav class="words".*?</nav>', page, re.DOTALL)
        assert rail is not None
        assert 1 <= rail.group().count("<a ") <= 7


def test_ana_signs_in_with_her_password(stage: Stage) -> None:
    client = Client()
    form = {"email": stage.cast.ana.email, "password": PASSWORD, "next": "/campaigns/"}
    response = client.post("/sign-in/", form)
    assert response["Location"] == "/campaigns/"
    assert "Ana, Aurora" in text(client, "/")
    as_owner()
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    as_owner()
    assert client.get("/").status_code == 302


def test_sign_in_leads_to_no_other_site(stage: Stage) -> None:
    form = {"email": stage.cast.ana.email, "password": PASSWORD, "next": "//elsewhere.example/"}
    assert Client().post("/sign-in/", form)["Location"] == "/"


def test_wrong_passwords_close_the_door(stage: Stage) -> None:
    client = Client()
    form = {"email": stage.cast.ana.email, "password": "wrong"}
    first = client.post("/sign-in/", form)
    assert first.status_code == 422
    assert "do not belong together" in first.content.decode()
    for _ in range(5):
        as_owner()
        last = client.post("/sign-in/", form)
    assert last.status_code == 429
    assert "Too many tries" in last.content.decode()
    as_owner()
    right = client.post("/sign-in/", {**form, "password": PASSWORD})
    assert right.status_code == 429


def test_a_link_signs_ben_in_once_and_only_by_the_button(stage: Stage, now: datetime) -> None:
    secret = onboarding.sign_in_link(stage.cast.ben, now=now)
    client = Client()
    for _ in range(2):  # a mail scanner that follows the link uses nothing up
        as_owner()
        assert "Sign in as Ben" in client.get(f"/sign-in/{secret}/").content.decode()
    as_owner()
    assert client.post(f"/sign-in/{secret}/")["Location"] == "/"
    as_owner()
    assert Client().post(f"/sign-in/{secret}/").status_code == 410


def test_ben_reads_the_campaign_and_ana_sees_that_he_has_it(stage: Stage, now: datetime) -> None:
    ben = browser(stage.cast.ben)
    row = inbox.campaigns(stage.cast.as_(stage.cast.ben), now=now)[0]
    assert row.indicators == 1
    assert row.card.title in text(ben, "/")
    page = text(ben, f"/campaigns/{row.card.stix_id}/")
    assert "203.0.113.0/24" in page
    assert "Greedy Heron" not in page
    assert SECRET_WORDS not in page
    assert "Borealis" in text(browser(stage.cast.ana), f"/contributions/{stage.contribution}/")


def test_the_bundle_file_holds_the_renditions(stage: Stage, now: datetime) -> None:
    row = inbox.campaigns(stage.cast.as_(stage.cast.ben), now=now)[0]
    response = browser(stage.cast.ben).get(f"/campaigns/{row.card.stix_id}/bundle/")
    assert response["Content-Disposition"].endswith(f'"{row.card.title}.json"')
    body = response.json()
    kinds = {obj["type"] for obj in body["objects"]}
    assert {"campaign", "indicator", "relationship"} <= kinds
    as_owner()
    one = browser(stage.cast.ben).get(f"/objects/{row.card.stix_id}/")
    assert one.status_code == 200


def test_cleo_cannot_tell_what_is_there(stage: Stage, now: datetime) -> None:
    cleo = browser(stage.cast.cleo)
    held = inbox.campaigns(stage.cast.as_(stage.cast.ben), now=now)[0].card.stix_id
    version = _version(stage)
    hold = docket.queue(stage.cast.as_(stage.cast.dora)).rows[0].id
    pages = [
        f"/campaigns/{held}/",
        f"/campaigns/{held}/bundle/",
        f"/objects/{held}/",
        f"/objects/{stage.held}/",
        f"/objects/{stage.indicator}/",
        "/objects/indicator--7d3c1b1e-4b5f-4c38-9a57-0d1d5e4d6f11/",
        f"/contributions/{stage.contribution}/",
        f"/mine/{version}/",
        "/mine/987654321/",
        f"/holds/{hold}/",
        "/entries/0/opening/",
        "/entries/0/proof/",
        "/subscriptions/7d3c1b1e-4b5f-4c38-9a57-0d1d5e4d6f11/",
    ]
    answers = []
    for page in pages:
        as_owner()
        answers.append(cleo.get(page))
    assert {one.status_code for one in answers} == {404}
    assert len({_without_rail(one.content.decode()) for one in answers}) == 1
    for page in MAY["cleo"]:
        shown = text(cleo, page)
        assert "203.0.113.0" not in shown
        assert str(stage.contribution) not in shown


def test_the_lens_names_the_rule_for_each_removal(stage: Stage) -> None:
    page = text(browser(stage.cast.ana), f"/mine/{_version(stage)}/")
    assert SECRET_WORDS in page
    assert "Free text is not forwarded." in page
    assert "floor/1/narrative" in page
    assert "Borealis" in page


def test_dora_sees_reasons_first_and_text_after_a_recorded_opening(stage: Stage) -> None:
    dora = browser(stage.cast.dora)
    listing = text(dora, "/holds/")
    assert "C13" in listing
    assert "Somebody Ltd" not in listing
    hold = docket.queue(stage.cast.as_(stage.cast.dora)).rows[0].id
    assert "Somebody Ltd" not in text(dora, f"/holds/{hold}/")
    as_owner()
    assert dora.post(f"/holds/{hold}/", {"reason": "short"}).status_code == 422
    as_owner()
    opened = dora.post(f"/holds/{hold}/", {"reason": "Is a company named here?"})
    assert "Somebody Ltd" in opened.content.decode()
    as_owner()
    read = audit.reads(stage.cast.as_(stage.cast.abel))
    assert [one.reason for one in read] == ["Is a company named here?"]
    assert "Is a company named here?" in text(browser(stage.cast.abel), "/")


def test_dora_sees_where_a_tripwire_was_set_off_before_she_opens_it(
    stage: Stage, now: datetime
) -> None:
    as_owner()
    obj = sharing.range_indicator(description="We charge $2.10 per million tokens", x_cnry1="a")
    sharing.Way(stage.cast, stage.cast.relay_watch).give(obj, now=now)
    listing = text(browser(stage.cast.dora), "/holds/")
    assert "price, discount, rebate, credit rate" in listing
    assert "at description" in listing
    assert "2.10" not in listing


def test_dora_decides_with_a_written_reason(stage: Stage) -> None:
    dora = browser(stage.cast.dora)
    holds = [str(row.id) for row in docket.queue(stage.cast.as_(stage.cast.dora)).rows]
    incomplete: tuple[dict[str, str], ...] = (
        {"act": "ask"},
        {"reason": "long enough"},
        {"act": "ask", "reason": "no"},
    )
    for form in incomplete:
        as_owner()
        assert dora.post("/holds/", {"hold": holds, **form}).status_code == 422
    as_owner()
    reason = "Which public source names it?"
    answer = dora.post("/holds/", {"hold": holds, "act": "ask", "reason": reason})
    assert answer["Location"] == "/holds/"
    assert "Which public source names it?" in text(
        browser(stage.cast.ana), f"/contributions/{stage.contribution}/"
    )
    assert "counsel asks you" in text(browser(stage.cast.ana), "/")


def test_ana_cannot_decide(stage: Stage) -> None:
    ana = browser(stage.cast.ana)
    holds = [str(row.id) for row in docket.queue(stage.cast.as_(stage.cast.dora)).rows]
    form = {"hold": holds, "act": "release", "reason": "because I say so"}
    assert ana.post("/holds/", form).status_code in (403, 422)


def test_values_are_checked_previewed_and_sent(stage: Stage) -> None:
    ana = browser(stage.cast.ana)
    pasted = "198.51.100[.]0/24, relay.example\nhello t13d1516h2_8daaf6152771_b186095e22b6"
    checked = ana.post("/contribute/values/", {"step": "check", "values": pasted})
    page = checked.content.decode()
    assert "4 values found. 1 could not be read" in page
    form = {
        "value": ["198.51.100.0/24", "relay.example"],
        "kind-0": "range",
        "kind-1": "domain",
        "keep-0": "1",
        "keep-1": "1",
        "circle": str(stage.cast.relay_watch.id),
        "basis": ["fraudulent-identity"],
        "base_rate": "lt-1e-4",
        "phase": "resale",
    }
    as_owner()
    shown = ana.post("/contribute/values/", {**form, "step": "preview"})
    assert shown.status_code == 200
    assert "Borealis" in shown.content.decode()
    as_owner()
    back = ana.post("/contribute/values/", {**form, "step": "back"})
    assert "relay.example" in back.content.decode()
    as_owner()
    sent = ana.post("/contribute/values/", {**form, "step": "send"})
    assert sent.status_code == 302
    assert "2 objects" in text(ana, sent["Location"])


def test_nothing_kept_is_a_fault_beside_the_table(stage: Stage) -> None:
    form = {
        "step": "preview",
        "value": ["hello"],
        "kind-0": "unknown",
        "keep-0": "1",
        "circle": str(stage.cast.forum.id),
        "base_rate": "unknown",
        "phase": "resale",
    }
    response = browser(stage.cast.ana).post("/contribute/values/", form)
    assert response.status_code == 422
    assert "Mark at least one value" in response.content.decode()


def test_a_key_is_shown_once(stage: Stage) -> None:
    ana = browser(stage.cast.ana)
    form = {"name": "SIEM", "scopes": ["taxii-read"], "days": "30"}
    minted = ana.post("/credentials/", form).content.decode()
    found = re.search(r"weir_[\w-]{20,}", minted)
    assert found is not None
    assert found.group() not in text(ana, "/credentials/")
    as_owner()
    row = credentials.credentials(stage.cast.as_(stage.cast.ana))[0]
    assert ana.post(f"/credentials/{row.id}/revoke/").status_code == 302
    assert "revoked" in text(ana, "/credentials/")


def test_entries_open_and_prove(stage: Stage) -> None:
    ana = browser(stage.cast.ana)
    rows = audit.entries(stage.cast.as_(stage.cast.ana), slot="from").rows
    assert {"release", "contribution"} <= {row.kind for row in rows}
    as_owner()
    opened = ana.get(f"/entries/{rows[0].index}/opening/")
    assert opened.status_code == 200
    as_owner()
    assert ana.get(f"/entries/{rows[0].index}/proof/").status_code == 200


@pytest.mark.parametrize("page", ["/contributions/", "/campaigns/", "/entries/", "/holds/", "/"])
def test_a_list_costs_as_many_queries_as_it_must(
    stage: Stage, page: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    ana = browser(stage.cast.ana)
    with django_assert_max_num_queries(32):
        ana.get(page)


def test_pages_have_no_inline_script_or_style(stage: Stage) -> None:
    ana = browser(stage.cast.ana)
    for page in MAY["ana"]:
        shown = text(ana, page)
        assert " style=" not in shown
        assert "<style" not in shown
        assert not re.search(r"<script(?![^>]*\bsrc=)", shown)
        assert not re.search(r"\bon[a-z]+=", shown.partition("<main")[2])


def test_every_address_is_named(stage: Stage) -> None:
    patterns = get_resolver("exchange.web.urls").url_patterns
    assert None not in {getattr(pattern, "name", None) for pattern in patterns}


def _version(stage: Stage) -> int:
    as_owner()
    ana = stage.cast.as_(stage.cast.ana)
    view = audit.contribution(ana, stage.contribution, now=timezone.now())
    found = next(item.version_id for item in view.items if item.stix_id == stage.indicator)
    assert found is not None
    return found


def _without_rail(page: str) -> str:
    """The page without tokens that differ from answer to answer."""
    return re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", page)
