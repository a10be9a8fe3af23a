"""Which key a token has, for which quarters tokens are made, and which tokens may pass."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from exchange.policy import terms, tokens
from exchange.proof import oprf

MASTER = bytes(range(32))
SCOPE = tokens.key_for(MASTER, "forum", "2026Q4")
FLOOR = terms.Floor.parse(terms.shipped_floor())


def test_kinds_circles_quarters_and_masters_have_their_own_tokens() -> None:
    made = {
        tokens.token(SCOPE, "handle", "ana"),
        tokens.token(SCOPE, "device", "ana"),
        tokens.token(tokens.key_for(MASTER, "relay watch", "2026Q4"), "handle", "ana"),
        tokens.token(tokens.key_for(MASTER, "forum", "2027Q1"), "handle", "ana"),
        tokens.token(tokens.key_for(MASTER[::-1], "forum", "2026Q4"), "handle", "ana"),
    }
    assert len(made) == 5
    assert all(len(token) == 64 for token in made)


def test_the_exchange_and_a_member_make_the_same_token() -> None:
    asked = oprf.blind("handle", "ana", 5)
    assert oprf.unblind(oprf.evaluate(SCOPE.k, asked), 5) == tokens.token(SCOPE, "handle", "ana")


def test_the_form_of_a_token_is_fixed() -> None:
    # A change of this value would silently cut members off from all live tokens.
    assert tokens.token(SCOPE, "email-address", "ana@mail.example") == GOLDEN


@pytest.mark.parametrize(
    ("moment", "epoch"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "2026Q1"),
        (datetime(2026, 9, 30, 23, 59, tzinfo=UTC), "2026Q3"),
        (datetime(2026, 12, 31, tzinfo=UTC), "2026Q4"),
    ],
)
def test_the_epoch_is_the_quarter(moment: datetime, epoch: str) -> None:
    assert tokens.epoch(moment) == epoch


@pytest.mark.parametrize(
    ("moment", "made_for"),
    [
        (datetime(2026, 11, 24, tzinfo=UTC), ["2026Q4", "2026Q3"]),
        # 90 days from the first of October: the last token of September is alive until then.
        (datetime(2026, 12, 29, 23, 59, tzinfo=UTC), ["2026Q4", "2026Q3"]),
        (datetime(2026, 12, 30, tzinfo=UTC), ["2026Q4"]),
        (datetime(2027, 1, 1, tzinfo=UTC), ["2027Q1", "2026Q4"]),
    ],
)
def test_the_quarter_before_counts_until_its_last_token_has_expired(
    moment: datetime, made_for: list[str]
) -> None:
    found = tokens.quarters(moment, FLOOR)
    assert [one.epoch for one in found] == made_for
    assert [one.is_live for one in found] == [True, False][: len(found)]
    assert all(moment.date() < one.until for one in found)


def test_the_live_quarter_says_how_long_it_will_count() -> None:
    live, before = tokens.quarters(datetime(2026, 11, 24, tzinfo=UTC), FLOOR)
    assert (live.until, before.until) == (date(2027, 4, 1), date(2026, 12, 30))


def test_a_floor_with_longer_tokens_keeps_the_quarter_longer() -> None:
    document = terms.shipped_floor()
    document["kinds"]["identity-token"]["days"] = 120
    longer = terms.Floor.parse(document)
    moment = datetime(2026, 12, 31, tzinfo=UTC)
    assert len(tokens.quarters(moment, longer)) == 2
    assert len(tokens.quarters(moment, FLOOR)) == 1


KEYED: dict[str, Any] = {
    "type": "keyed-token",
    "kind": "email-address",
    "token_scheme": tokens.SCHEME,
    "key_epoch": "2026Q4",
}


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"key_epoch": "2026Q3"}, False),  # still evaluated, and yet withheld
        ({"key_epoch": "2027Q1"}, False),
        ({"key_epoch": "none"}, False),
        ({"token_scheme": "sha256"}, False),  # a plain hash of what can be guessed
        ({"token_scheme": "sha256", "kind": "api-key", "key_epoch": "none"}, True),
        ({"type": "prompt-template-fingerprint"}, True),
        ({"type": "prompt-template-fingerprint", "key_epoch": "2026Q3"}, False),
        ({"type": "prompt-template-fingerprint", "token_scheme": "sha256"}, False),
        ({"type": "ipv4-addr", "key_epoch": "2026Q3"}, True),
    ],
)
def test_only_tokens_of_the_live_quarter_pass(changes: dict[str, Any], *, passes: bool) -> None:
    obj = {**KEYED, **changes}
    assert tokens.may_pass(obj, now=datetime(2026, 11, 24, tzinfo=UTC)) is passes


def test_a_short_master_is_no_master() -> None:
    with pytest.raises(ValueError, match="32"):
        tokens.key_for(b"short", "forum", "2026Q4")


def test_keys_do_not_show_in_a_scope() -> None:
    assert str(SCOPE.k) not in repr(SCOPE)
    assert repr(SCOPE.hmac_key) not in repr(SCOPE)


GOLDEN = "beb741ecb46db76048230a2a250c7d0177973155aa4da5f70ae7088a740d4d06"
