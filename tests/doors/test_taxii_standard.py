"""TAXII 2.1, line by line: every endpoint (A), errors (B), and that no line is without a test.

The lines are those of the project's own checklist of the standard, 1 to 70. A test that holds to
one is named for its section and its line; `!` lines, which named clients need, have theirs too.
"""

import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from tests.doors import stage as staging
from tests.doors.clients import (
    MEDIA,
    ROOT,
    client_of,
    contribute_now,
    objects,
    post,
    secret_of,
)
from tests.doors.stage import Stage

pytestmark = pytest.mark.django_db
HOLDING = f"{ROOT}collections/holding/"
OWN = f"{ROOT}collections/own/"
# A: 1-15, B: 16-17, C: 18-20, D: 21-23, E: 24-27, F: 28-32, G: 33-39, H: 40-48, I: 49-51,
# J: 52-54, K: 55-62, L: 63-64, M: 65-68, N: 69-70.
LINES = set(range(1, 71))
EVERY = (
    "/taxii2/",
    ROOT,
    f"{ROOT}collections/",
    HOLDING,
    f"{HOLDING}manifest/",
    f"{HOLDING}objects/",
)


def lines_in(text: str) -> set[int]:
    """The lines that tests in a file are named for."""
    names = re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    return {int(line) for name in names for line in re.findall(r"_line_(\d+)_", name)}


def test_every_line_of_the_checklist_has_a_test() -> None:
    here = Path(__file__).parent
    found = [lines_in(path.read_text("utf-8")) for path in here.glob("test_taxii*.py")]
    assert LINES - set().union(*found) == set()
    assert lines_in("def test_5_4_line_52_x() -> None:\n# line_53_\n") == {52}


# --- A. every endpoint ---------------------------------------------------------------------------


def test_3_1_line_1_a_post_without_the_last_slash_keeps_its_body(ana: Client) -> None:
    sent = json.dumps({"objects": staging.campaign(timezone.now())})
    answer = ana.post(f"{OWN}objects", data=sent, content_type=MEDIA)
    assert (answer.status_code, answer.json()["total_count"]) == (202, 6)
    assert ana.get("/taxii2").json() == ana.get("/taxii2/").json()


def test_3_1_line_2_what_the_framework_refuses_is_in_the_media_type_too(
    ben: Client, ana: Client, settings: LazySettings
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    for answer, status in (
        (Client().get(HOLDING), 401),
        (Client().get("/taxii2/"), 401),
        (ben.get("/taxii2/forum/groups/"), 404),
        (ben.get("/taxii2/other/"), 404),
        (ben.put(f"{HOLDING}objects/"), 405),
        (ben.get(HOLDING, headers={"Accept": "text/html"}), 406),
        (post(ana, "own", b"{}", "text/plain"), 415),
        (ben.get(HOLDING, headers={"Host": "elsewhere.example"}), 400),
        (ben.get("/taxii2", headers={"Host": "elsewhere.example"}), 400),
    ):
        assert (answer.status_code, answer["Content-Type"]) == (status, MEDIA)
        assert answer.json()["http_status"] == str(status)


@pytest.mark.parametrize(
    "accept",
    [
        "application/taxii+json",
        "application/taxii+json; version=2.1",
        'application/taxii+json;version="2.1"',
        "APPLICATION/taxii+JSON;Version=2.1",
        "application/taxii+json;version=2.1;q=0.9",
        "text/html;q=0.9, application/taxii+json;version=2.1;q=0.1",
        "application/taxii+json;version=9.9, application/taxii+json;version=2.1",
        "*/*",
    ],
)
def test_1_6_8_line_3_every_spelling_of_our_type_is_served(ben: Client, accept: str) -> None:
    for path in EVERY:
        answer = ben.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer["Content-Type"]) == (200, MEDIA), path


def test_5_3_line_3_the_manifest_may_be_asked_for_with_stix_beside(ben: Client) -> None:
    accept = f"{MEDIA},application/stix+json;version=2.1"
    assert ben.get(f"{HOLDING}manifest/", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/taxii+json", 202),
        ("application/taxii+json; version=2.1", 202),
        ('Application/TAXII+json;VERSION="2.1"', 202),
        ("application/taxii+json;version=2.1;charset=utf-8", 202),
        ("application/taxii+json;version=2.0", 415),
        ("application/stix+json;version=2.1", 415),
        ("application/json", 415),
        ("", 415),
    ],
)
def test_3_1_line_5_every_spelling_of_our_type_is_taken(
    ana: Client, media: str, status: int
) -> None:
    answer = post(ana, "own", b'{"objects":[]}', media)
    assert (answer.status_code, answer["Content-Type"]) == (status, MEDIA)


def test_1_6_7_line_6_bodies_are_utf_8_json_by_i_json(ben: Client) -> None:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in found}) == len(found)
        return dict(found)

    def number(text: str) -> int:
        assert abs(int(text)) < 2**53
        return int(text)

    def never(text: str) -> None:
        raise AssertionError(text)

    for path in (*EVERY, f"{HOLDING}objects/?limit=x"):
        body = ben.get(path).content
        assert body.startswith(b"{")
        json.loads(
            body.decode("utf-8"), object_pairs_hook=pairs, parse_int=number, parse_constant=never
        )


def test_2_line_7_timestamps_of_taxii_have_six_digits_and_those_of_stix_their_own(
    ana: Client, ben: Client
) -> None:
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    answer = ben.get(f"{HOLDING}manifest/")
    stamps = [record["date_added"] for record in answer.json()["objects"]]
    stamps += [answer["X-TAXII-Date-Added-First"], answer["X-TAXII-Date-Added-Last"]]
    sent = staging.campaign(timezone.now())[0]
    sent |= {"first_seen": "2026-01-02T03:04:05Z", "last_seen": "2026-01-02T03:04:05.1234567Z"}
    stamps.append(contribute_now(ana, [sent])["request_timestamp"])
    assert all(form.fullmatch(stamp) for stamp in stamps)
    assert objects(ana, "own", f"?match[id]={sent['id']}") == [sent]


def test_2_line_8_an_empty_list_is_left_out_and_booleans_are_literals(
    ana: Client, ben: Client
) -> None:
    for path in ("objects/?match[id]=x--y", "manifest/?match[id]=x--y"):
        assert ben.get(HOLDING + path).json() == {}
    status = post(ana, "own", b'{"objects":[]}').json()
    assert not {"successes", "failures", "pendings"} & status.keys()
    for one in ben.get(f"{ROOT}collections/").json()["collections"]:
        assert one["can_read"] in (True, False)
        assert isinstance(one["can_write"], bool)
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f-]{16}", one["id"])


def test_3_8_line_9_names_are_those_of_the_standard(ana: Client, ben: Client) -> None:
    known = {
        "/taxii2/": ({"title", "default", "api_roots"}, {"description", "contact"}),
        ROOT: ({"title", "versions", "max_content_length"}, {"description"}),
        HOLDING: (
            {"id", "title", "can_read", "can_write"},
            {"description", "alias", "media_types"},
        ),
        f"{HOLDING}objects/": ({"objects"}, {"more", "next"}),
        f"{HOLDING}manifest/?limit=2": ({"objects", "more", "next"}, set()),
    }
    for path, (required, optional) in known.items():
        found = set(ben.get(path).json())
        assert required <= found <= required | optional, path
    counts = {f"{name}_count" for name in ("total", "success", "failure", "pending")}
    status = set(contribute_now(ana, staging.campaign(timezone.now())))
    assert {"id", "status"} | counts <= status
    assert status <= counts | {"id", "status", "request_timestamp", "successes", "failures"}


def test_5_x_line_10_collections_without_credentials_are_401_whether_they_exist_or_not(
    stage: Stage,
) -> None:
    for path in (HOLDING, f"{ROOT}collections/none/", f"{HOLDING}objects/", f"{HOLDING}manifest/"):
        answer = Client(headers={"Authorization": "Bearer wrong"}).get(path)
        assert (answer.status_code, answer.content) == (401, Client().get(path).content)
        assert answer["WWW-Authenticate"] == 'Basic realm="Weir"'


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Bearer", "bearer", "Token"])
def test_8_2_2_line_11_each_scheme_in_any_case(stage: Stage, scheme: str) -> None:
    secret = secret_of(stage.cast.ben)
    pair = b64encode(f"any name:{secret}".encode()).decode()
    value = pair if scheme.lower() == "basic" else secret
    asked = Client(headers={"Authorization": f"{scheme} {value}"})
    assert asked.get(HOLDING).status_code == 200
    # MISP splits a user and its password at every colon.
    assert ":" not in secret


def test_8_2_1_line_12_no_user_agent_is_needed(ben: Client) -> None:
    answer = ben.get(HOLDING)
    assert "HTTP_USER_AGENT" not in answer.wsgi_request.META
    assert answer.status_code == 200


def test_8_2_2_line_13_nothing_is_served_in_the_clear(ben: Client, settings: LazySettings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    clear = ben.get(f"{HOLDING}objects/")
    assert clear.status_code == 301
    assert clear["Location"] == f"https://testserver{HOLDING}objects/"
    sealed = ben.get(f"{HOLDING}objects/", secure=True)
    assert (sealed.status_code, "Strict-Transport-Security" in sealed) == (200, True)
    # Protocol and ciphers are the proxy's; what it has to be told is written where it is set up.
    read = Path("deploy/README.md").read_text("utf-8")
    assert "`TLSv1.2 TLSv1.3`" in read
    assert "ssl_early_data off" in read


def test_3_9_line_14_the_name_of_a_dns_record_is_the_standards() -> None:
    assert "`_taxii2._tcp`" in Path("deploy/README.md").read_text("utf-8")


def test_8_2_2_line_15_what_one_may_not_read_is_left_out_before_it_is_paged(
    ben: Client, cleo: Client, stage: Stage
) -> None:
    for path in ("objects/", "manifest/"):
        of_cleo = cleo.get(f"{HOLDING}{path}?match[type]=campaign,indicator")
        assert (of_cleo.status_code, of_cleo.json()) == (200, {})
        assert "X-TAXII-Date-Added-Last" not in of_cleo
    assert objects(ben, "holding", "?match[type]=campaign,indicator&limit=2")


# --- B. errors -----------------------------------------------------------------------------------


def test_3_6_line_16_an_error_has_these_members_and_no_others(ben: Client, ana: Client) -> None:
    texts = {"title", "description", "error_id", "error_code", "http_status", "external_details"}
    answers = [
        ben.get(f"{HOLDING}objects/?limit=0"),
        ben.get(f"{HOLDING}objects/x/"),
        ben.put(HOLDING),
        post(ben, "holding", b"{}"),
        post(ana, "own", b"{"),
    ]
    for answer in answers:
        error = answer.json()
        assert set(error) <= texts | {"details"}
        assert all(isinstance(error[name], str) for name in error.keys() - {"details"})
        assert isinstance(error.get("details", {}), dict)
        assert error["title"]
        assert error["http_status"] == str(answer.status_code)


def test_app_b_line_17_none_and_not_for_you_are_the_same_bytes(
    cleo: Client, ben: Client, stage: Stage
) -> None:
    circle = ben.get(f"{ROOT}collections/circle-relay-watch/").json()["id"]
    held = objects(ben, "holding", "?match[type]=campaign")[0]["id"]
    none = {"collection": "00000000-0000-4000-8000-000000000000", "object": "campaign--none"}
    pairs: list[tuple[str, str]] = []
    for below in ("", "objects/", "manifest/", f"objects/{held}/", f"objects/{held}/versions/"):
        there = f"{ROOT}collections/{circle}/{below}"
        pairs.append((there, there.replace(circle, none["collection"])))
    for below in ("", "versions/"):
        there = f"{HOLDING}objects/{held}/{below}"
        pairs.append((there, there.replace(held, none["object"])))
    pairs.append((f"{ROOT}status/{stage.contribution}/", f"{ROOT}status/{none['collection']}/"))
    for there, nowhere in pairs:
        answers = [cleo.get(path) for path in (there, nowhere)]
        assert [answer.status_code for answer in answers] == [404, 404], there
        assert answers[0].content == answers[1].content
        assert answers[0].headers.keys() == answers[1].headers.keys()
    writes = [
        post(cleo, name, b'{"objects":[]}') for name in (circle, "inbox-relay-watch", "nothing")
    ]
    assert {(one.status_code, one.content) for one in writes} == {(404, writes[2].content)}


def test_app_b_line_17_a_fault_of_ours_tells_nothing(
    ben: Client, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"a fault beside {staging.SECRET_WORDS}")

    monkeypatch.setattr("exchange.access.collection", broken)
    answer = ben.get(f"{HOLDING}objects/")
    assert (answer.status_code, answer["Content-Type"]) == (500, MEDIA)
    assert "RuntimeError" not in answer.content.decode()
    assert staging.SECRET_WORDS not in answer.content.decode()


def test_3_6_line_17_403_only_where_one_may_know(ana: Client, stage: Stage) -> None:
    reader = client_of(stage.cast.ana, "taxii-read")
    assert post(reader, "own", b"{}").status_code == 403
    assert post(reader, "inbox-forum", b"{}").status_code == 404
    assert post(ana, "holding", b"{}").status_code == 403
