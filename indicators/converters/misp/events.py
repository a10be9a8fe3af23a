"""MISP events in a JSON text: what counts as one, and which attributes a converter left out.

Pure. What is said of an attribute names its number and its type, never its value.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exchange.proof.refused import Refused

MOST_OCTETS = 67_108_864  # a converter holds the whole text and more
_TYPE = re.compile(r"[A-Za-z0-9|/ _-]{1,60}")
_LEFT_OUT = "the converter has no form for it."


@dataclass(frozen=True, slots=True)
class Fault:
    """What makes no object: its number among all attributes of the file, and why."""

    place: int
    sentence: str


def events(body: bytes) -> list[Any]:
    """The events of a text: one, a list, or the answer of a MISP server; each is judged alone."""
    root = _root(body)
    if isinstance(root, dict) and "response" in root:
        root = root["response"]
    found = root if isinstance(root, list) else [root]
    if not any(isinstance(one, dict) and isinstance(one.get("Event"), dict) for one in found):
        raise Refused("misp.form", "The file holds no MISP event.", "file")
    return found


def attributes(event: object) -> Iterator[tuple[dict[str, Any], str]]:
    """Every attribute of an event, with the id by which its converted form is known."""
    inside = event.get("Event") if isinstance(event, dict) else None
    if not isinstance(inside, dict):
        return
    for one in _list(inside, "Attribute"):
        yield one, str(one.get("uuid", ""))
    for holder in _list(inside, "Object"):
        for one in _list(holder, "Attribute"):
            yield one, str(holder.get("uuid", ""))


def left_out(
    event: object,
    made: Sequence[str],
    *,
    number: int,
    before: int,
) -> Iterator[Fault]:
    """The attributes of which nothing came: no object carries their id, or their object's."""
    ids = {stix_id.partition("--")[2] for stix_id in made}
    for n, (one, uuid) in enumerate(attributes(event), start=before + 1):
        if uuid.lower() not in ids:
            kind = str(one.get("type", ""))
            named = f" ({kind})" if _TYPE.fullmatch(kind) else ""
            yield Fault(n, f"Attribute {n}{named}, in event {number}: {_LEFT_OUT}")


def _list(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = holder.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _root(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_pairs, parse_constant=_no)
    except UnicodeDecodeError:
        raise Refused("file.encoding", "The file is not UTF-8.", "file") from None
    except (ValueError, RecursionError):
        raise Refused("body.json", "The file is not JSON.", "file") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Refused("json.duplicate-key", "A property stands twice in one JSON object.", "file")
    return made


def _no(name: str) -> float:
    raise Refused("json.number", "JSON has no NaN and no Infinity.", "file")
