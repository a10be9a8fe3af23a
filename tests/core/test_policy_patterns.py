"""What a recipient reads of a pattern: it may say less than was contributed, never more."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.policy import decide, render
from exchange.proof.refused import Refused
from indicators.stix import patterns
from tests.core import policy_material as material

LIVE, PAST = "2026Q4", "2026Q3"
TOKEN = "0c4f" * 16
BAND = "6229cd42e6b91157"
HASH = "d41d8cd98f00b204e9800998ecf8427e"


def keyed_token(**changes: Any) -> dict[str, Any]:
    """A token object as the members' command writes it."""
    return {
        "type": "keyed-token",
        "spec_version": "2.1",
        "id": "keyed-token--9934f1fc-d529-56e9-a187-b3a1e379645c",
        "kind": "email-address",
        "value": TOKEN,
        "token_scheme": "oprf-p256-sha256",
        "key_domain": "forum",
        "key_epoch": LIVE,
        **changes,
    }


def template(**changes: Any) -> dict[str, Any]:
    """A prompt template's fingerprint."""
    return {
        "type": "prompt-template-fingerprint",
        "spec_version": "2.1",
        "id": "prompt-template-fingerprint--5ffad656-d11c-5714-aba5-87cf6cc4c17b",
        "algorithm": "minhash128/w3/bands32x4/hmac64/normalise-v1",
        "bands": [BAND + "00" * 24],
        "token_scheme": "oprf-p256-sha256",
        "key_domain": "forum",
        "key_epoch": LIVE,
        **changes,
    }


def left_of(pattern: str, *beside: dict[str, Any], **policy: Any) -> str | None:
    """What is left of a pattern that is contributed beside other objects."""
    came = material.released(
        [material.indicator(pattern=pattern), *beside],
        under=material.terms_of(policy or None),
    )
    made = came.renditions.get(material.indicator()["id"])
    return str(json.loads(made.body)["pattern"]) if made else None


@pytest.mark.parametrize(
    ("beside", "passes"),
    [
        ([], False),
        ([keyed_token()], True),
        ([keyed_token(key_epoch=PAST)], False),
        ([keyed_token(token_scheme="sha256")], False),
        ([keyed_token(token_scheme="sha256", kind="api-key")], True),
        ([keyed_token(value="1d50" * 16)], False),
    ],
)
def test_a_token_in_a_pattern_is_believed_through_its_object(
    beside: list[dict[str, Any]],
    passes: bool,  # noqa: FBT001 - a column of the table
) -> None:
    pattern = f"[keyed-token:value = '{TOKEN}']"
    assert left_of(pattern, *beside) == (pattern if passes else None)


@pytest.mark.parametrize(
    ("more", "passes"),
    [
        (f" AND keyed-token:key_epoch = '{LIVE}'", True),
        (f" AND keyed-token:key_epoch = '{PAST}'", False),
        (f" OR keyed-token:key_epoch = '{LIVE}'", False),
        (f" AND keyed-token:key_epoch != '{LIVE}'", False),
        (f" AND keyed-token:key_epoch NOT = '{LIVE}'", False),
        (" AND keyed-token:kind = 'api-key'", True),
        (" AND keyed-token:kind = 'email-address'", False),
        (
            f" AND keyed-token:key_epoch = '{LIVE}' AND keyed-token:token_scheme = 'sha256'",
            False,
        ),
        (
            f" AND keyed-token:key_epoch = '{LIVE}'"
            " AND keyed-token:token_scheme = 'oprf-p256-sha256'",
            True,
        ),
        (f"] AND [keyed-token:key_epoch = '{LIVE}'", False),
    ],
)
def test_or_through_the_quarter_in_the_same_observation(
    more: str,
    passes: bool,  # noqa: FBT001 - a column of the table
) -> None:
    left = left_of(f"[keyed-token:value = '{TOKEN}'{more}]")
    assert (left is not None and TOKEN in left) is passes


@pytest.mark.parametrize(
    ("pattern", "beside", "left"),
    [
        (f"[prompt-template-fingerprint:bands[*] = '{BAND}']", [], None),
        (
            f"[prompt-template-fingerprint:bands[3] = '{BAND}ffff']",
            [template()],
            f"[prompt-template-fingerprint:bands[*] = '{BAND}']",
        ),
        (f"[prompt-template-fingerprint:bands[*] = '{BAND}']", [template(key_epoch=PAST)], None),
        (
            f"[prompt-template-fingerprint:value = '{BAND}' AND "
            f"prompt-template-fingerprint:key_epoch = '{LIVE}']",
            [],
            f"[prompt-template-fingerprint:value = '{BAND}' AND "
            f"prompt-template-fingerprint:key_epoch = '{LIVE}']",
        ),
    ],
)
def test_bands_are_believed_alike_and_cut(
    pattern: str, beside: list[dict[str, Any]], left: str | None
) -> None:
    assert left_of(pattern, *beside) == left


@pytest.mark.parametrize(
    "place", ["account-cluster:cluster_token", "model-provenance-evidence:evidence_token"]
)
def test_a_members_own_token_is_keyed_anew_in_a_pattern_too(place: str) -> None:
    left = left_of(f"[{place} = '{TOKEN}']")
    assert left is not None
    assert TOKEN not in left
    name = place.split(":")[1]
    assert material.rekeyed(name, TOKEN) in left


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        # Comments and odd spellings are gone, and so is the tool that wrote them.
        (
            "[ domain-name:value  ==  'A.example' ] /* $2.10 */ OR[domain-name:'value'='b.example']"
            " // block them",
            "[domain-name:value = 'a.example'] OR [domain-name:value = 'b.example']",
        ),
        (
            "(([domain-name:value = 'a.example']))",
            "[domain-name:value = 'a.example']",
        ),
        (
            "[ipv4-addr:value = '198.51.100.7/32' OR ipv4-addr:value = '198.51.100.9/24']",
            "[ipv4-addr:value = '198.51.100.7' OR ipv4-addr:value = '198.51.100.0/24']",
        ),
        # Operators that say anything else than the value itself.
        ("[domain-name:value LIKE '%.example']", None),
        ("[domain-name:value MATCHES '(price|2.10).*']", None),
        ("[EXISTS domain-name:value]", None),
        ("[EXISTS domain-name:value OR domain-name:value = 'a.example']",
         "[domain-name:value = 'a.example']"),
        ("[NOT EXISTS domain-name:value AND domain-name:value = 'a.example']", None),
        ("[domain-name:value > 'a.example']", None),
        ("[file:name = 'price-list.bin']", None),
        ("[file:name = 'model-00001-of-00002.safetensors']",
         "[file:name = 'model-00001-of-00002.safetensors']"),
        (f"[file:hashes.MD5 = '{HASH}']", f"[file:hashes.MD5 = '{HASH}']"),
        (f"[file:hashes.'X-PRICE' = '{HASH}']", None),
        ("[network-traffic:src_port = 8443.0]", None),
        ("[network-traffic:src_port = 70000]", None),
        # Negations keep all of their values or go.
        ("[domain-name:value NOT = 'a.example']", "[domain-name:value NOT = 'a.example']"),
        ("[domain-name:value != 'a price']", None),
        # Qualifiers pass in round numbers alone; without one the pattern would match more.
        ("[domain-name:value = 'a.example'] WITHIN 300 SECONDS",
         "[domain-name:value = 'a.example'] WITHIN 300 SECONDS"),
        ("[domain-name:value = 'a.example'] WITHIN 73 SECONDS", None),
        ("[domain-name:value = 'a.example'] REPEATS 73 TIMES", None),
        ("[domain-name:value = 'a.example'] START t'2026-01-01T00:00:00Z' "
         "STOP t'2026-01-02T00:00:00Z'", None),
        ("([domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']) "
         "WITHIN 60 SECONDS",
         "([domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']) "
         "WITHIN 60 SECONDS"),
        # The same comparison in a branch that falls and in one that stays.
        ("[domain-name:value = 'a.example' AND file:name = 'x'] OR "
         "[domain-name:value = 'a.example']",
         "[domain-name:value = 'a.example']"),
        ("[domain-name:value = 'a.example' AND (file:name = 'x' OR file:name = 'y')] "
         "OR ([domain-name:value = 'b.example'] AND [file:name = 'z'])", None),
        # Pages are cut; a list becomes as many beginnings, a negation of a cut page goes.
        ("[url:value IN ('https://a.example/1/2/3', 'https://b.example/')]",
         "[url:value LIKE 'https://a.example/1/2%' OR url:value = 'https://b.example/']"),
        ("[url:value != 'https://a.example/1/2/3']", None),
        ("[url:value NOT IN ('https://a.example/1/2', 'https://b.example/')]",
         "[url:value NOT IN ('https://a.example/1/2', 'https://b.example/')]"),
        ("[url:value LIKE 'https://a.example/1/2/3/4%']",
         "[url:value LIKE 'https://a.example/1/2%']"),
        ("[url:value MATCHES 'https://a.example/.*']", None),
    ],
)  # fmt: skip
def test_each_form_of_a_pattern(pattern: str, left: str | None) -> None:
    assert left_of(pattern) == left


def test_every_literal_has_a_ruling_and_what_is_left_follows_from_them() -> None:
    pattern = (
        "[domain-name:value = 'a.example' AND file:name = 'x'] OR [domain-name:value = 'a.example']"
    )
    obj = material.indicator(pattern=pattern)
    standing = material.stands(obj)
    verdict = decide.verdict(obj, standing, material.terms_of())
    drops = [verdict.by_path[f"pattern[{n}]"].treatment.name for n in range(3)]
    assert drops == ["DROP", "DROP", "PASS"]
    assert verdict.withheld is None
    assert render.shape(obj, verdict, standing, refs={}, tokens=material.SCOPE) is not None


def test_a_member_with_shorter_paths_cuts_patterns_too() -> None:
    left = left_of("[url:value = 'https://a.example/1/2']", url_path_segments=1)
    assert left == "[url:value LIKE 'https://a.example/1%']"


_PIECES = st.sampled_from(
    [
        "[",
        "]",
        " ",
        "  ",
        "\n",
        "OR",
        " OR ",
        " AND ",
        " = ",
        "=",
        " IN ",
        "IN",
        "(",
        ")",
        ", ",
        ",",
    ]
    + ["'", "'x'", "'it\\'s'", "t'2026-01-01T00:00:00Z'", "'//'", "//", "ipv4-addr", ":", "value"]
    + ["[ipv4-addr:value = '", "198.18.1.0/24'", "a:b.c", "NOT ", "LAST", "x:y IN ('u', 'v')", "_-"]
)


@given(
    st.lists(_PIECES, max_size=9).map("".join)
    | st.lists(_PIECES, max_size=6).map(lambda parts: f"[ipv4-addr:value = 'v'{''.join(parts)}]")
)
@example("[a:b = 'x' OR c-d:e.f IN ('y','z') OR a:b='']")
@example("[a:bIN ('x')]")
@example("[a:b = 'x'] OR [a:b = 'y']")
def test_the_short_way_reads_a_pattern_as_the_whole_grammar_does(text: str) -> None:
    try:
        reader = patterns._Reader(patterns._tokens(text))
        whole = patterns.Pattern(reader.observations(0))
        if not reader.at_end():
            raise reader.unexpected()
    except Refused:
        with pytest.raises(Refused):
            patterns.parse(text)
    else:
        assert patterns.parse(text) == whole
