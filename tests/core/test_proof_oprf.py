"""Blind evaluation: the published vectors, one spelling, and that an asked point says nothing."""

from hashlib import sha256

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange.proof import oprf
from exchange.proof.refused import Refused

K = 0x159749D750713AFE245D2D39CCFAAE8381C53CE92D098A9375EE70739C7AC0BF
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
scalars = st.integers(1, oprf.ORDER - 1)

# RFC 9380, appendix J.1.1.
TAG_9380 = b"QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_"
POINTS = [
    (
        b"",
        "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4",
        "8a7a74985cc5c776cdfe4b1f19884970453912e9d31528c060be9ab5c43e8415",
    ),
    (
        b"abc",
        "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f",
        "5c41b3d0731a27a7b14bc0bf0ccded2d8751f83493404c84a88e71ffd424212e",
    ),
    (
        b"abcdef0123456789",
        "65038ac8f2b1def042a5df0b33b1f4eca6bff7cb0f9c6c1526811864e544ed80",
        "cad44d40a656e7aff4002a8de287abc8ae0482b5ae825822bb870d6df9b56ca3",
    ),
    (
        b"q128_" + b"q" * 128,
        "4be61ee205094282ba8a2042bcb48d88dfbb609301c49aa8b078533dc65a0b5d",
        "98f8df449a072c4721d241a3b1236d3caccba603f916ca680f4539d2bfb3c29e",
    ),
    (
        b"a512_" + b"a" * 512,
        "457ae2981f70ca85d8e24c308b14db22f3e3862c5ea0f652ca38b5e49cd64bc5",
        "0ecb9f0eadc9aeed232dabc53235368c1394c78de05dd96893eefa62b0f4757dc",
    ),
]
# RFC 9380, appendix K.1.
EXPANDED = [
    (b"", "68a985b87eb6b46952128911f2a4412bbc302a9d759667f87f7a21d803f07235"),
    (b"abc", "d8ccab23b5985ccea865c6c97b6e5b8350e794e603b4b97902f53a8a0d605615"),
    (b"abcdef0123456789", "eff31487c770a893cfb36f912fbfcbff40d5661771ca4b2cb4eafe524333f5c1"),
]
# RFC 9497, appendix A.3.1: the mode OPRF of P256-SHA256, key `K`; x-coordinates.
TAG_9497 = b"HashToGroup-OPRFV1-\x00-P256-SHA256"
BLIND = 0x3338FA65EC36E0290022B48EB562889D89DBFA691D1CDE91517FA222ED7AD364
ROUNDS = [
    (
        b"\x00",
        "723a1e5c09b8b9c18d1dcbca29e8007e95f14f4732d9346d490ffc195110368d",
        "0de02ffec47a1fd53efcdd1c6faf5bdc270912b8749e783c7ca75bb412958832",
    ),
    (
        b"\x5a" * 17,
        "cc1df781f1c2240a64d1c297b3f3d16262ef5d4cf102734882675c26231b0838",
        "a0395fe3828f2476ffcd1f4fe540e5a8489322d398be3c4e5a869db7fcb7c52c",
    ),
]


# --- the published vectors -----------------------------------------------------------------------


@pytest.mark.parametrize(("message", "x", "y"), POINTS)
def test_the_map_is_that_of_rfc_9380(message: bytes, x: str, y: str) -> None:
    assert oprf.hash_to_curve(message, TAG_9380) == (int(x, 16), int(y, 16))


@pytest.mark.parametrize(("message", "uniform"), EXPANDED)
def test_the_expansion_is_that_of_rfc_9380(message: bytes, uniform: str) -> None:
    tag = b"QUUX-V01-CS02-with-expander-SHA256-128"
    assert oprf.expand(message, tag, 32).hex() == uniform


@pytest.mark.parametrize(("message", "blinded", "evaluated"), ROUNDS)
def test_blinding_and_evaluating_are_those_of_rfc_9497(
    message: bytes, blinded: str, evaluated: str
) -> None:
    x = oprf.hash_to_curve(message, TAG_9497)[0].to_bytes(32, "big")
    assert oprf.evaluate(BLIND, x).hex() == blinded
    assert oprf.evaluate(K, bytes.fromhex(blinded)).hex() == evaluated
    bare = sha256(oprf.evaluate(K, x)).hexdigest()
    assert oprf.unblind(bytes.fromhex(evaluated), BLIND) == bare


# --- a round -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.text(min_size=1, max_size=30), scalars, scalars)
def test_asking_blindly_gives_the_token_that_the_key_gives(value: str, k: int, r: int) -> None:
    asked = oprf.blind("handle", value, r)
    assert oprf.unblind(oprf.evaluate(k, asked), r) == oprf.token(k, "handle", value)


@settings(deadline=None, max_examples=30)
@given(scalars, scalars, st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_factors_may_be_put_on_and_taken_off_in_any_order(
    r: int, other: int, one: str, two: str
) -> None:
    for value in (one, two):
        first = oprf.evaluate(other, oprf.blind("device", value, r))
        assert first == oprf.evaluate(r, oprf.blind("device", value, other))


def test_one_value_is_asked_in_another_way_each_time() -> None:
    assert oprf.blind("handle", "ana", 5) != oprf.blind("handle", "ana", 6)


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=80))
def test_every_message_has_a_point_on_the_curve(message: bytes) -> None:
    x, y = oprf.hash_to_curve(message, oprf.TAG)
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    assert (y * y - (x**3 - 3 * x + b)) % P == 0
    assert oprf.evaluate(1, x.to_bytes(32, "big")) == x.to_bytes(32, "big")


def test_adding_is_the_addition_of_the_curve() -> None:
    one = oprf.hash_to_curve(b"one", oprf.TAG)
    twice = oprf.add(one, one)
    assert twice[0].to_bytes(32, "big") == oprf.evaluate(2, one[0].to_bytes(32, "big"))
    thrice = oprf.add(twice, one)
    assert thrice[0].to_bytes(32, "big") == oprf.evaluate(3, one[0].to_bytes(32, "big"))
    with pytest.raises(Refused, match="infinity"):
        oprf.add(one, (one[0], P - one[1]))


def test_the_exceptional_case_of_the_map_is_on_the_curve() -> None:
    x, y = oprf._swu(0)
    assert oprf.evaluate(1, x.to_bytes(32, "big")) == x.to_bytes(32, "big")
    assert y % 2 == 0


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        bytes(31),
        bytes(33),
        b"\x00" * 31 + b"\x01",  # no point has this x
        P.to_bytes(32, "big"),  # not below the prime
        (P + 5).to_bytes(32, "big"),
        b"\xff" * 32,
    ],
)
def test_what_is_no_point_is_not_evaluated(bad: bytes) -> None:
    with pytest.raises(Refused) as refused:
        oprf.evaluate(K, bad)
    assert refused.value.code == "token.point"
    with pytest.raises(Refused):
        oprf.unblind(bad, 7)


@pytest.mark.parametrize("scalar", [-1, 0, oprf.ORDER, oprf.ORDER + 1])
def test_a_factor_that_could_give_the_point_at_infinity_is_refused(scalar: int) -> None:
    with pytest.raises(Refused, match="factor"):
        oprf.blind("handle", "ana", scalar)
    with pytest.raises(Refused, match="factor"):
        oprf.multiplier(scalar)


def test_the_largest_factor_only_turns_the_sign_around() -> None:
    x = oprf.point("handle", "ana")
    assert oprf.evaluate(oprf.ORDER - 1, x) == x


# --- one spelling --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("email-address", "Ana@Mail.Example", "ana@mail.example"),
        ("email-address", "\uff41na@mail.example", "ana@mail.example"),
        ("recovery-address", " ana@mail.example", "ana@mail.example"),
        ("email-domain", "Mail.Example.", "mail.example"),
        ("ip-address", "2001:DB8:0:0::1", "2001:db8::1"),
        ("ip-address", "198.51.100.7/32", "198.51.100.7"),
        ("ip-address", "198.51.100.7/24", "198.51.100.0/24"),
        ("ip-address", "No-Address", "no-address"),
        ("phone", "+1 (555) 010-0000", "+15550100000"),
        ("payment-instrument", "4111 1111-1111 1111", "4111111111111111"),
        ("handle", " Ana ", "ana"),
    ],
)
def test_spellings_of_one_value_have_one_token(kind: str, one: str, other: str) -> None:
    assert oprf.normalise(kind, one) == other
    assert oprf.token(K, kind, one) == oprf.token(K, kind, other)


@pytest.mark.parametrize("kind", ["device", "legal-entity", "wallet"])
def test_raw_kinds_are_taken_as_they_are(kind: str) -> None:
    assert oprf.normalise(kind, " A\uff41 ") == " A\uff41 "


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(oprf.NORMALISATIONS)), st.text(max_size=20))
@example("payment-instrument", "K\u00b8")
def test_a_spelling_once_made_stays(kind: str, value: str) -> None:
    once = oprf.normalise(kind, value)
    assert oprf.normalise(kind, once) == once


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        ("email-address", "ana@mail.example", ""),
        ("email-address", "ana", "token.value"),
        ("email-address", "ana b@mail.example", "token.value"),
        ("email-domain", "mail.example", ""),
        ("email-domain", "ana@mail.example", "token.value"),
        ("phone", "+15550100000", ""),
        ("phone", "0100", "token.value"),
        ("ip-address", "198.51.100.7", ""),
        ("ip-address", "198.51.100.0/24", "token.value"),  # a token stands for one address
        ("ip-address", "relay.example", "token.value"),
        ("handle", "ana", ""),
        ("handle", "  ", "token.value"),
        ("device", "x" * 4_096, ""),
        ("device", "x" * 4_097, "token.value"),
        ("device", "\ud800", "token.value"),
        ("device", "a\nb", "token.value"),
        ("api-key", "weir_1", "token.kind"),
        ("unheard-of", "x", "token.kind"),
    ],
)
def test_what_would_match_nothing_is_refused_and_not_named(
    kind: str, value: str, fault: str
) -> None:
    if not fault:
        assert oprf.checked(kind, value) == value
        return
    with pytest.raises(Refused) as refused:
        oprf.checked(kind, value)
    assert refused.value.code == fault
    assert value not in refused.value.sentence.split() or fault == "token.kind"
