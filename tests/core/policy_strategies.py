"""Generated floors, member policies, recipients and contributions: the shipped ones with changes.

A contribution is drawn as a function of a secret: called with two, it gives two contributions that
differ in nothing but what no floor here lets pass.
"""

import copy
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from exchange.policy import closure, decide, render, terms
from exchange.policy.catalogue import WORDS
from exchange.policy.outcomes import Standing
from tests.core import policy_material as material

# How many cases the properties of the engine try together; see CONTRIBUTING.md.
CASES = int(os.environ.get("WEIR_CASES", "2100"))
PROPERTIES = 7
tried = settings(
    deadline=None,
    max_examples=-(-CASES // PROPERTIES),
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
Object = dict[str, Any]
Change = tuple[str, ...]

# --- floors --------------------------------------------------------------------------------------

# Each is (what, ...): stricter than the shipped floor, or looser.
STRICTER: tuple[Change, ...] = (
    *(("drop", name) for name in ("threat", "timing", "confidence", "address", "domain", "url")),
    *(("drop", name) for name in ("reference", "fingerprint", "personal", "rekey", "volume")),
    ("step", "timing", "2"),
    ("step", "url", "9"),
    ("step", "confidence", "10"),
    ("s3", "as-number", "drop"),
    ("set", "confidence_cap", "50"),
    ("set", "pattern_qualifiers", "[]"),
    ("set", "announced_capabilities", "[]"),
    ("set", "address_days", "3"),
    ("set", "drop_properties", '["indicator.confidence", "sighting.count"]'),
    ("withhold", "sighting"),
    ("withhold", "domain-name"),
    ("hold", "campaign"),
    ("reach", "amber"),
)
LOOSER: tuple[Change, ...] = (
    ("open-s3", "address"),
    ("open-s3", "domain"),
    ("open-s3", "url"),
    ("step", "url", "5"),
    ("step", "confidence", "1"),
    ("set", "confidence_cap", "100"),
    ("set", "announced_capabilities", json.dumps(WORDS["capabilities"])),
    ("release", "location"),
    ("release", "vulnerability"),
    ("default", "clear"),
)


@lru_cache(maxsize=2_000)
def floor_of(changes: tuple[Change, ...]) -> terms.Floor:
    """The shipped floor with these changes."""
    document = copy.deepcopy(_SHIPPED)
    for change in changes:
        _CHANGE[change[0]](document, *change[1:])
    return terms.Floor.parse(document)


_SHIPPED = terms.shipped_floor()


def _drop(document: Any, name: str) -> None:
    row = document["classes"][name]
    row["treatment"] = "drop"
    row.pop("s3", None)


def _step(document: Any, name: str, step: str) -> None:
    document["classes"][name]["step"] = int(step)


def _s3(document: Any, name: str, treatment: str) -> None:
    document["classes"][name]["s3"] = treatment


def _set(document: Any, name: str, value: str) -> None:
    document[name] = json.loads(value)


def _withhold(document: Any, name: str) -> None:
    document["types"]["pass"].remove(name)
    document["types"]["withheld"].append(name)


def _hold(document: Any, name: str) -> None:
    document["types"]["held"][name] = "C13"
    document["holds"][f"type-{name}"] = dict(document["holds"]["type-malware"])


def _reach(document: Any, level: str) -> None:
    document["reach"]["at_least"] |= {"S1": level, "S2": level}


def _open_s3(document: Any, name: str) -> None:
    document["classes"][name].pop("s3", None)


def _release(document: Any, name: str) -> None:
    del document["types"]["held"][name]
    document["types"]["pass"].append(name)


def _default(document: Any, level: str) -> None:
    document["reach"]["default"] = level


_CHANGE: dict[str, Callable[..., None]] = {
    "drop": _drop,
    "step": _step,
    "s3": _s3,
    "set": _set,
    "withhold": _withhold,
    "hold": _hold,
    "reach": _reach,
    "open-s3": _open_s3,
    "release": _release,
    "default": _default,
}


def _once_each(changes: Sequence[Change]) -> tuple[Change, ...]:
    return tuple({change[:2]: change for change in changes}.values())


stricter = st.sampled_from(STRICTER)
floors = st.lists(st.sampled_from(STRICTER + LOOSER), max_size=3).map(_once_each)

# --- member policies and recipients --------------------------------------------------------------

RULES: tuple[tuple[str, Any], ...] = (
    *(("drop_classes", [name]) for name in ("threat", "timing", "confidence", "address", "url")),
    ("drop_classes", ["reference", "fingerprint"]),
    ("drop_properties", ["indicator.kill_chain_phases[].phase_name"]),
    ("drop_types", ["campaign"]),
    ("drop_kinds", ["egress-range"]),
    ("deny_recipients", ["borealis"]),
    ("deny_kinds", {"ember": ["reseller-domain"]}),
    ("tlp_at_least", "amber"),
    ("tlp_at_least", "amber+strict"),
    ("dates", "month"),
    ("dates", "none"),
    ("counts", "none"),
    ("url_path_segments", 0),
)
rules = st.sampled_from(RULES)
policies = st.lists(rules, max_size=3).map(dict)
recipients = st.builds(
    terms.Entitlement,
    member=st.sampled_from(["aurora", "borealis", "ember", "fjord"]),
    circles=st.sampled_from([frozenset({"forum"}), frozenset({"forum", "relay"}), frozenset()]),
    agreement=st.sampled_from([True, True, True, False]),
    tlp_ceiling=st.sampled_from(["clear", "green", "amber", "amber+strict", "red"]),
    active=st.sampled_from([True, True, True, False]),
)


def joined(
    floor: terms.Floor, policy: Mapping[str, Any], recipient: terms.Entitlement
) -> terms.Terms:
    """The terms of one recipient for what Aurora sends to the forum."""
    return terms.join(
        floor,
        terms.MemberPolicy.parse(policy),
        recipient,
        contributor="aurora",
        circle="forum",
        on=material.ON,
    )


# --- contributions -------------------------------------------------------------------------------

GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
AMBER = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
HEX = "d41d8cd98f00b204e9800998ecf8427e"
COMPARISONS = (
    "ipv4-addr:value = '198.51.100.7'",
    "ipv4-addr:value ISSUBSET '203.0.113.0/24'",
    "ipv6-addr:value IN ('2001:db8::1', '2001:db8:0::2')",
    "domain-name:value = 'Relay.example'",
    "domain-name:value NOT IN ('a.example', 'b.example')",
    "url:value = 'https://relay.example/v1/a/b/c'",
    "url:value IN ('https://relay.example/v1/a/b', 'https://relay.example/')",
    "email-addr:value = 'somebody@mail.example'",
    f"file:hashes.MD5 = '{HEX}'",
    "autonomous-system:number != 64500",
    f"account-cluster:cluster_token = '{HEX * 2}'",
    f"keyed-token:value = '{HEX * 2}'",
    "network-traffic:dst_port = 8443",
    # What no floor lets pass: a secret in every place that a pattern has for one.
    "file:name = 'SECRET.bin'",
    "domain-name:value = 'SECRET price'",
    "domain-name:value MATCHES 'SECRET.*'",
    "x-own:SECRET = 1",
    "EXISTS process:SECRET",
    "process:command_line LIKE '%SECRET%'",
    "file:hashes.'SECRET' = 'a'",
)
QUALIFIERS = ("", "", "", " WITHIN 300 SECONDS", " REPEATS 73 TIMES")
TEXTS = ("SECRET", "SECRET: we charge $2.10 per Mtok", "\u202eSECRET\u0430", "x" * 40 + "SECRET")


@dataclass(frozen=True)
class Drawn:
    """One object to be: its type, a number that chooses its parts, and how hostile it is."""

    kind: str
    variant: int
    hostile: tuple[int, ...]
    ends: tuple[int, int]


drawn = st.builds(
    Drawn,
    kind=st.sampled_from(
        ["indicator", "indicator", "indicator", "campaign", "infrastructure", "relationship"]
        + ["relationship", "sighting", "observed-data", "ipv4-addr", "domain-name", "url"]
        + ["email-addr", "user-account", "file", "network-traffic", "keyed-token"]
        + ["account-cluster", "location", "identity", "autonomous-system", "rate-shape"]
    ),
    variant=st.integers(0, 2**16 - 1),
    hostile=st.lists(st.integers(0, 63), max_size=3).map(tuple),
    ends=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
contributions = st.lists(drawn, min_size=1, max_size=4).map(tuple)


def objects_of(given: Sequence[Drawn], *, kept: str = "ZQ7A") -> list[Object]:
    """The objects of a contribution that keeps this to itself."""
    made = [_object(one, place, given) for place, one in enumerate(given)]
    text = json.dumps(made).replace("SECRET", kept)
    objects: list[Object] = json.loads(text)
    return objects


def _id(kind: str, place: int) -> str:
    return f"{kind}--{uuid.UUID(int=place + 1, version=4)}"


def _object(one: Drawn, place: int, given: Sequence[Drawn]) -> Object:
    obj: Object = {"type": one.kind, "spec_version": "2.1", "id": _id(one.kind, place)}
    if one.kind in _SCO:
        obj |= _SCO[one.kind](one.variant)
    else:
        obj |= {"created": "2026-10-30T13:47:22.118Z", "modified": "2026-10-30T13:47:22.118Z"}
        obj |= _SDO[one.kind](one.variant)
    if one.kind in _LINKS:
        ends = (
            _end(one, end, may, given) for end, may in zip(one.ends, _ENDS[one.kind], strict=True)
        )
        obj |= _LINKS[one.kind](*ends)
    for number in one.hostile:
        _HOSTILE[number % len(_HOSTILE)](obj, TEXTS[number % len(TEXTS)])
    return obj


def _end(one: Drawn, end: int, may: Sequence[str], given: Sequence[Drawn]) -> str:
    """One of the contribution's objects that may stand here by form, or one that nobody knows."""
    fit = [n for n, other in enumerate(given) if other.kind in may and other is not one]
    place = fit[end % len(fit)] if fit else 77
    return _id(given[place].kind if fit else may[0], place)


def _pattern(variant: int) -> str:
    size = 1 + variant % 3
    parts = [COMPARISONS[(variant >> 2 * n) % len(COMPARISONS)] for n in range(size)]
    glue = (" AND ", " OR ", "] AND [", "] OR [", "] FOLLOWEDBY [")[(variant >> 7) % 5]
    text = f"[{glue.join(parts)}]"
    comment = " /* SECRET */" if variant & 512 else ""
    qualifier = QUALIFIERS[(variant >> 10) % len(QUALIFIERS)]
    return f"({text}){qualifier}{comment}" if qualifier else text + comment


def _context(kind: str, variant: int) -> Object:
    more: Object = {
        "phases_observed": ["resale", "bulk-elicitation", "resale"][: 1 + variant % 3],
        "base_rate_bucket": "lt-1e-5",
        "account_count_bucket": "10-99",
        "match_params": {"metric": "jaccard", "min_similarity": 0.123456},
        "surfaces": ["aggregator", "first-party-api"],
    }
    if variant & 8:
        more["capability_targets"] = ["vision", "other"]
    if variant & 16:
        more["shared_infrastructure_check"] = {"checked_on": "2026-10-30", "verdict": "dedicated"}
    return material.context(kind, ("S0", "S1", "S2", "S3", "S4")[variant % 5], **more)


def _indicator(variant: int) -> Object:
    kinds = ("egress-range", "reseller-domain", "identity-token", "rate-shape")
    obj: Object = {
        "pattern": _pattern(variant),
        "pattern_type": "stix",
        "valid_from": "2026-10-30T13:47:22.118Z",
        "name": "SECRET",
    }
    if variant & 1:
        obj["extensions"] = _context(kinds[variant % len(kinds)], variant >> 1)
    if variant & 2:
        obj["confidence"] = variant % 101
        obj["kill_chain_phases"] = [
            {"kill_chain_name": "model-extraction", "phase_name": "resale"},
            {"kill_chain_name": "SECRET", "phase_name": "resale"},
        ]
    if variant & 4:
        obj["object_marking_refs"] = [GREEN if variant & 8 else AMBER]
        obj["indicator_types"] = ["unknown", "SECRET", "compromised"]
    if variant & 32:
        obj["valid_until"] = "2026-11-02T11:00:00Z"
    return obj


def _dated(kind: str) -> Callable[[int], Object]:
    return lambda variant: {
        "name": "SECRET",
        "first_seen": "2026-10-01T07:08:09.123456Z",
        "last_seen": "2026-10-30T13:47:22Z",
        **({"extensions": _context(kind, variant)} if variant & 1 else {}),
    }


_SDO: dict[str, Callable[[int], Object]] = {
    "indicator": _indicator,
    "campaign": _dated("campaign"),
    "infrastructure": lambda variant: {
        **_dated("reseller-front")(variant),
        "infrastructure_types": ["hosting-malware", "SECRET"],
    },
    "relationship": lambda variant: {
        "relationship_type": ("indicates", "uses", "related-to", "SECRET")[variant % 4],
        "description": "SECRET",
    },
    "sighting": lambda variant: {
        "count": variant,
        "first_seen": "2026-10-01T07:08:09Z",
        "where_sighted_refs": ["identity--9974d75b-3338-44fe-a179-0134676b1b69"],
    },
    "observed-data": lambda variant: {
        "first_observed": "2026-10-01T07:08:09Z",
        "last_observed": "2026-10-01T07:09:09Z",
        "number_observed": 1 + variant,
    },
    "location": lambda variant: {"country": "NL", "name": "SECRET"},
    "identity": lambda variant: {"name": "SECRET", "identity_class": "organization"},
}
_SCO: dict[str, Callable[[int], Object]] = {
    "ipv4-addr": lambda variant: {"value": ("198.51.100.7", "203.0.113.9/24")[variant % 2]},
    "domain-name": lambda variant: {"value": ("Relay.example", "SECRET price")[variant % 2]},
    "url": lambda variant: {"value": f"https://relay.example/v{variant % 3}/a/b?k=SECRET#SECRET"},
    "email-addr": lambda variant: {"value": "somebody@mail.example", "display_name": "SECRET"},
    "user-account": lambda variant: {"account_login": "somebody", "user_id": "SECRET"},
    "file": lambda variant: {"hashes": {"MD5": HEX}, "name": ("model.bin", "SECRET")[variant % 2]},
    "network-traffic": lambda variant: {"protocols": ["tcp", "SECRET"], "dst_port": variant},
    "autonomous-system": lambda variant: {"number": variant, "name": "SECRET"},
    "keyed-token": lambda variant: {
        "kind": ("email-address", "api-key")[variant % 2],
        "value": HEX * 2,
        "token_scheme": ("oprf-p256-sha256", "sha256")[variant % 2],
        "key_domain": "forum",
        "key_epoch": ("2026Q4", "2026Q3")[(variant >> 1) % 2],
    },
    "account-cluster": lambda variant: {
        "cluster_token": HEX * 2,
        "key_epoch": "2026Q4",
        "size_bucket": "10-99",
        "linkage_features": ["synchronised-start", "shared-payment-token"],
    },
    "rate-shape": lambda variant: {
        "shape_id": "rs-2026-0042",
        "bin": WORDS["bins"][0],
        "profile": [variant % 10] * 24,
    },
}
_NAMED = ("indicator", "campaign", "infrastructure", "location")
_VALUES = ("ipv4-addr", "domain-name", "url", "email-addr", "user-account", "file") + (
    ("network-traffic", "keyed-token", "account-cluster", "autonomous-system")
)
# What may stand at each end by form; what may not is refused before the engine sees it.
_ENDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "relationship": (_NAMED, (*_NAMED, *_VALUES)),
    "sighting": (_NAMED, ("observed-data",)),
    "observed-data": (_VALUES, _VALUES),
    "network-traffic": (("ipv4-addr", "domain-name"), ("ipv4-addr", "domain-name")),
    "account-cluster": (("keyed-token",), ("keyed-token",)),
}
_LINKS: dict[str, Callable[[str, str], Object]] = {
    "relationship": lambda a, b: {"source_ref": a, "target_ref": b},
    "sighting": lambda a, b: {"sighting_of_ref": a, "observed_data_refs": [b]},
    "observed-data": lambda a, b: {"object_refs": [a, b]},
    "network-traffic": lambda a, b: {"src_ref": a, "dst_ref": b},
    "account-cluster": lambda a, b: {"shared_token_refs": [a, b]},
}


def _at(name: str) -> Callable[[Object, str], None]:
    return lambda obj, text: obj.__setitem__(name, text)


_HOSTILE: tuple[Callable[[Object, str], None], ...] = (
    _at("description"),
    _at("x_own"),
    _at("lang"),
    lambda obj, text: obj.__setitem__("labels", [text, text]),
    lambda obj, text: obj.__setitem__("aliases", [text]),
    lambda obj, text: obj.__setitem__("x_deep", {text: [{"a": [text]}]}),
    lambda obj, text: obj.__setitem__("external_references", [{"source_name": text}]),
    lambda obj, text: obj.setdefault("extensions", {}).__setitem__(
        "extension-definition--9f3c1c44-8d24-4f4d-9a2b-b5b5f9a2f0aa",
        {"extension_type": "property-extension", "said": text},
    ),
    lambda obj, text: obj.__setitem__(
        "granular_markings",
        [{"marking_ref": AMBER, "selectors": ["confidence", "name", f"x_{len(text)}"]}],
    ),
    lambda obj, text: obj.__setitem__("indicator_types", {"[]": text}),
    lambda obj, text: obj.__setitem__("confidence", 73.5),
    lambda obj, text: obj.__setitem__("created_by_ref", f"identity--{uuid.UUID(int=7, version=4)}"),
)

# --- what comes of it ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Came:
    """What one recipient gets of a contribution."""

    standings: tuple[Standing, ...]
    verdicts: tuple[decide.Verdict, ...]
    shapes: Mapping[int, render.Shape]
    renditions: Mapping[int, render.Rendition]

    @property
    def bodies(self) -> Mapping[int, bytes]:
        """The exact bytes, by the place of the object."""
        return {place: made.body for place, made in self.renditions.items()}


def came_of(objects: Sequence[Object], under: terms.Terms, *, released: bool = True) -> Came:
    """Decide, let the approvers release what is held, close the references and render."""
    standings = decide.standing(objects, material.CONTEXT_OF_AURORA, under.floor)
    if released:
        standings = tuple(
            decide.cleared(one, frozenset(hold.name for hold in one.holds)) for one in standings
        )
    verdicts = tuple(
        decide.verdict(obj, one, under) for obj, one in zip(objects, standings, strict=True)
    )
    due = [
        closure.Due(
            key=place,
            obj=obj,
            standing=standings[place],
            verdict=verdicts[place],
            forum_id=f"{obj['type']}--{uuid.UUID(int=place + 900, version=4)}",
            name="XC-2026-ABCDE",
        )
        for place, obj in enumerate(objects)
    ]
    shapes = closure.close(due, resolvable={}, tokens=material.SCOPE).shapes
    return Came(standings, verdicts, shapes, dict(_finished(shapes)))


def _finished(shapes: Mapping[int, render.Shape]) -> Iterator[tuple[int, render.Rendition]]:
    for place, shape in shapes.items():
        stix_id = f"{shape.type}--{uuid.UUID(int=place + 900, version=4)}"
        yield (
            place,
            render.finish(
                shape,
                stix_id=stix_id,
                created=material.MINTED,
                modified=material.MINTED,
                issuer=material.ISSUER,
            ),
        )
