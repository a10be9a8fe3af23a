"""Our closed set of extensions: one context, six observables, and their published definitions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SCHEMAS = Path(__file__).with_name("schemas")
CONTEXT_SCHEMA: dict[str, Any] = json.loads(
    (_SCHEMAS / "extraction-context.schema.json").read_text(encoding="utf-8")
)
OBSERVABLE_SCHEMA: dict[str, Any] = json.loads(
    (_SCHEMAS / "extraction-observables.schema.json").read_text(encoding="utf-8")
)
_DEFINITIONS: dict[str, Any] = json.loads(
    (_SCHEMAS / "definitions.json").read_text(encoding="utf-8")
)

CONTEXT: str = _DEFINITIONS["context"]
CONTEXT_TYPES = frozenset({"indicator", "campaign", "infrastructure", "sighting"})
OBSERVABLES: Mapping[str, str] = _DEFINITIONS["observables"]


def definitions() -> tuple[dict[str, Any], ...]:
    """The creator's identity and the seven extension definitions: the same everywhere."""
    return tuple(_DEFINITIONS["objects"])


def extension_of(stix_type: str) -> str | None:
    """The extension that declares one of our observables."""
    return OBSERVABLES.get(stix_type)


def context_of(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The model-extraction context of an object, if it has one."""
    extensions = obj.get("extensions")
    context = extensions.get(CONTEXT) if isinstance(extensions, Mapping) else None
    return context if isinstance(context, Mapping) else None
