"""Render: an object under a verdict becomes the exact bytes that its audience receives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import orjson

from exchange.policy import catalogue, coarsen, facts, tokens
from exchange.policy.catalogue import CONTEXT, CONTEXT_TYPES, WORDS, Leaf, Part, Parts
from exchange.policy.decide import Verdict
from exchange.policy.facts import Facts
from exchange.policy.lattice import Ruling, Treatment
from exchange.policy.outcomes import Standing
from exchange.policy.tokens import Scope
from exchange.proof import jcs
from indicators.stix import ids, patterns

GONE = object()
NO_PATTERN = "[file:size < 0]"
CONTRIBUTOR = "contributor"
# What is folded from several contributions is nobody's own words.
_COUNTED = frozenset({"sighting", "observed-data"})
TOKEN_KINDS = {
    "email-addr": "email-address",
    "user-account": "handle",
    "ipv4-addr": "ip-address",
    "ipv6-addr": "ip-address",
    "network-traffic": "ip-address",
}
KEYED = "keyed-token"
_NOWHERE = {"type": "ipv4-addr", "spec_version": "2.1", "value": "0.0.0.0"}  # noqa: S104 - none
_ORDERED = frozenset({"profile", "bands", "protocols"})  # the order of these says something
PHASES = "kill_chain_phases"
# Made anew, each by its own function.
_MINTED = frozenset({"object_marking_refs", "pattern", "valid_until", PHASES})


@dataclass(frozen=True)
class Shape:
    """Everything of a rendition but what is minted: id, times and issuer."""

    type: str
    content: dict[str, Any]
    is_observable: bool

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the content: equal shapes make equal renditions."""
        return sha256(_canonical(self.content)).hexdigest()


@dataclass(frozen=True, slots=True)
class Rendition:
    """The exact bytes of one object version for one audience."""

    stix_id: str
    stix_type: str
    version: str  # the minted `modified`; empty for observables, which have none
    body: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class _Work:
    """One rendering under way."""

    subject: Facts
    verdict: Verdict
    standing: Standing
    refs: Mapping[str, str]
    scope: Scope


def shape(  # noqa: PLR0913 - everything that a rendition is made from
    obj: Mapping[str, Any] | Facts,
    verdict: Verdict,
    standing: Standing,
    *,
    refs: Mapping[str, str],
    tokens: Scope,
    name: str = "",
    by: str = "",
) -> Shape | None:
    """What a rendition says; none if nothing may pass, or if a needed end is not resolvable yet.

    `by` names the contributor, where it chose to be named to this circle. It stands in the object
    itself, so that it goes with it, and links it to nothing.
    """
    if verdict.withheld is not None or verdict.missing(refs):
        return None
    subject = facts.read(obj)
    work = _Work(subject, verdict, standing, refs, tokens)
    content = _as_token(work) or _content(work, name)
    if content is None or not _has_needed(content):
        return None
    content["object_marking_refs"] = [catalogue.tlp_id(verdict.tlp)]
    observable = catalogue.is_observable(content["type"])
    if by and not observable and content["type"] not in _COUNTED:
        content["external_references"] = [{"source_name": CONTRIBUTOR, "description": by}]
    return Shape(type=content["type"], content=content, is_observable=observable)


def finish(shape: Shape, *, stix_id: str, created: str, modified: str, issuer: str) -> Rendition:
    """A shape with its minted names and times; an observable's id follows from what it says."""
    if shape.is_observable:
        stix_id = ids.forum_sco_id({**shape.content, "id": f"{shape.type}--"})
        return _rendition({**shape.content, "id": stix_id}, version="")
    minted = {"id": stix_id, "created": created, "modified": modified, "created_by_ref": issuer}
    return _rendition({**shape.content, **minted}, version=modified)


def _canonical(obj: Mapping[str, Any]) -> bytes:
    """The canonical form (RFC 8785) of what was rendered.

    All of it was built here: keys are ASCII and numbers are small, and the one float there may be
    is a similarity. Without it sorted keys are all that the canonical form asks for.
    """
    context = obj.get("extensions", {}).get(CONTEXT, {})
    if "min_similarity" in context.get("match_params", {}):
        return jcs.encode(obj)
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def _rendition(obj: Mapping[str, Any], *, version: str) -> Rendition:
    body = _canonical(obj)
    return Rendition(obj["id"], obj["type"], version, body, sha256(body).hexdigest())


def revocation(
    stix_type: str, *, stix_id: str, created: str, modified: str, issuer: str, tlp: str
) -> Rendition:
    """The revoked version of an object: required properties only, and no old value in them."""
    day = coarsen.stamp(coarsen.day_down(coarsen.instant(created)))
    required: dict[str, dict[str, Any]] = {
        "indicator": {"pattern": NO_PATTERN, "pattern_type": "stix", "valid_from": day},
        "campaign": {"name": "revoked"},
        "infrastructure": {"name": "revoked"},
        "vulnerability": {"name": "revoked"},
        "malware": {"is_family": False},
        "location": {"region": "world"},
        "opinion": {"opinion": "neutral", "object_refs": [issuer]},
        "grouping": {"context": "unspecified", "object_refs": [issuer]},
        "relationship": {
            "relationship_type": "related-to",
            "source_ref": issuer,
            "target_ref": issuer,
        },
        "sighting": {"sighting_of_ref": issuer},
        "observed-data": {
            "first_observed": day,
            "last_observed": day,
            "number_observed": 1,
            "objects": {"0": {**_NOWHERE, "id": ids.forum_sco_id(_NOWHERE)}},
        },
    }
    obj = {
        "type": stix_type,
        "spec_version": "2.1",
        "id": stix_id,
        "created": created,
        "modified": modified,
        "created_by_ref": issuer,
        "revoked": True,
        "object_marking_refs": [catalogue.tlp_id(tlp)],
        **required[stix_type],
    }
    return _rendition(obj, version=modified)


def notice(
    observables: Sequence[str], *, stix_id: str, at: str, issuer: str, tlp: str
) -> Rendition:
    """The word that observables were recalled, by their ids: the standard revokes none itself."""
    obj = {
        "type": "note",
        "spec_version": "2.1",
        "id": stix_id,
        "created": at,
        "modified": at,
        "created_by_ref": issuer,
        "abstract": "recalled",
        "content": "The exchange no longer serves these observables.",
        "object_refs": [issuer],
        "external_references": [
            {"source_name": "recalled", "external_id": name} for name in sorted(observables)
        ],
        "object_marking_refs": [catalogue.tlp_id(tlp)],
    }
    return _rendition(obj, version=at)


# --- content -------------------------------------------------------------------------------------


def _content(work: _Work, name: str) -> dict[str, Any] | None:
    subject = work.subject
    content = _passing(work)
    said = content.pop("extensions", {})
    content["type"] = subject.stix_type
    content["spec_version"] = "2.1"
    if not content.get("revoked"):
        content.pop("revoked", None)
    _put_extensions(content, said.get(CONTEXT, {}), work)
    if subject.stix_type in ("campaign", "infrastructure"):
        content["name"] = name
    if subject.stix_type == "indicator" and not _put_indicator(content, work):
        return None
    return content


def _has_needed(content: Mapping[str, Any]) -> bool:
    return all(
        any(content.get(name) not in (None, [], {}, "") for name in group)
        for group in catalogue.needs(content["type"])
    )


def _put_indicator(content: dict[str, Any], work: _Work) -> bool:
    pattern = _pattern(work)
    if pattern is None or work.standing.valid_until is None:
        return False
    content["pattern"] = pattern
    content["pattern_type"] = "stix"
    content["pattern_version"] = "2.1"
    step = _step(work.verdict.by_path.get("valid_from"))
    content["valid_until"] = work.standing.valid_until  # a day already
    if step > coarsen.DAY:
        until = coarsen.instant(work.standing.valid_until)
        content["valid_until"] = coarsen.stamp(coarsen.day_up(until, step))
    phases = [item["phase_name"] for item in content.get("kill_chain_phases", ())]
    is_kind_said = work.standing.kind and "indicator_kind" not in work.verdict.unsaid
    words = [work.standing.kind if is_kind_said else "indicator", *phases[:1]]
    content["name"] = ", ".join(word.replace("-", " ") for word in words).capitalize()
    return True


def _put_extensions(content: dict[str, Any], said: dict[str, Any], work: _Work) -> None:
    subject, standing = work.subject, work.standing
    fixed = catalogue.extension_of(subject.stix_type)
    if fixed is not None:
        content["extensions"] = {fixed: {"extension_type": "new-sco"}}
    if subject.stix_type not in CONTEXT_TYPES or standing.kind is None:
        return
    unsaid = work.verdict.unsaid
    if unsaid & {"indicator_kind", "sensitivity"}:
        return  # there is no context without them
    check = said.get("shared_infrastructure_check")
    if check is not None and not {"checked_on", "verdict"} <= set(check):
        del said["shared_infrastructure_check"]
    said |= {
        "extension_type": "property-extension",
        "schema_version": "1.0",
        "indicator_kind": standing.kind,
        "sensitivity": standing.own_sensitivity,
    }
    is_basis_said = standing.threat_basis and "threat_basis" not in unsaid
    if is_basis_said and subject.stix_type != "sighting":
        said["threat_basis"] = _sorted_words(list(standing.threat_basis), "bases")
    label = coarsen.decade_label(content["count"]) if "count" in content else None
    if label is not None and "count_bucket" not in unsaid:
        said["count_bucket"] = label
    content["extensions"] = {CONTEXT: said}


def _passing(work: _Work) -> dict[str, Any]:
    """What passes of an object, changed as its ruling says, in its own nesting."""
    by_path = work.verdict.by_path
    content: dict[str, Any] = {}
    lists: list[tuple[list[Any], Leaf]] = []
    for leaf in work.subject.leaves:
        ruling = by_path.get(leaf.path)
        if ruling is None or ruling.treatment is Treatment.DROP or leaf.parts[0] in _MINTED:
            continue
        change = _CHANGES.get(ruling.field_class)
        value = leaf.value if change is None else change(leaf.value, ruling, leaf.parts, work)
        if value is GONE:
            continue
        if len(leaf.parts) == 1:
            content[str(leaf.parts[0])] = value
            continue
        *way, name, last = leaf.parts
        node = _node(content, way)
        if not isinstance(last, int):
            node.setdefault(name, {})[last] = value
        elif name in node:
            node[name].append(value)
        else:
            node[name] = [value]
            lists.append((node[name], leaf))
    for items, leaf in lists:
        items[:] = _canonical_list(items, leaf)
    phases = _phases(work) if PHASES in work.subject.obj else []
    if phases:
        content[PHASES] = phases
    return content


def _node(content: dict[Any, Any], way: list[Part]) -> dict[Any, Any]:
    for part in way:
        content = content.setdefault(part, {})
    return content


def _phases(work: _Work) -> list[dict[str, str]]:
    """The only list of objects that passes: in the order of the kill chain, each once."""
    by_path = work.verdict.by_path
    names = [
        leaf.value
        for leaf in work.subject.leaves
        if leaf.parts[0] == PHASES
        and leaf.parts[-1] == "phase_name"
        and by_path[leaf.path].treatment is not Treatment.DROP
    ]
    return [
        {"kill_chain_name": "model-extraction", "phase_name": name}
        for name in _sorted_words(names, "phases")
    ]


def _canonical_list(items: list[Any], leaf: Leaf) -> list[Any]:
    # The order of a set is handwriting; so is a repeated item.
    if leaf.parts[-2] in _ORDERED:
        return items
    if leaf.entry is not None and catalogue.is_closed(leaf.entry.grammar):
        return _sorted_words(items, leaf.entry.grammar)
    return sorted(set(items))


def _sorted_words(items: list[str], grammar: str) -> list[str]:
    return sorted(set(items), key=WORDS[grammar].index)


# --- values --------------------------------------------------------------------------------------

Change = Callable[[Any, Ruling, Parts, _Work], Any]


def _step(ruling: Ruling | None) -> int:
    return ruling.parameter.step if ruling is not None and ruling.parameter is not None else 1


def _day(value: str, ruling: Ruling, parts: Parts, work: _Work) -> str:
    if _step(ruling) == coarsen.DAY:
        return value if len(value) == len("2026-01-01") else f"{value[:10]}T00:00:00.000Z"
    if len(value) == len("2026-01-01"):
        return f"{coarsen.day_down(coarsen.instant(f'{value}T00:00:00Z'), _step(ruling)):%Y-%m-%d}"
    return coarsen.stamp(coarsen.day_down(coarsen.instant(value), _step(ruling)))


def _reference(value: str, ruling: Ruling, parts: Parts, work: _Work) -> Any:  # noqa: ANN401
    return work.refs.get(value, GONE)


def _confident(value: int, ruling: Ruling, parts: Parts, work: _Work) -> int:
    return coarsen.confidence(value, _step(ruling), work.verdict.confidence_cap)


def _page(value: str, ruling: Ruling, parts: Parts, work: _Work) -> Any:  # noqa: ANN401
    return coarsen.page(value, 10 - _step(ruling)) or GONE


def _rekeyed(value: str, ruling: Ruling, parts: Parts, work: _Work) -> str:
    return tokens.rekeyed(work.scope, str(parts[-1]), value)


def _token_field(value: Any, ruling: Ruling, parts: Parts, work: _Work) -> Any:  # noqa: ANN401
    if parts == ("key_domain",) and value != "none":
        return work.scope.domain
    if parts[0] == "bands":
        return value[:16]
    return value


def _address(value: str, ruling: Ruling, parts: Parts, work: _Work) -> str:
    return coarsen.canonical_address(value)


_CHANGES: dict[str, Change] = {
    "timing": _day,
    "reference": _reference,
    "confidence": _confident,
    "url": _page,
    "rekey": _rekeyed,
    "token": _token_field,
    "address": _address,
    "volume": lambda value, ruling, parts, work: coarsen.decade_floor(value),
    "similarity": lambda value, ruling, parts, work: coarsen.two_decimals(value),
    "domain": lambda value, ruling, parts, work: value.lower(),
}


# --- tokens --------------------------------------------------------------------------------------


def _as_token(work: _Work) -> dict[str, Any] | None:
    kind = TOKEN_KINDS.get(work.subject.stix_type)
    if kind is None:
        return None
    for name in ("value", "account_login", "user_id"):
        ruling = work.verdict.by_path.get(name)
        if ruling is not None and ruling.treatment is Treatment.TOKEN:
            return _keyed_token(kind, str(work.subject.obj[name]), work.scope)
    return None


def _keyed_token(kind: str, value: str, scope: Scope) -> dict[str, Any]:
    extension = catalogue.extension_of(KEYED)
    return {
        "type": KEYED,
        "spec_version": "2.1",
        "kind": kind,
        "value": tokens.token(scope, kind, value),
        "token_scheme": tokens.SCHEME,
        "key_domain": scope.domain,
        "key_epoch": scope.epoch,
        "normalisation": tokens.NORMALISATIONS[kind],
        "extensions": {extension: {"extension_type": "new-sco"}},
    }


# --- patterns ------------------------------------------------------------------------------------


def _pattern(work: _Work) -> str | None:
    if work.subject.pattern is None:
        return None
    rulings = [work.verdict.by_path[f"pattern[{lit.index}]"] for lit in work.subject.literals]
    pending = iter(zip(work.subject.literals, rulings, strict=True))

    def change(comparison: patterns.Comparison) -> patterns.Node | None:
        own = [next(pending) for _ in facts.values_of(comparison)]
        passed = [(lit, ruling) for lit, ruling in own if ruling.treatment is not Treatment.DROP]
        if not passed or (comparison.is_negative and len(passed) < len(own)):
            return None
        return _comparison(comparison, passed, work)

    rewritten = patterns.rewrite(work.subject.pattern, change)
    return rewritten.text() if rewritten is not None else None


def _comparison(
    comparison: patterns.Comparison, passed: list[tuple[facts.Literal, Ruling]], work: _Work
) -> patterns.Node:
    values = tuple(literal.value for literal, _ in passed)
    if any(isinstance(step, int) for step in comparison.path):  # a place in a list is handwriting
        path = tuple("*" if isinstance(step, int) else step for step in comparison.path)
        comparison = replace(comparison, path=path)
    entry = passed[0][0].entry
    field_class = entry.field_class if entry is not None else ""
    if passed[0][1].treatment is Treatment.TOKEN and field_class != "rekey":
        kind = TOKEN_KINDS[comparison.object_type]
        keyed = tuple(tokens.token(work.scope, kind, str(value)) for value in values)
        return replace(comparison, object_type=KEYED, path=("value",), values=keyed)
    if field_class == "url":
        return _page_comparison(comparison, values, _step(passed[0][1]))
    change = _IN_PATTERN.get(field_class)
    if change is not None:
        last = str(comparison.path[-1])
        values = tuple(change(value, last, work.scope) for value in values)
    return comparison if values == comparison.values else replace(comparison, values=values)


def _page_comparison(
    comparison: patterns.Comparison, values: tuple[Any, ...], step: int
) -> patterns.Node:
    # Cut, an exact comparison would match another page; as a beginning it means what is left.
    parts: dict[patterns.Comparison, None] = {}
    for value in values:
        head = str(value).removesuffix("%")
        page = coarsen.page(head, 10 - step) or ""
        if comparison.operator == "LIKE" or page != head:
            parts[replace(comparison, operator="LIKE", values=(f"{page}%",))] = None
        else:
            parts[replace(comparison, operator="=", values=(page,))] = None
    if comparison.is_negative:  # only what is not cut is left of those
        return replace(comparison, values=tuple(dict.fromkeys(values)))
    return next(iter(parts)) if len(parts) == 1 else patterns.Joined("OR", tuple(parts))


_IN_PATTERN: dict[str, Callable[[Any, str, Scope], Any]] = {
    "address": lambda value, last, scope: coarsen.canonical_address(value),
    "domain": lambda value, last, scope: value.lower(),
    "rekey": lambda value, last, scope: tokens.rekeyed(scope, last, value),
    "token": lambda value, last, scope: value[:16] if last == "*" else value,
    "fingerprint": lambda value, last, scope: _agent(value) if last == AGENT else value,
}
AGENT = "User-Agent"


def _agent(value: str) -> str:
    return f"{catalogue.agent_family(value)}/%"
