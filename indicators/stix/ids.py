"""STIX identifiers: their form, the deterministic ones, and the forum's own for observables."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from exchange.proof import jcs

NAMESPACE = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
_FORM = re.compile(
    r"([a-z][a-z0-9-]{1,248}[a-z0-9])--"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
)
_HASHES = ("MD5", "SHA-1", "SHA-256", "SHA-512")
# STIX 2.1, section 6: ID contributing properties; ours after the published schemas.
_CONTRIBUTING: Mapping[str, tuple[str, ...]] = {
    "artifact": ("hashes", "payload_bin"),
    "autonomous-system": ("number",),
    "directory": ("path",),
    "domain-name": ("value",),
    "email-addr": ("value",),
    "email-message": ("from_ref", "subject", "body"),
    "file": ("hashes", "name", "parent_directory_ref", "extensions"),
    "ipv4-addr": ("value",),
    "ipv6-addr": ("value",),
    "mac-addr": ("value",),
    "mutex": ("name",),
    "network-traffic": (
        "start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols", "extensions",
    ),
    "software": ("name", "cpe", "swid", "vendor", "version"),
    "url": ("value",),
    "user-account": ("account_type", "user_id", "account_login"),
    "windows-registry-key": ("key", "values"),
    "x509-certificate": ("hashes", "serial_number"),
    "account-cluster": ("cluster_token", "key_epoch"),
    "keyed-token": ("kind", "value", "key_domain", "key_epoch"),
    "api-client-fingerprint": ("ja4", "header_order_hash", "user_agent_family"),
    "prompt-template-fingerprint": ("algorithm", "bands", "key_epoch"),
    "rate-shape": ("shape_id",),
    "model-provenance-evidence": ("method", "evidence_token"),
}  # fmt: skip
_NOT_CONTENT = frozenset(
    "type id spec_version extensions object_marking_refs granular_markings".split()
)


def is_valid(stix_id: object, stix_type: str | None = None) -> bool:
    """Whether an id has the form `type--UUID` (section 2.9), lower case, of an RFC 4122 variant."""
    match = _FORM.fullmatch(stix_id) if isinstance(stix_id, str) else None
    return match is not None and (stix_type is None or match[1] == stix_type)


def type_of(stix_id: str) -> str:
    """The type that an id names."""
    return stix_id.partition("--")[0]


def deterministic(obj: Mapping[str, Any]) -> str | None:
    """The UUIDv5 id of an observable (section 2.9), or nothing where no property contributes."""
    names = _CONTRIBUTING.get(str(obj.get("type")), ())
    parts = {name: obj[name] for name in names if name in obj}
    hashes = parts.get("hashes")
    if isinstance(hashes, Mapping):
        first = next((name for name in _HASHES if name in hashes), None) or min(hashes, default="")
        parts["hashes"] = {first: hashes[first]} if first else {}
    if not parts:
        return None
    return f"{obj['type']}--{uuid5(NAMESPACE, jcs.encode(parts).decode())}"


def forum_sco_id(obj: Mapping[str, Any]) -> str:
    """An observable's id in the forum: over all its properties, so equal ids mean equal bytes.

    Extensions that only declare our types are fixed and say nothing.
    """
    parts = {name: value for name, value in obj.items() if name not in _NOT_CONTENT}
    told = {
        key: value
        for key, value in obj.get("extensions", {}).items()
        if not key.startswith("extension-definition--")
    }
    if told:
        parts["extensions"] = told
    return f"{obj['type']}--{uuid5(NAMESPACE, jcs.encode(parts).decode())}"
