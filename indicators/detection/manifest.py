"""The manifest of an extract: closed JSON, read and written. Standard library only."""

import json
from collections.abc import Mapping
from datetime import date

from exchange.proof.refused import Refused
from indicators.detection import schema
from indicators.detection.values import Manifest

MOST_OCTETS = 64 << 10
_TEXTS = ("schema", "day", "key_epoch", "extractor", "clusters", "templates")


def write(manifest: Manifest) -> bytes:
    """The same manifest gives the same bytes."""
    document = {
        "schema": schema.NAME,
        "day": manifest.day.isoformat(),
        "key_epoch": manifest.key_epoch,
        "extractor": manifest.extractor,
        "algorithms": [{"id": key, "sha256": digest} for key, digest in manifest.algorithms],
        "clusters": manifest.clusters,
        "templates": manifest.templates,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read(body: bytes) -> Manifest:
    """What a manifest says, by form alone; whether it may say so is for the rules."""
    if len(body) > MOST_OCTETS:
        raise Refused("extract.size", f"The manifest has more than {MOST_OCTETS:,} octets.", _AT)
    document = _object(_parsed(body))
    if document.keys() != set(schema.MANIFEST):
        said = f"The manifest has exactly these members: {', '.join(schema.MANIFEST)}."
        raise Refused("extract.manifest", said, _AT)
    texts = {name: _text(document[name], name) for name in _TEXTS}
    if texts["schema"] != schema.NAME:
        raise _wrong("schema", f"The schema is {schema.NAME}.")
    algorithms = document["algorithms"]
    if not isinstance(algorithms, list) or len(algorithms) > schema.MOST_ALGORITHMS:
        said = f"The algorithms are a list of at most {schema.MOST_ALGORITHMS}."
        raise _wrong("algorithms", said)
    return Manifest(
        day=_day(texts["day"]),
        key_epoch=texts["key_epoch"],
        extractor=texts["extractor"],
        algorithms=tuple(_algorithm(one, place) for place, one in enumerate(algorithms)),
        clusters=texts["clusters"],
        templates=texts["templates"],
    )


_AT = "manifest"


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise Refused("extract.manifest", "The manifest is one JSON object.", _AT) from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError
    return made


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Refused("extract.manifest", "The manifest is one JSON object.", _AT)
    return value


def _algorithm(value: object, place: int) -> tuple[str, str]:
    at = f"algorithms[{place}]"
    if not isinstance(value, dict) or value.keys() != {"id", "sha256"}:
        raise _wrong(at, "An algorithm has an `id` and the `sha256` of its document.")
    return _text(value["id"], at), _text(value["sha256"], at)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > 64 or not value.isascii():
        raise _wrong(name, "This is a text of at most 64 plain characters.")
    return value


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise _wrong("day", "A day is written like 2026-11-02.") from None
    if day.isoformat() != text:
        raise _wrong("day", "A day is written like 2026-11-02.")
    return day


def _wrong(name: str, sentence: str) -> Refused:
    return Refused("extract.manifest", sentence, f"{_AT}.{name}")
