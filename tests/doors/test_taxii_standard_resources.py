"""TAXII 2.1, line by line: discovery (C), API root (D), status (E), collections (F)."""

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange import contribute
from indicators.models import Contribution
from tests.doors import stage as staging
from tests.doors.clients import MEDIA, ROOT, client_of, contribute_now, objects, post
from tests.doors.stage import Stage, as_owner, sequence

pytestmark = pytest.mark.django_db
OWN = f"{ROOT}collections/own/"


def listed(client: Client) -> dict[str, dict[str, Any]]:
    """The collections of a client by their alias."""
    found = client.get(f"{ROOT}collections/").json()["collections"]
    return {one["alias"]: one for one in found}


# --- C. discovery --------------------------------------------------------------------------------


def test_4_1_line_18_discovery_is_at_the_root_of_the_host_and_nowhere_else(ben: Client) -> None:
    assert ben.get("/taxii2/").status_code == 200
    for path in (f"{ROOT}taxii2/", "/taxii2/taxii2/", "/taxii/", "/taxii2/discovery/"):
        assert ben.get(path).status_code == 404, path
    assert Client().get("/taxii2/").status_code == 401
    assert ben.get("/taxii2/", headers={"Accept": "image/png"}).status_code == 406


def test_4_1_line_19_title_and_default(ben: Client) -> None:
    found = ben.get("/taxii2/").json()
    assert found["title"]
    assert found["api_roots"].count(found["default"]) == 1


def test_4_1_line_20_roots_are_absolute_and_end_in_a_segment_of_their_own(
    ben: Client, settings: LazySettings
) -> None:
    settings.WEIR_BASE_URL = "https://exchange.example"
    roots = ben.get("/taxii2/").json()["api_roots"]
    assert roots == ["https://exchange.example/taxii2/forum/"]
    parts = urlsplit(roots[0])
    assert (parts.query, ".." in parts.path) == ("", False)
    assert len({root.rstrip("/").rpartition("/")[2] for root in roots}) == len(roots)
    assert ben.get(parts.path).status_code == 200


# --- D. API root ---------------------------------------------------------------------------------


def test_4_2_line_21_versions_and_the_largest_body(ben: Client, settings: LazySettings) -> None:
    found = ben.get(ROOT).json()
    assert found["title"]
    assert MEDIA in found["versions"]
    assert all(";version=" in version for version in found["versions"])
    assert found["max_content_length"] == settings.MAX_CONTENT_LENGTH > 0


def test_4_2_line_22_a_body_of_exactly_the_largest_size_is_taken(
    ana: Client, settings: LazySettings
) -> None:
    settings.MAX_CONTENT_LENGTH = 5_000
    most = ana.get(ROOT).json()["max_content_length"]
    body = json.dumps({"objects": staging.campaign(timezone.now())}).encode()
    assert len(body) < most
    assert post(ana, "own", body.ljust(most)).status_code == 202
    assert post(ana, "own", body.ljust(most + 1)).status_code == 413


def test_4_2_line_23_an_unknown_root_is_404(ben: Client) -> None:
    for path in ("/taxii2/other/", "/taxii2/forum2/", "/taxii2/forums/collections/"):
        answer = ben.get(path)
        assert (answer.status_code, answer["Content-Type"]) == (404, MEDIA)
    assert ben.get(ROOT, headers={"Accept": "text/html"}).status_code == 406
    assert Client().get(ROOT).status_code == 401


# --- E. status -----------------------------------------------------------------------------------


def test_4_3_line_24_counts_add_up_and_lists_are_as_long_as_they_say(ana: Client) -> None:
    sent = staging.campaign(timezone.now())
    waiting = post(ana, "own", json.dumps({"objects": sent}).encode()).json()
    as_owner()
    contribute.accept(UUID(waiting["id"]), now=timezone.now())
    sequence(timezone.now())
    done = ana.get(f"{ROOT}status/{waiting['id']}/").json()
    assert (waiting["status"], done["status"]) == ("pending", "complete")
    for status in (waiting, done):
        parts = [status[f"{name}_count"] for name in ("success", "failure", "pending")]
        assert sum(parts) == status["total_count"] == len(sent)
        for name, count in zip(("successes", "failures", "pendings"), parts, strict=True):
            assert name not in status or len(status[name]) == count > 0
    assert UUID(done["id"]).version == 4


def test_4_3_line_25_an_item_names_the_object_and_its_version(ana: Client) -> None:
    observable = {
        "type": "ipv4-addr",
        "spec_version": "2.1",
        "id": "ipv4-addr--0a1fb0a8-4e2f-5b3c-8d7e-6f5a4b3c2d1e",
        "value": "203.0.113.9",
    }
    made = {**staging.campaign(timezone.now())[0], "modified": "2026-12-01T00:00:00.500Z"}
    bad = {"type": "campaign", "spec_version": "2.1", "id": f"campaign--{uuid4()}"}
    done = contribute_now(ana, [made, observable, bad])
    items = {one["id"]: one for one in (*done["successes"], *done["failures"])}
    assert [one["id"] for one in done["failures"]] == [bad["id"]]
    assert items[made["id"]]["version"] == "2026-12-01T00:00:00.500Z"
    assert items[observable["id"]]["version"] == "1970-01-01T00:00:00.000Z"
    assert items[bad["id"]]["message"]
    assert all(
        {"id", "version"} <= one.keys() <= {"id", "version", "message"} for one in items.values()
    )


def test_4_3_line_26_a_status_is_kept_and_what_is_none_is_404(ana: Client, ben: Client) -> None:
    done = contribute_now(ana, staging.campaign(timezone.now()))
    as_owner()
    long_ago = timezone.now() - timedelta(days=30)
    Contribution.objects.filter(pk=done["id"]).update(received_at=long_ago)
    assert ana.get(f"{ROOT}status/{done['id']}/").json()["status"] == "complete"
    for name in (uuid4(), "no-uuid", "%00", "..", "1", "x" * 5_000):
        answer = ana.get(f"{ROOT}status/{name}/")
        assert (answer.status_code, answer["Content-Type"]) == (404, MEDIA), name
    assert ben.get(f"{ROOT}status/{done['id']}/").status_code == 404


def test_4_3_line_27_a_status_stands_beside_the_collections_and_complete_is_final(
    ana: Client,
) -> None:
    done = contribute_now(ana, staging.campaign(timezone.now()))
    path = f"{ROOT}collections/own/../../status/{done['id']}/"
    by_client = re.sub(r"collections/own/\.\./\.\./", "", path)
    again = ana.get(by_client).json()
    contribute_now(ana, staging.campaign(timezone.now()))
    assert again == done == ana.get(by_client).json()


# --- F. collections ------------------------------------------------------------------------------


def test_5_1_line_28_a_list_in_the_same_order_every_time(ben: Client, stage: Stage) -> None:
    first = ben.get(f"{ROOT}collections/")
    assert list(first.json()) == ["collections"]
    other = client_of(stage.cast.ben)
    assert [other.get(f"{ROOT}collections/").content for _ in range(3)] == [first.content] * 3


def test_5_2_line_29_flags_are_for_this_client_and_media_types_are_all_that_are_held(
    ana: Client, stage: Stage
) -> None:
    for scopes, of_own, of_holding, of_inbox in (
        (("taxii-read",), (True, False), (True, False), (False, False)),
        (("taxii-write",), (False, True), (False, False), (False, True)),
        (("taxii-read", "taxii-write"), (True, True), (True, False), (False, True)),
        (("ledger-read",), (False, False), (False, False), (False, False)),
    ):
        found = listed(client_of(stage.cast.ana, *scopes))
        shown = {name: (one["can_read"], one["can_write"]) for name, one in found.items()}
        assert shown["own"] == of_own
        assert shown["holding"] == of_holding
        assert shown["inbox-forum"] == of_inbox
    records = ana.get(f"{OWN}manifest/").json()["objects"]
    assert {one["media_type"] for one in records} <= set(listed(ana)["own"]["media_types"])


def test_5_2_line_30_one_collection_is_the_same_resource(ben: Client) -> None:
    for one in listed(ben).values():
        assert ben.get(f"{ROOT}collections/{one['id']}/").json() == one
    assert ben.get(f"{ROOT}collections/{uuid4()}/").status_code == 404
    accept = {"Accept": "text/html"}
    assert ben.get(f"{ROOT}collections/holding/", headers=accept).status_code == 406


def test_5_2_line_31_an_alias_works_for_everything_below_it(ana: Client, stage: Stage) -> None:
    found = listed(ana)
    assert len({one["alias"] for one in found.values()}) == len(found)
    by_id = found["own"]["id"]
    assert ana.get(OWN).json()["id"] == by_id
    for below in (
        "objects/",
        "manifest/",
        f"objects/{stage.campaign}/",
        f"objects/{stage.campaign}/versions/",
    ):
        answer = ana.get(OWN + below)
        assert answer.status_code == 200
        assert answer.content == ana.get(f"{ROOT}collections/{by_id}/{below}").content
    assert post(ana, by_id, b'{"objects":[]}').status_code == 202
    assert ana.delete(f"{ROOT}collections/{by_id}/objects/{stage.campaign}/").status_code == 200
    assert objects(ana, "own", f"?match[id]={stage.campaign}") == []


def test_5_2_line_32_titles_are_unique_and_without_a_dot(ben: Client) -> None:
    titles = [one["title"] for one in listed(ben).values()]
    assert len(set(titles)) == len(titles)
    assert not any("." in title for title in titles)
