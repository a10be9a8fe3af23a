"""TAXII 2.1, line by line: manifest (I), objects (J, K, L, M) and their versions (N)."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange import contribute
from tests.doors import stage as staging
from tests.doors.clients import MEDIA, ROOT, client_of, contribute_now, objects, post
from tests.doors.stage import Stage, as_owner

pytestmark = pytest.mark.django_db
HOLDING = f"{ROOT}collections/holding/"
OWN = f"{ROOT}collections/own/"
NOBODYS = "campaign--00000000-0000-4000-8000-000000000000"


def ip_address(last: int = 9) -> dict[str, Any]:
    """An observable: it has no version of its own."""
    return {
        "type": "ipv4-addr",
        "spec_version": "2.1",
        "id": f"ipv4-addr--{uuid4()}",
        "value": f"203.0.113.{last}",
    }


def statuses(client: Client, path: str, *, method: str = "get") -> int:
    """The status of an answer that is in the media type, whatever it says."""
    answer = getattr(client, method)(path)
    assert answer["Content-Type"] == MEDIA
    return int(answer.status_code)


# --- I. manifest ---------------------------------------------------------------------------------


def test_5_3_line_49_one_record_for_each_version_as_it_is_written(
    ana: Client, stage: Stage
) -> None:
    first = objects(ana, "own", f"?match[id]={stage.campaign}")[0]
    newer = {**first, "modified": "2027-01-24T00:00:00.250Z"}
    contribute_now(ana, [newer])
    query = f"?match[id]={stage.campaign}&match[version]=all"
    records = ana.get(f"{OWN}manifest/{query}").json()["objects"]
    assert [one["version"] for one in records] == [first["modified"], newer["modified"]]
    held = ana.get(f"{ROOT}collections/own/").json()["media_types"]
    for record in records:
        assert record.keys() == {"id", "date_added", "version", "media_type"}
        assert record["media_type"] in held


def test_5_3_line_50_filters_look_at_the_object(ben: Client) -> None:
    found = ben.get(f"{HOLDING}manifest/?match[type]=indicator").json()["objects"]
    assert [one["id"].partition("--")[0] for one in found] == ["indicator"]
    assert ben.get(f"{HOLDING}manifest/?match[type]=manifest-record").json() == {}


def test_5_3_line_51_without_the_right_to_read_403_or_404(stage: Stage, ben: Client) -> None:
    writer = client_of(stage.cast.ana, "taxii-write")
    assert statuses(writer, f"{OWN}manifest/") in (403, 404)
    assert statuses(ben, f"{ROOT}collections/inbox-forum/manifest/") in (403, 404)
    assert statuses(Client(), f"{OWN}manifest/") == 401
    assert statuses(ben, f"{ROOT}collections/{uuid4()}/manifest/") == 404
    assert ben.get(f"{HOLDING}manifest/?limit=1").json()["next"]


# --- J. objects ----------------------------------------------------------------------------------


def test_5_4_line_52_an_envelope_never_a_bundle(ana: Client, stage: Stage) -> None:
    for path in (
        f"{HOLDING}objects/",
        f"{HOLDING}objects/?limit=2",
        f"{OWN}objects/",
        f"{OWN}objects/{stage.campaign}/",
        f"{HOLDING}objects/?match[type]=campaign",
    ):
        found = ana.get(path).json()
        assert {"objects"} <= found.keys() <= {"objects", "more", "next"}, path
        assert all(isinstance(one, dict) and "type" in one for one in found["objects"])


def test_5_4_line_53_without_the_right_to_read_403_or_404(stage: Stage, ben: Client) -> None:
    writer = client_of(stage.cast.ana, "taxii-write")
    for alias in ("own", "holding", "inbox-forum"):
        assert statuses(writer, f"{ROOT}collections/{alias}/objects/") in (403, 404)
    assert statuses(Client(), f"{HOLDING}objects/") == 401
    assert statuses(ben, f"{ROOT}collections/{uuid4()}/objects/") == 404


def test_5_4_line_54_every_object_says_its_spec_version_observables_too(
    ana: Client, ben: Client
) -> None:
    contribute_now(ana, [ip_address()], alias="inbox-relay-watch", pass_on=True)
    for client, alias in ((ben, "holding"), (ana, "own")):
        found = objects(client, alias)
        assert found
        assert {one["spec_version"] for one in found} == {"2.1"}


# --- K. add --------------------------------------------------------------------------------------


def test_5_5_line_55_a_post_is_202_with_a_status(ana: Client) -> None:
    sent = json.dumps({"objects": staging.campaign(timezone.now())}).encode()
    answer = post(ana, "own", sent)
    assert (answer.status_code, answer["Content-Type"]) == (202, MEDIA)
    assert ana.get(f"{ROOT}status/{answer.json()['id']}/").json() == answer.json()


def test_5_5_line_56_an_exact_duplicate_is_a_success_and_stored_once(ana: Client) -> None:
    one = staging.campaign(timezone.now())[0]
    first = contribute_now(ana, [one, one])
    assert (first["success_count"], first["failure_count"]) == (2, 0)
    only = f"?match[id]={one['id']}&match[version]=all"
    before = ana.get(f"{OWN}manifest/{only}").json()
    again = contribute_now(ana, [one])
    assert (again["success_count"], again["failure_count"]) == (1, 0)
    assert objects(ana, "own", only) == [one]
    assert ana.get(f"{OWN}manifest/{only}").json() == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b" ", 400),
        (b"{", 400),
        (b"no json", 400),
        (b"\xff\xfe{\x00}\x00", 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"objects": [\xc3\x28]}', 400),
        (b'{"objects": [', 400),
        (b'{"objects": []} x', 400),
        (b"[" * 100_000, 422),
        (b'{"objects":' * 1_000, 400),
        (b"[]", 422),
        (b"[{}]", 422),
        (b'"text"', 422),
        (b"null", 422),
        (b"12", 422),
        (b"true", 422),
        (b'{"objects": {}}', 422),
        (b'{"objects": null}', 422),
        (b'{"objects": "x"}', 422),
        (b'{"objects": 1}', 422),
    ],
)
def test_5_5_line_57_what_is_no_envelope_is_refused(ana: Client, body: bytes, status: int) -> None:
    answer = post(ana, "own", body)
    assert (answer.status_code, answer["Content-Type"]) == (status, MEDIA)
    as_owner()
    assert contribute.waiting() == ()


@pytest.mark.parametrize("items", ["1", "null", '"x"', "[]", "{}", '{"type":1}', '{"id":{}}'])
def test_5_5_line_57_what_is_no_object_is_a_failure(ana: Client, items: str) -> None:
    answer = post(ana, "own", f'{{"objects": [{items}]}}'.encode())
    assert answer.status_code in (202, 422)
    if answer.status_code == 202:
        as_owner()
        for waiting in contribute.waiting():
            contribute.accept(waiting, now=timezone.now())
        staging.sequence(timezone.now())
        done = ana.get(f"{ROOT}status/{answer.json()['id']}/").json()
        assert (done["failure_count"], done["success_count"]) == (1, 0)


def test_5_5_line_57_a_large_body_is_413_before_it_is_read(
    ana: Client, settings: LazySettings
) -> None:
    settings.MAX_CONTENT_LENGTH = 100
    extra: dict[str, Any] = {"CONTENT_LENGTH": "1000000000000", "CONTENT_TYPE": MEDIA}
    answer = ana.generic("POST", f"{OWN}objects/", b"{}", **extra)
    assert (answer.status_code, answer["Content-Type"]) == (413, MEDIA)


def test_5_5_line_58_one_bad_object_among_good_ones_is_named(ana: Client) -> None:
    good = staging.campaign(timezone.now())[0]
    bad = {**good, "id": f"campaign--{uuid4()}", "confidence": 101}
    done = contribute_now(ana, [good, bad])
    assert (done["success_count"], done["failure_count"]) == (1, 1)
    assert done["failures"][0]["id"] == bad["id"]
    assert done["failures"][0]["message"]
    assert objects(ana, "own", f"?match[id]={good['id']},{bad['id']}") == [good]


def test_7_1_1_line_59_unknown_properties_of_the_envelope_are_ignored(ana: Client) -> None:
    body = {"type": "bundle", "id": f"bundle--{uuid4()}", "x_new": {"a": 1}, "objects": []}
    assert post(ana, "own", json.dumps(body).encode()).status_code == 202


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": "campaign--no-uuid"},
        {"id": f"indicator--{uuid4()}"},
        {"type": None},
        {"type": "Campaign"},
        {"modified": "2001-01-01T00:00:00.000Z"},
        {"modified": "yesterday"},
        {"confidence": 101},
        {"spec_version": "2.0"},
        {"spec_version": "9.9"},
        {"name": None},
    ],
)
def test_8_2_1_line_60_what_is_not_valid_stix_is_refused(
    ana: Client, change: dict[str, Any]
) -> None:
    good = staging.campaign(timezone.now())[0]
    bad = {name: value for name, value in {**good, **change}.items() if value is not None}
    done = contribute_now(ana, [bad])
    assert (done["success_count"], done["failure_count"]) == (0, 1)
    assert done["failures"][0]["message"]
    assert objects(ana, "own", f"?match[id]={good['id']}") == []


def test_8_2_1_line_60_all_else_is_kept_in_meaning(ana: Client) -> None:
    made = staging.campaign(timezone.now())[0]
    kept = {
        **made,
        "first_seen": "2026-01-02T03:04:05Z",
        "last_seen": "2026-01-02T03:04:05.1234567Z",
        "name": 'Grüße \U0001f980 \u2028 \\ / " e\u0301',
        "aliases": ["z", "a", "m"],
        "x_lab_note": {"b": [3, 1, 2], "a": True},
        "confidence": 0,
    }
    done = contribute_now(ana, [kept])
    assert done["failure_count"] == 0, done
    assert objects(ana, "own", f"?match[id]={kept['id']}") == [kept]


def test_5_5_line_61_versions_in_any_order_and_never_one_for_another(ana: Client) -> None:
    one = staging.campaign(timezone.now())[0]
    later = {**one, "modified": "2027-01-01T00:00:00.000Z"}
    done = contribute_now(ana, [later, one])
    assert (done["success_count"], done["failure_count"]) == (2, 0)
    assert objects(ana, "own", f"?match[id]={one['id']}") == [later]
    assert len(objects(ana, "own", f"?match[id]={one['id']}&match[version]=all")) == 2
    other = contribute_now(ana, [{**later, "name": "Another bird"}])
    assert (other["success_count"], other["failure_count"]) == (0, 1)
    assert objects(ana, "own", f"?match[id]={one['id']}") == [later]


def test_5_5_line_62_what_is_stored_is_a_success_with_a_message_and_reads_back(
    ana: Client,
) -> None:
    sent = staging.campaign(timezone.now())
    named = {obj["type"]: obj for obj in sent}
    bare = {**named["campaign"], "id": f"campaign--{uuid4()}"}
    del bare["extensions"]
    marked = {
        **named["campaign"],
        "id": f"campaign--{uuid4()}",
        "object_marking_refs": [f"marking-definition--{uuid4()}"],
        "x_custom": "kept",
    }
    done = contribute_now(ana, [*sent, bare, marked])
    succeeded = {one["id"]: one.get("message", "") for one in done["successes"]}
    for obj in (named["threat-actor"], named["identity"], bare, marked):
        assert obj["id"] in succeeded, obj["type"]
        assert objects(ana, "own", f"?match[id]={obj['id']}") == [obj]
    assert succeeded[named["threat-actor"]["id"]]
    assert succeeded[named["identity"]["id"]]
    assert succeeded[bare["id"]]
    assert [one["id"] for one in done["failures"]] == [named["artifact"]["id"]]


# --- L. one object -------------------------------------------------------------------------------


def test_5_6_line_63_the_last_version_others_by_match_and_unknown_is_404(
    ana: Client, stage: Stage
) -> None:
    path = f"{OWN}objects/{stage.campaign}/"
    first = ana.get(path).json()["objects"][0]
    newer = {**first, "modified": "2027-01-24T00:00:00.000Z"}
    contribute_now(ana, [newer])
    assert ana.get(path).json() == {"objects": [newer]}
    assert ana.get(f"{path}?match[version]={first['modified']}").json() == {"objects": [first]}
    assert ana.get(f"{path}?match[version]=all&limit=1").json()["more"] is True
    for query in (
        "match[version]=2001-01-01T00:00:00Z",
        "added_after=9999-01-01T00:00:00Z",
        "match[spec_version]=2.0",
    ):
        answer = ana.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()) == (200, {}), query
        assert ana.get(f"{OWN}objects/{NOBODYS}/?{query}").status_code == 404


def test_5_6_line_64_without_the_right_to_read_403_or_404(stage: Stage, ben: Client) -> None:
    writer = client_of(stage.cast.ana, "taxii-write")
    path = f"{OWN}objects/{stage.campaign}/"
    assert statuses(writer, path) in (403, 404)
    assert statuses(Client(), path) == 401
    assert statuses(ben, path) == 404
    accept = {"Accept": "application/json"}
    assert ben.get(path, headers=accept).status_code == 406


# --- M. delete -----------------------------------------------------------------------------------


def test_5_7_line_65_rights_are_told_apart_exactly(ana: Client, stage: Stage) -> None:
    path = f"{OWN}objects/{stage.campaign}/"
    for scopes, status in (
        (("taxii-read",), 403),
        (("taxii-write",), 403),
        (("ledger-read",), 404),
        (("taxii-read", "taxii-write"), 200),
    ):
        asked = client_of(stage.cast.ana, *scopes)
        assert statuses(asked, path, method="delete") == status
    held = objects(ana, "holding", "?match[type]=campaign")[0]["id"]
    assert statuses(ana, f"{HOLDING}objects/{held}/", method="delete") == 403


def test_5_7_line_66_gone_is_gone_from_every_list_of_the_collection(
    ana: Client, stage: Stage
) -> None:
    path = f"{OWN}objects/{stage.campaign}/"
    assert statuses(ana, f"{OWN}objects/{NOBODYS}/", method="delete") == 404
    gone = ana.delete(path)
    assert (gone.status_code, gone.content, gone["Content-Type"]) == (200, b"", MEDIA)
    for below in ("", "versions/"):
        assert statuses(ana, path + below) == 404
    for name in ("objects/", "manifest/"):
        found = ana.get(f"{OWN}{name}?match[version]=all").json()["objects"]
        assert stage.campaign not in [one["id"] for one in found]
    assert statuses(ana, path, method="delete") == 404


def test_5_7_line_67_all_versions_go(ana: Client, stage: Stage) -> None:
    path = f"{OWN}objects/{stage.campaign}/"
    first = ana.get(path).json()["objects"][0]
    contribute_now(ana, [{**first, "modified": "2027-01-24T00:00:00.000Z"}])
    assert statuses(ana, path, method="delete") == 200
    assert ana.get(f"{OWN}objects/?match[id]={stage.campaign}&match[version]=all").json() == {}
    assert statuses(ana, f"{path}?match[version]=first") == 404


def test_5_7_line_68_codes_of_delete(ana: Client, ben: Client, stage: Stage) -> None:
    path = f"{OWN}objects/{stage.campaign}/"
    assert statuses(Client(), path, method="delete") == 401
    assert statuses(ben, path, method="delete") == 404
    assert statuses(ana, f"{path}?match[version]=x", method="delete") == 400
    assert ana.delete(path, headers={"Accept": "text/html"}).status_code == 406
    assert statuses(ana, path) == 200


# --- N. versions ---------------------------------------------------------------------------------


def test_5_8_line_69_versions_as_written_and_pages_of_them(ana: Client, stage: Stage) -> None:
    path = f"{OWN}objects/{stage.campaign}/versions/"
    first = ana.get(f"{OWN}objects/{stage.campaign}/").json()["objects"][0]
    newer = {**first, "modified": "2027-01-24T00:00:00.250Z"}
    contribute_now(ana, [newer])
    both = [first["modified"], newer["modified"]]
    assert ana.get(path).json() == {"versions": both}
    page = ana.get(f"{path}?limit=1").json()
    assert (page["versions"], page["more"]) == (both[:1], True)
    assert ana.get(f"{path}?limit=1&next={page['next']}").json() == {"versions": both[1:]}
    assert ana.get(f"{path}?match[spec_version]=2.0").json() == {}


def test_5_8_line_70_without_modified_created_and_unknown_is_404(ana: Client, ben: Client) -> None:
    mark = objects(ben, "holding", "?match[type]=marking-definition")[0]
    answer = ben.get(f"{HOLDING}objects/{mark['id']}/versions/")
    assert answer.json() == {"versions": [mark["created"]]}
    assert answer["X-TAXII-Date-Added-First"] == answer["X-TAXII-Date-Added-Last"]
    assert statuses(ben, f"{HOLDING}objects/{NOBODYS}/versions/") == 404
    assert statuses(Client(), f"{HOLDING}objects/{NOBODYS}/versions/") == 401
    assert statuses(ben, f"{ROOT}collections/inbox-forum/objects/{NOBODYS}/versions/") in (403, 404)
