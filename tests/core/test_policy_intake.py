"""What is refused by form, and what is none of these: hashes, tokens and plain words."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phonenumbers
import pytest

from exchange.policy import decide, detectors, intake, terms
from exchange.policy.outcomes import Standing
from tests.core import policy_material as material

WATCH = frozenset({"DeepSeek", "Moonshot AI", "MiniMax", "Alibaba", "Google", "OpenAI", "Tencent"})


@pytest.mark.parametrize(
    "text",
    [
        "The key is sk-proj-AbCdEf0123456789abcdefGH",
        "AKIAABCDEFGHIJKLMNOP",
        "Authorization: Bearer abcdefghijklmnopqrstuvwx",
        "password = hunter2hunter2",
        "seen Zx81kQpLm20VbNwe7RtYuI9oPaSd in a log",
        "c2stcHJvai1BYkNkRWYwMTIzNDU2Nzg5YWJjZGVmR0g=",
    ],
)
def test_a_secret_is_refused_wherever_it_stands(text: str) -> None:
    places = [
        material.indicator(description=text),
        material.indicator(x_note={"deep": [text]}),
        material.indicator(labels=[text]),
    ]
    for obj in places:
        (problem, *_) = intake.problems(obj)
        assert problem.code == "policy.secret"
        assert text not in problem.sentence


@pytest.mark.parametrize(
    "obj",
    [
        material.indicator(),
        material.indicator(description="A relay_storefront_with_a_long_underscored_identifier"),
        material.indicator(description="SHA-256 " + "0123456789abcdef" * 4),
        material.indicator(description="id 9934f1fc-d529-56e9-a187-b3a1e379645c was seen"),
        material.indicator(pattern=f"[account-cluster:cluster_token = '{'0c4f' * 16}']"),
        material.indicator(pattern=f"[file:hashes.'SHA-256' = '{'0c4f' * 16}']"),
        material.indicator(pattern="[keyed-token:key_epoch = '2026Q4']"),
        {"type": "url", "id": "url--1", "value": "https://relay.example/v1/chat/completions/new"},
    ],
)
def test_hashes_tokens_and_words_are_no_secrets(obj: dict[str, Any]) -> None:
    assert intake.problems(obj) == ()


def test_a_secret_in_a_pattern_or_by_its_name_is_refused() -> None:
    literal = "sk-proj-AbCdEf0123456789abcdefGH"
    in_pattern = material.indicator(pattern=f"[process:command_line = '{literal}']")
    in_comment = material.indicator(pattern=f"[ipv4-addr:value = '198.51.100.7'] /* {literal} */")
    by_name = material.indicator(x_api_key="correcthorse")
    for obj in (in_pattern, in_comment, by_name):
        assert intake.problems(obj)


@pytest.mark.parametrize("stix_type", ["artifact", "email-message"])
def test_content_is_refused(stix_type: str) -> None:
    (problem,) = intake.problems({"type": stix_type, "id": f"{stix_type}--1"})
    assert problem.code == "policy.content"


def test_evidence_with_its_canary_is_refused() -> None:
    extensions = material.context("provenance-evidence", "S3")
    plain = material.indicator(extensions=extensions, description="Recall of a planted text.")
    carried = material.indicator(extensions=extensions, description="canary string: blue-42")
    named = material.indicator(extensions=extensions, x_canary="blue-42")
    assert intake.problems(plain) == ()
    for obj in (carried, named):
        (problem, *_) = intake.problems(obj)
        assert problem.code == "policy.canary"
        assert "blue-42" not in problem.sentence


def test_a_looped_object_is_refused_and_an_observable_is_not() -> None:
    obj = material.indicator()
    known: dict[str, Any] = {"issuer": material.ISSUER, "held": frozenset({obj["id"]})}
    assert intake.looped(obj, **known) is not None
    assert intake.looped(obj, issuer=material.ISSUER, held=frozenset()) is None
    ours = material.indicator(created_by_ref=material.ISSUER)
    assert intake.looped(ours, issuer=material.ISSUER, held=frozenset()) is not None
    observable = {"type": "url", "id": obj["id"], "value": "https://relay.example/"}
    assert intake.looped(observable, **known) is None


def test_nothing_of_the_examples_is_refused(shared_data: Path) -> None:
    text = (shared_data / "extraction-examples" / "all.json").read_text(encoding="utf-8")
    for obj in json.loads(text)["objects"]:
        assert intake.problems(obj) == ()


def test_the_tripwires_do_what_the_corpus_says(shared_data: Path) -> None:
    lines = (shared_data / "antitrust" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = {row["text"]: detectors.findings(row["text"], watch=WATCH) for row in rows}
    missed = [
        row["text"]
        for row in rows
        if row["label"] == "positive" and row["detector"] not in found[row["text"]]
    ]
    alarms = [
        row["text"]
        for row in rows
        if row["label"] == "negative" and row["detector"] in found[row["text"]]
    ]
    assert missed == []
    assert alarms == []


def test_few_are_caught_that_were_written_to_get_past(shared_data: Path) -> None:
    lines = (shared_data / "antitrust" / "evasion.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    caught = [row for row in rows if row["detector"] in detectors.findings(row["text"])]
    assert 1 <= len(caught) <= len(rows) // 4  # nothing leans on a clean result, and this is why


PROSE = ("description", "content", "comment", "info", "summary", "value")


def sentences(value: object, key: str = "") -> Iterator[str]:
    """The prose of published objects, sentence by sentence."""
    if isinstance(value, str) and key in PROSE:
        yield from (one for one in re.split(r"(?<=[.!?])\s+|\n+", value) if len(one) > 20)
    for name, inside in value.items() if isinstance(value, dict) else ():
        yield from sentences(inside, name)
    for inside in value if isinstance(value, list) else ():
        yield from sentences(inside, key)


@pytest.mark.parametrize("folder", ["atlas", "oasis", "misp"])
def test_real_threat_prose_seldom_alarms(shared_data: Path, folder: str) -> None:
    members = frozenset({"Aurora", "Borealis", "Cirrus", "Ember", "Fjord"})
    files = sorted((shared_data / folder).glob("*.json"))
    prose = {one for file in files for one in sentences(json.loads(file.read_text("utf-8")))}
    alarms = [one for one in prose if detectors.findings(one, watch=members)]
    assert len(prose) > 100
    assert len(alarms) / len(prose) < 0.04


@pytest.mark.parametrize(
    "text",
    [
        "We cha\u200brge $\u200b2.1\u200b0 per m\u200billion t\u200bokens.",
        "We ch&#97;rge $2.10 per million tokens",
        "We%20charge%20%242.10%20per%20million%20tokens",
        "V2UgY2hhcmdlICQyLjEwIHBlciBtaWxsaW9uIHRva2Vucw==",
        "576520636861726765202432 2e 576520636861726765202420322e313020706572206d696c6c696f6e",
        "We \u0441harge $2.10 per million tokens",
        "We ch\u0430rge $2.10 p\u0435r milli\u043en tokens",
        "We \u13df\u210ear\u0261e $2.10 p\u212fr mill\u0131on tokens",
        "W\u0301e\u0302 ch\u0308arge $2.10 per million tokens",
        "W e   c h a r g e   $ 2 . 1 0   p e r   m i l l i o n   t o k e n s",
    ],
)
def test_disguises_are_taken_off_once(text: str) -> None:
    assert "D01-price" in detectors.findings(text)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("card 4111 1111 1111 1111 was used", True),
        ("card 4111 1111 1111 1112 was used", False),
        ("IBAN GB82 WEST 1234 5698 7654 32", True),
        ("IBAN GB82 WEST 1234 5698 7654 33", False),
        ("call +49 (0)30 901820 for it", True),
        ("call 0049 30 901820 for it", True),
        ("call +44.20.7946.0958", True),
        ("line +999 123 456 789", False),
        ("object 00000000000000 of the heap", False),
        ("id 7-0049301234567", False),
    ],
)
def test_numbers_of_people_are_checked(*, text: str, is_found: bool) -> None:
    assert ("D10-pii" in detectors.findings(text)) is is_found


def test_a_list_of_letters_is_not_drawn_together() -> None:
    assert detectors.readings("options a b c d") == ("options a b c d",)


@pytest.mark.parametrize(
    "text",
    [
        "1" * detectors.LONGEST,
        "+49 30 " * (detectors.LONGEST // 7),
        "+(" * (detectors.LONGEST // 2),
        "1 " * (detectors.LONGEST // 2),
        "QUJD" * (detectors.LONGEST // 4),
        "a@b." * (detectors.LONGEST // 4),
        "\u0441" * detectors.LONGEST,
    ],
)
def test_a_hostile_text_costs_a_bounded_number_of_looks(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    real = phonenumbers.parse

    def counted(number: str, region: str | None) -> phonenumbers.PhoneNumber:
        looks.append(number)
        return real(number, region)

    monkeypatch.setattr(phonenumbers, "parse", counted)
    detectors.findings(text)
    forms = len(detectors.readings(text))
    assert len(looks) <= forms * detectors.MOST_PHONES
    assert all(len(number) < 32 for number in looks)


def test_a_finding_says_where_it_stands_and_never_what_it_says() -> None:
    texts = [("description", "We charge $2.10 per million tokens"), ("name", "Relay range")]
    (found,) = detectors.found_at(texts)
    assert (found.detector.id, found.places) == ("D01-price", ("description",))


@pytest.mark.parametrize(
    "parts", [("It fell: gross", "margin, again"), ("It fell: the gro", "ss margin, again")]
)
def test_a_sentence_cut_in_two_is_read_as_one(parts: tuple[str, str]) -> None:
    (found,) = detectors.found_at([("name", parts[0]), ("description", parts[1])])
    assert (found.detector.id, found.places) == ("D02-cost", (detectors.TOGETHER,))


def standing(obj: dict[str, Any], **floor: object) -> Standing:
    under = terms.Floor.parse({**terms.shipped_floor(), **floor})
    return decide.standing([obj], material.CONTEXT_OF_AURORA, under)[0]


def test_a_hold_names_the_property_and_no_word_of_the_contributors() -> None:
    price = "We charge $2.10 per million tokens"
    plain = material.indicator(description=price)
    odd = material.indicator(x_our_list_price={"cnry": price})
    pattern = f"[ipv4-addr:value = '198.51.100.7' OR file:name = '{price}']"
    literal = material.indicator(pattern=pattern)
    told = [standing(obj).holds for obj in (plain, odd, literal)]
    places = [
        {place for hold in holds if hold.name == "C01/D01-price" for place in hold.places}
        for holds in told
    ]
    assert places == [{"description"}, {"an unknown property"}, {"pattern"}]
    assert "cnry" not in str(told)
    assert "x_our_list_price" not in str(told)


def test_a_company_on_the_floors_list_may_not_be_named_unseen() -> None:
    obj = material.indicator(description="It was Heron Works again.")
    assert "C13/D13-attribution" not in {hold.name for hold in standing(obj).holds}
    watching = standing(obj, watched_names=["Heron Works"])
    assert "C13/D13-attribution" in {hold.name for hold in watching.holds}


def test_company_names_are_matched_as_words() -> None:
    assert detectors.names("It is DEEPSEEK's.", frozenset({"DeepSeek"})) == ("DeepSeek",)
    assert detectors.names("A deep seeker.", frozenset({"DeepSeek"})) == ()
    assert detectors.findings("by Moonshot-AI?", watch=WATCH) == ("D13-attribution",)
