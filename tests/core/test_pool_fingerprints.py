"""Fingerprints of prompt templates: one definition for all members, near where texts are alike."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.policy import tokens
from exchange.proof import oprf
from indicators.detection import schema
from indicators.stix import extensions, fingerprints

RUBRIC = (
    "Grade the following answer from 0 to 10 by the rubric, step by step,"
    " and return only JSON with your reasons."
)
KEY = fingerprints.key_of("ab" * 32)
VECTOR_MINIMA = (2785398, 211802028, 46471799, 193477501)
VECTOR_FIRST = "559a4b5f1e5901f2"
VECTOR_LAST = "8520c3015a35f9c5"


@pytest.fixture(params=["numpy", "plain"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With numpy and without, as where no extra is installed."""
    if request.param == "plain":
        monkeypatch.setattr(fingerprints, "HAS_NUMPY", False)


# --- the definition is fixed ---------------------------------------------------------------------


@pytest.mark.usefixtures("_either_way")
def test_the_vector_of_the_definition() -> None:
    minima = fingerprints.signature(fingerprints.shingles(RUBRIC))
    assert minima is not None
    assert fingerprints.signatures([RUBRIC]) == [minima]
    keyed = fingerprints.keyed(fingerprints.bands(minima), KEY)
    assert len(minima) == 128
    assert len(keyed) == 32
    assert minima[:4] == VECTOR_MINIMA
    assert keyed[0] == VECTOR_FIRST
    assert keyed[31] == VECTOR_LAST


def test_it_is_the_algorithm_that_the_forum_names() -> None:
    named = extensions.OBSERVABLE_SCHEMA["$defs"]["prompt-template-fingerprint"]["properties"]
    assert fingerprints.ALGORITHM in named["algorithm"]["enum"]
    assert fingerprints.ALGORITHM == schema.FINGERPRINT
    assert (fingerprints.BANDS, fingerprints.PROMPTS) == (schema.BANDS, schema.PROMPTS)


TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(RUBRIC.split()), max_size=30).map(" ".join),
)


@given(st.lists(TEXTS, max_size=12))
def test_many_texts_at_once_give_what_each_gives_alone(texts: list[str]) -> None:
    alone = []
    for text in texts:
        found = fingerprints.shingles(text)
        pairs = fingerprints._permutations()
        slow = tuple(min((a * x + b) % 2**32 for x in found) for a, b in pairs) if found else None
        alone.append(slow)
    assert fingerprints.signatures(texts) == alone


# --- normalise-v1 --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Step-by-step, please!", ["step", "by", "step", "please"]),
        ("Item 17 of 2,048", ["item", "0", "of", "0", "0"]),
        ("gpt4 GPT-4", ["gpt0", "gpt", "0"]),
        ("ＦＵＬＬ　ｗｉｄｔｈ", ["full", "width"]),
        ("zero\u200bwidth \u202ebidi", ["zerowidth", "bidi"]),
        ("Übersetze café cafe\u0301", ["ubersetze", "cafe", "cafe"]),
        ("请逐步思考 ok", ["请", "逐", "步", "思", "考", "ok"]),
        ("단계별로 생각", ["단계별로", "생각"]),
        ("snake_case {slot}", ["snake", "case", "slot"]),
        ("\ud800 lone", ["lone"]),
        ("", []),
    ],
)
def test_spellings_that_look_alike_are_one(text: str, found: list[str]) -> None:
    assert fingerprints.words(text) == found


def test_a_prompt_of_ten_megabytes_is_cut_to_its_ends() -> None:
    text = "begin here now " + "x" * 10_000_000 + " so ends this"
    found = fingerprints.words(text)
    assert found[:3] == ["begin", "here", "now"]
    assert found[-3:] == ["so", "ends", "this"]
    assert sum(map(len, found)) <= 2 * fingerprints.HALF


def test_ever_new_words_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_MOST_WORDS", 100)
    one = fingerprints.shingles(RUBRIC)
    fingerprints.shingles(" ".join(f"w{chr(97 + n % 26)}{chr(97 + n // 26)}x" for n in range(600)))
    assert len(fingerprints._words) <= 100
    assert fingerprints.shingles(RUBRIC) == one


# --- what is near --------------------------------------------------------------------------------


def test_two_members_meet_by_the_template_whatever_fills_it() -> None:
    ours, theirs = (list(filled(seed=seed, prompts=12)) for seed in (1, 2))
    assert not set(ours) & set(theirs)
    made = [
        fingerprints.fingerprint(list(map(fingerprints.shingles, prompts)), KEY)
        for prompts in (ours, theirs)
    ]
    assert made[0]
    assert made[0] == made[1]


def test_short_templates_need_their_slots_taken_out() -> None:
    prompts = list(map(fingerprints.shingles, filled(seed=3, prompts=8)))
    whole = fingerprints.signature(fingerprints.shingles(RUBRIC))
    common = fingerprints.consensus(prompts)
    assert common is not None
    assert whole is not None
    assert common <= fingerprints.shingles(RUBRIC)
    assert all(common < prompt for prompt in prompts)


@pytest.mark.parametrize(
    ("prompts", "is_made"),
    [
        ([range(20)] * 8, True),
        ([range(20)] * 7, False),  # too few to say what is slot and what is template
        ([range(7)] * 8, False),  # too short
        ([range(20)] * 4 + [range(100, 120)] * 4, True),  # half is enough
        ([range(20)] * 3 + [range(n, n + 5) for n in range(100, 200, 5)], False),
        ([[1] * 50] * 8, False),  # a shingle said often is one shingle
    ],
)
def test_what_half_of_eight_prompts_hold_is_the_template(
    prompts: list[range],
    is_made: bool,  # noqa: FBT001 a column of the table
) -> None:
    assert (fingerprints.fingerprint(prompts, KEY) is not None) is is_made


@pytest.mark.parametrize(("count", "slots", "at_least"), [(60, 2, 0.85), (150, 2, 0.99)])
def test_near_copies_are_recognised(count: int, slots: int, at_least: float) -> None:
    chance = random.Random(count)  # noqa: S311 a world of a test
    hits = 0
    for _ in range(100):
        text = sentence(chance, count)
        one, other = (refilled(chance, text, slots) for _ in range(2))
        hits += near(one, other)
    assert hits >= at_least * 100


def test_unrelated_prompts_are_not_near() -> None:
    chance = random.Random(7)  # noqa: S311 a world of a test
    texts = [" ".join(sentence(chance, 60)) for _ in range(150)]
    found = [fingerprints.bands(one) for one in fingerprints.signatures(texts) if one]
    assert not any(fingerprints.is_near(a, b) for i, a in enumerate(found) for b in found[:i])


def test_one_equal_band_is_not_near_and_a_band_counts_in_its_place() -> None:
    one = tuple(f"{n:016x}" for n in range(32))
    moved = (*one[1:], one[0])
    assert fingerprints.equal_bands(one, moved) == 0
    assert not fingerprints.is_near(one, (one[0], *moved[1:]))
    assert fingerprints.is_near(one, (one[0], one[1], *moved[2:]))


# --- the key -------------------------------------------------------------------------------------


def test_all_members_come_to_one_key_blindly_and_it_changes_with_the_quarter() -> None:
    scopes = [tokens.key_for(b"m" * 32, "circle", epoch) for epoch in ("2026Q4", "2027Q1")]
    asked = [asked_blindly(scopes[at].k, r) for at, r in ((0, 3), (0, 12345), (1, 3))]
    aurora, borealis, later = map(fingerprints.key_of, asked)
    assert aurora == borealis
    assert aurora != later
    minima = fingerprints.signature(fingerprints.shingles(RUBRIC))
    assert minima is not None
    now, then = (fingerprints.keyed(fingerprints.bands(minima), key) for key in (aurora, later))
    assert not set(now) & set(then)


def test_no_extract_carries_the_token_that_the_key_is_made_of() -> None:
    assert fingerprints.KEY_KIND not in schema.TOKEN_KINDS.values()
    oprf.checked(fingerprints.KEY_KIND, fingerprints.KEY_VALUE)


def asked_blindly(k: int, r: int) -> str:
    """What a member gets of the exchange for the fixed value."""
    blinded = oprf.blind(fingerprints.KEY_KIND, fingerprints.KEY_VALUE, r)
    return oprf.unblind(oprf.evaluate(k, blinded), r)


# --- texts ---------------------------------------------------------------------------------------


def filled(*, seed: int, prompts: int) -> Iterator[str]:
    """Prompts of one template, whose slots are filled anew each time."""
    chance = random.Random(seed)  # noqa: S311 a world of a test
    for _ in range(prompts):
        yield f"{' '.join(sentence(chance, 6))} {RUBRIC} {' '.join(sentence(chance, 9))}"


def sentence(chance: random.Random, count: int) -> list[str]:
    """So many words out of five thousand."""
    letters = "abcdefghijklmnopq"
    return ["w" + "".join(chance.choices(letters, k=3)) for _ in range(count)]


def refilled(chance: random.Random, text: list[str], slots: int) -> list[str]:
    """The text with so many words put in place of others."""
    made = list(text)
    for place in chance.sample(range(len(text)), slots):
        made[place : place + 1] = sentence(chance, chance.randint(1, 4))
    return made


def near(one: list[str], other: list[str]) -> bool:
    """Whether two whole prompts are near."""
    a, b = fingerprints.signatures([" ".join(one), " ".join(other)])
    assert a is not None
    assert b is not None
    return fingerprints.is_near(fingerprints.bands(a), fingerprints.bands(b))
