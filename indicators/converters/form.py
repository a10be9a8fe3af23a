"""Pasted values to STIX: guess what each line is, warn beside it, and build one indicator each.

Pure: ids, the moment and the hits of warning lists are passed in or come from pure tables.
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from indicators.stix import extensions, warninglists

LIMIT = 500
KINDS = {
    "address": "address",
    "range": "address range",
    "domain": "domain name",
    "ja4": "client fingerprint (JA4)",
    "headers": "client fingerprint (header order)",
}
_JA4 = re.compile(r"[tqd](?:1[0-3]|s[23]|d[123]|00)[di]\d{4}[0-9a-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}")
_HEADERS = re.compile(r"[0-9a-f]{32}")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_WIDEST = {4: 20, 6: 40}
_STIX_KIND = {"address": "egress-range", "range": "egress-range", "domain": "reseller-domain"}


@dataclass(frozen=True, slots=True)
class Row:
    """One pasted value: what it seems to be, and what its contributor should know of it."""

    value: str
    kind: str
    warnings: tuple[str, ...] = ()
    is_personal: bool = False

    @property
    def may_go(self) -> bool:
        """Whether it is a value of a kind that can be contributed here."""
        return self.kind in KINDS


@dataclass(frozen=True, slots=True)
class Stated:
    """What the contributor says of all values together."""

    base_rate: str = "unknown"
    phase: str = "infrastructure-staging"


def rows(text: str) -> tuple[Row, ...]:
    """Every value in a pasted text, in its order, each once, with its guessed kind."""
    seen: set[str] = set()
    made: list[Row] = []
    for word in re.split(r"[\s,;]+", text):
        row = guess(word)
        if not row.value or row.value in seen:
            continue
        seen.add(row.value)
        made.append(row)
    return tuple(made[:LIMIT])


def guess(word: str) -> Row:
    """What one word seems to be; unknown where it is none of the kinds."""
    value = _refanged(word)
    for kind in KINDS:
        row = as_kind(value, kind)
        if row.may_go:
            return row
    reason = "Not an address, a range, a domain name or a client fingerprint." if value else ""
    return Row(value, "unknown", (reason,))


def as_kind(value: str, kind: str) -> Row:
    """The value read as this kind, with warnings; unknown, with the reason, where it is not one."""
    reader = {"address": _network, "range": _network, "domain": _domain}.get(kind, _fingerprint)
    row = reader(value)
    if row.kind == kind:
        return row
    return Row(value, "unknown", (f"This is no {KINDS.get(kind, 'known kind')}.",))


def bundle(
    given: Sequence[Row], stated: Stated, *, ids: Sequence[UUID], bundle_id: UUID, now: datetime
) -> bytes:
    """A STIX bundle of one indicator for each value; `ids` has one for each row."""
    objects = [
        indicator(row, stated, stix_id, now) for row, stix_id in zip(given, ids, strict=True)
    ]
    body = {"type": "bundle", "id": f"bundle--{bundle_id}", "objects": objects}
    return json.dumps(body, ensure_ascii=False).encode()


def sighting(of: str, disposition: str, *, stix_id: UUID, bundle_id: UUID, now: datetime) -> bytes:
    """A STIX bundle of one sighting: an object was seen, or something is wrong with it."""
    at = f"{now:%Y-%m-%dT%H:%M:%S}.000Z"
    day = f"{now:%Y-%m-%d}T00:00:00.000Z"
    context = {
        "extension_type": "property-extension",
        "schema_version": "1.0",
        "indicator_kind": "sighting",
        "sensitivity": "S2",
        "disposition": disposition,
    }
    obj = {
        "type": "sighting",
        "spec_version": "2.1",
        "id": f"sighting--{stix_id}",
        "created": at,
        "modified": at,
        "first_seen": day,
        "last_seen": day,
        "count": 1,
        "sighting_of_ref": of,
        "extensions": {extensions.CONTEXT: context},
    }
    body = {"type": "bundle", "id": f"bundle--{bundle_id}", "objects": [obj]}
    return json.dumps(body).encode()


def _refanged(word: str) -> str:
    """Written harmless for mail (hxxp, [.]), meant as it was."""
    value = word.strip("\"'<>()").replace("[.]", ".").replace("(.)", ".").replace("[:]", ":")
    value = re.sub(r"^(?:hxxps?|https?)://", "", value, flags=re.IGNORECASE)
    return value.rstrip("./").lower()


def _network(value: str) -> Row:
    try:
        net = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return Row(value, "unknown")
    is_single = net.num_addresses == 1
    text = str(net.network_address) if is_single else str(net)
    return Row(text, "address" if is_single else "range", tuple(_of_network(value, net)))


def _of_network(value: str, net: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Iterator[str]:
    if not net.is_global:
        yield "Not a public address: nobody else can match it."
    if net.prefixlen < _WIDEST[net.version]:
        yield f"Wider than /{_WIDEST[net.version]}: it will be held for counsel."
    if "/" in value and str(net) != value:
        yield f"Cut to its network, {net}."
    if net.num_addresses == 1:
        yield "If it is one person's address, mark it as personal: it then travels as a token."
    yield from _listed(str(net.network_address) if net.num_addresses == 1 else str(net))


def _domain(value: str) -> Row:
    host = value.split("/", 1)[0]
    labels = host.split(".")
    if len(labels) < 2 or len(host) > 253 or not all(_LABEL.fullmatch(part) for part in labels):
        return Row(value, "unknown")
    if not labels[-1].strip("0123456789"):
        return Row(value, "unknown")
    cut = (f"Only the host of {value} is taken.",) if host != value else ()
    return Row(host, "domain", (*cut, *_listed(host)))


def _fingerprint(value: str) -> Row:
    if _JA4.fullmatch(value):
        return Row(value, "ja4")
    return Row(value, "headers" if _HEADERS.fullmatch(value) else "unknown")


def _listed(value: str) -> Iterator[str]:
    for name in warninglists.hits(value):
        yield f"On the list {name}: probably shared with ordinary traffic."


def indicator(row: Row, stated: Stated, stix_id: UUID, now: datetime) -> Mapping[str, Any]:
    """One value as an indicator."""
    stamp = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{stix_id}",
        "created": stamp,
        "modified": stamp,
        "indicator_types": ["anomalous-activity"],
        "pattern": _pattern(row),
        "pattern_type": "stix",
        "pattern_version": "2.1",
        "valid_from": f"{now:%Y-%m-%d}T00:00:00Z",
        "kill_chain_phases": [{"kill_chain_name": "model-extraction", "phase_name": stated.phase}],
        "extensions": {extensions.CONTEXT: _context(row, stated)},
    }


def _context(row: Row, stated: Stated) -> Mapping[str, Any]:
    context: dict[str, Any] = {
        "extension_type": "property-extension",
        "schema_version": "1.0",
        "indicator_kind": _STIX_KIND.get(row.kind, "client-fingerprint"),
        "sensitivity": _sensitivity(row),
    }
    if row.kind in ("ja4", "headers"):
        context |= {"base_rate_bucket": stated.base_rate, "match_method": "plain"}
    return context


def _sensitivity(row: Row) -> str:
    if row.is_personal and row.kind == "address":
        return "S3"
    return {"range": "S1", "ja4": "S1", "headers": "S1"}.get(row.kind, "S2")


def _pattern(row: Row) -> str:
    if row.kind in ("address", "range"):
        version = ipaddress.ip_network(row.value).version
        return f"[ipv{version}-addr:value = '{row.value}']"
    path = {
        "domain": "domain-name:value",
        "ja4": "api-client-fingerprint:ja4",
        "headers": "api-client-fingerprint:header_order_hash",
    }[row.kind]
    return f"[{path} = '{row.value}']"


def marked_personal(row: Row) -> Row:
    """The same address, said to be one person's."""
    return replace(row, is_personal=row.kind == "address")
