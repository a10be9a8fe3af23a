"""Compression and conditional requests over TAXII, of sealed pages and of all other answers."""

import gzip
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.conf import LazySettings
from django.test import Client

from exchange import access
from exchange.models import ServedNote
from tests.doors.clients import MEDIA, ROOT
from tests.doors.stage import Stage, as_owner

pytestmark = pytest.mark.django_db
HOLDING = f"{ROOT}collections/holding/"
SEALED = f"{HOLDING}objects/?limit=20"  # a full page, see below
MADE = f"{HOLDING}objects/?match[type]=marking-definition"
PATHS = (SEALED, MADE, f"{HOLDING}objects/?limit=19", f"{HOLDING}manifest/")


@pytest.fixture(autouse=True)
def pages_of_twenty(
    settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SEALED_DIR = tmp_path / "sealed"
    monkeypatch.setattr(access, "MOST", 20)


def opened(answer: Any) -> bytes:
    """The body as it was before it was encoded."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding == "gzip":
        return gzip.decompress(answer.content)
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().decompress(answer.content, max_output_size=10**8)
    assert encoding == "identity"
    body: bytes = answer.content
    return body


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("GZip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0.5, zstd;q=0.5", "zstd"),
        ("gzip;q=0, zstd;q=0", None),
        ("gzip;q=0, *", "zstd"),
        ("*", "zstd"),
        ("*;q=0", 406),
        ("*;q=0, identity", None),
        ("identity;q=0", 406),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0.000, gzip;q=0.001", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("br", None),
        ("br, identity;q=0", 406),
        ("gzip;q=2", None),
        ("gzip;q=x", None),
        (",,;;=", None),
    ],
)
def test_what_an_asker_takes_it_gets(ben: Client, header: str, encoding: str | int | None) -> None:
    for path in PATHS:
        plain = ben.get(path, headers={"Accept-Encoding": ""})
        answer = ben.get(path, headers={"Accept-Encoding": header})
        if isinstance(encoding, int):
            assert (answer.status_code, answer["Content-Type"]) == (encoding, MEDIA)
            continue
        assert (answer.status_code, answer.headers.get("Content-Encoding")) == (200, encoding)
        assert opened(answer) == plain.content
        assert "Accept-Encoding" in answer["Vary"]
        digest = b64encode(sha256(answer.content).digest()).decode()
        assert answer["Content-Digest"] == f"sha-256=:{digest}:"


def test_a_page_that_the_asker_has_is_304_and_notes_nothing(ben: Client, stage: Stage) -> None:
    first = ben.get(SEALED)
    tag = first["ETag"]
    as_owner()
    notes = ServedNote.objects.count()
    for value in (tag, f"W/{tag}", f'"other", {tag}'):
        again = ben.get(SEALED, headers={"If-None-Match": value})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)
        for name in ("X-TAXII-Date-Added-First", "X-TAXII-Date-Added-Last", "Cache-Control"):
            assert again[name] == first[name]
    as_owner()
    assert ServedNote.objects.count() == notes
    for value in ('"other"', tag.strip('"'), ""):
        assert ben.get(SEALED, headers={"If-None-Match": value}).content == first.content
    as_owner()
    assert ServedNote.objects.count() == notes + 3


def test_a_tag_is_no_way_in(ben: Client, cleo: Client, stage: Stage) -> None:
    tag = ben.get(SEALED)["ETag"]
    headers = {"If-None-Match": tag}
    assert Client().get(SEALED, headers=headers).status_code == 401
    # Cleo holds nothing, whatever she says that she has.
    answer = cleo.get(SEALED, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"{}")
    circle = f"{ROOT}collections/circle-relay-watch/objects/?limit=20"
    assert cleo.get(circle, headers=headers).status_code == 404


def test_each_encoding_has_a_tag_of_its_own(ben: Client) -> None:
    tags = {
        ben.get(SEALED, headers={"Accept-Encoding": one})["ETag"] for one in ("", "gzip", "zstd")
    }
    assert len(tags) == 3
