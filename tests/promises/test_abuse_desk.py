"""Abuse cases of the desk: peeking, insiders, floods, refused content, dressed-up text."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from exchange import contribute, docket, holds, inbox, openings, release, review
from exchange.models import Hold, OriginalRead, Outcome, ReleaseItem
from exchange.policy.outcomes import HoldReason
from indicators.models import ForumObject, Original, Version
from members import roles
from members.models import User
from members.scope import acting
from tests.cast import make_floor
from tests.doors.clients import ROOT, client_of
from tests.doors.stage import Stage, as_owner, sequence, set_stage
from tests.promises.test_canaries import dump
from tests.shell.sharing import bundle, member_policy, range_indicator, sdo

pytestmark = pytest.mark.django_db
BACKEND = "django.contrib.auth.backends.ModelBackend"
REASON = "Judged, with a reason that is written down."
VOLATILE = {"Date", "Set-Cookie", "Content-Digest"}
MARK = "zqxmarker"
# What a spreadsheet computes, a browser runs, and a terminal or a page reads backwards.
FORMULA = '=HYPERLINK("https://evil.example","x")'
IMAGE = "<img src=x onerror=alert(1)>"
DIGEST = re.compile(r"[0-9A-Za-z+/]{43}=")  # 32 octets in base64
TURNED = "\u202egnp.exe\u2066\u200f\u0007\u0085"
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def stage(settings: LazySettings, tmp_path: Path) -> Iterator[Stage]:
    settings.LEDGER_DIR = tmp_path / "ledger"
    cache.clear()
    yield set_stage(timezone.now())
    as_owner()


def browser(user: User) -> Client:
    """A signed-in browser."""
    as_owner()
    client = Client(raise_request_exception=False)
    client.force_login(user, backend=BACKEND)
    return client


def asked(client: Client, path: str) -> Answer:
    """All that an answer tells."""
    as_owner()
    answer = client.get(path)
    as_owner()
    headers = {name: value for name, value in answer.items() if name not in VOLATILE}
    return answer.status_code, headers, without_tokens(answer.content)


def without_tokens(page: bytes) -> bytes:
    """A page without the tokens that differ from answer to answer."""
    return re.sub(rb'name="csrfmiddlewaretoken" value="[^"]+"', b"", page)


def doors(user: User) -> dict[str, Callable[[str], Answer]]:
    """Every door by which somebody asks for an object by its name."""
    machine, person = client_of(user, "taxii-read", "api-read"), browser(user)
    found: dict[str, Callable[[str], Answer]] = {}
    paths = [
        f"{ROOT}collections/{alias}/{rest}"
        for alias in ("holding", "own", "circle-forum")
        for rest in (
            "objects/{}/",
            "objects/{}/versions/",
            "objects/?match[id]={}",
            "objects/?match[id]={}&match[version]=all",
            "manifest/?match[id]={}",
        )
    ]
    for path in (*paths, "/api/objects/{}/"):
        found[path] = partial(by_name, machine, path)
    for path in ("/objects/{}/", "/campaigns/{}/", "/campaigns/{}/bundle/"):
        found[path] = partial(by_name, person, path)
    return found


def by_name(client: Client, path: str, name: str) -> Answer:
    """What is answered for a name."""
    return asked(client, path.format(name))


def say_the_same(door: Callable[[str], Answer], names: list[str]) -> bool:
    """Whether a door answers for all of these alike, the name that was asked for apart."""
    answers = [door(name) for name in names]
    return len({
        (status, tuple(sorted(headers.items())), body.replace(name.encode(), b"?"))
        for name, (status, headers, body) in zip(names, answers, strict=True)
    }) == 1  # fmt: skip


# --- A12: denial lists and existence do not show --------------------------------------------------


def test_a12_held_withheld_anothers_recalled_and_missing_are_one_answer(stage: Stage) -> None:
    cast, now = stage.cast, timezone.now()
    gone = range_indicator("203.0.113.64/26")
    sent = contribute.submit(
        cast.as_(cast.ana), bundle(gone, sdo("identity", name="X", identity_class="group")),
        circle_id=cast.relay_watch.id, source="api", default_basis=("stolen-credential",), now=now,
    )  # fmt: skip
    contribute.accept(sent, now=now)
    release.open_windows(now=now)
    sequence(now)
    item = ReleaseItem.objects.get(outcome__contribution_id=sent)
    recalled = item.rendition.stix_id
    assert item.rendition.object is not None
    ForumObject.objects.filter(pk=item.rendition.object.pk).update(state="recalled")
    ReleaseItem.objects.filter(rendition__stix_id=recalled).update(recalled=True)
    withheld = Version.objects.get(outcomes__outcome="withheld", outcomes__contribution_id=sent)
    hold = Hold.objects.get(outcome__version__object__stix_type="threat-actor")
    names = {
        "held": f"threat-actor--{hold.outcome.version.object_id}",
        "held, as its contributor has it": stage.held,
        "withheld": f"identity--{withheld.object_id}",
        "another's, as its contributor has it": stage.indicator,
        "recalled": recalled,
        "recalled, as its contributor has it": str(gone["id"]),
    }
    for user in (cast.ben, cast.cleo):
        for door, asking in doors(user).items():
            for what, name in names.items():
                nowhere = f"{name.partition('--')[0]}--{uuid4()}"
                assert say_the_same(asking, [name, nowhere]), (user.name, door, what)


def test_a12_a_status_of_anothers_is_a_status_that_is_not(stage: Stage) -> None:
    machine, person = (
        client_of(stage.cast.ben, "taxii-read", "taxii-write"),
        browser(stage.cast.ben),
    )
    hold = Hold.objects.first()
    assert hold is not None
    pages = (
        (machine, f"{ROOT}status/{{}}/", stage.contribution),
        (machine, "/api/contributions/{}/", stage.contribution),
        (person, "/contributions/{}/", stage.contribution),
        (person, "/holds/{}/", hold.id),
        (person, "/mine/{}/", hold.outcome.version_id),
    )
    for client, path, there in pages:
        nowhere = uuid4() if isinstance(there, UUID) else 987_654_321
        found, missing = (asked(client, path.format(name)) for name in (there, nowhere))
        assert found[0] == missing[0] == 404, path
        assert found[2].replace(str(there).encode(), b"?") == missing[2].replace(
            str(nowhere).encode(), b"?"
        ), path


def test_a12_who_is_denied_sees_what_somebody_sees_to_whom_nothing_was_given(stage: Stage) -> None:
    """Ben, whom Aurora's policy denies, reads what he would read had it given nothing."""
    cast, now = stage.cast, timezone.now()
    member_policy(cast.aurora, now=now, version=1, deny_recipients=[str(cast.borealis.id)])
    before = counts(cast.ben)
    sent = contribute.submit(
        cast.as_(cast.ana), bundle(range_indicator("198.51.100.0/24")),
        circle_id=cast.relay_watch.id, source="api", default_basis=("stolen-credential",), now=now,
    )  # fmt: skip
    contribute.accept(sent, now=now)
    release.open_windows(now=now)
    sequence(now)
    given = ReleaseItem.objects.filter(outcome__contribution_id=sent)
    name = given.values_list("rendition__stix_id", flat=True).first()
    assert name is not None
    assert counts(cast.ben) == before
    for door, asking in doors(cast.ben).items():
        assert say_the_same(asking, [name, f"indicator--{uuid4()}"]), door
    as_owner()
    assert name in str(inbox.news(cast.as_(cast.ana), since=now - timedelta(hours=1), now=now))


def counts(user: User) -> list[tuple[int, int, object]]:
    """Sizes and headers of every list that somebody reads."""
    machine, person = client_of(user, "taxii-read"), browser(user)
    found: list[tuple[int, int, object]] = []
    for path in ("holding/objects/", "holding/manifest/", "circle-relay-watch/objects/"):
        status, headers, body = asked(machine, f"{ROOT}collections/{path}")
        found.append((status, len(body), headers.get("X-TAXII-Date-Added-Last")))
    for page in ("/campaigns/", "/contributions/", "/holds/", "/entries/?slot=to"):
        status, _, body = asked(person, page)
        found.append((status, len(re.findall(rb"data-row", body)), page))
    return found


# --- A13: an insider at the operator --------------------------------------------------------------


def test_a13_the_operator_has_no_way_to_an_original(stage: Stage) -> None:
    cast = stage.cast
    hold = Hold.objects.get()
    for permission in ("decide-hold", "read-holds", "read-own-originals", "read-disclosures"):
        assert not roles.may(["operator"], permission), permission
    pia = browser(cast.pia)
    pages = [
        f"/holds/{hold.id}/",
        "/holds/",
        "/holds/all/",
        f"/mine/{hold.outcome.version_id}/",
        "/originals/",
        f"/contributions/{stage.contribution}/",
        f"/objects/{stage.held}/",
    ]
    for page in pages:
        as_owner()
        assert pia.get(page).status_code == 404, page
        as_owner()
        answer = pia.post(page, {"reason": REASON, "act": "read"})
        assert answer.status_code in (404, 405), page
        assert b"Somebody Ltd" not in answer.content
    as_owner()
    assert not OriginalRead.objects.exists()


def test_a13_raw_sql_as_the_operator_reads_and_opens_nothing(stage: Stage) -> None:
    cast = stage.cast
    hold = Hold.objects.select_related("outcome").get()
    opening = (
        "INSERT INTO exchange_originalread (version_id, member_id, user_id, role, sealed, at) "
        "VALUES (%s, %s, %s, %s, 'x', now())"
    )
    with acting(cast.as_(cast.pia).acting()):
        for table in (
            "indicators_original indicators_item indicators_submission exchange_hold "
            "exchange_holdact exchange_originalread exchange_originalrequest exchange_originalword "
            "exchange_rendition"
        ).split():
            assert seen(table) == 0, table
        assert seen("weir_released_as('indicator--x')") == 0
        for role in ("operator", "forum-counsel", "forum-officer"):
            values: list[Any] = [hold.outcome.version_id, hold.member_id, cast.pia.id, role]
            with (
                pytest.raises(ProgrammingError, match="row-level security"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(opening, values)
        assert seen("indicators_original") == 0


def test_a13_one_officer_alone_opens_nothing_by_raw_sql(stage: Stage) -> None:
    cast, now = stage.cast, timezone.now()
    version = Original.objects.filter(version__object__stix_type="indicator").get().version
    with acting(cast.as_(cast.otto).acting()):
        wish = openings.ask(
            cast.as_(cast.otto), f"indicator--{version.object_id}", reason=REASON, now=now
        )
        look = openings.Look(cast.as_(cast.otto), "forum-officer", REASON, wish)
        openings.record(look, version.pk, version.member_id, about={}, now=now)
        assert seen("indicators_original") == 0  # recorded, and still closed
        with (
            pytest.raises(ProgrammingError, match="row-level security"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "INSERT INTO exchange_originalword "
                "(request_id, member_id, user_id, role, is_yes, sealed, at) "
                "VALUES (%s, %s, %s, 'officer', true, 'x', now())",
                [wish, version.member_id, cast.otto.id],
            )
    with acting(cast.as_(cast.abel).acting()):
        openings.answer(cast.as_(cast.abel), wish, is_yes=True, reason=REASON, now=now)
    with acting(cast.as_(cast.otto).acting()):
        openings.record(look, version.pk, version.member_id, about={}, now=now)
        assert seen("indicators_original") == 1


def seen(table: str) -> int:
    """How many rows are shown now; none where reading is not granted at all."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of this module
            return int(cursor.fetchone()[0])
    except ProgrammingError as error:
        if "permission denied" not in str(error):
            raise
        return 0


# --- A20: a flood of holds ------------------------------------------------------------------------


def test_a20_a_flood_buries_nobody_and_no_time_releases_it(stage: Stage) -> None:
    cast, now = stage.cast, timezone.now()
    hold = Hold.objects.get()
    reasons = tuple(
        HoldReason("C13", f"floor/1/hold/C13/flood-{n}", "One of many.", "", ("forum-counsel",))
        for n in range(10_000)
    )
    holds.write([holds.Held(hold.outcome, "threat-actor", reasons)], now=now)
    sent = contribute.submit(
        cast.as_(cast.ben), bundle(sdo("location", region="northern-europe")),
        circle_id=cast.relay_watch.id, source="api", now=now + timedelta(hours=9),
    )  # fmt: skip
    contribute.accept(sent, now=now + timedelta(hours=9))
    late = Hold.objects.get(outcome__contribution_id=sent)
    page = browser(cast.dora).get("/holds/").content.decode()
    order = re.findall(r'<th scope="row"><a href="/holds/([0-9a-f-]+)/"', page)
    assert len(order) == docket.PAGE
    assert str(late.id) in order[:2]  # in the first round, one of each contributor's
    as_owner()
    for days in (1, 30, 366):
        release.open_windows(now=now + timedelta(days=days))
    assert Hold.objects.exclude(state="open").count() == 0
    assert Outcome.objects.filter(outcome="held", released_at__isnull=True).count() == 2


def test_a20_no_code_path_ends_a_hold_but_a_persons_act() -> None:
    """Who changes the state of a hold stands in one module: the one where people write acts."""
    root = Path(__file__).resolve().parents[2]
    changing = re.compile(
        r"row\.state = _ACTS|\bHold\.objects[^\n]*\.update\(|UPDATE exchange_hold\b"
    )
    writers = {
        file.relative_to(root).as_posix()
        for package in ("exchange", "indicators", "members")
        for kind in ("*.py", "*.sql")
        for file in (root / package).rglob(kind)
        if changing.search(file.read_text(encoding="utf-8"))
    }
    reopens = "exchange/migrations/sql/drafts.sql"
    assert writers == {"exchange/review.py", reopens}
    # A floor that names more approvers opens what they have not seen; it ends nothing.
    set_to = re.findall(r"state = CASE [^\n]* THEN '(\w+)'", (root / reopens).read_text("utf-8"))
    assert set(set_to) == {"open"}


# --- A21: what was refused is not readable anywhere -----------------------------------------------


def test_a21_a_refused_submission_is_in_no_page_answer_log_or_table(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cast, now = stage.cast, timezone.now()
    named = sdo("threat-actor", name=MARK, description=f"{MARK} did it")
    secret = sdo("indicator", name=MARK, pattern=f"[url:value = 'https://x.example/?{MARK}=1']",
                 pattern_type="stix", valid_from="2026-11-24T00:00:00.000Z",
                 description=f"AKIA{MARK.upper()}1234567")  # fmt: skip
    content = {"type": "artifact", "spec_version": "2.1", "id": f"artifact--{uuid4()}", "url": MARK}
    sent = contribute.submit(
        cast.as_(cast.ana), bundle(named, secret, content), circle_id=cast.relay_watch.id,
        source="api", default_basis=("stolen-credential",), now=now,
    )  # fmt: skip
    contribute.accept(sent, now=now)
    for hold in Hold.objects.filter(outcome__contribution_id=sent):
        text = f"{MARK} is named without a source."
        review.act(cast.as_(cast.dora), [hold.id], act="refuse", reason=text, now=now)
    release.open_windows(now=now + timedelta(hours=2))
    sequence(now + timedelta(hours=2))
    refused = Hold.objects.filter(outcome__contribution_id=sent).first()
    assert refused is not None
    for name in ("ben", "cleo", "otto", "pia"):
        user = getattr(cast, name)
        for page in every_page(stage, refused, user):
            assert MARK not in page.decode(errors="replace").lower(), name
    for path in ("", "holds/", "holds/?state=decided"):  # counsel's own text is on the hold alone
        as_owner()
        assert MARK not in browser(cast.dora).get(f"/{path}").content.decode().lower()
    as_owner()
    assert MARK not in caplog.text.lower()
    assert MARK.encode() not in dump()


def every_page(stage: Stage, hold: Hold, user: User) -> Iterator[bytes]:
    """Every page and download with this reader's answer, whatever it is."""
    client = browser(user)
    arguments = {
        "stix_id": stage.held,
        "contribution_id": hold.outcome.contribution_id,
        "version_id": hold.outcome.version_id,
        "hold_id": hold.id,
        "request_id": uuid4(),
        "index": 1,
    }
    for pattern in get_resolver("exchange.web.urls").url_patterns:
        names = re.findall(r"<(?:\w+:)?(\w+)>", str(pattern.pattern))
        if not set(names) <= arguments.keys():
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda m: str(arguments[m[1]]), str(pattern.pattern))
        as_owner()
        content = client.get(f"/{path}").content
        # Commands for members are the same bytes for all.
        if not content.startswith((b"#!", b"PK\x03\x04")):
            yield content
    as_owner()
    if user.member_id is not None:
        machine = client_of(user, "taxii-read", "api-read")
        for path in ("holding/objects/", "holding/manifest/", "own/manifest/"):
            yield asked(machine, f"{ROOT}collections/{path}?match[version]=all")[2]


# --- A24: text that would run, compute or read backwards ------------------------------------------


def test_a24_dressed_up_text_is_inert_on_every_page_and_in_every_download(stage: Stage) -> None:
    cast, now = stage.cast, timezone.now()
    text = f"{FORMULA} {IMAGE} {TURNED}"
    dressed = range_indicator("203.0.113.128/25", name=text, description=text)
    actor = sdo("threat-actor", name=text, aliases=[IMAGE, TURNED])
    sent = contribute.submit(
        cast.as_(cast.ana), bundle(dressed, actor), circle_id=cast.relay_watch.id, source="api",
        default_basis=("stolen-credential",), now=now,
    )  # fmt: skip
    contribute.accept(sent, now=now)
    release.open_windows(now=now)
    sequence(now)
    hold = Hold.objects.get(outcome__contribution_id=sent)
    review.act(cast.as_(cast.dora), [hold.id], act="ask", reason=text, now=now)
    review.answer(cast.as_(cast.ana), hold.id, text=text, now=now)
    sequence(now)
    as_owner()
    for name in ("ana", "abel", "alma", "dora", "ben"):
        for page in every_page(stage, hold, getattr(cast, name)):
            inert(page.decode(errors="replace"), name)
    # What Ana wrote she reads back in her own bytes: as data, which no browser takes for a page.
    machine = client_of(cast.ana, "taxii-read")
    mine = machine.get(f"{ROOT}collections/own/objects/")
    assert mine["Content-Type"].startswith("application/taxii+json")
    assert mine["X-Content-Type-Options"] == "nosniff"
    opened = browser(cast.dora).post(f"/holds/{hold.id}/", {"reason": text}).content.decode()
    assert "&lt;img src=x onerror=alert(1)&gt;" in opened
    inert(opened, "the opening")
    as_owner()
    version = Version.objects.get(contribution_id=sent, object__stix_type="indicator").pk
    own = browser(cast.ana).get(f"/mine/{version}/").content.decode()
    assert "gnp.exe" in own
    inert(own, "the own object")
    as_owner()
    pasted = {"step": "check", "values": f"{IMAGE}\n{TURNED}\n{FORMULA}"}
    inert(browser(cast.ana).post("/contribute/values/", pasted).content.decode(), "the check")


def inert(page: str, where: str) -> None:
    """Nothing of it is a tag, turns a direction, or stands first in a cell of a table of values."""
    assert IMAGE not in page, where
    odd = [char for char in page if ord(char) < 32 and char not in "\t\n\r"]
    assert odd == [], where
    assert not set(page) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u0085\x7f"
    ), where
    for line in page.splitlines():  # a file of values would be opened by a spreadsheet
        if not DIGEST.fullmatch(line):  # of a checkpoint or a proof: one in 64 begins so
            assert not line.startswith(("=HYPERLINK", "+", "@")), where


def test_a24_an_opened_ledger_entry_keeps_its_bytes_and_shows_no_turned_text(stage: Stage) -> None:
    """The text is a JSON string in ASCII: the digest is of the value, and no editor turns it."""
    cast, now = stage.cast, timezone.now()
    hold = Hold.objects.get()
    review.act(cast.as_(cast.dora), [hold.id], act="refuse", reason=f"no: {TURNED}", now=now)
    sequence(now)
    as_owner()
    ana = browser(cast.ana)
    page = ana.get("/entries/").content.decode()
    index = max(int(found) for found in re.findall(r"/entries/(\d+)/opening/", page))
    as_owner()
    body = ana.get(f"/entries/{index}/opening/?slot=from").content
    assert body.isascii()
    fields = json.loads(json.loads(body)["value"])
    assert fields["reason"].startswith("no: \u202e")


def test_a24_floors_from_elsewhere_change_nothing_of_it(stage: Stage) -> None:
    """A reason in a floor is shown as text too: counsel writes it, members read it."""
    document: dict[str, Any] = {"version": 2, "note": f"Windows {IMAGE} {TURNED}"}
    make_floor(timezone.now(), **document)
    inert(browser(stage.cast.ana).get("/policy/").content.decode(), "the floor")
