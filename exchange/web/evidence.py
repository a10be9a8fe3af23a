"""What a finding rests on, in words: written from the very objects that the reader holds.

Closed vocabularies and decades in, sentences out. Nothing here is known that the bytes do not say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indicators.stix import extensions

Object = Mapping[str, Any]
_FEATURES = {
    "shared-payment-token": "shared cards",
    "shared-device-token": "shared devices",
    "shared-egress": "shared network addresses",
    "shared-client-fingerprint": "the same client software",
    "shared-recovery-token": "shared ways of recovery",
    "identical-template-set": "the same prompt patterns",
    "synchronised-start": "a common start",
    "sequential-registration": "registration one after the other",
}
_LAGS = {
    "under-1h": "within an hour of",
    "under-24h": "within a day of",
    "under-7d": "within a week of",
    "slower": "more than a week after",
}
_KINDS = {"payment-instrument": "card", "device": "device", "ip-address": "network address"}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that is known, and the object that says it."""

    text: str
    stix_id: str


def sentences(objects: Iterable[Object]) -> tuple[Sentence, ...]:
    """What these objects say together, the group first."""
    by_type: dict[str, list[Object]] = {}
    for obj in objects:
        by_type.setdefault(str(obj.get("type")), []).append(obj)
    found = []
    for stix_type, words in _WORDS.items():
        for obj in by_type.get(stix_type, ()):
            found += [Sentence(text, str(obj["id"])) for text in words(obj)]
    return (*found, *_tokens(by_type.get("keyed-token", ())))


def _campaign(obj: Object) -> Iterator[str]:
    context = extensions.context_of(obj) or {}
    if "account_count_bucket" in context:
        yield f"Together {_decade(context['account_count_bucket'])} accounts."
    for name, words in (
        ("phases_observed", "Seen in the phases {}."),
        ("capability_targets", "They are after {}."),
        ("elicitation_methods", "They ask by {}."),
        ("threat_basis", "What makes it a threat: {}."),
    ):
        if context.get(name):
            yield words.format(_list(context[name]))
    if obj.get("first_seen") and obj.get("last_seen"):
        yield f"Seen from {str(obj['first_seen'])[:10]} to {str(obj['last_seen'])[:10]}."
    if "confidence" in obj:
        yield f"Confidence {obj['confidence']} of 100, from a scorecard."


def _cluster(obj: Object) -> Iterator[str]:
    features = [_FEATURES.get(one, _plain(one)) for one in obj.get("linkage_features", ())]
    strength = str(obj.get("linkage_strength", ""))
    if features:
        end = f"; the tie is {strength}" if strength else ""
        yield f"The accounts are tied together by {_list(features)}{end}."


def _template(obj: Object) -> Iterator[str]:
    length = str(obj.get("length_bucket", "")).removesuffix("-tokens")
    where = f", {length} tokens long" if length else ""
    spoken = f", in {_list(obj['languages'])}" if obj.get("languages") else ""
    least = obj.get("min_bands", 2)
    yield (
        f"A prompt pattern{where}{spoken}, as {len(obj.get('bands', ()))} fingerprint values: "
        f"a prompt that has {least} of them is much the same."
    )


def _rate(obj: Object) -> Iterator[str]:
    profile = obj.get("profile") or ()
    if profile:
        busy = [f"{hour:02d}" for hour, digit in enumerate(profile) if digit == max(profile)]
        when = f"most at {', '.join(busy)} o'clock UTC" if len(busy) <= 6 else "alike at most hours"
        yield f"They keep the same hours, {when}."
    lag = _LAGS.get(str(obj.get("pivot_lag_bucket")))
    if lag:
        yield f"They moved to a model {lag} its public release."


def _client(obj: Object) -> Iterator[str]:
    odd = ", which is not what it says it is" if obj.get("sdk_mismatch") else ""
    yield f"They use one client software{odd}."


def _indicator(obj: Object) -> Iterator[str]:
    context = extensions.context_of(obj) or {}
    rate = str(context.get("base_rate_bucket", ""))
    if rate.startswith("lt-1e-"):
        yield (
            f"Of ordinary traffic fewer than 1 in {10 ** int(rate.removeprefix('lt-1e-')):,} "
            f"match “{obj.get('name', 'the indicator')}”."
        )


_WORDS = {
    "campaign": _campaign,
    "account-cluster": _cluster,
    "prompt-template-fingerprint": _template,
    "rate-shape": _rate,
    "api-client-fingerprint": _client,
    "indicator": _indicator,
}


def _tokens(objects: Sequence[Object]) -> Iterator[Sentence]:
    """How many tokens of a kind: each is a value that can be compared and not read."""
    by_kind: dict[str, list[Object]] = {}
    for obj in objects:
        by_kind.setdefault(str(obj.get("kind", "")), []).append(obj)
    for kind, alike in sorted(by_kind.items()):
        word = _KINDS.get(kind, _plain(kind))
        many = f"1 {word} token" if len(alike) == 1 else f"{len(alike)} {word} tokens"
        text = f"{many}: whoever has such a value finds it at home, nobody can read it."
        yield Sentence(text, str(alike[0]["id"]))


def _decade(bucket: object) -> str:
    return str(bucket).replace("-up", " or more")


def _list(words: Sequence[str]) -> str:
    *first, last = [_plain(word) for word in words]
    return f"{', '.join(first)} and {last}" if first else last


def _plain(word: object) -> str:
    return str(word).replace("-", " ")
