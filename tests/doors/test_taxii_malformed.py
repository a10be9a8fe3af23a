"""TAXII 2.1: what is malformed, missing or not for this client gets an error resource."""

import json
from base64 import urlsafe_b64encode
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from gunicorn.http.errors import InvalidChunkSize  # type: ignore[import-untyped] # it ships no types

from exchange.models import ServedNote
from indicators.models import Original
from tests.doors.clients import MEDIA, ROOT, contribute_now, objects, post
from tests.doors.stage import Stage, as_owner

pytestmark = pytest.mark.django_db
HOLDING = f"{ROOT}collections/holding/"
OWN = f"{ROOT}collections/own/"


@pytest.fixture
def notes(stage: Stage) -> Any:
    def since(seen: int = 0) -> list[tuple[str, int, int]]:
        as_owner()
        rows = ServedNote.objects.order_by("id").values_list("via", "first_seq", "last_seq")
        return list(rows)[seen:]

    return since


def cursor(client: Client, *fields: object) -> str:
    """A `next` that a client made up for its own holding."""
    head = client.get(HOLDING).json()["id"][:8]
    return urlsafe_b64encode(json.dumps([head, *fields]).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        "match[id]=%00",
        "match[type]=indicator%00",
        "match[id]=indicator--x%ED%A0%80,%07",
        "match[version]=%00",
        "&".join(f"a{n}=1" for n in range(1_001)),
    ],
)
def test_3_4_line_33_what_no_value_holds_is_400(ben: Client, query: str) -> None:
    answer = ben.get(f"{HOLDING}objects/?{query}")
    assert (answer.status_code, answer["Content-Type"]) == (400, MEDIA)


@pytest.mark.parametrize(
    "fields",
    [
        (0, None, ["a\0"], [], [], []),
        (0, None, ["\ud800"], [], [], []),
        (0, None, "indicator", [], [], []),
        (0, None, [["a"]], [], [], []),
        (0, None, [], [], ["newest"], []),
        (-1, None, [], [], [], []),
        (2**63, None, [], [], [], []),
        (True, None, [], [], [], []),
        (0, "yesterday", [], [], [], []),
        (0, "2026-01-01T00:00:00", [], [], [], []),
        (0, None, []),
    ],
)
def test_app_b_line_45_a_next_that_was_made_up_is_400(
    ben: Client, fields: tuple[object, ...]
) -> None:
    whole = cursor(ben, 0, None, [], [], ["last"], [])
    assert ben.get(f"{HOLDING}objects/?next={whole}").status_code == 200
    answer = ben.get(f"{HOLDING}objects/?next={cursor(ben, *fields)}")
    assert (answer.status_code, answer["Content-Type"]) == (400, MEDIA)


@pytest.mark.parametrize("limit", ["1000", "1001", "10000000000", "9" * 5_000, "0020"])
def test_3_4_line_39_a_large_limit_is_no_error(ben: Client, limit: str) -> None:
    assert objects(ben, "holding", f"?limit={limit}") == objects(ben, "holding")[: int(limit[:4])]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.9Z"])
def test_3_4_line_35_added_after_may_lie_before_everything(ana: Client, moment: str) -> None:
    assert objects(ana, "own", f"?added_after={moment}") == objects(ana, "own")
    assert objects(ana, "own", "?added_after=9999-12-31T23:59:59.999999Z") == []


@pytest.mark.parametrize("name", ["a%00b", "%ED%A0%80", "..", "indicator--none"])
def test_5_6_line_63_what_names_nothing_is_not_there(ben: Client, ana: Client, name: str) -> None:
    for client, path in ((ben, HOLDING), (ana, OWN)):
        answer = client.get(f"{path}objects/{name}/")
        assert (answer.status_code, answer["Content-Type"]) == (404, MEDIA)
        assert client.get(f"{path}objects/{name}/versions/").status_code == 404
    assert ana.delete(f"{OWN}objects/{name}/").status_code == 404


@pytest.mark.parametrize("method", ["options", "put", "patch", "trace"])
def test_3_1_line_2_an_unknown_method_is_405_and_names_the_known(ben: Client, method: str) -> None:
    answer = getattr(ben, method)(f"{HOLDING}objects/")
    assert (answer.status_code, answer["Content-Type"]) == (405, MEDIA)
    assert set(answer["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert ben.head(f"{HOLDING}objects/").status_code == 200


def test_5_7_line_67_filters_of_a_delete_pick_and_never_more(ana: Client, stage: Stage) -> None:
    path = f"{OWN}objects/{stage.campaign}/"
    version = objects(ana, "own", f"?match[id]={stage.campaign}")[0]["modified"]
    assert ana.delete(f"{path}?match[version]=newest").status_code == 400
    assert ana.delete(f"{path}?match[version]=2001-01-01T00:00:00Z").status_code == 404
    assert ana.delete(f"{path}?match[spec_version]=2.0").status_code == 404
    assert ana.get(path).status_code == 200
    assert ana.delete(f"{path}?match[version]={version}").status_code == 200
    assert ana.get(path).status_code == 404


def test_5_7_line_67_one_version_of_several_cannot_be_withdrawn_alone(
    ana: Client, stage: Stage
) -> None:
    path = f"{OWN}objects/{stage.campaign}/"
    old = objects(ana, "own", f"?match[id]={stage.campaign}")[0]
    newer = {**old, "modified": "2026-12-24T00:00:00.000Z"}
    contribute_now(ana, [newer])
    assert len(ana.get(f"{path}versions/").json()["versions"]) == 2
    assert ana.delete(f"{path}?match[version]=last").status_code == 403
    assert len(ana.get(f"{path}versions/").json()["versions"]) == 2
    assert ana.delete(f"{path}?match[version]=all").status_code == 200
    assert ana.get(path).status_code == 404


def test_3_4_line_37_the_own_collection_keeps_to_the_keywords(ana: Client, stage: Stage) -> None:
    old = objects(ana, "own", f"?match[id]={stage.campaign}")[0]
    newer = {**old, "modified": "2026-12-24T00:00:00.000Z"}
    contribute_now(ana, [newer])
    only = f"?match[type]=campaign&match[id]={stage.campaign}"
    assert objects(ana, "own", only) == [newer]
    assert objects(ana, "own", f"{only}&match[version]=first") == [old]
    assert objects(ana, "own", f"{only}&match[version]=all") == [old, newer]
    assert objects(ana, "own", f"{only}&match[version]={old['modified']}") == [old]


def test_3_4_a_version_that_is_not_yet_published_hides_nothing(ana: Client, stage: Stage) -> None:
    old = objects(ana, "own", f"?match[id]={stage.campaign}")[0]
    contribute_now(ana, [{**old, "modified": "2026-12-24T00:00:00.000Z"}], publish=False)
    assert objects(ana, "own", f"?match[id]={stage.campaign}") == [old]


def test_5_5_line_57_chunks_are_counted_and_may_break_off(
    ana: Client, settings: LazySettings
) -> None:
    settings.MAX_CONTENT_LENGTH = 100

    class Gone(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the sender went away")

    class NoChunk(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise InvalidChunkSize(b"zz")

    def chunked(stream: BytesIO) -> int:
        """As a web server hands over a body without a length."""
        extra: dict[str, Any] = {
            "wsgi.input": stream,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_TYPE": MEDIA,
        }
        answer = ana.generic("POST", f"{OWN}objects/", **extra)
        assert answer["Content-Type"] == MEDIA
        return answer.status_code

    assert chunked(BytesIO(b'{"objects":[]}'.ljust(100))) == 202
    assert chunked(BytesIO(b'{"objects":[]}'.ljust(101))) == 413
    assert chunked(Gone()) == 400
    assert chunked(NoChunk()) == 400


def test_5_5_line_57_a_half_sent_body_is_400(ana: Client) -> None:
    cut: dict[str, Any] = {"CONTENT_LENGTH": "100", "wsgi.input": BytesIO(b'{"objects":[]}')}
    answer = ana.generic("POST", f"{OWN}objects/", CONTENT_TYPE=MEDIA, **cut)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "body.cut")


@pytest.mark.parametrize(
    "path", ["/taxii2/", ROOT, f"{ROOT}collections/", HOLDING, f"{OWN}objects/"]
)
def test_3_1_line_4_another_accept_is_406(ana: Client, path: str) -> None:
    answer = ana.get(path, headers={"Accept": "text/html"})
    assert (answer.status_code, answer["Content-Type"]) == (406, MEDIA)
    assert answer.json()["http_status"] == "406"


def test_3_4_line_38_another_spec_version_is_found_nowhere(ben: Client) -> None:
    assert objects(ben, "holding", "?match[spec_version]=2.0") == []
    both = objects(ben, "holding", "?match[spec_version]=2.0,2.1")
    assert both == objects(ben, "holding")


def test_3_7_line_42_the_own_collection_pages_both_ways(ana: Client) -> None:
    whole = objects(ana, "own")
    by_next = ana.get(f"{OWN}objects/?limit=2")
    after, found = by_next["X-TAXII-Date-Added-Last"], by_next.json()
    walked = list(found["objects"])
    while found.get("more"):
        found = ana.get(f"{OWN}objects/?limit=2&next={found['next']}").json()
        walked += found["objects"]
    assert walked == whole
    assert objects(ana, "own", f"?added_after={after}") == whole[2:]


def test_an_erased_original_leaves_the_others_readable(ana: Client) -> None:
    whole = objects(ana, "own")
    as_owner()
    Original.objects.order_by("version__position")[0].delete()
    assert objects(ana, "own") == whole[1:]


def test_the_own_collection_knows_types_that_the_forum_does_not(ana: Client) -> None:
    one = objects(ana, "own", "?match[type]=campaign")[0]
    custom = {**one, "type": "x-lab-note", "id": f"x-lab-note--{one['id'].partition('--')[2]}"}
    del custom["extensions"]
    contribute_now(ana, [custom, {**custom, "type": "x-other", "id": f"x-other--{uuid4()}"}])
    assert objects(ana, "own", "?match[type]=x-lab-note") == [custom]


def test_a_page_is_noted_with_its_door_and_range(ben: Client, notes: Any) -> None:
    seen = len(notes())
    ben.get(f"{HOLDING}objects/?limit=7")
    ben.get(f"{HOLDING}manifest/?limit=3")
    assert notes(seen) == [("taxii", 0, 6), ("taxii-manifest", 0, 2)]


def test_what_one_reads_back_of_its_own_is_noted_too(ana: Client, notes: Any) -> None:
    seen = len(notes())
    assert objects(ana, "own")
    assert [via for via, _, _ in notes(seen)] == ["taxii-own"]


def test_a_read_that_served_nothing_writes_nothing(ben: Client, notes: Any) -> None:
    seen = len(notes())
    for path in (
        "objects/?match[id]=indicator--none",
        "objects/indicator--none/",
        "objects/?limit=0",
    ):
        ben.get(HOLDING + path)
    assert post(ben, "holding", b"{}").status_code == 403
    ben.get(f"{ROOT}collections/")
    assert notes(seen) == []
