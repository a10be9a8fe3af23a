"""Floor, member policy and entitlement: read, checked, and joined to the terms of one audience."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from exchange.policy.catalogue import FIELDS, TLP_ORDER
from exchange.policy.lattice import ALL, Parameter, Ruling, Treatment, strictest
from exchange.policy.statistics import Own, Rules
from exchange.proof import jcs
from exchange.proof.refused import Refused

SENSITIVITIES = ("S0", "S1", "S2", "S3", "S4")
OWN_POLICY = "the contributor's own policy"
_SHIPPED = Path(__file__).with_name("floor.yaml").read_text(encoding="utf-8")
_SECTIONS: frozenset[str] = frozenset(yaml.safe_load(_SHIPPED))


def shipped_floor(window_seconds: int | None = None) -> dict[str, Any]:
    """The floor as shipped; with `window_seconds`, the demo's, which says that it is."""
    document: dict[str, Any] = yaml.safe_load(_SHIPPED)
    if window_seconds is not None:
        document["id"] = "weir-demo-floor"
        document["title"] = "The demo's floor"
        document["note"] = (
            f"For demonstration only: every window opens each {window_seconds} seconds."
        )
        for window in document["windows"].values():
            window["every_seconds"] = window_seconds
    return document


def sensitivity_order(sensitivity: str) -> int:
    """The place of a sensitivity from S0, public, to S4, never leaves."""
    return SENSITIVITIES.index(sensitivity)


def strictest_sensitivity(sensitivities: Iterable[str]) -> str:
    """The highest of several sensitivities."""
    return max(sensitivities, key=sensitivity_order)


@dataclass(frozen=True, slots=True)
class Floor:
    """The forum's policy: what no member can loosen. Two floors are equal if their documents are.

    `document` is never changed after it was read; everything else is derived from it.
    """

    digest: str
    version: int
    document: Mapping[str, Any] = field(repr=False, compare=False, hash=False)
    rulings: Mapping[str, Ruling] = field(repr=False, compare=False, hash=False)
    rulings_s3: Mapping[str, Ruling] = field(repr=False, compare=False, hash=False)
    abilities: Mapping[str, frozenset[Treatment]] = field(repr=False, compare=False, hash=False)

    @staticmethod
    def parse(document: Mapping[str, Any]) -> "Floor":
        """The floor that a document describes; Refused says what is wrong with it, and where."""
        _check_floor(document)
        encoded = jcs.encode(document)
        return _parsed(sha256(encoded).hexdigest(), _Hidden(json.loads(encoded)))

    def rule(self, name: str, field_class: str = "object") -> Ruling:
        """A removal by one of the floor's rules, of a field or of a whole object."""
        rule = self.document["rules"][name]
        return Ruling(
            Treatment.DROP, field_class, self.rule_id(name), rule["reason"], rule["basis"]
        )

    def rule_id(self, name: str) -> str:
        """The full name of a rule of this version."""
        return f"floor/{self.version}/{name}"

    def ruling(self, field_class: str, sensitivity: str) -> Ruling:
        """What the floor does with a class of fields in an object of this own sensitivity."""
        if sensitivity_order(sensitivity) >= sensitivity_order("S3"):
            return self.rulings_s3[field_class]
        return self.rulings[field_class]

    def window_seconds(self, sensitivity: str) -> int:
        """How often the window of a sensitivity opens; nothing stands for at once."""
        window: int = self.document["windows"][sensitivity]["every_seconds"]
        return window

    def approvers(self, hold_class: str) -> tuple[str, ...]:
        """Who together may release what is held for a class."""
        named = self.document["approvers"]
        return tuple(named.get(hold_class, named["default"]))

    def legal_basis(self, on: date) -> str | None:
        """The first legal basis that is in force on a day."""
        day = on.isoformat()
        for basis in self.document["legal_bases"]:
            if basis["from"] <= day and (basis["until"] is None or day <= basis["until"]):
                name: str = basis["id"]
                return name
        return None


@dataclass(frozen=True, slots=True)
class _Hidden:
    """A document that takes no part in comparison: its digest stands for it."""

    document: Mapping[str, Any] = field(compare=False, hash=False)


@lru_cache(maxsize=32)
def _parsed(digest: str, hidden: _Hidden) -> Floor:
    document = hidden.document
    version = document["version"]
    return Floor(
        digest=digest,
        version=version,
        document=document,
        rulings={name: _floor_ruling(document, name, s3=False) for name in document["classes"]},
        rulings_s3={name: _floor_ruling(document, name, s3=True) for name in document["classes"]},
        abilities={
            name: frozenset(_treatment(word) for word in row["can"])
            for name, row in document["classes"].items()
        },
    )


def _floor_ruling(document: Mapping[str, Any], name: str, *, s3: bool) -> Ruling:
    row = document["classes"][name]
    treatment = _treatment(row.get("s3", row["treatment"]) if s3 else row["treatment"])
    special = s3 and "s3" in row and f"{name}-s3" in document["rules"]
    rule = f"{name}-s3" if special else name
    parameter = None
    if treatment is Treatment.COARSEN:
        parameter = Parameter(row["scale"], row["step"])
    why = document["rules"][rule]
    rule_id = f"floor/{document['version']}/{rule}"
    return Ruling(treatment, name, rule_id, why["reason"], why["basis"], parameter)


def _treatment(word: str) -> Treatment:
    return Treatment[word.upper()]


def _check_floor(document: Mapping[str, Any]) -> None:
    missing = sorted(_SECTIONS - set(document))
    if missing:
        raise Refused("floor.incomplete", f"The floor lacks {', '.join(missing)}.", missing[0])
    unknown = sorted(set(document) - _SECTIONS)
    if unknown:
        raise Refused("floor.unknown", "The floor has a section that is not known.", unknown[0])
    for name in sorted(_classes_in_use() - set(document["classes"])):
        raise Refused("floor.class", f"The floor has no treatment for {name}.", f"classes.{name}")
    for name, row in document["classes"].items():
        if name not in document["rules"]:
            raise Refused("floor.rule", "A class has no rule.", f"classes.{name}")
        words = {word for word in (row["treatment"], row.get("s3")) if word}
        if not words <= set(row["can"]) or "drop" not in row["can"]:
            raise Refused("floor.ability", "A class cannot do its treatment.", f"classes.{name}")
    for sensitivity in ("S0", "S1", "S2", "S3"):
        if document["windows"][sensitivity]["every_seconds"] < 0:
            raise Refused("floor.window", "A window is negative.", f"windows.{sensitivity}")
    Rules.parse(document["statistics"])


def _classes_in_use() -> frozenset[str]:
    texts = [text for row in FIELDS["types"].values() for text in row["fields"].values()]
    for section in ("sdo", "sco", "pattern"):
        texts += FIELDS[section].values()
    texts += FIELDS["context"]["fields"].values()
    return frozenset(text.split(" ")[0] for text in texts)


@dataclass(frozen=True, slots=True)
class MemberPolicy:
    """A contributor's own terms: they can only remove more, delay more, or send to fewer."""

    version: int = 0
    drop_classes: frozenset[str] = frozenset()
    drop_types: frozenset[str] = frozenset()
    drop_kinds: frozenset[str] = frozenset()
    deny_recipients: frozenset[str] = frozenset()
    deny_kinds: tuple[tuple[str, frozenset[str]], ...] = ()
    delay_seconds: tuple[tuple[str, int], ...] = ()
    tlp_at_least: str = "clear"
    min_circle: int = 0
    months: bool = False
    url_path_segments: int | None = None
    backfill: str = "none"
    statistics: Own = Own()

    @staticmethod
    def none() -> "MemberPolicy":
        """The policy of a member that adds nothing to the floor."""
        return MemberPolicy()

    @staticmethod
    def parse(document: Mapping[str, Any]) -> "MemberPolicy":
        """The policy that a document describes; Refused for what is not known or would loosen."""
        _check_policy(document)
        return MemberPolicy(
            version=document.get("version", 1),
            drop_classes=frozenset(document.get("drop_classes", ())),
            drop_types=frozenset(document.get("drop_types", ())),
            drop_kinds=frozenset(document.get("drop_kinds", ())),
            deny_recipients=frozenset(document.get("deny_recipients", ())),
            deny_kinds=tuple(
                sorted((who, frozenset(what)) for who, what in _map(document, "deny_kinds").items())
            ),
            delay_seconds=tuple(sorted(_map(document, "delay_seconds").items())),
            tlp_at_least=document.get("tlp_at_least", "clear"),
            min_circle=document.get("min_circle", 0),
            months=document.get("dates", "day") == "month",
            url_path_segments=document.get("url_path_segments"),
            backfill=document.get("backfill", "none"),
            statistics=Own.parse(_map(document, "statistics")),
        )

    def rule_id(self, name: str) -> str:
        """The full name of a rule of this version."""
        return f"member/{self.version}/{name}"

    def rulings(self) -> tuple[Ruling, ...]:
        """What the policy does with classes of fields, in one order."""
        text = "The contributor's own policy drops this class of fields."
        rulings = [
            Ruling(Treatment.DROP, name, self.rule_id("drop-class"), text, OWN_POLICY)
            for name in self.drop_classes
        ]
        if self.months:
            rulings.append(self._coarser("timing", "Dates by month.", Parameter("calendar", 2)))
        if self.url_path_segments is not None:
            shorter = Parameter("path-cut", 10 - self.url_path_segments)
            rulings.append(self._coarser("url", "A shorter path.", shorter))
        return tuple(sorted(rulings, key=lambda ruling: (ruling.field_class, ruling.treatment)))

    def _coarser(self, field_class: str, text: str, parameter: Parameter) -> Ruling:
        reason = f"The contributor's own policy: {text.lower()}"
        rule = self.rule_id(f"coarser-{field_class}")
        return Ruling(Treatment.COARSEN, field_class, rule, reason, OWN_POLICY, parameter)


_POLICY_FIELDS = frozenset(
    ("version", "drop_classes", "drop_types", "drop_kinds", "deny_recipients", "deny_kinds")
    + ("delay_seconds", "tlp_at_least", "min_circle", "dates", "url_path_segments", "backfill")
    + ("statistics",)
)


def _map(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, Mapping):
        raise Refused("policy.form", "This is a table of names.", name)
    return value


def _check_policy(document: Mapping[str, Any]) -> None:
    for name in sorted(set(document) - _POLICY_FIELDS):
        raise Refused("policy.unknown", "A member policy has no such setting.", name)
    for name in ("drop_classes", "drop_types", "drop_kinds", "deny_recipients"):
        words = document.get(name, [])
        if not isinstance(words, (list, tuple)) or not all(isinstance(w, str) for w in words):
            raise Refused("policy.form", "This is a list of names.", name)
    for name in ("version", "min_circle", "url_path_segments"):
        number = document.get(name, 0)
        if type(number) is not int or number < 0:
            raise Refused("policy.form", "This is a whole number.", name)
    if document.get("url_path_segments", 0) > 10:
        raise Refused("policy.form", "At most ten path segments.", "url_path_segments")
    for sensitivity, seconds in _map(document, "delay_seconds").items():
        if sensitivity not in SENSITIVITIES or type(seconds) is not int or seconds < 0:
            raise Refused("policy.delay", "A delay is a number of seconds.", "delay_seconds")
    _check_words(document, "tlp_at_least", TLP_ORDER)
    _check_words(document, "dates", ("day", "month"))
    _check_words(document, "backfill", ("none", "live"))


def _check_words(document: Mapping[str, Any], name: str, words: tuple[str, ...]) -> None:
    if name in document and document[name] not in words:
        raise Refused("policy.word", f"One of {', '.join(words)}.", name)


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What a recipient may receive at all."""

    member: str
    circles: frozenset[str]
    agreement: bool
    tlp_ceiling: str
    active: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """Floor, member policy and entitlement joined. Recipients with equal terms are one audience:
    no recipient's name is in here, unless the member policy makes a difference for it."""

    floor: Floor
    withhold_all: Ruling | None
    tlp_ceiling: str
    tlp_at_least: str
    drop_types: frozenset[str]
    drop_kinds: frozenset[str]
    policy_version: int
    tightened: tuple[Ruling, ...]
    delay_seconds: tuple[tuple[str, int], ...]
    legal_basis: str | None

    def rulings(self, sensitivity: str) -> Mapping[str, Ruling]:
        """What is done with each class of fields: never looser than the floor. Compiled once."""
        is_s3 = sensitivity_order(sensitivity) >= sensitivity_order("S3")
        return _compiled(self.floor, self.tightened)[is_s3]

    def ruling(self, field_class: str, sensitivity: str) -> Ruling:
        """What is done with one class of fields."""
        return self.rulings(sensitivity)[field_class]

    def rule(self, name: str, field_class: str = "object") -> Ruling:
        """A removal by one of the floor's rules, made once for each class."""
        return _removal(self.floor, name, field_class)

    def delay(self, sensitivity: str) -> int:
        """The seconds that the contributor adds to the window of a sensitivity."""
        return dict(self.delay_seconds).get(sensitivity, 0)


@lru_cache(maxsize=256)
def _compiled(
    floor: Floor, tightened: tuple[Ruling, ...]
) -> tuple[Mapping[str, Ruling], Mapping[str, Ruling]]:
    """Floor and member policy joined for each class: below S3, and from S3 on."""
    own: dict[str, list[Ruling]] = defaultdict(list)
    for ruling in tightened:
        own[ruling.field_class].append(ruling)

    def joined(rulings: Mapping[str, Ruling]) -> Mapping[str, Ruling]:
        return {
            name: strictest([ruling, *own[name]], can=floor.abilities.get(name, ALL))
            for name, ruling in rulings.items()
        }

    return joined(floor.rulings), joined(floor.rulings_s3)


@lru_cache(maxsize=4_096)
def _removal(floor: Floor, name: str, field_class: str) -> Ruling:
    return floor.rule(name, field_class)


def join(  # noqa: PLR0913 - the circumstances of one act of sharing, each named at the call
    floor: Floor,
    member_policy: MemberPolicy,
    entitlement: Entitlement,
    *,
    contributor: str,
    circle: str,
    on: date,
    circle_size: int | None = None,
) -> Terms:
    """The terms of one recipient for what a contributor addresses to a circle on a day."""
    own = entitlement.member == contributor
    kinds = dict(member_policy.deny_kinds).get(entitlement.member, frozenset())
    withheld = _withheld(floor, entitlement, circle=circle, on=on)
    if withheld is None:
        withheld = _too_small(floor, member_policy, circle_size, own=own)
    if withheld is None and not own and entitlement.member in member_policy.deny_recipients:
        rule = member_policy.rule_id("deny-recipient")
        text = "The contributor's own policy does not send to this recipient."
        withheld = Ruling(Treatment.DROP, "recipient", rule, text, OWN_POLICY)
    return Terms(
        floor=floor,
        withhold_all=withheld,
        tlp_ceiling=entitlement.tlp_ceiling,
        tlp_at_least=member_policy.tlp_at_least,
        drop_types=member_policy.drop_types,
        drop_kinds=member_policy.drop_kinds | (frozenset() if own else kinds),
        policy_version=member_policy.version,
        tightened=member_policy.rulings(),
        delay_seconds=member_policy.delay_seconds,
        legal_basis=floor.legal_basis(on),
    )


def _withheld(floor: Floor, entitlement: Entitlement, *, circle: str, on: date) -> Ruling | None:
    checks = (
        ("no-basis", floor.legal_basis(on) is not None),
        ("inactive", entitlement.active),
        ("no-agreement", entitlement.agreement),
        ("not-in-circle", circle in entitlement.circles),
    )
    for rule, holds in checks:
        if not holds:
            return floor.rule(rule)
    return None


def _too_small(
    floor: Floor, policy: MemberPolicy, circle_size: int | None, *, own: bool
) -> Ruling | None:
    if circle_size is not None and circle_size < floor.document["minimum_circle"]:
        return floor.rule("small-circle")
    # A policy that asks for a size that nobody stated is not met: any doubt means not sent.
    if policy.min_circle and not own and (circle_size or 0) < policy.min_circle:
        text = "The contributor's own policy asks for a larger circle."
        return Ruling(Treatment.DROP, "recipient", policy.rule_id("min-circle"), text, OWN_POLICY)
    return None
