"""Keyed tokens as STIX, ready to contribute: an object and an indicator for each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from exchange.proof import jcs, oprf

# A contribution has at most 20,000 objects.
AT_ONCE = 10_000
API_KEY = "api-key"
BASES = (
    "fraudulent-identity",
    "stolen-credential",
    "stolen-payment-instrument",
    "access-control-circumvention",
    "geo-or-sanctions-evasion",
    "rate-limit-evasion",
    "jailbreak-of-output-controls",
)
CONTEXT = "extension-definition--2c63888f-28f0-4481-be6d-dce7a7ace732"
KEYED_TOKEN = "extension-definition--bc67ba94-637d-4efa-a09e-467ada679f81"  # noqa: S105 - an id
_SCO_NAMESPACE = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # STIX 2.1, section 2.9


@dataclass(frozen=True, slots=True)
class Made:
    """How tokens were made: what each of them says beside its value."""

    kind: str
    key_domain: str = "none"
    key_epoch: str = "none"

    @property
    def scheme(self) -> str:
        """A random key has entropy enough for a plain hash; nothing else has."""
        return "sha256" if self.kind == API_KEY else oprf.SCHEME

    @property
    def normalisation(self) -> str:
        """The one spelling of the kind."""
        return oprf.NORMALISATIONS.get(self.kind, oprf.RAW)


NewId = Callable[[str], str]


def bundles(
    values: Sequence[str], made: Made, *, basis: Sequence[str], now: datetime, new_id: NewId
) -> Iterator[dict[str, Any]]:
    """As many bundles as it takes, each small enough for one contribution."""
    for start in range(0, len(values), AT_ONCE):
        objects: list[dict[str, Any]] = []
        for value in values[start : start + AT_ONCE]:
            objects.append(observable(value, made))
            objects.append(_indicator(value, made, basis=basis, now=now, new_id=new_id))
        yield {"type": "bundle", "id": new_id("bundle"), "objects": objects}


def observable(value: str, made: Made) -> dict[str, Any]:
    """The token itself; its id is derived from the token, not from what it stands for."""
    said = {
        "kind": made.kind,
        "value": value,
        "key_domain": made.key_domain,
        "key_epoch": made.key_epoch,
    }
    return {
        "type": "keyed-token",
        "spec_version": "2.1",
        "id": f"keyed-token--{uuid5(_SCO_NAMESPACE, jcs.encode(said).decode())}",
        **said,
        "token_scheme": made.scheme,
        "normalisation": made.normalisation,
        "extensions": {KEYED_TOKEN: {"extension_type": "new-sco"}},
    }


def _indicator(
    value: str, made: Made, *, basis: Sequence[str], now: datetime, new_id: NewId
) -> dict[str, Any]:
    is_key = made.kind == API_KEY
    stamp = f"{now:%Y-%m-%dT%H:%M:%S}.000Z"
    context = {
        "extension_type": "property-extension",
        "schema_version": "1.0",
        "indicator_kind": "stolen-credential" if is_key else "identity-token",
        "sensitivity": "S3",
        "threat_basis": list(basis),
        "match_method": "exact" if is_key else "exact-keyed",
        **({"route": "issuer-only"} if is_key else {}),
    }
    pattern = f"[keyed-token:kind = '{made.kind}' AND keyed-token:value = '{value}'"
    if not is_key:
        pattern += f" AND keyed-token:key_epoch = '{made.key_epoch}'"
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": new_id("indicator"),
        "created": stamp,
        "modified": stamp,
        "pattern": f"{pattern}]",
        "pattern_type": "stix",
        "pattern_version": "2.1",
        "valid_from": stamp,
        "extensions": {CONTEXT: context},
    }
