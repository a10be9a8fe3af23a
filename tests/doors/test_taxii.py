"""TAXII 2.1 over HTTP, as a client would: each test names the section that it holds to."""

import json

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from exchange import contribute
from members.models import Member
from tests.doors import stage as staging
from tests.doors.clients import MEDIA, ROOT, client_of, objects, post
from tests.doors.stage import Stage, as_owner, sequence

pytestmark = pytest.mark.django_db


def test_3_1_line_2_every_answer_is_in_the_taxii_media_type(ben: Client) -> None:
    for path, status in (
        ("/taxii2/", 200),
        (ROOT, 200),
        (f"{ROOT}collections/", 200),
        (f"{ROOT}collections/holding/", 200),
        (f"{ROOT}collections/holding/manifest/", 200),
        (f"{ROOT}collections/holding/objects/", 200),
        (f"{ROOT}nowhere/", 404),
        (f"{ROOT}collections/not-mine/", 404),
        (f"{ROOT}status/not-a-uuid/", 404),
        (f"{ROOT}collections/holding/objects/?limit=0", 400),
    ):
        answer = ben.get(path)
        assert (answer.status_code, answer["Content-Type"]) == (status, MEDIA), path


def test_3_1_line_1_a_path_without_its_last_slash_is_answered(ben: Client) -> None:
    assert ben.get(f"{ROOT}collections").status_code == 200
    assert ben.get("/taxii2/forum").status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic d3Jvbmc=", "Digest x"])
def test_1_6_9_line_10_without_credentials_401_names_a_scheme(header: str) -> None:
    answer = Client(headers={"Authorization": header} if header else {}).get("/taxii2/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Basic")
    assert answer["Content-Type"] == MEDIA


def test_3_6_line_16_errors_have_a_title_and_their_status_as_text(ben: Client) -> None:
    error = ben.get(f"{ROOT}collections/holding/objects/?limit=x").json()
    assert error["title"]
    assert error["http_status"] == "400"


def test_4_1_line_19_the_default_root_is_one_of_the_roots(ben: Client) -> None:
    found = ben.get("/taxii2/").json()
    assert found["default"] in found["api_roots"]
    assert found["default"].endswith("/taxii2/forum/")


def test_4_2_line_21_the_root_names_its_version_and_largest_body(ben: Client) -> None:
    found = ben.get(ROOT).json()
    assert found["versions"] == [MEDIA]
    assert found["max_content_length"] > 0


def test_5_1_line_29_collections_are_a_members_own(ben: Client, cleo: Client) -> None:
    of_ben = {c["alias"]: c for c in ben.get(f"{ROOT}collections/").json()["collections"]}
    of_cleo = {c["alias"]: c for c in cleo.get(f"{ROOT}collections/").json()["collections"]}
    assert "circle-relay-watch" in of_ben
    assert "circle-relay-watch" not in of_cleo
    assert of_ben["holding"]["id"] != of_cleo["holding"]["id"]
    assert (of_ben["inbox-forum"]["can_read"], of_ben["inbox-forum"]["can_write"]) == (False, True)
    theirs = of_ben["circle-relay-watch"]["id"]
    missing = cleo.get(f"{ROOT}collections/00000000-0000-4000-8000-000000000000/")
    assert cleo.get(f"{ROOT}collections/{theirs}/").content == missing.content


def test_5_1_line_28_the_same_order_and_ids_each_time(ben: Client) -> None:
    assert ben.get(f"{ROOT}collections/").content == ben.get(f"{ROOT}collections/").content


def test_5_4_ben_reads_what_was_released_and_nothing_of_the_original(
    ben: Client, stage: Stage
) -> None:
    found = objects(ben, "circle-relay-watch", "?match[type]=indicator")
    assert len(found) == 1
    text = json.dumps(found)
    assert staging.SECRET_WORDS not in text
    assert stage.indicator not in text


def test_1_6_9_line_15_cleo_cannot_tell_that_there_is_anything(cleo: Client, ben: Client) -> None:
    found = objects(ben, "holding", "?match[type]=indicator")[0]["id"]
    known = cleo.get(f"{ROOT}collections/holding/objects/{found}/")
    other = "indicator--00000000-0000-4000-8000-000000000000"
    missing = cleo.get(f"{ROOT}collections/holding/objects/{other}/")
    assert known.status_code == missing.status_code == 404
    assert known.content == missing.content
    assert objects(cleo, "holding", "?match[type]=indicator") == []


def test_5_4_line_52_nothing_found_is_an_empty_object_without_headers(ben: Client) -> None:
    answer = ben.get(f"{ROOT}collections/holding/objects/?match[id]=indicator--none")
    assert (answer.status_code, answer.json()) == (200, {})
    assert "X-TAXII-Date-Added-First" not in answer


def test_3_5_line_41_pages_lose_and_repeat_nothing(ben: Client) -> None:
    whole = [obj["id"] for obj in objects(ben, "holding")]
    walked: list[str] = []
    query = "?limit=50"
    while True:
        found = ben.get(f"{ROOT}collections/holding/objects/{query}").json()
        walked += [obj["id"] for obj in found["objects"]]
        assert ("next" in found) == found.get("more", False)
        if not found.get("more"):
            break
        query = f"?limit=50&next={found['next']}"
    assert walked == whole
    assert len(set(walked)) == len(walked) > 150


def test_3_7_line_42_added_after_the_last_header_goes_on_exactly_there(ben: Client) -> None:
    first = ben.get(f"{ROOT}collections/holding/objects/?limit=20")
    after = first["X-TAXII-Date-Added-Last"]
    rest = objects(ben, "holding", f"?added_after={after}")
    whole = objects(ben, "holding")
    assert [o["id"] for o in first.json()["objects"]] + [o["id"] for o in rest] == [
        o["id"] for o in whole
    ]


def test_5_3_line_49_the_manifest_tells_the_versions_as_written(ben: Client) -> None:
    records = ben.get(f"{ROOT}collections/holding/manifest/").json()["objects"]
    shown = {obj["id"]: obj for obj in objects(ben, "holding")}
    for record in records:
        obj = shown[record["id"]]
        written = obj.get("modified") or obj.get("created") or record["version"]
        assert record["version"] == written
        assert len(record["date_added"]) == len("2026-11-24T00:00:00.000000Z")
    dates = [record["date_added"] for record in records]
    assert dates == sorted(set(dates))


def test_5_6_line_63_one_object_and_its_versions(ben: Client) -> None:
    one = objects(ben, "holding", "?match[type]=campaign")[0]
    path = f"{ROOT}collections/holding/objects/{one['id']}/"
    assert ben.get(path).json()["objects"] == [one]
    assert ben.get(f"{path}versions/").json()["versions"] == [one["modified"]]
    filtered = ben.get(f"{path}?match[version]=2001-01-01T00:00:00Z")
    assert (filtered.status_code, filtered.json()) == (200, {})


def test_4_3_line_24_a_contribution_is_accounted_for_object_by_object(
    ana: Client, stage: Stage
) -> None:
    sent = staging.campaign(timezone.now())
    answer = post(ana, "own", json.dumps({"objects": sent}).encode())
    assert answer.status_code == 202
    status = answer.json()
    assert (status["status"], status["pending_count"]) == ("pending", len(sent))
    as_owner()
    contribute.accept(contribute.waiting()[0], now=timezone.now())
    sequence(timezone.now())
    done = ana.get(f"{ROOT}status/{status['id']}/").json()
    assert done["status"] == "complete"
    assert done["total_count"] == done["success_count"] + done["failure_count"] == len(sent)
    assert len(done["successes"]) == done["success_count"]
    assert len(done["failures"]) == done["failure_count"] == 1
    held = objects(ana, "own", f"?match[id]={sent[0]['id']}")
    assert held == [sent[0]]


def test_7_1_1_line_59_a_bundle_is_taken_for_an_envelope(ana: Client) -> None:
    body = {"type": "bundle", "id": "bundle--x", "objects": staging.campaign(timezone.now())}
    assert post(ana, "inbox-forum", json.dumps(body).encode()).status_code == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b" ", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"null", 422),
        (b'"text"', 422),
        (b'{"objects": {}}', 422),
        (b"[" * 50_000, 422),
        (b'{"a":' * 50_000, 400),
    ],
)
def test_5_5_line_57_a_broken_body_is_never_a_500(ana: Client, body: bytes, status: int) -> None:
    answer = post(ana, "own", body)
    assert answer.status_code == status
    assert answer.json()["title"]
    as_owner()
    assert contribute.waiting() == ()


def test_4_2_line_22_too_large_and_of_another_type(ana: Client, settings: LazySettings) -> None:
    settings.MAX_CONTENT_LENGTH = 100
    assert post(ana, "own", b"{" + b" " * 100).status_code == 413
    assert post(ana, "own", b'{"objects":[]}'.ljust(100)).status_code == 202
    assert post(ana, "own", b"{}", "application/json").status_code == 415


def test_5_5_line_57_only_where_one_may_write(ana: Client, stage: Stage) -> None:
    assert post(ana, "holding", b"{}").status_code == 403
    reader = client_of(stage.cast.ana, "taxii-read")
    assert post(reader, "own", b"{}").status_code == 403
    assert post(reader, "inbox-forum", b"{}").status_code in (403, 404)


def test_5_7_line_65_delete_follows_the_matrix_of_rights(ana: Client, stage: Stage) -> None:
    path = f"collections/own/objects/{stage.campaign}/"
    writer = client_of(stage.cast.ana, "taxii-write")
    reader = client_of(stage.cast.ana, "taxii-read")
    neither = client_of(stage.cast.ana, "ledger-read")
    assert reader.delete(ROOT + path).status_code == 403
    assert writer.delete(ROOT + path).status_code == 403
    assert neither.delete(ROOT + path).status_code == 404
    assert ana.get(ROOT + path).status_code == 200
    gone = ana.delete(ROOT + path)
    assert (gone.status_code, gone.content, gone["Content-Type"]) == (200, b"", MEDIA)
    assert ana.get(ROOT + path).status_code == 404
    assert ana.delete(ROOT + path).status_code == 404


def test_a_suspended_member_reads_nothing_from_that_moment(ben: Client, stage: Stage) -> None:
    assert ben.get("/taxii2/").status_code == 200
    as_owner()
    Member.objects.filter(pk=stage.cast.borealis.pk).update(state="suspended")
    assert ben.get("/taxii2/").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_a_page_costs_the_same_queries_whatever_is_on_it(ben: Client) -> None:
    """Who asks, the page, and its note: each a journey to the database, and no more."""
    whole = objects(ben, "holding")  # the first request also notes that the credential is used
    costs = []
    for limit in (1, 20, 200):
        with CaptureQueriesContext(connection) as queries:
            assert objects(ben, "holding", f"?limit={limit}") == whole[:limit]
        costs.append(len(queries))
    assert costs == [3, 3, 3]
