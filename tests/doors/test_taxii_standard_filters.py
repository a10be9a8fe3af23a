"""TAXII 2.1, line by line: filters (G), sorting and paging (H)."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from tests.doors import stage as staging
from tests.doors.clients import MEDIA, ROOT, contribute_now, objects
from tests.doors.stage import Stage

pytestmark = pytest.mark.django_db
HOLDING = f"{ROOT}collections/holding/"
OWN = f"{ROOT}collections/own/"
OTHER = "[ipv4-addr:value = '198.51.100.0/24']"
TYPES = "match[type]=campaign,indicator,relationship"


@pytest.fixture
def versions(ana: Client, stage: Stage) -> list[dict[str, Any]]:
    """Three versions of Aurora's campaign in its own collection; the oldest arrived last."""
    first = objects(ana, "own", f"?match[id]={stage.campaign}")[0]
    newest = {**first, "modified": "2027-12-24T00:00:00.000Z"}
    middle = {**first, "modified": "2027-01-24T00:00:00.000Z"}
    contribute_now(ana, [newest, middle])
    return [first, middle, newest]


def give_one(ana: Client) -> None:
    """Aurora gives the relay watch an indicator that leaves at once."""
    indicator = staging.campaign(timezone.now())[1]
    contribute_now(ana, [indicator], alias="inbox-relay-watch", pass_on=True)


def walk(client: Client, path: str, query: str = "") -> Iterator[dict[str, Any]]:
    """Page by page, as a client that follows `next` with the same query."""
    following = ""
    while True:
        answer = client.get(f"{path}?{query}{following}")
        assert answer.status_code == 200, answer.content
        found = answer.json()
        yield found
        if not found.get("more"):
            return
        following = f"&next={found['next']}"


def ids(found: Any) -> list[str]:
    """The ids of objects or records."""
    return [str(one["id"]) for one in found]


# --- G. filters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=abc",
        "limit=1.5",
        "limit=",
        "limit=+5",
        "limit=1&limit=2",
        "limit=%D9%A3",
        "added_after=",
        "added_after=yesterday",
        "added_after=2026-13-01T00:00:00Z",
        "added_after=2026-01-01",
        "added_after=2026-01-01T00:00:00",
        "added_after=2026-01-01T00:00:00%2B01:00",
        "added_after=%D9%A2026-01-01T00:00:00Z",
        "added_after=2026-01-01T00:00:00Z&added_after=2026-01-02T00:00:00Z",
        "added_after=2026-01-01T00:00:00Z,2026-01-02T00:00:00Z",
        "match[version]=newest",
        "match[version]=2026-99-99T00:00:00Z",
        "match[version]=LAST",
        "match[version]=all,last",
        "match[version]=last,last",
        "match[version]=2026-01-01T00:00:00Z,2026-01-01T00:00:00Z",
        "match[version]=last&match[version]=first",
        "match[type]=indicator&match[type]=campaign",
        "match[id]=a--b&match[id]=a--c",
        "match[id]=",
        "match[spec_version]=2.1,",
        "next=",
        "next=nonsense",
        "next=%00",
        "next=WzFd",
    ],
)
def test_3_4_line_33_malformed_is_400_on_every_endpoint_that_has_the_filter(
    ben: Client, ana: Client, query: str, stage: Stage
) -> None:
    paths = [(ben, f"{HOLDING}objects/"), (ben, f"{HOLDING}manifest/"), (ana, f"{OWN}objects/")]
    if not query.startswith(("match[id]", "match[type]")):
        paths.append((ana, f"{OWN}objects/{stage.campaign}/"))
        paths.append((ana, f"{OWN}objects/{stage.campaign}/versions/"))
    for client, path in paths:
        answer = client.get(f"{path}?{query}")
        assert (answer.status_code, answer["Content-Type"]) == (400, MEDIA), path


def test_3_4_line_34_fields_are_and_values_are_or(ben: Client) -> None:
    whole = objects(ben, "holding", "?limit=1000")
    some = [one for one in whole if one["type"] in ("campaign", "indicator")]
    assert len(some) == 2
    assert objects(ben, "holding", "?match[type]=campaign,indicator") == some
    both = f"?match[type]=campaign&match[id]={some[0]['id']},{some[1]['id']}"
    assert objects(ben, "holding", both) == [one for one in some if one["type"] == "campaign"]
    other = next(one["id"] for one in some if one["type"] == "indicator")
    assert objects(ben, "holding", f"?match[type]=campaign&match[id]={other}") == []
    assert objects(ben, "holding", "?match[type]=campaign&match[colour]=red") == [
        one for one in some if one["type"] == "campaign"
    ]


def test_3_4_line_34_brackets_and_commas_raw_and_encoded_alike(ben: Client) -> None:
    raw = objects(ben, "holding", "?match[type]=campaign,indicator")
    encoded = f"?{quote('match[type]')}={quote('campaign,indicator', safe='')}"
    assert objects(ben, "holding", encoded) == raw != []


@pytest.mark.parametrize("alias", ["holding", "own"])
def test_3_4_line_35_added_after_is_strict_to_the_microsecond(ana: Client, alias: str) -> None:
    path = f"{ROOT}collections/{alias}/"
    records = ana.get(f"{path}manifest/").json()["objects"]
    assert len(records) > 3
    for position, record in enumerate(records[:4]):
        later = ana.get(f"{path}manifest/?added_after={record['date_added']}").json()
        assert later.get("objects", []) == records[position + 1 :]
        found = ana.get(f"{path}objects/?added_after={record['date_added']}").json()
        assert ids(found.get("objects", [])) == ids(records[position + 1 :])


@pytest.mark.parametrize("cut", [0, 1, 3, 6])
def test_3_4_line_35_fewer_digits_are_read_too(ben: Client, cut: int) -> None:
    """taxii2-client trims zeros, Elastic sends whole seconds, OpenCTI milliseconds."""
    records = ben.get(f"{HOLDING}manifest/").json()["objects"]
    whole, _, digits = records[0]["date_added"].rstrip("Z").partition(".")
    moment = f"{whole}.{digits[:cut]}Z" if cut else f"{whole}Z"
    full = f"{whole}.{digits[:cut].ljust(6, '0')}Z"
    found = ben.get(f"{HOLDING}manifest/?added_after={moment}").json()["objects"]
    assert found == [one for one in records if one["date_added"] > full]


def test_3_4_line_36_nothing_found_is_200_and_any_type_may_be_asked_for(ben: Client) -> None:
    for query in (
        "match[id]=indicator--00000000-0000-4000-8000-000000000000",
        "match[id]=whatever",
        "match[type]=malware",
        "match[type]=windows-registry-key,x509-certificate,x-unheard-of",
    ):
        for path in ("objects/", "manifest/"):
            answer = ben.get(f"{HOLDING}{path}?{query}")
            assert (answer.status_code, answer.json()) == (200, {}), query


def test_3_4_line_37_versions_go_by_their_value_not_by_arrival(
    ana: Client, versions: list[dict[str, Any]]
) -> None:
    first, middle, newest = versions
    only = f"?match[id]={first['id']}"
    asked = {
        "": [newest],
        "&match[version]=last": [newest],
        "&match[version]=first": [first],
        "&match[version]=first,last": [first, newest],
        "&match[version]=all": [first, newest, middle],
        f"&match[version]={middle['modified']}": [middle],
        f"&match[version]={middle['modified']},last": [newest, middle],
        f"&match[version]={newest['modified']},last": [newest],
        "&match[version]=2001-01-01T00:00:00.000Z": [],
        "&match[version]=2027-01-24T00:00:00Z": [],  # values match exactly
    }
    for query, found in asked.items():
        assert objects(ana, "own", only + query) == found, query
        path = f"{OWN}objects/{first['id']}/?{query.lstrip('&')}"
        assert ana.get(path).json().get("objects", []) == found, query


def test_3_4_line_37_an_observable_has_one_steady_version(ana: Client) -> None:
    one = {
        "type": "ipv4-addr",
        "spec_version": "2.1",
        "id": "ipv4-addr--0a1fb0a8-4e2f-5b3c-8d7e-6f5a4b3c2d1e",
        "value": "203.0.113.9",
    }
    contribute_now(ana, [one])
    (record,) = ana.get(f"{OWN}manifest/?match[type]=ipv4-addr").json()["objects"]
    for version in ("last", "first", "all", "first,last", record["version"]):
        assert objects(ana, "own", f"?match[type]=ipv4-addr&match[version]={version}") == [one]


def test_3_4_line_37_what_has_no_modified_goes_by_created(ben: Client) -> None:
    marks = objects(ben, "holding", "?match[type]=marking-definition")
    assert marks
    for mark in marks[:3]:
        query = f"?match[id]={mark['id']}&match[version]={mark['created']}"
        assert objects(ben, "holding", query) == [mark]


def test_3_4_line_37_the_holding_keeps_to_the_keywords(
    ana: Client, ben: Client, stage: Stage
) -> None:
    only = "?match[type]=indicator"
    old = objects(ben, "holding", only)[0]
    mine = objects(ana, "own", f"?match[id]={stage.indicator}")[0]
    newer = {**mine, "modified": "2027-01-24T00:00:00.000Z", "pattern": OTHER}
    contribute_now(ana, [newer], alias="inbox-relay-watch", pass_on=True)
    (new,) = objects(ben, "holding", only)
    assert new["modified"] > old["modified"]
    assert new["id"] == old["id"]
    assert objects(ben, "holding", f"{only}&match[version]=first") == [old]
    assert objects(ben, "holding", f"{only}&match[version]=all") == [old, new]
    assert objects(ben, "holding", f"{only}&match[version]=first,last") == [old, new]
    assert objects(ben, "holding", f"{only}&match[version]={old['modified']}") == [old]
    path = f"{HOLDING}objects/{old['id']}/"
    assert ben.get(path).json()["objects"] == [new]
    assert ben.get(f"{path}versions/").json()["versions"] == [old["modified"], new["modified"]]
    records = ben.get(f"{HOLDING}manifest/{only}&match[version]=all").json()["objects"]
    assert [one["version"] for one in records] == [old["modified"], new["modified"]]


def test_3_4_line_38_spec_version_picks_what_is_listed(ben: Client, stage: Stage) -> None:
    for path in (f"{HOLDING}objects/", f"{HOLDING}manifest/"):
        plain = ben.get(path).json()["objects"]
        assert ben.get(f"{path}?match[spec_version]=2.1").json()["objects"] == plain
        assert ben.get(f"{path}?match[spec_version]=2.0,2.1").json()["objects"] == plain
        assert ben.get(f"{path}?match[spec_version]=2.0").json() == {}


@pytest.mark.parametrize("limit", [1, 2, 3, 150, 100_000])
def test_3_4_line_39_never_more_than_asked_and_all_that_fits(ben: Client, limit: int) -> None:
    whole = objects(ben, "holding")
    for path in ("objects/", "manifest/"):
        found = ben.get(f"{HOLDING}{path}?limit={limit}").json()
        assert ids(found["objects"]) == ids(whole)[:limit]
        assert found.get("more", False) is (limit < len(whole))


# --- H. sorting and paging -----------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["holding", "own", "circle-relay-watch"])
def test_3_3_line_40_all_ascends_by_date_added(ana: Client, alias: str) -> None:
    path = f"{ROOT}collections/{alias}/"
    records = ana.get(f"{path}manifest/").json()["objects"]
    dates = [one["date_added"] for one in records]
    assert dates == sorted(dates)
    assert len(set(dates)) == len(dates) > 1
    assert ids(records) == ids(ana.get(f"{path}objects/").json()["objects"])


@pytest.mark.parametrize(
    ("alias", "query"),
    [
        ("holding", "limit=50"),
        ("holding", f"limit=1&{TYPES}"),
        ("holding", "limit=60&match[version]=all"),
        ("circle-relay-watch", "limit=70"),
        ("own", "limit=1"),
        ("own", f"limit=2&{TYPES}"),
    ],
)
def test_3_5_line_41_next_stands_beside_more_and_nowhere_else(
    ana: Client, alias: str, query: str
) -> None:
    whole, _, rest = query.partition("&")
    for path in ("objects/", "manifest/"):
        base = f"{ROOT}collections/{alias}/{path}"
        *pages, last = walk(ana, base, query)
        assert pages
        assert all(page["more"] is True and isinstance(page["next"], str) for page in pages)
        assert not {"more", "next"} & last.keys()
        found = [one for page in (*pages, last) for one in page["objects"]]
        assert found == ana.get(f"{base}?{rest}").json()["objects"], whole


@pytest.mark.parametrize(
    ("alias", "limit"), [("holding", 40), ("own", 1), ("circle-relay-watch", 60)]
)
@pytest.mark.parametrize("path", ["objects/", "manifest/"])
def test_3_7_line_42_added_after_pages_as_well_as_next(
    ana: Client, alias: str, limit: int, path: str
) -> None:
    base = f"{ROOT}collections/{alias}/{path}"
    whole = ana.get(base).json().get("objects", [])
    found: list[Any] = []
    query = f"limit={limit}"
    while (page := ana.get(f"{base}?{query}")).json():
        found += page.json()["objects"]
        query = f"limit={limit}&added_after={page['X-TAXII-Date-Added-Last']}"
    assert found == whole


def test_3_7_line_43_what_arrives_later_is_dated_later(ana: Client, ben: Client) -> None:
    before = ben.get(f"{HOLDING}objects/")["X-TAXII-Date-Added-Last"]
    for _ in range(3):
        give_one(ana)
        answer = ben.get(f"{HOLDING}objects/?added_after={before}")
        assert len(answer.json()["objects"]) == 1
        assert answer["X-TAXII-Date-Added-First"] > before
        before = answer["X-TAXII-Date-Added-Last"]


def test_3_2_line_44_both_headers_are_of_this_page_on_every_200(ana: Client, stage: Stage) -> None:
    records = ana.get(f"{OWN}manifest/").json()["objects"]
    dates = {one["id"]: one["date_added"] for one in records}
    one = dates[stage.campaign]
    for path, first, last in (
        ("objects/?limit=2", records[0]["date_added"], records[1]["date_added"]),
        ("manifest/?limit=2", records[0]["date_added"], records[1]["date_added"]),
        (f"objects/{stage.campaign}/", one, one),
        (f"objects/{stage.campaign}/versions/", one, one),
    ):
        answer = ana.get(OWN + path)
        assert answer.status_code == 200
        assert answer["X-TAXII-Date-Added-First"] == first, path
        assert answer["X-TAXII-Date-Added-Last"] == last, path
    for path in ("objects/", "manifest/", f"objects/{stage.campaign}/"):
        empty = ana.get(f"{OWN}{path}?match[version]=2001-01-01T00:00:00Z")
        assert (empty.status_code, empty.json()) == (200, {})
        assert not [name for name in empty.headers if name.startswith("X-TAXII")]
    walked = ana.get(f"{HOLDING}objects/?limit=2")
    shown = ana.get(f"{HOLDING}manifest/?limit=2").json()["objects"]
    assert walked["X-TAXII-Date-Added-First"] == shown[0]["date_added"]
    assert walked["X-TAXII-Date-Added-Last"] == shown[1]["date_added"]


def test_app_b_line_45_next_shows_nothing_that_the_account_may_not_see(
    ben: Client, cleo: Client, ana: Client
) -> None:
    of_ben = ben.get(f"{HOLDING}objects/?limit=2&{TYPES}").json()["next"]
    assert cleo.get(f"{HOLDING}objects/?next={of_ben}").status_code == 400
    walking = ben.get(f"{HOLDING}objects/?limit=2").json()["next"]
    # A position, and nothing else: with it everybody walks through the own holding.
    assert cleo.get(f"{HOLDING}objects/?next={walking}").status_code == 200
    assert (
        ids(cleo.get(f"{HOLDING}objects/?next={walking}&{TYPES}").json().get("objects", [])) == []
    )
    # Numbers of the own collection are another count: none of the holding's is taken there.
    assert ana.get(f"{OWN}objects/?next={walking}").status_code == 400
    mine = ana.get(f"{OWN}objects/?limit=2").json()["next"]
    assert ana.get(f"{HOLDING}objects/?next={mine}").status_code == 400


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
@pytest.mark.parametrize("walks", [True, False])
def test_app_b_line_45_a_next_at_the_end_of_time_is_400(
    ben: Client, moment: str, *, walks: bool
) -> None:
    issued = ben.get(f"{HOLDING}objects/?limit=2{'' if walks else '&' + TYPES}").json()["next"]
    fields = json.loads(urlsafe_b64decode(issued + "=" * (-len(issued) % 4)))
    fields[1 if walks else 2] = moment
    made = urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
    for path in ("objects/", "manifest/"):
        answer = ben.get(f"{HOLDING}{path}?next={made}&limit=2")
        assert (answer.status_code, answer["Content-Type"]) == (400, MEDIA)


@pytest.mark.parametrize("path", ["objects/", "manifest/"])
@pytest.mark.parametrize("alias", ["holding", "own"])
def test_3_5_line_46_next_carries_the_whole_query(ana: Client, alias: str, path: str) -> None:
    """Elastic sends `next` and `limit` alone, OpenCTI's connector drops `added_after`."""
    base = f"{ROOT}collections/{alias}/{path}"
    start = ana.get(f"{ROOT}collections/{alias}/manifest/?limit=1")["X-TAXII-Date-Added-First"]
    query = f"limit=1&{TYPES}&added_after={start}&match[version]=all"
    whole = [one for page in walk(ana, base, query) for one in page["objects"]]
    assert len(whole) >= 2
    found: list[Any] = []
    page = ana.get(f"{base}?{query}").json()
    while True:
        found += page["objects"]
        if not page.get("more"):
            break
        page = ana.get(f"{base}?next={page['next']}&limit=1").json()
    assert found == whole


def test_3_5_line_46_limit_may_change_between_pages(ana: Client) -> None:
    for alias in ("holding", "own"):
        whole = objects(ana, alias)
        page = ana.get(f"{ROOT}collections/{alias}/objects/?limit=2").json()
        rest = ana.get(f"{ROOT}collections/{alias}/objects/?limit=999&next={page['next']}").json()
        assert page["objects"] + rest["objects"] == whole


def test_3_5_line_46_next_may_come_with_another_added_after_and_both_apply(ana: Client) -> None:
    for alias in ("holding", "own"):
        base = f"{ROOT}collections/{alias}/"
        records = ana.get(f"{base}manifest/").json()["objects"]
        following = ana.get(f"{base}objects/?limit=2").json()["next"]
        late, early = records[3]["date_added"], records[0]["date_added"]
        both = ana.get(f"{base}objects/?next={following}&added_after={late}")
        assert ids(both.json().get("objects", [])) == ids(records[4:])
        both = ana.get(f"{base}objects/?next={following}&added_after={early}")
        assert ids(both.json()["objects"]) == ids(records[2:])
        nothing = ana.get(f"{base}objects/?next={following}&added_after=9999-01-01T00:00:00Z")
        assert (nothing.status_code, nothing.json()) == (200, {})


def test_3_5_line_46_next_does_not_expire(ana: Client, ben: Client) -> None:
    following = ben.get(f"{HOLDING}objects/?limit=2").json()["next"]
    rest = ben.get(f"{HOLDING}objects/?next={following}").json()["objects"]
    give_one(ana)
    later = ben.get(f"{HOLDING}objects/?next={following}").json()["objects"]
    assert later[: len(rest)] == rest
    assert len(later) == len(rest) + 1


def test_3_5_line_46_no_page_is_empty_and_says_more(ana: Client) -> None:
    for alias, limit, query in (
        ("holding", 61, ""),
        ("holding", 61, "&match[version]=first"),
        ("holding", 1, f"&{TYPES}"),
        ("own", 1, ""),
        ("own", 5, f"&{TYPES}"),
        ("circle-relay-watch", 61, ""),
    ):
        pages = list(walk(ana, f"{ROOT}collections/{alias}/objects/", f"limit={limit}{query}"))
        assert all(page["objects"] for page in pages)


def test_3_2_line_47_the_last_header_of_the_last_page_goes_on_later(
    ana: Client, ben: Client
) -> None:
    """OpenCTI cuts it to milliseconds: the last objects come again, none is lost."""
    last = ben.get(f"{HOLDING}objects/")["X-TAXII-Date-Added-Last"]
    give_one(ana)
    (new,) = ben.get(f"{HOLDING}objects/?added_after={last}").json()["objects"]
    cut = f"{last[:-4]}Z"
    again = ben.get(f"{HOLDING}objects/?added_after={cut}").json()["objects"]
    assert again[-1] == new


@pytest.mark.parametrize("alias", ["holding", "own"])
def test_3_5_line_48_what_comes_and_goes_between_pages_repeats_and_skips_no_other(
    ana: Client, alias: str
) -> None:
    for _ in range(2):
        give_one(ana)
    base = f"{ROOT}collections/{alias}/objects/"
    whole = objects(ana, alias, f"?{TYPES}")
    first = ana.get(f"{base}?limit=3&{TYPES}").json()
    gone = objects(ana, "own", f"?{TYPES}")
    assert ana.delete(f"{OWN}objects/{gone[0]['id']}/").status_code == 200
    give_one(ana)
    pages = [first, ana.get(f"{base}?limit=999&{TYPES}&next={first['next']}").json()]
    found = [one for page in pages for one in page["objects"]]
    assert found[: len(whole)] == whole
    assert len(found) == len(whole) + 1
