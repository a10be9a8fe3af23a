"""Extracts over HTTP: three files in, a status out, and every fault with its code and place."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from exchange import pool
from exchange.api import extracts
from exchange.models.pool import Extract, SealedExtract
from tests.cast import Cast, make_cast
from tests.doors.clients import client_of
from tests.doors.stage import as_owner
from tests.extracts import extract, parts, spoiled

pytestmark = pytest.mark.django_db
CANARY = "canary-3d7b@aurora.example"
PLACE = "/api/extracts/"


@pytest.fixture
def cast() -> Cast:
    return make_cast(timezone.now() - timedelta(days=60))


@pytest.fixture
def ana(cast: Cast) -> Client:
    return client_of(cast.ana, "extracts", "tokens")


def files(given: tuple[bytes, bytes, bytes]) -> dict[str, SimpleUploadedFile]:
    names = ("manifest", "clusters", "templates")
    return {name: SimpleUploadedFile(name, body) for name, body in zip(names, given, strict=True)}


def of_today(seed: int = 1) -> tuple[bytes, bytes, bytes]:
    return parts(extract(seed, day=timezone.now().date()))


def post(client: Client, given: Mapping[str, Any]) -> Any:
    answer = client.post(PLACE, data=given)
    as_owner()
    return answer


def test_a_day_is_sent_and_told_as_a_status_alone(ana: Client, cast: Cast) -> None:
    answer = post(ana, files(of_today()))
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-store"
    status = answer.json()
    assert set(status) == {"id", "day", "state", "sha256", "received_at"}
    assert (status["state"], status["day"]) == ("taken", timezone.now().date().isoformat())
    assert post(ana, files(of_today())).json() == status
    listed = ana.get(PLACE)
    assert listed.json() == {"extracts": [status]}
    as_owner()
    assert SealedExtract.objects.count() == 1
    # Another member's list is its own, and it may not send the same file.
    ben = client_of(cast.ben, "extracts")
    assert ben.get(PLACE).json() == {"extracts": []}
    refused = post(ben, files(of_today()))
    assert (refused.status_code, refused.json()["code"]) == (400, "extract.other")


def test_what_is_refused_says_where_and_why_and_nothing_of_it(
    ana: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = extract(1, day=timezone.now().date())
    raw = ("0" * 64, "1" * 64, CANARY)
    answer = post(ana, files(parts(spoiled(good, 12, payment=raw))))
    assert answer.status_code == 400
    assert answer.json()["code"] == "extract.r7"
    assert answer.json()["path"] == "clusters[12].payment"
    assert answer.json()["sentence"].startswith("R7: ")
    (listed,) = ana.get(PLACE).json()["extracts"]
    as_owner()
    assert listed["state"] == "refused"
    assert listed["refused"] == answer.json()
    assert CANARY not in answer.content.decode() + repr(listed) + caplog.text
    assert not SealedExtract.objects.exists()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"manifest": "text", "clusters": "text", "templates": "text"},
        {**files(of_today()), "note": SimpleUploadedFile("note", CANARY.encode())},
        {**files(of_today()), "note": CANARY},
        {"manifest": SimpleUploadedFile("m", b"{}")},
        {**files(of_today()), "clusters": [SimpleUploadedFile("c", b"x")] * 2},
    ],
)
def test_a_form_has_three_files_and_nothing_beside_them(ana: Client, given: dict[str, Any]) -> None:
    answer = post(ana, given)
    assert (answer.status_code, answer.json()["code"]) == (400, "extract.parts")
    assert CANARY not in answer.content.decode()
    assert not Extract.objects.exists()


@pytest.mark.parametrize(
    "media", ["application/json", "multipart/form-data", "multipart/form-data; boundary=x", ""]
)
def test_another_kind_of_body_is_none(ana: Client, media: str) -> None:
    answer = ana.post(PLACE, data=CANARY.encode(), content_type=media)
    as_owner()
    assert (answer.status_code, answer.json()["code"]) == (400, "extract.parts")


def test_a_body_has_its_most_and_its_length(ana: Client) -> None:
    large = bytes(extracts.MOST_OCTETS + 1)
    answer = ana.post(PLACE, data=large, content_type="multipart/form-data; boundary=x")
    as_owner()
    assert answer.status_code == 413
    answer = ana.post(PLACE, CONTENT_LENGTH="", data=b"", content_type="multipart/form-data")
    as_owner()
    assert answer.status_code == 411


def test_who_may_not_send_is_told_so(cast: Cast) -> None:
    for scopes in (("tokens",), ("api-read", "api-write"), ("taxii-write",)):
        machine = client_of(cast.ana, *scopes)
        assert post(machine, files(of_today())).status_code == 403
        assert machine.get(PLACE).status_code == 404
        as_owner()
    assert Client().post(PLACE).status_code == 401
    as_owner()


def test_a_quota_answers_429_and_a_pool_that_is_off_503(
    ana: Client, settings: LazySettings
) -> None:
    assert post(ana, files(of_today(1))).status_code == 200
    soon = post(ana, files(of_today(2)))
    assert (soon.status_code, soon.json()["code"]) == (429, "extract.soon")
    settings.POOL_PUBLIC_KEY = b""
    pool.is_on.cache_clear()
    off = post(ana, files(of_today(3)))
    pool.is_on.cache_clear()
    assert (off.status_code, off.json()["code"]) == (503, "pool.off")
    assert Extract.objects.count() == 2
