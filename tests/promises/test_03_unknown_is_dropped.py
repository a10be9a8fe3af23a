"""Promise 3: every property path is in the catalogue with a class, or it does not pass."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.policy import catalogue
from exchange.policy.catalogue import CONTEXT
from exchange.policy.lattice import Treatment
from tests.core import policy_material as material

MARK = "CNRY9999Q"
NAMES = st.from_regex(r"[a-z][a-z0-9_]{2,20}", fullmatch=True)
BELOW = st.recursive(
    st.just(MARK) | st.just({MARK: 1}) | st.just([MARK]),
    lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(NAMES, inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(NAMES, BELOW)
def test_an_unknown_property_never_passes(name: str, value: Any) -> None:
    known = {"name", "description", "labels", "lang", *material.indicator()}
    obj = material.indicator(**({} if name in known else {name: value}))
    came = material.released([obj])
    assert MARK not in came.text
    assert "198.51.100.7" in came.text


@settings(deadline=None)
@given(NAMES, BELOW, st.sampled_from(["unknown", "own"]))
def test_an_unknown_extension_never_passes(name: str, value: Any, where: str) -> None:
    extensions = material.context("egress-range")
    if where == "own":
        extensions[CONTEXT][f"x_{name}"] = value
    else:
        extensions["extension-definition--b35331ce-af2e-49dd-87e3-55b26210b784"] = {name: value}
    came = material.released([material.indicator(extensions=extensions)])
    assert MARK not in came.text
    assert "198.51.100.7" in came.text


def test_a_key_that_looks_like_a_path_is_no_path() -> None:
    odd = f"extensions.{CONTEXT}.threat_basis[0]"
    obj = material.indicator(**{odd: "stolen-credential", "kill_chain_phases[0].phase_name": MARK})
    came = material.released([obj])
    assert MARK not in came.text
    rulings = [r for path, r in came.verdicts[0].rulings if path.startswith('"')]
    assert len(rulings) == 2
    assert all(ruling.treatment is Treatment.DROP for ruling in rulings)


@pytest.mark.parametrize(
    ("path", "field_class"),
    [
        ("indicator.pattern", "threat"),
        ("indicator.description", "narrative"),
        ("indicator.kill_chain_phases[].phase_name", "threat"),
        ("sighting.count", "volume"),
        (f"sighting.extensions.{CONTEXT}.disposition", "threat"),
        ("sighting.where_sighted_refs[]", "contributor"),
        ("network-traffic.src_byte_count", "traffic-volume"),
        ("indicator.x_unheard_of", None),
        ("unheard-of.name", None),
        ("process.command_line", None),
    ],
)
def test_the_catalogue_knows_its_paths(path: str, field_class: str | None) -> None:
    assert catalogue.class_of(path) == field_class


@pytest.mark.parametrize(
    "pattern",
    [
        f"[x-custom:value = '{MARK}']",
        f"[file:name = 'price-{MARK}']",
        f"[ipv4-addr:value = '198.51.100.7' AND file:name = '{MARK}']",
        f"[ipv4-addr:value LIKE '{MARK}%']",
        f"[domain-name:value = '{MARK} and a sentence']",
        f"[process:command_line = '{MARK}']",
        f"[EXISTS file:{MARK}]",
        f"[NOT EXISTS file:{MARK}]",
        f"[NOT EXISTS file:'{MARK}' AND ipv4-addr:value = '198.51.100.7']",
        f"[ipv4-addr:'{MARK}.value' = '198.51.100.7']",
        f"[ipv4-addr:value = '198.51.100.7' /* {MARK} */ AND file:size = 99990]",
        "[ipv4-addr:value = '198.51.100.7'] WITHIN 9999 SECONDS",
        "[ipv4-addr:value = '198.51.100.7'] REPEATS 9999 TIMES",
        "[ipv4-addr:value = '198.51.100.7'] START t'2026-10-30T00:00:01Z' STOP t'2026-10-31T00:00:01Z'",  # noqa: E501
    ],
)
def test_a_literal_outside_its_grammar_never_passes(pattern: str) -> None:
    came = material.released([material.indicator(pattern=pattern)])
    assert MARK not in came.text
    assert MARK.lower() not in came.text
    assert came.standings[0].outcome == "withheld"


def test_an_open_word_never_passes() -> None:
    obj = material.indicator(
        indicator_types=["anonymization", MARK],
        kill_chain_phases=[
            {"kill_chain_name": "model-extraction", "phase_name": MARK},
            {"kill_chain_name": MARK, "phase_name": "resale"},
            {"kill_chain_name": "model-extraction", "phase_name": "resale"},
        ],
    )
    came = material.released([obj])
    assert MARK not in came.text
    assert '"indicator_types":["anonymization"]' in came.text
    assert came.text.count('"phase_name":"resale"') == 1
