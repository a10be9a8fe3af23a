"""A3: what must not leave is on no page, in no answer or download of any but its contributor.

One scene for the module: Ana gives every dirty set and more, all holds are released, the windows
open, bundles are sealed. Then everybody else walks to every address there is, with every kind of id
there is, and reads.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.db import transaction
from django.db.models import BigAutoField, UUIDField
from django.test import Client, override_settings
from django.urls import get_resolver
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from exchange import delivery, pool, release, review
from exchange.models import Bundle, Hold, LedgerEntry, Rendition, Subscription
from exchange.policy import detectors
from indicators.models import Item
from members.models import User, UserRole
from members.scope import Acting, acting
from tests.cast import Cast, make_cast
from tests.doors.clients import ROOT, client_of
from tests.doors.stage import as_owner
from tests.extracts import extract, parts
from tests.promises.test_canaries import dump
from tests.shell.sharing import Way, campaign, leave, range_indicator, sdo
from tests.shell.test_tokens import machine

# Each test inside the module's transaction: what it changes is undone, the scene stays.
pytestmark = pytest.mark.django_db

MARK = "cnry"
BACKEND = "django.contrib.auth.backends.ModelBackend"
OTHERS = ("ben", "cleo", "dora", "otto", "pia")
SCOPES = ("taxii-read", "taxii-write", "api-read", "api-write", "ledger-read", "extracts")
REASON = "Released for this test, with a reason."
_VOLATILE = re.compile(r'name="csrfmiddlewaretoken" value="[^"]+"')


@dataclass(frozen=True, slots=True)
class Scene:
    """Everybody, what was given, and what must not be read."""

    cast: Cast
    sets: list[dict[str, Any]]
    now: datetime
    logged: list[str]

    @property
    def forbidden(self) -> list[str]:
        """Each string that must not appear, once."""
        return sorted({text for one in self.sets for text in one["must_not_appear"]})


def held_out() -> dict[str, Any]:
    """Places that the shared sets leave alone, each with a mark of its own."""
    ranges = range_indicator(
        "198.51.100.64/26",
        labels=["CNRY1001Q"],
        lang="x-cnry1002q",
        external_references=[{"source_name": "CNRY1003Q", "external_id": "CNRY1003Q"}],
        pattern="[ipv4-addr:value = '198.51.100.64/26' OR file:name = 'CNRY1004Q'] /* CNRY1005Q */",
        description="Q05SWTEwMDZR Q05SWTEwMDZR%20CNRY1007Q &#67;NRY1008Q",
    )
    heron = campaign(aliases=["CNRY1009Q"], objective="CNRY1010Q")
    return {
        "objects": [
            {**ranges, "x_cnry1011q": {"CNRY1012Q": [{"deep": "CNRY1013Q"}]}},
            heron,
            sdo(
                "relationship",
                relationship_type="indicates",
                source_ref=ranges["id"],
                target_ref=heron["id"],
                description="CNRY1014Q",
            ),
            sdo("report", name="CNRY1015Q", published=ranges["created"], object_refs=[heron["id"]]),
            sdo("tool", name="CNRY1016Q"),
            sdo("threat-actor", name="CNRY1017Q", goals=["CNRY1018Q"]),
            sdo("location", region="northern-america", name="CNRY1019Q"),
            sco("url", value="https://relay.example/a/b/c/d?key=CNRY1020Q#CNRY1021Q"),
            sco("autonomous-system", number=64496, name="CNRY1022Q", rir="CNRY1023Q"),
            sco("file", name="CNRY1024Q", hashes={"SHA-256": "0d" * 32}),
            sco("artifact", payload_bin="Q05SWTEwMjVR"),
            sco("email-message", is_multipart=False, subject="CNRY1026Q"),
            sco("process", command_line="run --for CNRY1027Q"),
            sdo("x-cnry1028q", name="CNRY1029Q"),
            sdo("indicator", pattern="[broken CNRY1030Q", pattern_type="stix"),
            {"type": "indicator", "id": "indicator--not-an-id", "name": "CNRY1031Q"},
        ],
        "must_not_appear": [],
        "must_appear": ["198.51.100.64/26"],
    }


def sco(stix_type: str, **properties: Any) -> dict[str, Any]:
    return {"type": stix_type, "spec_version": "2.1", "id": f"{stix_type}--{uuid4()}", **properties}


@pytest.fixture(scope="module")
def scene(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """Given, released and sealed once; taken back when the module is done."""
    folder = tmp_path_factory.mktemp("everywhere")
    with django_db_blocker.unblock(), override_settings(LEDGER_DIR=folder), transaction.atomic():
        logged: list[str] = []
        handler = Keeping(logged)
        logging.getLogger().addHandler(handler)
        try:
            yield set_up(shared_data, logged)
        finally:
            logging.getLogger().removeHandler(handler)
        as_owner()
        transaction.set_rollback(True)


class Keeping(logging.Handler):
    """Every line of the logs, as a careless formatter would write it."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self.lines = lines
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """One line, with its exception if there is one."""
        self.lines.append(self.format(record))


def set_up(shared_data: Path, logged: list[str]) -> Scene:
    now = timezone.now()
    start = now - timedelta(hours=4)
    cast = make_cast(start)
    text = (shared_data / "antitrust" / "dirty-objects.jsonl").read_text(encoding="utf-8")
    sets = [*map(json.loads, text.splitlines()), held_out()]
    # Ben does everything at Borealis, so that he sees the pages of every role.
    UserRole.objects.bulk_create(
        UserRole(user=cast.ben, role=role) for role in ("officer", "counsel", "administrator")
    )
    Subscription.objects.create(
        member=cast.borealis,
        name="SIEM",
        url="https://siem.borealis.example/in",
        state="active",
        created_at=start,
    )
    labs = (cast.aurora, cast.borealis, cast.cirrus, cast.ember, cast.fjord)
    release.constants_to([lab.id for lab in labs], now=start)
    way = Way(cast, cast.forum)
    for one in sets:
        way.give(*one["objects"], now=start)
    for person, role in ((cast.dora, "forum-counsel"), (cast.alma, "contributor-counsel")):
        rows = Hold.objects.filter(state="open", approvers__contains=[role])
        # One object stays held, so that there is something that nobody may know of.
        ids = list(rows.exclude(stix_type="location").values_list("id", flat=True))
        review.act(cast.as_(person), ids, act="release", reason=REASON, now=start)
    for hours in (1, 2):
        leave(now=start + timedelta(hours=hours))
    delivery.make_ready(now=now)
    sets.append(in_the_pool(cast, now))
    return Scene(cast, sets, now, logged)


def in_the_pool(cast: Cast, now: datetime) -> dict[str, Any]:
    """A day of Ana's in the pool, put in words for Abel; its tokens are for nobody, nor the words.

    Ben sends a day of his own, so that there is something for his machine to read.
    """
    made = extract(1, day=now.date())
    for user, one in ((cast.ana, made), (cast.ben, extract(2, day=now.date()))):
        sender = machine(user, scopes=("extracts",))
        with acting(sender.acting()):
            pool.send(sender, parts(one), now=now)
    abel = cast.as_(cast.abel)
    with acting(abel.acting()):
        sent, *_ = pool.my_extracts(abel)
        pool.ask(abel, sent.id, now=now)
    with acting(Acting(), role="worker"):
        pool.make(now=now)
    first = made.clusters[0]
    tokens = (*first.payment, *first.device, *first.egress, first.cluster, first.hours)
    bands = made.templates[0].bands[:4]
    return {
        "objects": [],
        "must_not_appear": [*tokens, *bands, "Row 0: "],
        "must_appear": [],
    }


# --- who reads, and where ------------------------------------------------------------------------


def person(user: User) -> Client:
    """A signed-in browser."""
    as_owner()
    client = Client(raise_request_exception=False)
    client.force_login(user, backend=BACKEND)
    return client


def ids_of_every_kind() -> dict[type, list[object]]:
    """One or two real ids of every table, by what they are: addresses lead to nothing else."""
    found: dict[type, list[object]] = {UUID: [], int: [], str: []}
    for model in apps.get_models():
        key = model._meta.pk
        most = 4 if model is Hold else 1
        kind = (
            UUID if isinstance(key, UUIDField) else int if isinstance(key, BigAutoField) else None
        )
        if kind is not None:
            found[kind] += list(model._default_manager.values_list("pk", flat=True)[:most])
    by_type = Rendition.objects.filter(object__isnull=False).order_by("stix_type", "id")
    found[str] += list(by_type.distinct("stix_type").values_list("stix_id", flat=True))
    return found


def addresses(
    patterns: Iterable[Any],
    more: Mapping[str, Sequence[object]],
    every: Mapping[type, list[object]],
) -> Iterator[str]:
    """Every address of these patterns, with every id that fits its place."""
    for pattern in patterns:
        route = str(pattern.pattern)
        places = []
        for name, converter in pattern.pattern.converters.items():
            kind = {"UUIDConverter": UUID, "IntConverter": int}.get(type(converter).__name__, str)
            places.append(list(dict.fromkeys([*more.get(name, ()), *every[kind]])))
        for values in product(*(place if len(places) == 1 else place[:6] for place in places)):
            address = route
            for value in values:
                address = re.sub(r"<[^>]+>", str(value), address, count=1)
            yield f"/{address}"


def forms(body: bytes) -> set[str]:
    """A body as it is, unescaped, decoded, and read as JSON."""
    text = _VOLATILE.sub("", body.decode("utf-8", "replace"))
    found = {form for line in text.splitlines() for form in detectors.readings(line)} | {text}
    with suppress(ValueError):
        found.add(json.dumps(json.loads(text), ensure_ascii=False))
    return found


def leaks(scene: Scene, body: bytes) -> list[str]:
    """Which of the strings that must not appear do; short numbers count as words only."""
    read = forms(body)
    if any(MARK in form.lower() for form in read):
        return [MARK]
    return [text for text in scene.forbidden if any(_stands_in(text, form) for form in read)]


def _stands_in(text: str, form: str) -> bool:
    if text not in form:
        return False
    if len(text) > 5:
        return True
    return re.search(rf"(?<![\w.-]){re.escape(text)}(?![\w.-])", form) is not None


# --- what they find ------------------------------------------------------------------------------


def test_the_marks_are_there_for_who_may_read_them(scene: Scene) -> None:
    ana = person(scene.cast.ana)
    versions = Item.objects.filter(version__isnull=False).values_list("version_id", flat=True)
    pages = [ana.get(f"/mine/{version}/").content for version in versions[:6]]
    as_owner()
    assert all(MARK in page.decode().lower() for page in pages[:1])


@pytest.mark.parametrize("name", OTHERS)
def test_a03_no_page_or_download_shows_what_must_not_leave(scene: Scene, name: str) -> None:
    user = getattr(scene.cast, name)
    reader = person(user)
    own = LedgerEntry.objects.filter(to_member_id=user.member_id).order_by("idx")
    more = {"index": list(own.values_list("idx", flat=True)[:20]) if user.member_id else []}
    patterns = get_resolver("exchange.web.urls").url_patterns
    seen: set[int] = set()
    for address in addresses(patterns, more, ids_of_every_kind()):
        as_owner()
        answer = reader.get(address)
        seen.add(answer.status_code)
        body = b"".join(answer) if answer.streaming else answer.content
        headers = "\n".join(f"{key}: {value}" for key, value in answer.items()).encode()
        assert leaks(scene, body) == [], address
        assert leaks(scene, headers) == [], address
    as_owner()
    assert 200 in seen
    assert 500 not in seen


@pytest.mark.parametrize("name", ["ben", "cleo"])
def test_a03_no_answer_to_a_machine_shows_it_and_what_may_pass_is_there(
    scene: Scene, name: str
) -> None:
    machine = client_of(getattr(scene.cast, name), *SCOPES)
    every = ids_of_every_kind()
    originals = [obj["id"] for one in scene.sets for obj in one["objects"] if MARK not in obj["id"]]
    answer = machine.get(f"{ROOT}collections/")
    as_owner()
    aliases = [one["alias"] for one in answer.json()["collections"]]
    places = [ROOT, f"{ROOT}collections/", "/taxii2/", "/.well-known/jwks.json"]
    for alias in aliases:
        at = f"{ROOT}collections/{alias}/"
        places += [at, f"{at}manifest/", f"{at}objects/?match[version]=all"]
        places += [f"{at}objects/?match[id]={one}" for one in originals[:4]]
        for one in (*every[str], *originals[:8]):
            places += [f"{at}objects/{one}/", f"{at}objects/{one}/versions/"]
    for one in every[UUID]:
        places += [f"{ROOT}status/{one}/", f"/api/contributions/{one}/"]
    places += [f"/api/objects/{one}/" for one in (*every[str], *originals)]
    places += ["/api/contributions/", "/ledger/openings?slot=to&after=0", "/ledger/keys"]
    places += [f"/ledger/proof/{index}" for index in every[int][:3]]
    places += ["/api/extracts/", "/api/algorithms/", "/api/tokens/"]
    told = b""
    for place in places:
        as_owner()
        answer = machine.get(place)
        assert answer.status_code < 500, place
        assert leaks(scene, answer.content) == [], place
        told += answer.content if "holding/objects/?match[version]" in place else b""
    as_owner()
    for one in scene.sets:
        for text in one["must_appear"]:
            assert text.encode() in told, one.get("case")


def test_a03_no_error_or_status_tells_a_value_back(scene: Scene) -> None:
    messages = [str(one) for one in status_messages(scene)]
    assert messages
    assert not any(MARK in message.lower() for message in messages)
    machine = client_of(scene.cast.ana, *SCOPES)
    broken = [
        b'{"objects": [CNRY2001Q]}',
        b'{"objects": [{"type": "indicator", "x": "CNRY2002Q"]}',
        json.dumps({"objects": "CNRY2003Q"}).encode(),
        json.dumps({"CNRY2004Q": []}).encode(),
        b'{"objects": [], "objects": ["CNRY2005Q"]}',
        b"\xff CNRY2006Q",
    ]
    for body in broken:
        for place in (f"{ROOT}collections/inbox-forum/objects/", "/api/contributions/?circle=x"):
            as_owner()
            media = "application/taxii+json;version=2.1" if "taxii" in place else "application/json"
            answer = machine.post(place, data=body, content_type=media)
            assert answer.status_code < 500, answer.content
            assert MARK not in answer.content.decode().lower(), place
    as_owner()


def status_messages(scene: Scene) -> Iterator[str]:
    way = Way(scene.cast, scene.cast.forum)
    for sent in set(Item.objects.values_list("contribution_id", flat=True)):
        yield from (message for _, message in way.messages(sent))


def test_a03_no_sealed_bundle_holds_it(scene: Scene) -> None:
    bodies = [bytes(body) for body in Bundle.objects.values_list("body", flat=True)]
    assert bodies
    minted = re.compile(r'"(?:created|modified)":"[^"]+"')
    for body in bodies:
        assert leaks(scene, minted.sub("", body.decode()).encode()) == []


def test_a03_no_hold_says_more_than_where(scene: Scene) -> None:
    rows = list(Hold.objects.all())
    said = " ".join(f"{row.reason} {row.rule} {row.basis} {row.places}" for row in rows)
    assert MARK not in said.lower()
    assert any(row.places == ["description"] for row in rows)


def test_a03_no_log_line_and_no_row_of_the_database_has_it(scene: Scene) -> None:
    assert not any(MARK in line.lower() for line in scene.logged)
    held = dump()
    assert MARK.encode() not in held
    # What is in the pool is in the database as its digest, and in no log at all.
    told = scene.sets[-1]["must_not_appear"]
    assert not any(text in line for line in scene.logged for text in told)
    assert not [text for text in told if text.lower().encode() in held]
