"""TAXII 2.1 with taxii2-client, a client that is not ours, against a web server."""

import json
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer
from taxii2client.v21 import Collection, Server, as_pages

from exchange import contribute
from tests.doors import stage as staging
from tests.doors.clients import secret_of
from tests.doors.stage import Stage, sequence, set_stage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stage(settings: LazySettings, tmp_path: Any, live_server: LiveServer) -> Stage:
    settings.LEDGER_DIR = tmp_path / "ledger"
    settings.WEIR_BASE_URL = live_server.url
    return set_stage(timezone.now())


def collections(server: LiveServer, user: Any) -> dict[str, Collection]:
    """Found as the client finds them: discovery, default root, collections."""
    found = Server(f"{server.url}/taxii2/", user="any", password=secret_of(user))
    assert found.default in found.api_roots
    return {one.alias: one for one in found.default.collections}


def paged(read: Any, **filters: Any) -> list[dict[str, Any]]:
    """All that the client's own paging reads, a few at a time."""
    pages = as_pages(read, per_request=40, **filters)
    return [one for page in pages for one in page.get("objects", [])]


def test_objects_and_manifest_page_to_the_same_end(live_server: LiveServer, stage: Stage) -> None:
    holding = collections(live_server, stage.cast.ben)["holding"]
    whole = holding.get_objects()["objects"]
    assert paged(holding.get_objects) == whole
    assert [one["id"] for one in paged(holding.get_manifest)] == [one["id"] for one in whole]
    found = paged(holding.get_objects, type=["indicator", "campaign"])
    assert {one["type"] for one in found} == {"indicator", "campaign"}
    one = found[0]
    assert holding.get_object(one["id"])["objects"] == [one]
    assert holding.object_versions(one["id"])["versions"] == [one["modified"]]


def test_ana_adds_follows_reads_back_and_withdraws(live_server: LiveServer, stage: Stage) -> None:
    own = collections(live_server, stage.cast.ana)["own"]
    sent = staging.campaign(timezone.now())
    status = own.add_objects(json.dumps({"objects": sent}), wait_for_completion=False)
    assert (status.status, status.pending_count) == ("pending", len(sent))
    for waiting in contribute.waiting():
        contribute.accept(waiting, now=timezone.now())
    sequence(timezone.now())
    status.refresh()
    assert (status.status, status.success_count, status.failure_count) == ("complete", 5, 1)
    assert own.get_object(sent[0]["id"])["objects"] == [sent[0]]
    own.delete_object(sent[0]["id"])
    assert own.get_objects(id=sent[0]["id"]) == {}


def test_cleo_reads_her_holding_and_no_more(live_server: LiveServer, stage: Stage) -> None:
    of_cleo = collections(live_server, stage.cast.cleo)
    assert set(of_cleo) == {"holding", "own", "circle-forum", "inbox-forum"}
    assert of_cleo["holding"].get_objects(type="indicator") == {}
    assert not of_cleo["inbox-forum"].can_read
