"""A6 and A7: nobody tests guesses against tokens beyond its quota, and a database thief none."""

import json
import logging
from collections.abc import Iterable, Iterator
from hashlib import sha256, sha512
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from exchange import tokens
from exchange.celery import app
from exchange.models import TokenAlarm, TokenCall, TokenDay
from exchange.policy import tokens as keyed
from exchange.proof import oprf
from exchange.proof.keys import b64url, unb64url
from exchange.proof.refused import Refused
from indicators.stix import ids
from members.scope import acting
from tests.doors.clients import client_of
from tests.doors.stage import as_owner
from tests.promises.test_canaries import dump
from tests.shell import sharing
from tests.shell.sharing import NOON, Way
from tests.shell.test_tokens import machine

pytestmark = pytest.mark.django_db
SECRET = "cnry-who@mail.example"
KIND = "email-address"
GUESSES = 10_000


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Iterator[Way]:
    cast = sharing.set_up(settings, tmp_path)
    yield Way(cast, cast.relay_watch)
    as_owner()


def email(value: str) -> dict[str, Any]:
    obj = {"type": "email-addr", "spec_version": "2.1", "value": value}
    return {**obj, "id": ids.deterministic(obj)}


def received(way: Way) -> list[str]:
    """The tokens that Ben holds of what Ana gave."""
    way.pass_on(email(SECRET), now=NOON)
    sharing.leave(now=NOON.replace(hour=14))
    held = sharing.bodies(sharing.feed(way.cast.borealis, now=NOON.replace(hour=14)))
    return [obj["value"] for obj in held if obj["type"] == "keyed-token"]


# --- A6 ------------------------------------------------------------------------------------------


def test_a06_ten_thousand_guesses_are_stopped_by_the_quota_and_raise_an_alarm(
    way: Way, settings: LazySettings
) -> None:
    """Borealis has just joined and wants to know whom Aurora reported: it tries a list of names."""
    (token,) = received(way)
    ben = machine(way.cast.ben)
    asked, matched, told = 0, [], set()
    point = oprf.blind(KIND, "guess@mail.example", 7)
    for start in range(0, GUESSES, 500):
        with acting(ben.acting()):
            try:
                found = tokens.evaluate(ben, way.circle.id, "2026Q4", [point] * 500, now=NOON)
            except Refused as refused:  # answered inside, as a request is: what is counted stays
                told.add(refused.code)
                continue
        asked += len(found.points)
        matched += [x for x in found.points[:1] if oprf.unblind(x, 7) == token]
        assert start < settings.TOKEN_QUOTA_NEW
    assert asked == settings.TOKEN_QUOTA_NEW == 2_000
    assert (matched, told) == ([], {"token.quota"})
    row = TokenDay.objects.get()
    assert (row.used, row.refused) == (2_000, 8_000)
    assert {alarm.kind for alarm in TokenAlarm.objects.all()} == {"share", "quota"}
    for person in (way.cast.dora, way.cast.otto, way.cast.pia):
        who = way.cast.as_(person)
        with acting(who.acting()):
            assert {one.member for one in tokens.alarms(who, now=NOON)} == {"Borealis"}


def test_a06_one_full_batch_of_a_new_member_is_refused_whole(way: Way) -> None:
    ben = machine(way.cast.ben)
    point = oprf.point(KIND, "guess@mail.example")
    with pytest.raises(Refused, match="2,000 values a day and has 2,000 left"):
        tokens.evaluate(ben, way.circle.id, "2026Q4", [point] * GUESSES, now=NOON)
    assert TokenDay.objects.get().used == 0
    assert [call.is_charged for call in TokenCall.objects.all()] == [False]


def test_a06_more_credentials_and_circles_give_no_more_guesses(
    way: Way, settings: LazySettings
) -> None:
    settings.TOKEN_QUOTA_NEW = 4
    point = oprf.point(KIND, "guess@mail.example")
    places = [(way.cast.forum.id, "2026Q4"), (way.circle.id, "2026Q3"), (way.circle.id, "2026Q4")]
    answers = []
    for number, (circle, epoch) in enumerate(places):
        who = machine(way.cast.ben, name=f"key {number}")
        try:
            tokens.evaluate(who, circle, epoch, [point] * 2, now=NOON)
            answers.append("evaluated")
        except Refused as refused:
            answers.append(refused.code)
    assert answers == ["evaluated", "evaluated", "token.quota"]


# --- A7 ------------------------------------------------------------------------------------------


def test_a07_a_member_s_material_alone_does_not_verify_a_guess(way: Way) -> None:
    """Ben has the program, tokens of his own values with their blinding and the answers, and the
    token that Ana's value became. He knows the value, and still cannot tell that it is hers."""
    (token,) = received(way)
    ben = machine(way.cast.ben)
    own = [f"own-{n}@mail.example" for n in range(6)]
    factors = [1_000_003 + n for n in range(6)]
    asked = [oprf.blind(KIND, value, r) for value, r in zip(own, factors, strict=True)]
    found = tokens.evaluate(ben, way.circle.id, "2026Q4", asked, now=NOON).points
    bare = [oprf.evaluate(pow(r, -1, oprf.ORDER), x) for x, r in zip(found, factors, strict=True)]
    material = [
        *asked,
        *found,
        *bare,
        *(oprf.unblind(x, r).encode() for x, r in zip(found, factors, strict=True)),
    ]
    material += [str(way.circle.id).encode(), b"2026Q4", str(way.cast.borealis.id).encode()]
    assert bytes.fromhex(token) not in _hashes(_combined(oprf.point(KIND, SECRET), material))
    # Every number at hand, tried as the key.
    scalars = {int.from_bytes(part[:32], "big") % oprf.ORDER for part in material if part}
    scalars |= {a * pow(b, -1, oprf.ORDER) % oprf.ORDER for a in factors for b in factors}
    made = {oprf.token(k, KIND, SECRET) for k in scalars - {0}}
    assert token not in made
    # With the one question that the quota counts, it would show: the guess was right.
    answer = tokens.evaluate(ben, way.circle.id, "2026Q4", [oprf.blind(KIND, SECRET, 5)], now=NOON)
    assert oprf.unblind(answer.points[0], 5) == token


def _combined(point: bytes, material: Iterable[bytes]) -> Iterator[bytes]:
    spelled = [SECRET.encode(), f"{KIND}\x00{SECRET}".encode(), point]
    for text in spelled:
        yield text
        for part in material:
            yield part + text
            yield text + part
            yield bytes(a ^ b for a, b in zip(part, text, strict=False))


def _hashes(texts: Iterable[bytes]) -> set[bytes]:
    made = set()
    for text in texts:
        made |= {sha256(text).digest(), sha512(text).digest()[:32], text[:32]}
    return made


def test_a07_last_quarter_s_tokens_and_another_circle_s_are_of_no_use(way: Way) -> None:
    ben = machine(way.cast.ben)
    scopes = [(way.circle.id, "2026Q4"), (way.circle.id, "2026Q3"), (way.cast.forum.id, "2026Q4")]
    made = []
    for circle, epoch in scopes:
        x = tokens.evaluate(ben, circle, epoch, [oprf.blind(KIND, SECRET, 9)], now=NOON).points[0]
        made.append(oprf.unblind(x, 9))
    assert all(one != other for one, other in combinations(made, 2))


def test_a07_a_thief_of_the_database_has_no_key_and_verifies_no_guess(
    way: Way, settings: LazySettings
) -> None:
    """Everything that PostgreSQL holds, and the right guess: without TOKEN_KEY it shows nothing."""
    (token,) = received(way)
    ben = machine(way.cast.ben)
    tokens.evaluate(ben, way.circle.id, "2026Q4", [oprf.blind(KIND, SECRET, 11)], now=NOON)
    stolen = dump()
    scope = keyed.key_for(settings.TOKEN_KEY, str(way.circle.id), "2026Q4")
    assert keyed.token(scope, KIND, SECRET) == token
    assert token.encode() in stolen  # the token itself was released, so it is there
    k = scope.k.to_bytes(32, "big")
    for secret in (settings.TOKEN_KEY, k, scope.hmac_key):
        assert secret.lower() not in stolen  # the dump is in lower case
        assert secret.hex().encode() not in stolen
    assert str(scope.k).encode() not in stolen
    point = oprf.point(KIND, SECRET)
    parts = [str(way.circle.id).encode(), way.circle.id.bytes, b"2026Q4", b"weir/token/v1"]
    for guess in _hashes(_combined(point, parts)):
        assert guess.hex().encode() not in stolen
    assert oprf.evaluate(11, point).hex().encode() not in stolen  # nor what was asked


def test_no_value_point_or_token_is_in_a_log_a_broker_or_a_row(
    way: Way, broker: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = client_of(way.cast.ben, "tokens")
    offer = client.get("/api/tokens/").json()
    asked = b64url(oprf.blind(KIND, SECRET, 13))
    body = {"circle": str(way.circle.id), "epoch": offer["epochs"][0]["epoch"]}
    good = _post(client, {**body, "points": [asked]})
    bad = _post(client, {**body, "points": [asked, b64url(b"\xff" * 32)]})
    worse = _post(client, {**body, "points": [asked], SECRET: SECRET})
    assert [answer.status_code for answer in (good, bad, worse)] == [200, 400, 400]
    as_owner()
    answered = good.json()["points"][0]
    token = oprf.unblind(unb64url(answered), 13)
    marks = {SECRET, asked, answered, token, unb64url(asked).hex(), unb64url(answered).hex()}
    said = caplog.text + "".join(capfd.readouterr())
    kept = b"".join(_kept()).decode("latin-1")
    rows = dump().decode("latin-1")
    for mark in marks:
        for place in (said, kept, rows, bad.content.decode(), worse.content.decode()):
            assert mark.lower() not in place.lower()


def _post(client: Any, body: dict[str, Any]) -> Any:
    as_owner()
    return client.post("/api/tokens/", json.dumps(body), content_type="application/json")


def _kept() -> Iterator[bytes]:
    with app.connection_for_read() as channel:
        client = channel.default_channel.client  # type: ignore[attr-defined] # Redis has one
        for name in client.keys("*"):
            yield name
            if client.type(name) == b"list":
                yield from client.lrange(name, 0, -1)
