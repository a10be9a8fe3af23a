"""Search on pages: one field everywhere, a list at once, files for spreadsheets and tools."""

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange.models import Rendition, ServedNote
from exchange.web.search import listed
from members.models import User
from tests.doors.stage import SECRET_WORDS, Stage, as_owner, set_stage

pytestmark = pytest.mark.django_db
BACKEND = "django.contrib.auth.backends.ModelBackend"
HELD = "203.0.113.7"


@pytest.fixture
def stage(settings: LazySettings, tmp_path: Any) -> Iterator[Stage]:
    settings.LEDGER_DIR = tmp_path / "ledger"
    yield set_stage(timezone.now())
    as_owner()


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def get(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    as_owner()
    assert answer.status_code == status, path
    return answer.content.decode()


def indicator() -> Rendition:
    return Rendition.objects.get(stix_type="indicator")


@pytest.mark.parametrize("name", ["ana", "abel", "alma", "ben", "cleo"])
def test_who_reads_a_holding_has_the_field_on_every_page(stage: Stage, name: str) -> None:
    person = browser(getattr(stage.cast, name))
    for place in ("/", "/campaigns/", "/help/", "/search/", "/search/list/"):
        assert 'data-key="/"' in get(person, place)


@pytest.mark.parametrize("name", ["dora", "otto", "pia"])
def test_who_holds_nothing_has_no_field_and_no_page(stage: Stage, name: str) -> None:
    person = browser(getattr(stage.cast, name))
    assert 'data-key="/"' not in get(person, "/help/")
    get(person, "/search/", 404)
    get(person, "/search/list/", 404)


def test_ben_pastes_a_value_and_is_led_to_the_object(
    stage: Stage, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    ben = browser(stage.cast.ben)
    get(ben, "/search/")
    with django_assert_max_num_queries(28):
        page = get(ben, f"/search/?q={HELD}")
    assert f"/objects/{indicator().stix_id}/" in page
    assert "1 object<" in page
    assert get(ben, f"/search/?q={HELD}&type=indicator&kind=egress-range").count("data-row>") == 1
    assert "You hold nothing that fits." in get(ben, f"/search/?q={HELD}&kind=campaign")


def test_the_first_page_shows_no_object_and_notes_none(stage: Stage) -> None:
    before = ServedNote.objects.count()
    page = get(browser(stage.cast.ben), "/search/")
    assert "paste a value" in page
    assert indicator().stix_id not in page
    assert ServedNote.objects.count() == before


def test_chips_in_the_address_lead_on_and_back(stage: Stage) -> None:
    page = get(browser(stage.cast.ben), "/search/?q=range&type=indicator")
    links = [html.unescape(one) for one in re.findall(r'class="chip" href="\?([^"]*)"', page)]
    assert "q=range" in links
    assert "type=indicator" in links
    assert "q=range&type=indicator&kind=egress-range" in links


def test_a_fault_stands_above_the_field_that_is_still_filled(stage: Stage) -> None:
    ben = browser(stage.cast.ben)
    page = get(ben, "/search/?q=who%40mail.example", 422)
    assert "weir-tokenise" in page
    assert 'value="who@mail.example"' in page
    for query in ("kind=x", "from=x", "colour=red", "confidence=many", "q=" + "x" * 3000):
        assert "<code>" in get(ben, f"/search/?{query}", 422)


def test_cleo_sees_the_same_page_for_what_ben_holds_and_for_nothing(stage: Stage) -> None:
    cleo = browser(stage.cast.cleo)
    pages = {get(cleo, f"/search/?q={value}").replace(value, "?") for value in (HELD, "192.0.2.77")}
    tokens = {re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page) for page in pages}
    assert len(tokens) == 1
    assert indicator().stix_id not in tokens.pop()


def test_a_removed_word_finds_nothing_on_any_page(stage: Stage) -> None:
    for user in (stage.cast.ben, stage.cast.ana):
        person = browser(user)
        for words in (SECRET_WORDS, "discount", "Greedy Heron", "From our logs"):
            assert "You hold nothing that fits." in get(person, f"/search/?q={words}")


def test_the_object_page_names_what_says_the_same(stage: Stage) -> None:
    ben = browser(stage.cast.ben)
    assert "Says the same" not in get(ben, f"/objects/{indicator().stix_id}/")


# --- a list --------------------------------------------------------------------------------------


def post(
    client: Client, values: str = "", status: int = 200, *, form: str = "", **more: Any
) -> Any:
    answer = client.post("/search/list/", {"values": values, "as": form, **more})
    as_owner()
    assert answer.status_code == status
    return answer


def test_ben_checks_a_list_and_takes_the_hits_along(stage: Stage) -> None:
    ben = browser(stage.cast.ben)
    values = f"{HELD}\n192.0.2.7, nothing-here.example\n+49 30 123456\nwhat?\n{HELD}"
    page = post(ben, values).content.decode()
    for said in ("1 held", "2 not held", "1 not checked", "1 no known value", "of 5 values"):
        assert said in page
    assert f"/objects/{indicator().stix_id}/" in page
    sheet = post(ben, values, form="csv")
    rows = list(csv.reader(io.StringIO(sheet.content.decode())))
    assert rows[1:] == [[HELD, "address", indicator().stix_id, "indicator"]]
    assert sheet["Content-Disposition"] == 'attachment; filename="hits.csv"'
    bundle = post(ben, values, form="bundle")
    assert bytes(indicator().body) in bundle.content
    assert [one["id"] for one in json.loads(bundle.content)["objects"]] == [indicator().stix_id]
    assert post(browser(stage.cast.cleo), values, form="bundle").json()["objects"] == []


def test_a_file_is_a_list_too(stage: Stage) -> None:
    ben = browser(stage.cast.ben)
    good = SimpleUploadedFile("list.txt", b"\xef\xbb\xbf" + HELD.encode() + b"\r\n192.0.2.7\r\n")
    assert "1 held" in post(ben, file=good).content.decode()
    for bad in (b"\xff\xfe\x00", b"a" * 1_000_001):
        page = post(ben, file=SimpleUploadedFile("list.txt", bad), status=422)
        assert b'class="fault"' in page.content


@pytest.mark.parametrize(
    "values", ["", " \n ,", "a.example\n" * 3 + "\n".join(f"h{n}.example" for n in range(10_001))]
)
def test_an_empty_and_an_endless_list_are_refused(stage: Stage, values: str) -> None:
    page = post(browser(stage.cast.ben), values, 422)
    assert b"1 to 10,000" in page.content


def test_a_file_of_hits_is_safe_for_a_spreadsheet(stage: Stage) -> None:
    ben = browser(stage.cast.ben)
    odd = ["=HYPERLINK(1)", "+1+1", "@SUM(1)", "\u202e203.0.113.7", "<img onerror=x>", "-1"]
    sheet = post(ben, "\n".join([*odd, HELD]), form="csv").content.decode()
    assert not re.search(r"(^|,)\"?[=+\-@]", sheet, re.MULTILINE)
    assert "\u202e" not in sheet
    page = post(ben, "\n".join([*odd, HELD])).content.decode()
    assert "<img" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.example b.example", ["a.example", "b.example"]),
        ("a.example,b.example;c.example", ["a.example", "b.example", "c.example"]),
        ("+49 30 123456\n(030) 123-4567", ["+49 30 123456", "(030) 123-4567"]),
        ("  2001:db8::1  \n\n2001:db8::1", ["2001:db8::1"]),
        ("198.51.100.7\tseen twice", ["198.51.100.7", "seen", "twice"]),
    ],
)
def test_a_pasted_list_is_read_line_by_line(text: str, values: list[str]) -> None:
    assert listed(text) == values
