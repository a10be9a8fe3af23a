"""Contributions by file over REST: handed in, followed, told; and what is refused at the door."""

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange import files
from exchange.files import reading
from exchange.models import File
from tests.doors.clients import client_of
from tests.doors.stage import Stage, as_owner, sequence
from tests.shell import sharing

pytestmark = pytest.mark.django_db
NAME = "extract-7731.json"


@pytest.fixture(autouse=True)
def folder(settings: LazySettings, tmp_path: Path) -> None:
    settings.FILES_DIR = tmp_path / "files"


@pytest.fixture
def ana(stage: Stage) -> Client:
    return client_of(stage.cast.ana, "api-write", "api-read")


def post(client: Client, stage: Stage, body: bytes, *, name: str = NAME, query: str = "") -> Any:
    addressed = f"?circle={stage.cast.relay_watch.id}&basis=fraudulent-identity"
    return client.post(
        f"/api/files/{addressed}{query}",
        data=body,
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def take(file_id: str) -> None:
    as_owner()
    while files.work(File.objects.get(pk=file_id).id, now=timezone.now()):
        pass
    sequence(timezone.now())


def ranges(count: int) -> list[dict[str, Any]]:
    return [sharing.range_indicator(f"203.0.{n}.0/28", at=sharing.NOON) for n in range(count)]


def test_a_file_is_handed_in_followed_and_told(
    ana: Client, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "FULL", 4)
    objects: list[dict[str, Any]] = ranges(9)
    objects[4] = {**objects[4], "pattern": "[broken"}
    answer = post(ana, stage, sharing.bundle(*objects))
    assert answer.status_code == 202, answer.content
    sent = answer.json()
    assert (sent["state"], sent["name"], sent["kind"]) == ("pending", NAME, "stix")
    take(sent["id"])
    found = ana.get(f"/api/files/{sent['id']}/").json()
    assert (found["state"], found["parts"]) == ("complete", 3)
    assert (found["total"], found["successes"], found["failures"]) == (9, 8, 1)
    lines: list[dict[str, Any]] = []
    after = ""
    while True:
        page = ana.get(f"/api/files/{sent['id']}/report/?limit=2&after={after}").json()
        assert len(page["items"]) <= 2
        lines += page["items"]
        after = page.get("next", "")
        if not after:
            break
    assert [one["id"] for one in lines] == [one["id"] for one in objects]
    assert [one["place"] for one in lines if not one["success"]] == [5]
    for part in found["contributions"]:
        assert ana.get(f"/api/contributions/{part}/").json()["state"] == "complete"


def test_the_report_is_a_table_that_no_spreadsheet_acts_on(ana: Client, stage: Stage) -> None:
    odd = {**sharing.range_indicator(), "id": "=cmd|' /C calc'!A0", "name": "x"}
    sent = post(ana, stage, sharing.bundle(odd, *ranges(2))).json()
    take(sent["id"])
    answer = ana.get(f"/api/files/{sent['id']}/report.csv")
    assert NAME not in answer["Content-Disposition"]
    text = answer.getvalue().decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["place", "id", "version", "success", "message"]
    assert [row[3] for row in rows[1:]] == ["no", "yes", "yes"]
    assert rows[1][1] == "'=cmd|' /C calc'!A0"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


def test_another_members_file_is_the_same_as_none(ana: Client, stage: Stage, ben: Client) -> None:
    sent = post(ana, stage, sharing.bundle(*ranges(2))).json()
    reader = client_of(stage.cast.ben, "api-read")
    for tail in ("", "report/", "report.csv"):
        answers = [reader.get(f"/api/files/{one}/{tail}") for one in (sent["id"], uuid4())]
        assert answers[0].status_code == answers[1].status_code == 404
        assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        (b"", "", 411, "body.length"),
        (b" ", "", 400, "file.empty"),
        (b"\x1f\x8b\x08\x00", "", 400, "file.packed"),
        (b"{}", "&kind=picture", 400, "query.kind"),
        (b"{}", "&kind=table", 400, "file.kind"),
        (b"value\n", "&kind=stix", 400, "file.kind"),
        (b"x" * 5_001, "", 413, "file.size"),
    ],
)
def test_what_is_refused_at_the_door_leaves_nothing(
    ana: Client,
    stage: Stage,
    settings: LazySettings,
    body: bytes,
    query: str,
    status: int,
    code: str,
) -> None:
    settings.MAX_FILE_LENGTH = 5_000
    answer = post(ana, stage, body, query=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    as_owner()
    assert not File.objects.exists()
    assert not settings.FILES_DIR.exists() or not list(settings.FILES_DIR.iterdir())


def test_a_credential_that_only_reads_hands_nothing_in(
    stage: Stage, settings: LazySettings
) -> None:
    reader = client_of(stage.cast.ana, "api-read")
    answer = post(reader, stage, sharing.bundle(*ranges(1)))
    assert answer.status_code == 403
    assert not settings.FILES_DIR.exists()
    assert Client().post("/api/files/").status_code == 401


def test_a_circle_that_is_not_ones_own_is_none(stage: Stage, settings: LazySettings) -> None:
    cleo = client_of(stage.cast.cleo, "api-write", "api-read")
    assert post(cleo, stage, sharing.bundle(*ranges(1))).status_code == 404
    assert not settings.FILES_DIR.exists()


def test_a_body_that_ends_too_early_is_refused(ana: Client, stage: Stage) -> None:
    cut: dict[str, Any] = {"CONTENT_LENGTH": "500", "wsgi.input": io.BytesIO(b'{"objects":[')}
    answer = ana.generic("POST", f"/api/files/?circle={stage.cast.relay_watch.id}", **cut)
    assert (answer.status_code, answer.json()["code"]) == (400, "body.cut")
    as_owner()
    assert not File.objects.exists()


def test_why_a_file_was_refused_is_said_without_its_content(ana: Client, stage: Stage) -> None:
    body = sharing.bundle(*ranges(3))[:-300] + b"canary-refused"
    sent = post(ana, stage, body).json()
    take(sent["id"])
    found = ana.get(f"/api/files/{sent['id']}/")
    assert found.json()["state"] == "refused"
    assert found.json()["refused"]["code"] == "file.cut"
    assert b"canary" not in found.content
    assert json.loads(ana.get(f"/api/files/{sent['id']}/report/").content) == {"items": []}


def say(client: Client, said: Any) -> Any:
    return client.post("/api/columns/", data=said, content_type="application/json")


def test_columns_are_said_once_and_tables_are_read_so(ana: Client, stage: Stage) -> None:
    table = b"Adresse;Notiz\n203.0.113.0/24;x\n"
    assert post(ana, stage, table, name="").json()["code"] == "csv.columns"
    said: Any = {"head": ["Adresse", "Notiz"], "columns": ["value", ""]}
    made = say(ana, said)
    assert made.status_code == 200, made.content
    assert ana.get("/api/columns/").json()["mappings"] == [made.json()]
    sent = post(ana, stage, table, name="seen.csv").json()
    assert (sent["kind"], sent["state"]) == ("table", "pending")
    take(sent["id"])
    assert ana.get(f"/api/files/{sent['id']}/").json()["successes"] == 1
    wrong: Any
    for wrong in ({"head": []}, {"head": ["a"], "columns": ["odd"]}, {"head": 1, "columns": []}):
        assert (
            ana.post("/api/columns/", data=wrong, content_type="application/json").status_code
            == 400
        )
    ben = client_of(stage.cast.ben, "api-read", "api-write")
    assert ben.get("/api/columns/").json() == {"mappings": []}
    reader = client_of(stage.cast.ana, "api-read")
    assert (
        reader.post("/api/columns/", data=said, content_type="application/json").status_code == 403
    )


def test_nothing_of_a_file_is_in_logs_or_temporary_files(
    ana: Client, stage: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    mark = "CANARY-in-file-5521"
    lying = {path: path.stat().st_mtime_ns for path in Path(tempfile.gettempdir()).iterdir()}
    bodies = (
        sharing.bundle(sharing.range_indicator(description=mark), {"type": mark, "id": mark}),
        sharing.bundle(sharing.range_indicator(description=mark))[:-9],
        f"value,note\n203.0.113.0/24,{mark}\n{mark},\n".encode(),
        json.dumps(
            {"Event": {"info": mark, "Attribute": [{"type": mark, "value": mark}]}}
        ).encode(),
    )
    with caplog.at_level("DEBUG"):
        for body in bodies:
            sent = post(ana, stage, body, name=mark).json()
            take(sent["id"])
            found = ana.get(f"/api/files/{sent['id']}/").json()
            assert mark not in json.dumps({**found, "name": ""})
    out, err = capfd.readouterr()
    assert mark not in caplog.text + out + err
    for path in Path(tempfile.gettempdir()).iterdir():
        if path.is_file() and lying.get(path) != path.stat().st_mtime_ns:
            assert mark.encode() not in path.read_bytes()
