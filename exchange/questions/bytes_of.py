"""One disclosed object: its exact bytes, beside the original where the role may, field by field.

What a recipient sees here are its own bytes and nothing else: no removal, no rule, no original.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import connection

from exchange import access
from exchange.policy import explain
from exchange.proof.refused import NotFound
from exchange.questions.asking import GIVEN, RECEIVED
from indicators import store
from members.auth import Principal


@dataclass(frozen=True, slots=True)
class Field:
    """One field: what was submitted (nothing where it is sealed), what was done, what left."""

    path: str
    value: str | None
    field_class: str
    treatment: str
    rule: str
    reason: str
    basis: str
    sent: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """One object as it was received, and what else its reader may see of it."""

    index: int
    place: int
    side: str
    stix_id: str
    added_at: datetime
    body: bytes
    digest: str
    verdict: str
    fields: tuple[Field, ...]
    original: Mapping[str, Any] | None
    version_id: int | None
    number: int | None

    @property
    def is_erased(self) -> bool:
        """Its bytes were erased on legal grounds; the digest stays."""
        return not self.body

    @property
    def shows_removals(self) -> bool:
        """Whether the reader may know what was taken out of it."""
        return self.side != RECEIVED


def opened(principal: Principal, index: int, place: int) -> Seen:
    """One object of an entry; NotFound alike for unknown, another's and taken back."""
    with connection.cursor() as run:
        run.execute("SELECT * FROM weir_bytes(%s, %s)", [index, place])
        row = run.fetchone()
    if row is None:
        raise NotFound
    _, _, version, body, digest, stix_id, side, verdict, number, added_at = row
    body = bytes(body)
    original = _original(principal, version) if side == GIVEN else None
    rulings = () if side == RECEIVED else _rulings(verdict)
    return Seen(
        index=index,
        place=place,
        side=side,
        stix_id=stix_id,
        added_at=added_at,
        body=body,
        digest=bytes(digest).hex(),
        verdict=bytes(verdict).hex() if verdict else "",
        fields=tuple(_fields(rulings, original, body)),
        original=original,
        version_id=version,
        number=number,
    )


def noted(principal: Principal, seen: Seen, *, now: datetime) -> None:
    """To look at what one received is to be served it: it is noted before it is shown."""
    if seen.side == RECEIVED and seen.number is not None:
        access.served_ranges(principal, [(seen.number, seen.number)], via="web", now=now)


def verdict_of(digest: bytes) -> Mapping[str, Any] | None:
    """A verdict by its digest, as far as who asks may read it."""
    with connection.cursor() as run:
        run.execute("SELECT weir_verdict(%s)", [digest])
        found = run.fetchone()[0]
    told: Mapping[str, Any] | None = orjson.loads(found) if isinstance(found, str) else found
    return told


def _original(principal: Principal, version_id: int | None) -> Mapping[str, Any] | None:
    if principal.member_id is None or version_id is None:
        return None
    return store.originals(principal.member_id, [version_id]).get(version_id)


def _rulings(verdict: bytes | None) -> Sequence[Mapping[str, Any]]:
    """The recorded verdict; none until a worker has looked back at the release."""
    document = verdict_of(bytes(verdict)) if verdict else None
    return document["rulings"] if document is not None else ()


def _fields(
    rulings: Sequence[Mapping[str, Any]], original: Mapping[str, Any] | None, body: bytes
) -> list[Field]:
    values = explain.leaves(original) if original is not None else {}
    sent = explain.leaves(orjson.loads(body)) if body else {}
    if not rulings:
        return [Field(path, None, "", "", "", "", "", value) for path, value in sent.items()]
    return [
        Field(
            path=one["path"],
            value=values.get(one["path"]) if original is not None else None,
            field_class=one["class"],
            treatment=one["treatment"],
            rule=one["rule"],
            reason=one["reason"],
            basis=one["basis"],
            sent=sent.get(one["path"]),
        )
        for one in rulings
    ]
