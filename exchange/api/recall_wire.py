"""Taking back, on the wire: each field is written out, each body is a closed form."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.utils.dateparse import parse_datetime

from exchange import feedback, recall, reminders
from exchange.proof.refused import Refused

MOST_OCTETS = 16_384


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked to be recalled, and why."""

    object: str
    reason: str
    note: str
    erases: bool


def _body(body: bytes, *, needs: frozenset[str], knows: frozenset[str]) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("body.json", "The body is not JSON.") from None
    if not isinstance(asked, dict) or not needs <= asked.keys() <= needs | knows:
        named = ", ".join(f"`{name}`" for name in sorted(needs))
        more = ", ".join(f"`{name}`" for name in sorted(knows))
        sentence = f"Say {named}" + (f", and if you want {more}." if more else ", and no more.")
        raise Refused("body.form", sentence)
    return asked


def _text(asked: dict[str, Any], name: str, *, most: int = 2_000) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise Refused("body.form", f"A text of up to {most:,} characters.", name)
    return value


def order(body: bytes) -> Order:
    """Object, reason and note; whether the bytes are erased too."""
    asked = _body(body, needs=frozenset({"object", "reason", "note"}), knows=frozenset({"erases"}))
    erases = asked.get("erases", False)
    if not isinstance(erases, bool):
        raise Refused("body.form", "It is true or false.", "erases")
    return Order(_text(asked, "object"), _text(asked, "reason"), _text(asked, "note"), erases)


def remark(body: bytes) -> tuple[str, UUID | None]:
    """What is said, and in which circle."""
    asked = _body(body, needs=frozenset({"said"}), knows=frozenset({"circle"}))
    circle = _text(asked, "circle")
    try:
        return _text(asked, "said"), UUID(circle) if circle else None
    except ValueError:
        raise Refused("query.circle", "Name one of your circles by its id.", "circle") from None


def answered(body: bytes) -> tuple[str, str]:
    """The word for who said it, and the note for one's own files."""
    asked = _body(body, needs=frozenset({"answer", "note"}), knows=frozenset())
    return _text(asked, "answer"), _text(asked, "note")


def moment(text: str, path: str) -> datetime | None:
    """A time with its zone, or nothing."""
    if not text:
        return None
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Refused("query.date", "A time is written like 2026-11-24T12:00:00Z.", path)
    return found


def recall_row(one: recall.RecallRow) -> dict[str, Any]:
    """A recall in a list."""
    return {
        "id": str(one.id),
        "object": one.own_id or one.stix_id,
        "forum_object": one.stix_id,
        "reason": one.reason,
        "ordered_by": one.role,
        "erases": one.erases,
        "at": one.at.isoformat(),
        "told_at": _iso(one.told_at),
        "lifted_at": _iso(one.lifted_at),
    }


def recall_view(view: recall.RecallView) -> dict[str, Any]:
    """A recall, and how far it has come."""
    return {
        **recall_row(view.row),
        "done": view.acknowledged,
        "of": len(view.progress),
        "recipients": [
            {"name": one.name, "state": one.state, "at": _iso(one.at), "index": one.index}
            for one in view.progress
        ],
    }


def told(one: reminders.Told) -> dict[str, Any]:
    """What a recipient was told."""
    return {
        "id": str(one.id),
        "object": one.stix_id,
        "reason": one.reason,
        "at": one.at.isoformat(),
        "acknowledged_at": _iso(one.acknowledged_at),
    }


def answer(one: feedback.Answer) -> dict[str, Any]:
    """What became of what one said; `answer` is empty while there is none."""
    return {
        "object": one.stix_id,
        "said": _WORDS.get(one.said, one.said),
        "at": one.at.isoformat(),
        "answer": one.answer,
        "answered_on": one.answered_on.isoformat() if one.answered_on else None,
    }


def task(one: feedback.Task) -> dict[str, Any]:
    """What was said of an object, never by whom."""
    return {
        "id": str(one.id),
        "object": one.own_id or one.stix_id,
        "forum_object": one.stix_id,
        "said": _WORDS.get(one.disposition, one.disposition),
        "circle": one.circle,
        "at": one.at.isoformat(),
    }


_WORDS = {"true-positive": "seen", "benign-shared-infrastructure": "shared-infrastructure"}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
