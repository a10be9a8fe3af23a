"""Tokens: made byte for byte as published, opened by an independent library, and by ours alone."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws as independent
from joserfc.jwk import OKPKey

from exchange.proof import claims, jcs, jws
from exchange.proof.claims import Delivery, Manifest, Receiver
from exchange.proof.jws import DELIVERY, MANIFEST, Key, KeySet
from exchange.proof.keys import b64url, unb64url
from exchange.proof.refused import Refused
from exchange.signers import Signer, signer_of

MANIFEST_PAYLOAD = (
    '{"count":2,"iat":1795449600,"id":"bundle--5d0092c5-5f74-4287-9642-33f4c354e56d",'
    '"iss":"https://exchange.example","ledger":"exchange.example/ledger",'
    '"media":"application/stix+json;version=2.1",'
    '"objects_sha256":"e3876a43c8558e7e99b0f151f6a3262d9e9044d9a8ab527cf9feb4107b0a0572",'
    '"sha256":"fc5f55316315b0715509df34e5f62429f7a8db14eece0969d75d66e63fc2bc4d",'
    '"size":644,"v":1}'
)
MANIFEST_TOKEN = (
    "eyJhbGciOiJFZERTQSIsImtpZCI6IlAzRS1rVFpCV2IwUFpxbFpfa1lUd20yV2JUeGJSZHlMRXc5bUxNaFlyaW8iLCJ0"
    "eXAiOiJ3ZWlyLW1hbmlmZXN0K2pzb24ifQ."
    + b64url(MANIFEST_PAYLOAD.encode())
    + ".8KX2cgTzngNB1Y_JAZz8soqg2FYz2FbalOOcKm-X0eNBpqhdGfPL4X4eKsjVr1i6BXs315KDna_qmv-qP-iaBQ"
)
DELIVERY_PAYLOAD = (
    '{"aud":"https://soc.member.example/hooks/weir","event":"bundle","exp":1795449905,'
    '"iat":1795449605,"iss":"https://exchange.example","jti":"dlv_0001","seq":17,"seqs":"5-6",'
    '"sha256":"fc5f55316315b0715509df34e5f62429f7a8db14eece0969d75d66e63fc2bc4d",'
    '"size":644,"sub":"sub_01"}'
)
DELIVERY_TOKEN = (
    "eyJhbGciOiJFZERTQSIsImtpZCI6Ik55LTlpbXBsSElIUk5aOVdfaVVPY2lKbUs4RFV2ekJTeXhFTzFRVUZ6OXciLCJ0"
    "eXAiOiJ3ZWlyLWRlbGl2ZXJ5K2p3dCJ9."
    + b64url(DELIVERY_PAYLOAD.encode())
    + ".LpCwmYLe_MOqficcx4rnRkl1znNmr0K-yST5shnf0h47euA4vp2jvwgs3Otau9MoyA4AVS2w7zaKlxuSEmrfBw"
)
RECEIVER = Receiver("https://exchange.example", "https://soc.member.example/hooks/weir")
NOW = 1795449610


def signer(name: str) -> Signer:
    seed = hashlib.sha256(f"weir test vector {name}".encode()).digest()
    return signer_of(Ed25519PrivateKey.from_private_bytes(seed))


BUNDLE_KEY, DELIVERY_KEY = signer("bundle key 1"), signer("delivery key 1")
BUNDLE = Key(BUNDLE_KEY.public, "bundle", status="active")
DELIVER = Key(DELIVERY_KEY.public, "delivery", 1795449000, 1800000000, "active")
KEYS = KeySet((BUNDLE, DELIVER))
MANIFEST_VALUE = Manifest(**json.loads(MANIFEST_PAYLOAD))
DELIVERY_VALUE = Delivery(**json.loads(DELIVERY_PAYLOAD))


def refusal(call: Callable[..., object], *args: object, **named: object) -> str:
    with pytest.raises(Refused) as refused:
        call(*args, **named)
    return refused.value.code


def test_vectors_are_made_byte_for_byte() -> None:
    assert BUNDLE.kid == "P3E-kTZBWb0PZqlZ_kYTwm2WbTxbRdyLEw9mLMhYrio"
    assert DELIVER.kid == "Ny-9implHIHRNZ9W_iUOciJmK8DUvzBSyxEO1QUFz9w"
    assert b64url(DELIVER.public) == "G3MyucEdhmo5v4MehokEH3tLiu1MxTH2RtHuXsOC1XY"
    assert Key(BUNDLE.public).jwk() == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "Jl4_Cp3O2GhrT04blGh8GxXPM5xWcqwjepXeWwDoMpg",
        "kid": "P3E-kTZBWb0PZqlZ_kYTwm2WbTxbRdyLEw9mLMhYrio",
        "alg": "EdDSA",
        "use": "sig",
    }
    assert MANIFEST_VALUE.payload() == MANIFEST_PAYLOAD.encode()
    assert MANIFEST_VALUE.sign(BUNDLE_KEY) == MANIFEST_TOKEN
    assert DELIVERY_VALUE.payload() == DELIVERY_PAYLOAD.encode()
    assert DELIVERY_VALUE.sign(DELIVERY_KEY) == DELIVERY_TOKEN


def test_vectors_open() -> None:
    assert jws.open(MANIFEST_TOKEN, KEYS, typ=MANIFEST) == MANIFEST_PAYLOAD.encode()
    assert claims.open_manifest(MANIFEST_TOKEN, KEYS) == MANIFEST_VALUE
    assert claims.open_delivery(DELIVERY_TOKEN, KEYS, RECEIVER, now=NOW) == DELIVERY_VALUE


# RFC 9864 prefers the name Ed25519; members' libraries still know EdDSA, so we say that.
old_name = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@old_name
@pytest.mark.parametrize(("token", "key"), [(MANIFEST_TOKEN, BUNDLE), (DELIVERY_TOKEN, DELIVER)])
def test_an_independent_library_opens_what_we_sign(token: str, key: Key) -> None:
    known = OKPKey.import_key({name: str(value) for name, value in key.jwk().items()})
    opened = independent.deserialize_compact(token, known, algorithms=["EdDSA"])
    assert opened.payload == unb64url(token.split(".")[1])


@old_name
def test_we_open_what_an_independent_library_signs() -> None:
    seed = hashlib.sha256(b"weir test vector bundle key 1").digest()
    private = OKPKey.import_key({**BUNDLE.jwk(), "d": b64url(seed)})  # type: ignore[dict-item]
    header = {"alg": "EdDSA", "kid": BUNDLE.kid, "typ": MANIFEST}
    token = independent.serialize_compact(header, b"{}", private, algorithms=["EdDSA"])
    assert jws.open(token, KEYS, typ=MANIFEST) == b"{}"


def token_with(header: object, payload: bytes = b"{}", key: Signer = BUNDLE_KEY) -> str:
    """A token with any header, well signed."""
    signed = f"{b64url(json.dumps(header).encode())}.{b64url(payload)}"
    return f"{signed}.{b64url(key.sign(signed.encode()))}"


HEADER = {"alg": "EdDSA", "kid": BUNDLE.kid, "typ": MANIFEST}


def test_both_names_of_the_algorithm_are_accepted() -> None:
    for alg in ("EdDSA", "Ed25519"):
        assert jws.open(token_with({**HEADER, "alg": alg}), KEYS, typ=MANIFEST) == b"{}"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({**HEADER, "alg": "none"}, "jws.alg"),
        ({**HEADER, "alg": "HS256"}, "jws.alg"),
        ({**HEADER, "alg": "ES256"}, "jws.alg"),
        ({**HEADER, "jwk": BUNDLE.jwk()}, "jws.own-key"),
        ({**HEADER, "jku": "https://exchange.example/jwks.json"}, "jws.own-key"),
        ({**HEADER, "x5u": "https://exchange.example/cert"}, "jws.own-key"),
        ({**HEADER, "x5c": []}, "jws.own-key"),
        ({**HEADER, "crit": ["b64"], "b64": False}, "jws.header"),
        ({"alg": "EdDSA", "typ": MANIFEST}, "jws.header"),
        ({**HEADER, "kid": 5}, "jws.header"),
        ({**HEADER, "kid": "unheard of"}, "jws.unknown-key"),
        ({**HEADER, "kid": DELIVER.kid}, "signature.bad"),
        ({**HEADER, "typ": DELIVERY}, "jws.typ"),
        ([], "jws.header"),
    ],
)
def test_headers_of_any_other_kind_are_refused(header: object, code: str) -> None:
    assert refusal(jws.open, token_with(header), KEYS, typ=MANIFEST) == code


def test_a_token_never_passes_for_one_of_the_other_kind() -> None:
    receive = claims.open_delivery
    assert refusal(receive, MANIFEST_TOKEN, KEYS, RECEIVER, now=NOW) == "jws.typ"
    assert refusal(claims.open_manifest, DELIVERY_TOKEN, KEYS) == "jws.typ"


def test_a_key_of_another_purpose_does_not_sign_manifests() -> None:
    token = MANIFEST_VALUE.sign(DELIVERY_KEY)
    assert refusal(claims.open_manifest, token, KEYS) == "jws.purpose"
    plain = KeySet((Key(BUNDLE.public),))  # a copy without our own members: any purpose
    assert claims.open_manifest(MANIFEST_TOKEN, plain) == MANIFEST_VALUE


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        MANIFEST_TOKEN + ".x",
        MANIFEST_TOKEN + "=",
        MANIFEST_TOKEN.replace("-", "+"),
        MANIFEST_TOKEN[:-1],
        MANIFEST_TOKEN[:-1] + "R",  # spare bits: a second spelling
        MANIFEST_TOKEN + " ",
        "." + MANIFEST_TOKEN.partition(".")[2],
        MANIFEST_TOKEN.rpartition(".")[0] + ".",
        "é." + MANIFEST_TOKEN.partition(".")[2],
        "x" * 20_000,
    ],
)
def test_tokens_have_one_spelling(token: str) -> None:
    assert refusal(jws.open, token, KEYS, typ=MANIFEST)


def test_a_manifest_with_another_digest_is_refused() -> None:
    payload = MANIFEST_PAYLOAD.replace('"sha256":"fc5f', '"sha256":"0c5f')
    head, _, tail = MANIFEST_TOKEN.split(".")
    altered = f"{head}.{b64url(payload.encode())}.{tail}"
    assert refusal(claims.open_manifest, altered, KEYS) == "signature.bad"


# Keys


def test_revoked_keys_stand_only_for_what_witnesses_saw_before() -> None:
    keys = KeySet((replace(BUNDLE, status="revoked", revoked_at=1795450000),))
    opened = claims.open_manifest(MANIFEST_TOKEN, keys, cosigned_at=1795449999)
    assert opened == MANIFEST_VALUE
    for late in (None, 1795450000, 1795450001):
        code = refusal(claims.open_manifest, MANIFEST_TOKEN, keys, cosigned_at=late)
        assert code == "jws.revoked"
    assert refusal(jws.open, MANIFEST_TOKEN, keys, typ=MANIFEST) == "jws.revoked"
    undated = KeySet((replace(BUNDLE, status="revoked"),))
    assert refusal(claims.open_manifest, MANIFEST_TOKEN, undated, cosigned_at=1) == "jws.revoked"


@pytest.mark.parametrize("status", ["next", "active", "retired"])
def test_next_and_retired_keys_verify_too(status: str) -> None:
    keys = KeySet((replace(BUNDLE, status=status),))
    assert claims.open_manifest(MANIFEST_TOKEN, keys) == MANIFEST_VALUE


@pytest.mark.parametrize("change", [{"nbf": 1795449601}, {"exp": 1795449599}])
def test_a_key_signs_only_in_its_own_time(change: dict[str, int]) -> None:
    keys = KeySet((replace(BUNDLE, **change),))  # type: ignore[arg-type]  # a table
    assert refusal(claims.open_manifest, MANIFEST_TOKEN, keys) == "jws.key-time"


def test_a_jwks_reads_back() -> None:
    revoked = replace(DELIVER, status="revoked", revoked_at=1795450000)
    for keys in (KEYS, KeySet((BUNDLE, revoked)), KeySet(())):
        assert KeySet.parse(jcs.encode(keys.document())) == keys


def test_keys_of_other_algorithms_are_passed_over() -> None:
    others = [{"kty": "AKP", "alg": "ML-DSA-44"}, {**BUNDLE.jwk(), "alg": "X"}, {"kty": "EC"}]
    document = {"keys": [*others, {**DELIVER.jwk(), "alg": "Ed25519"}]}
    assert KeySet.parse(jcs.encode(document)) == KeySet((DELIVER,))


@pytest.mark.parametrize(
    "change",
    [
        {"kid": "another"},
        {"x": "AAAA"},
        {"x": None},
        {"d": "AAAA"},
        {"weir_status": "resting"},
        {"weir_status": 1},
        {"weir_purpose": []},
        {"weir_nbf": "1"},
        {"weir_exp": True},
        {"weir_revoked_at": 1.5},
    ],
)
def test_keys_that_are_not_in_their_form_are_refused(change: dict[str, object]) -> None:
    assert KeySet.parse(jcs.encode({"keys": [BUNDLE.jwk()]})).keys == (BUNDLE,)
    assert refusal(KeySet.parse, jcs.encode({"keys": [{**BUNDLE.jwk(), **change}]}))


@pytest.mark.parametrize("document", [b"[]", b"{}", b'{"keys":{}}', b'{"keys":[1]}', b"x"])
def test_what_is_not_a_jwks_is_refused(document: bytes) -> None:
    assert refusal(KeySet.parse, document) in {"jwks.form", "jcs.json"}


# Claims


def test_a_manifest_describes_a_body() -> None:
    described = claims.manifest(
        b"{}", [bytes(32), bytes(32)], iss="i", bundle_id="b", iat=1, ledger="l"
    )
    assert (described.size, described.count) == (2, 2)
    assert described.sha256 == hashlib.sha256(b"{}").hexdigest()
    assert described.objects_sha256 == hashlib.sha256(bytes(64)).hexdigest()


def manifest_token(payload: object) -> str:
    return jws.sign(jcs.encode(payload), typ=MANIFEST, signer=BUNDLE_KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"media": "text/plain"},
        {"iat": "1795449600"},
        {"iat": True},
        {"iat": -1},
        {"iat": 2**50},
        {"sha256": "00"},
        {"objects_sha256": "FF" * 32},
        {"iss": None},
        {"iss": "\x1b[2J"},
        {"to": "member-b"},
    ],
)
def test_manifests_of_another_form_are_refused(change: dict[str, object]) -> None:
    value = json.loads(MANIFEST_PAYLOAD)
    assert claims.open_manifest(manifest_token(value), KEYS) == MANIFEST_VALUE
    code = refusal(claims.open_manifest, manifest_token({**value, **change}), KEYS)
    assert code == "manifest.claims"


def test_a_manifest_is_an_object_with_all_claims() -> None:
    value = json.loads(MANIFEST_PAYLOAD)
    del value["ledger"]
    assert refusal(claims.open_manifest, manifest_token(value), KEYS) == "manifest.claims"
    assert refusal(claims.open_manifest, manifest_token([]), KEYS) == "manifest.claims"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aud": RECEIVER.aud + "/"}, "delivery.aud"),
        ({"iss": "https://exchange.example/"}, "delivery.iss"),
        ({"exp": 1795449906}, "delivery.window"),
        ({"exp": 1795449605}, "delivery.window"),
        ({"event": "party"}, "delivery.claims"),
        ({"seq": 0}, "delivery.claims"),
        ({"seq": "17"}, "delivery.claims"),
        ({"sha256": "ff"}, "delivery.claims"),
        ({"jti": None}, "delivery.claims"),
        ({"seqs": "6-5"}, "delivery.seqs"),
        ({"iat": 1795448000, "exp": 1795448300}, "jws.key-time"),
    ],
)
def test_deliveries_that_claim_something_else_are_refused(
    change: dict[str, object], code: str
) -> None:
    payload = jcs.encode({**json.loads(DELIVERY_PAYLOAD), **change})
    token = jws.sign(payload, typ=DELIVERY, signer=DELIVERY_KEY)
    assert refusal(claims.open_delivery, token, KEYS, RECEIVER, now=NOW) == code


def test_claims_unheard_of_do_not_stop_a_delivery() -> None:
    payload = jcs.encode({**json.loads(DELIVERY_PAYLOAD), "new": [1]})
    token = jws.sign(payload, typ=DELIVERY, signer=DELIVERY_KEY)
    assert claims.open_delivery(token, KEYS, RECEIVER, now=NOW) == DELIVERY_VALUE


@pytest.mark.parametrize("now", [1795449545, 1795449905, 1795449965])
def test_a_delivery_is_good_within_its_window_and_a_minute_of_leeway(now: int) -> None:
    assert claims.open_delivery(DELIVERY_TOKEN, KEYS, RECEIVER, now=now)


@pytest.mark.parametrize("now", [1795449544, 1795449966])
def test_a_delivery_is_refused_outside_of_it(now: int) -> None:
    code = refusal(claims.open_delivery, DELIVERY_TOKEN, KEYS, RECEIVER, now=now)
    assert code == "delivery.time"


@pytest.mark.parametrize(
    ("numbers", "text", "spans"),
    [
        ([], "", ()),
        ([47, 41, 43, 42, 41], "41-43,47", ((41, 43), (47, 47))),
        ([1], "1", ((1, 1),)),
    ],
)
def test_ledger_numbers_are_spelled_as_ranges(
    numbers: list[int], text: str, spans: tuple[tuple[int, int], ...]
) -> None:
    assert claims.spell_ranges(numbers) == text
    assert claims.parse_ranges(text) == spans


@pytest.mark.parametrize("text", [",", "0", "01", "3-2", "5,4", "5,5", "1-3,3", "1 ", "a", "1-"])
def test_other_spellings_of_ranges_are_refused(text: str) -> None:
    assert refusal(claims.parse_ranges, text) == "delivery.seqs"
