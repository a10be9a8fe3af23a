"""Floor, member policy and entitlement: read, checked, and joined to the terms of one audience."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from exchange.policy.catalogue import CONTEXT_TYPES, FIELDS, TLP_ORDER
from exchange.policy.lattice import ALL, Parameter, Ruling, Treatment, strictest
from exchange.policy.statistics import Own, Rules
from exchange.proof import jcs
from exchange.proof.refused import Refused

SENSITIVITIES = ("S0", "S1", "S2", "S3", "S4")
OWN_POLICY = "the contributor's own policy"
_SHIPPED = Path(__file__).with_name("floor.yaml").read_text(encoding="utf-8")
_DOCUMENT: dict[str, Any] = yaml.safe_load(_SHIPPED)
_SECTIONS: frozenset[str] = frozenset(_DOCUMENT)


def shipped_floor(window_seconds: int | None = None) -> dict[str, Any]:
    """The floor as shipped; with `window_seconds`, the demo's, which says that it is."""
    document = deepcopy(_DOCUMENT)
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


# Of floors that were in force before there was a pool; they have it as it is shipped.
_ADDED = frozenset({"pool"})


def _check_floor(document: Mapping[str, Any]) -> None:
    missing = sorted(_SECTIONS - _ADDED - set(document))
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
class InCircle:
    """A member's further limits in one circle."""

    deny_recipients: frozenset[str] = frozenset()
    allow_recipients: frozenset[str] | None = None
    drop_kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MemberPolicy:
    """A contributor's own terms: they can only remove more, delay more, or send to fewer."""

    version: int = 0
    drop_classes: frozenset[str] = frozenset()
    drop_properties: frozenset[str] = frozenset()
    drop_types: frozenset[str] = frozenset()
    drop_kinds: frozenset[str] = frozenset()
    reject_classes: frozenset[str] = frozenset()
    deny_recipients: frozenset[str] = frozenset()
    # Only these; None for everybody.
    allow_recipients: frozenset[str] | None = None
    deny_kinds: tuple[tuple[str, frozenset[str]], ...] = ()
    deny_circles: frozenset[str] = frozenset()
    in_circles: tuple[tuple[str, InCircle], ...] = ()
    delay_seconds: tuple[tuple[str, int], ...] = ()
    tlp_at_least: str = "clear"
    min_circle: int = 0
    dates: str = "day"
    counts: str = "decade"
    url_path_segments: int | None = None
    days_at_most: int | None = None
    backfill: str = "none"
    # What a run of the pool finds in the member's own rows: its analyst is asked, or it is sent.
    drafts: str = "ask"
    two_people: bool = False
    stay_hidden: bool = False
    statistics: Own = Own()
    reasons: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def none() -> "MemberPolicy":
        """The policy of a member that adds nothing to the floor."""
        return MemberPolicy()

    @staticmethod
    def parse(document: Mapping[str, Any]) -> "MemberPolicy":
        """The policy that a document describes; Refused for what is not known or would loosen."""
        _check_policy(document)
        given: dict[str, Any] = {name: frozenset(document.get(name, ())) for name in _LISTS}
        given |= {name: document[name] for name in _PLAIN if name in document}
        return MemberPolicy(
            **given,
            version=document.get("version", 1),
            allow_recipients=_only(document),
            deny_kinds=tuple(
                sorted((who, frozenset(what)) for who, what in _map(document, "deny_kinds").items())
            ),
            in_circles=tuple(
                (circle, _in_circle(row))
                for circle, row in sorted(_map(document, "in_circles").items())
            ),
            delay_seconds=tuple(sorted(_map(document, "delay_seconds").items())),
            statistics=Own.parse(_map(document, "statistics")),
            reasons=tuple(sorted(_map(document, "reasons").items())),
        )

    def rule_id(self, name: str) -> str:
        """The full name of a rule of this version."""
        return f"member/{self.version}/{name}"

    def rule(self, name: str, setting: str, sentence: str, field_class: str = "object") -> Ruling:
        """A removal by one of the settings, in the member's own words if it gave some."""
        said = dict(self.reasons).get(setting, sentence)
        return Ruling(Treatment.DROP, field_class, self.rule_id(name), said, OWN_POLICY)

    def rulings(self) -> tuple[Ruling, ...]:
        """What the policy does with classes of fields, in one order."""
        text = "The contributor's own policy drops this class of fields."
        rulings = [
            self.rule("drop-class", "drop_classes", text, name) for name in self.drop_classes
        ]
        if self.dates == "month":
            rulings.append(self._coarser("timing", "dates", "Dates by month.", "calendar", 2))
        if self.dates == "none":
            text = "The contributor's own policy sends no dates."
            rulings.append(self.rule("no-dates", "dates", text, "timing"))
        if self.counts == "none":
            text = "The contributor's own policy sends no counts."
            rulings.append(self.rule("no-counts", "counts", text, "volume"))
        if self.url_path_segments is not None:
            step = 10 - self.url_path_segments
            shorter = self._coarser("url", "url_path_segments", "A shorter path.", "path-cut", step)
            rulings.append(shorter)
        return tuple(sorted(rulings, key=lambda ruling: (ruling.field_class, ruling.treatment)))

    def properties(self) -> frozenset[str]:
        """The properties that do not pass, those that state a count among them if none may."""
        return self.drop_properties | (COUNTING if self.counts == "none" else frozenset())

    def kinds_dropped(self, recipient: str, circle: str) -> frozenset[str]:
        """The kinds that this recipient does not get through this circle."""
        here = dict(self.in_circles).get(circle, InCircle())
        denied = dict(self.deny_kinds).get(recipient, frozenset())
        return self.drop_kinds | here.drop_kinds | denied

    def refuses(self, recipient: str, circle: str) -> Ruling | None:
        """Why nothing goes to a recipient through a circle, if so."""
        here = dict(self.in_circles).get(circle, InCircle())
        if circle in self.deny_circles:
            text = "The contributor's own policy does not send to this circle."
            return self.rule("deny-circle", "deny_circles", text, "recipient")
        if recipient in self.deny_recipients | here.deny_recipients:
            text = "The contributor's own policy does not send to this recipient."
            return self.rule("deny-recipient", "deny_recipients", text, "recipient")
        for only in (self.allow_recipients, here.allow_recipients):
            if only is not None and recipient not in only:
                text = "The contributor's own policy sends to named recipients only."
                return self.rule("allow-recipients", "allow_recipients", text, "recipient")
        return None

    def _coarser(self, field_class: str, setting: str, text: str, scale: str, step: int) -> Ruling:
        reason = f"The contributor's own policy: {text.lower()}"
        ruling = self.rule(f"coarser-{field_class}", setting, reason, field_class)
        return replace(ruling, treatment=Treatment.COARSEN, parameter=Parameter(scale, step))


_LISTS = (
    *("drop_classes", "drop_properties", "drop_types", "drop_kinds", "reject_classes"),
    *("deny_recipients", "deny_circles"),
)
_PLAIN = (
    *("tlp_at_least", "min_circle", "dates", "counts", "url_path_segments", "days_at_most"),
    *("backfill", "drafts", "two_people", "stay_hidden"),
)
_TABLES = ("deny_kinds", "in_circles", "delay_seconds", "statistics", "reasons", "because")
_POLICY_FIELDS = frozenset((*_LISTS, *_PLAIN, *_TABLES, "version", "title", "allow_recipients"))
_NUMBERS = ("version", "min_circle", "url_path_segments", "days_at_most")
COUNTING = frozenset(
    f"{stix_type}.context.{name}"
    for stix_type in CONTEXT_TYPES
    for name in ("account_count_bucket", "exchange_volume_bucket", "count_bucket")
)


def _only(document: Mapping[str, Any]) -> frozenset[str] | None:
    return frozenset(document["allow_recipients"]) if "allow_recipients" in document else None


def _in_circle(row: Mapping[str, Any]) -> InCircle:
    return InCircle(
        deny_recipients=frozenset(row.get("deny_recipients", ())),
        allow_recipients=_only(row),
        drop_kinds=frozenset(row.get("drop_kinds", ())),
    )


def _map(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, Mapping):
        raise Refused("policy.form", "This is a table of names.", name)
    return value


def _check_policy(document: Mapping[str, Any]) -> None:
    for name in sorted(set(document) - _POLICY_FIELDS):
        raise Refused("policy.unknown", "A member policy has no such setting.", name)
    _check_lists(document, (*_LISTS, "allow_recipients"), "")
    for circle, row in _map(document, "in_circles").items():
        if not isinstance(row, Mapping) or set(row) - _IN_CIRCLE:
            raise Refused("policy.form", "A circle has no such setting.", f"in_circles.{circle}")
        _check_lists(row, tuple(_IN_CIRCLE), f"in_circles.{circle}.")
    _check_numbers(document)
    for name in ("two_people", "stay_hidden"):
        if type(document.get(name, False)) is not bool:
            raise Refused("policy.form", "This is true or false.", name)
    _check_words(document, "tlp_at_least", TLP_ORDER)
    _check_words(document, "dates", ("day", "month", "none"))
    _check_words(document, "counts", ("decade", "none"))
    _check_words(document, "backfill", ("none", "live"))
    _check_words(document, "drafts", ("ask", "send"))


def _check_numbers(document: Mapping[str, Any]) -> None:
    for name in _NUMBERS:
        number = document.get(name, 0)
        if type(number) is not int or number < 0:
            raise Refused("policy.form", "This is a whole number.", name)
    if document.get("url_path_segments", 0) > 10:
        raise Refused("policy.form", "At most ten path segments.", "url_path_segments")
    for sensitivity, seconds in _map(document, "delay_seconds").items():
        if sensitivity not in SENSITIVITIES or type(seconds) is not int or seconds < 0:
            raise Refused("policy.delay", "A delay is a number of seconds.", "delay_seconds")


_IN_CIRCLE = frozenset(InCircle.__dataclass_fields__)


def _check_lists(document: Mapping[str, Any], names: tuple[str, ...], at: str) -> None:
    for name in names:
        words = document.get(name, [])
        if not isinstance(words, (list, tuple)) or not all(isinstance(w, str) for w in words):
            raise Refused("policy.form", "This is a list of names.", f"{at}{name}")


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
    drop_properties: frozenset[str] = frozenset()

    def open(self) -> "Terms":
        """The same treatment of every field, for a recipient from whom no object is withheld."""
        return replace(
            self,
            withhold_all=None,
            tlp_ceiling=TLP_ORDER[-1],
            drop_types=frozenset(),
            drop_kinds=frozenset(),
            legal_basis=None,
        )

    def joined(self, other: "Terms") -> "Terms":
        """The join with the terms of the same recipient in a further circle: never looser."""
        narrower = min(self.tlp_ceiling, other.tlp_ceiling, key=TLP_ORDER.index)
        at_least = max(self.tlp_at_least, other.tlp_at_least, key=TLP_ORDER.index)
        more = tuple(ruling for ruling in other.tightened if ruling not in self.tightened)
        return replace(
            self,
            withhold_all=self.withhold_all or other.withhold_all,
            tlp_ceiling=narrower,
            tlp_at_least=at_least,
            drop_types=self.drop_types | other.drop_types,
            drop_kinds=self.drop_kinds | other.drop_kinds,
            tightened=self.tightened + more,
            drop_properties=self.drop_properties | other.drop_properties,
        )

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
    withheld = _withheld(floor, entitlement, circle=circle, on=on)
    if withheld is None:
        withheld = _too_small(floor, member_policy, circle_size, own=own)
    if withheld is None and not own:
        withheld = member_policy.refuses(entitlement.member, circle)
    return Terms(
        floor=floor,
        withhold_all=withheld,
        tlp_ceiling=entitlement.tlp_ceiling,
        tlp_at_least=member_policy.tlp_at_least,
        drop_types=member_policy.drop_types,
        drop_kinds=member_policy.drop_kinds
        if own
        else member_policy.kinds_dropped(entitlement.member, circle),
        policy_version=member_policy.version,
        tightened=member_policy.rulings(),
        delay_seconds=member_policy.delay_seconds,
        legal_basis=floor.legal_basis(on),
        drop_properties=member_policy.properties(),
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
        return policy.rule("min-circle", "min_circle", text, "recipient")
    return None
