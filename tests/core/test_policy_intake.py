"""What is refused by form, and what is none of these: hashes, tokens and plain words."""

import json
from pathlib import Path
from typing import Any

import pytest

from exchange.policy import detectors, intake
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
    assert len(alarms) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "We cha\u200brge $\u200b2.1\u200b0 per m\u200billion t\u200bokens.",
        "We ch&#97;rge $2.10 per million tokens",
        "We%20charge%20%242.10%20per%20million%20tokens",
        "V2UgY2hhcmdlICQyLjEwIHBlciBtaWxsaW9uIHRva2Vucw==",
        "576520636861726765202432 2e 576520636861726765202420322e313020706572206d696c6c696f6e",
        "We \u0441harge $2.10 per million tokens",
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
    ],
)
def test_checksums_are_checked(*, text: str, is_found: bool) -> None:
    assert ("D10-pii" in detectors.findings(text)) is is_found


def test_company_names_are_matched_as_words() -> None:
    assert detectors.names("It is DEEPSEEK's.", frozenset({"DeepSeek"})) == ("DeepSeek",)
    assert detectors.names("A deep seeker.", frozenset({"DeepSeek"})) == ()
    assert detectors.findings("by Moonshot-AI?", watch=WATCH) == ("D13-attribution",)
