"""What an analyst reads: the news, campaigns and objects, out of what the member holds.

Everything here comes through `access`; nothing is counted that the member does not hold.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from django.db.models import BooleanField, F, Func, QuerySet, Value

from exchange import access
from exchange.proof.refused import NotFound
from indicators.stix import extensions, markings, references
from members.auth import Principal

NEWS = 25
_LINKS = ("relationship", "sighting", "observed-data", "network-traffic", "account-cluster")
_NO_NEWS = ("relationship",)
_GROUPS = {
    "indicator": "Indicators",
    "infrastructure": "Infrastructure",
    "account-cluster": "Account clusters",
    "sighting": "Sightings",
}
_FACTS = {
    "capability_targets": "Aims at",
    "elicitation_methods": "How",
    "phases_observed": "Phases",
    "threat_basis": "Threat basis",
    "account_count_bucket": "Accounts",
    "exchange_volume_bucket": "Exchanges",
    "surfaces": "Surfaces",
}
_VALUES = ("pattern", "value", "ja4", "cluster_token", "evidence_token", "shape_id", "number")


@dataclass(frozen=True, slots=True)
class Card:
    """An object in a list: what it is, what it says, how long it holds."""

    stix_id: str
    stix_type: str
    title: str
    value: str
    kind: str
    sensitivity: str
    tlp: str
    state: str
    added_at: datetime
    valid_from: datetime | None
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign in the list, with what the member holds of it."""

    card: Card
    targets: tuple[str, ...]
    indicators: int


@dataclass(frozen=True, slots=True)
class Technique:
    """A published ATLAS technique, by its name."""

    atlas_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Group:
    """Objects of one kind that belong to a campaign."""

    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class CampaignView:
    """A campaign with what indicates and uses it."""

    card: Card
    facts: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]
    techniques: tuple[Technique, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Another object of the holding, and the word for how it is linked."""

    word: str
    card: Card


@dataclass(frozen=True, slots=True)
class ObjectView:
    """One object as the member holds it."""

    card: Card
    lines: tuple[tuple[str, str], ...]
    links: tuple[Link, ...]
    body: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Export:
    """A bundle file of renditions."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True)
class _Object:
    """One rendition, parsed, and its place in the member's feed."""

    obj: Mapping[str, Any]
    held: access.Held

    @property
    def body(self) -> bytes:
        """The exact bytes."""
        return self.held.body


def news(principal: Principal, *, since: datetime, now: datetime) -> tuple[Card, ...]:
    """What reached the member since then, newest first; links and constants are no news."""
    rows = (
        access.since(access.holding(principal), since)
        .exclude(rendition__stix_type__in=_NO_NEWS)
        .exclude(release__member__isnull=True)
    )
    found = _read(rows, limit=NEWS)
    _note(principal, found, now=now)
    return tuple(_card(one, now=now) for one in found)


def campaigns(principal: Principal, *, now: datetime) -> tuple[CampaignRow, ...]:
    """The campaigns that the member holds, newest first, with their indicators counted."""
    holding = access.holding(principal)
    held = _read(holding.filter(rendition__stix_type="campaign"))
    ids = {str(one.obj["id"]) for one in held}
    indicated: dict[str, set[str]] = defaultdict(set)
    links = holding.filter(rendition__stix_type="relationship") if held else holding.none()
    for link in _read(links):
        target = str(link.obj.get("target_ref"))
        source = str(link.obj.get("source_ref"))
        if target in ids and source.startswith("indicator--"):
            indicated[target].add(source)
    _note(principal, held, now=now)
    return tuple(
        CampaignRow(
            card=_card(one, now=now),
            targets=tuple(_context(one.obj).get("capability_targets", ())),
            indicators=len(indicated[str(one.obj["id"])]),
        )
        for one in held
    )


def campaign(principal: Principal, stix_id: str, *, now: datetime) -> CampaignView:
    """One campaign with all that the member holds of it."""
    root, around, _ = _around(principal, stix_id, now=now)
    if root.obj["type"] != "campaign":
        raise NotFound
    groups: dict[str, list[Card]] = defaultdict(list)
    techniques = []
    for one in around:
        kind = str(one.obj["type"])
        if kind == "attack-pattern":
            techniques.append(_technique(one.obj))
        elif kind != "relationship":
            groups[_GROUPS.get(kind, "Observables")].append(_card(one, now=now))
    return CampaignView(
        card=_card(root, now=now),
        facts=tuple(_facts(root.obj)),
        groups=tuple(Group(title, tuple(cards)) for title, cards in sorted(groups.items())),
        techniques=tuple(sorted(techniques, key=lambda one: one.atlas_id)),
    )


def held(principal: Principal, stix_id: str, *, now: datetime) -> ObjectView:
    """One object as the member holds it, and what of the holding is linked with it."""
    root, around, words = _around(principal, stix_id, now=now)
    links = [
        Link(words.get(str(one.obj["id"]), "with"), _card(one, now=now))
        for one in around
        if one.obj["type"] != "relationship"
    ]
    return ObjectView(
        card=_card(root, now=now),
        lines=tuple(_lines(root.obj)),
        links=tuple(links),
        body=root.body,
        digest=sha256(root.body).hexdigest(),
    )


def objects(
    principal: Principal, stix_ids: Sequence[str], *, now: datetime
) -> tuple[Mapping[str, Any], ...]:
    """Those of these objects that the member holds, as they were released to it."""
    found = _read(access.holding(principal).filter(rendition__stix_id__in=list(stix_ids)))
    _note(principal, found, now=now)
    return tuple(one.obj for one in found)


def export(principal: Principal, stix_id: str, *, now: datetime) -> Export:
    """A campaign and all that is held of it, as one STIX bundle of the renditions' exact bytes."""
    root, around, _ = _around(principal, stix_id, now=now)
    if root.obj["type"] != "campaign":
        raise NotFound
    bodies = b",".join([root.body, *(one.body for one in around)])
    head = f'{{"type":"bundle","id":"bundle--{uuid4()}","objects":['.encode()
    return Export(str(root.obj.get("name") or "campaign"), head + bodies + b"]}")


def card(held: access.Held, *, now: datetime) -> Card:
    """An object of the holding as a list shows it."""
    return _card(_Object(json.loads(held.body), held), now=now)


def _around(
    principal: Principal, stix_id: str, *, now: datetime
) -> tuple[_Object, list[_Object], Mapping[str, str]]:
    """An object, the relationships that touch it, and their other ends; all from the holding."""
    holding = access.holding(principal)
    root = next(iter(_read(holding.filter(rendition__stix_id=stix_id))), None)
    if root is None:
        raise NotFound
    linking = holding.filter(rendition__stix_type__in=_LINKS)
    links = _read(linking.filter(_Mentions(Value(stix_id.encode()), F("rendition__body"))))
    words: dict[str, str] = {}
    wanted: dict[str, None] = {target: None for _, target in references.of(root.obj)}
    for link in links:
        wanted[str(link.obj["id"])] = None
        for path, target in references.of(link.obj):
            if target != stix_id:
                wanted[target] = None
                words[target] = _word(link.obj, path)
    found = _read(holding.filter(rendition__stix_id__in=list(wanted)))
    around = {str(one.obj["id"]): one for one in [*links, *found]}
    around.pop(stix_id, None)
    shown = [one for one in around.values() if _is_shown(one.obj)]
    _note(principal, [root, *shown], now=now)
    return root, shown, words


def _is_shown(obj: Mapping[str, Any]) -> bool:
    return obj["type"] not in ("identity", "marking-definition", "extension-definition")


def _word(link: Mapping[str, Any], path: str) -> str:
    word = str(link.get("relationship_type") or "sighting of").replace("-", " ")
    return word if path.startswith("target_ref") else f"{word} this:"


class _Mentions(Func):
    """Whether the bytes of a rendition hold an id: sifted by the database, not here."""

    template = "(position(%(expressions)s) > 0)"
    arg_joiner = "::bytea IN "
    output_field = BooleanField()


def _read(rows: QuerySet[Any], *, limit: int | None = None) -> list[_Object]:
    """The newest rendition of each object in these rows of the holding, newest first."""
    ordered = rows.order_by("-part__running", "-position").values_list(
        "rendition__stix_id",
        "rendition__stix_type",
        "rendition__modified",
        "part__added_at",
        "rendition__body",
        F("part__running") + F("position"),
    )
    newest: dict[str, _Object] = {}
    for stix_id, stix_type, version, added_at, body, number in ordered[:limit]:
        if stix_id not in newest:
            held = access.Held(stix_id, stix_type, version, added_at, bytes(body), number)
            newest[stix_id] = _Object(json.loads(held.body), held)
    return list(newest.values())


def _note(principal: Principal, shown: Sequence[_Object], *, now: datetime) -> None:
    """A page that shows objects is a read like any other: one note for each unbroken range."""
    run: list[access.Held] = []
    for one in sorted((one.held for one in shown), key=lambda held: held.number):
        if run and one.number != run[-1].number + 1:
            access.served(principal, access.Page(tuple(run), more=False), via="web", now=now)
            run = []
        run.append(one)
    access.served(principal, access.Page(tuple(run), more=False), via="web", now=now)


def _card(one: _Object, *, now: datetime) -> Card:
    obj = one.obj
    context = _context(obj)
    until = _moment(obj.get("valid_until") or obj.get("last_seen"))
    is_over = "valid_until" in obj and until is not None and until <= now
    state = "revoked" if obj.get("revoked") else "expired" if is_over else "live"
    kind = str(context.get("indicator_kind", obj["type"]))
    targets = context.get("capability_targets", ())
    return Card(
        stix_id=str(obj["id"]),
        stix_type=str(obj["type"]),
        title=str(obj.get("name") or kind.replace("-", " ")),
        value=", ".join(targets) if obj["type"] == "campaign" else _value(obj),
        kind=kind,
        sensitivity=str(context.get("sensitivity", "")),
        tlp=_tlp(obj),
        state=state,
        added_at=one.held.added_at,
        valid_from=_moment(obj.get("valid_from") or obj.get("first_seen")),
        valid_until=until,
    )


def _value(obj: Mapping[str, Any]) -> str:
    return next((str(obj[key]) for key in _VALUES if key in obj), "")


def _tlp(obj: Mapping[str, Any]) -> str:
    level = markings.tlp_of(obj)
    return f"TLP:{level.name.replace('_', '+')}" if level is not None else ""


def _context(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return extensions.context_of(obj) or {}


def _facts(obj: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, word in (("first_seen", "First seen"), ("last_seen", "Last seen")):
        moment = _moment(obj.get(key))
        if moment is not None:
            yield word, f"{moment.day} {moment:%b %Y}"
    context = _context(obj)
    for key, word in _FACTS.items():
        if key in context:
            value = context[key]
            yield word, value if isinstance(value, str) else ", ".join(value)


def _technique(obj: Mapping[str, Any]) -> Technique:
    sources: Sequence[Mapping[str, Any]] = obj.get("external_references", ())
    ids = (str(one["external_id"]) for one in sources if one.get("external_id"))
    return Technique(next(ids, ""), str(obj.get("name", "")))


def _lines(obj: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Every property with its value; lists of plain values stay together."""
    for key, value in obj.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _lines(value, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for n, part in enumerate(value):
                yield from _lines(part, f"{path}[{n}].")
        elif isinstance(value, list):
            yield path, ", ".join(map(str, value))
        else:
            yield path, str(value).lower() if isinstance(value, bool) else str(value)


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
