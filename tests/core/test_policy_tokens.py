"""One function makes tokens, whether the exchange computes it or a member asks blindly."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.policy import tokens

MASTER = bytes(range(32))
SCOPE = tokens.key_for(MASTER, "forum", "2026Q4")


@settings(deadline=None, max_examples=30)
@given(st.text(min_size=1, max_size=30), st.integers(1, tokens.ORDER - 1))
def test_asking_blindly_gives_the_same_token(value: str, r: int) -> None:
    asked = tokens.blinded("handle", value, r)
    assert tokens.unblinded(tokens.evaluate(SCOPE, asked), r) == tokens.token(
        SCOPE, "handle", value
    )


def test_what_is_asked_says_nothing_of_the_value() -> None:
    assert tokens.blinded("handle", "ana", 5) != tokens.blinded("handle", "ana", 6)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("email-address", "Ana@Mail.Example", "ana@mail.example"),
        ("email-address", "\uff41na@mail.example", "ana@mail.example"),
        ("ip-address", "2001:DB8:0:0::1", "2001:db8::1"),
        ("ip-address", "198.51.100.7/32", "198.51.100.7"),
        ("phone", "+1 (555) 010-0000", "+15550100000"),
        ("handle", " Ana ", "ana"),
    ],
)
def test_spellings_of_one_value_have_one_token(kind: str, one: str, other: str) -> None:
    assert tokens.token(SCOPE, kind, one) == tokens.token(SCOPE, kind, other)


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


def test_what_is_no_point_is_not_evaluated() -> None:
    for bad in (b"", b"\x00" * 31, b"\xff" * 32):
        with pytest.raises(ValueError, match=".*"):
            tokens.evaluate(SCOPE, bad)


def test_a_short_master_is_no_master() -> None:
    with pytest.raises(ValueError, match="32"):
        tokens.key_for(b"short", "forum", "2026Q4")


def test_keys_do_not_show_in_a_scope() -> None:
    assert str(SCOPE.k) not in repr(SCOPE)
    assert repr(SCOPE.hmac_key) not in repr(SCOPE)


GOLDEN = "1c602ea935c910ef609b241bdf608c37606fd73444a42de277e3ede4b50b9065"
