"""STIX 2.1 by form: the published schemas, the cross-field rules, our closed extensions.

A list of problems with a path each; unknown types, properties and extensions are no problem here.
"""

import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from exchange.proof.refused import Refused
from indicators.stix import extensions, ids, patterns
from indicators.stix.problems import Problem

__all__ = ["Problem", "problems"]

# Found, not imported: its code costs a second and 60 MB, and its schemas are all that we need.
_VALIDATOR = importlib.util.find_spec("stix2validator")
_MOST = 5
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")
_TYPE = re.compile(r"[a-z][a-z0-9-]{1,248}[a-z0-9]")
_SELECTOR = re.compile(r"[a-z0-9_-]{1,250}(?:\.(?:\[\d+\]|[A-Za-z0-9_-]{1,250}))*")
_STEP = re.compile(r"\[(\d+)\]|([A-Za-z0-9_-]+)")
_LATER = (("created", "modified"), ("first_seen", "last_seen"), ("first_observed", "last_observed"))
_UNVERSIONED = frozenset({"marking-definition"})
_EMPTY = (b"null", b"[]", b"{}")
_TLP1 = frozenset(("white", "green", "amber", "red"))


def problems(obj: Mapping[str, Any], written: bytes = b"") -> tuple[Problem, ...]:
    """What is wrong with one object by form; empty when it is valid STIX 2.1.

    `written` is the object as compact JSON, where whoever asks has it: what does not stand in it
    is not looked for.
    """
    named = tuple(_identity(obj))
    if named:
        return named
    may_lack = not written or any(one in written for one in _EMPTY)
    found: list[Problem] = []
    for check in _CHECKS if may_lack else _CHECKS[1:]:
        found.extend(check(obj))
        if len(found) >= _MOST:
            break
    return tuple(found[:_MOST])


def _identity(obj: Mapping[str, Any]) -> Iterator[Problem]:
    stix_type = obj.get("type")
    if not isinstance(stix_type, str) or not _TYPE.fullmatch(stix_type):
        yield Problem("stix.type", "type", "The object has no valid `type`.")
    elif not ids.is_valid(obj.get("id"), stix_type):
        yield Problem(
            "stix.id", "id", "The `id` is not `type--UUID` with this type, in lower case."
        )
    elif stix_type == "bundle":
        yield Problem("stix.bundle", "type", "A bundle inside a bundle is no object.")
    elif obj.get("spec_version", None if "created" in obj else "2.1") != "2.1":
        yield Problem("stix.spec-version", "spec_version", "The `spec_version` is not 2.1.")


def _empties(obj: Mapping[str, Any]) -> Iterator[Problem]:
    for path, value in _walk(obj, ""):
        if value is None:
            yield Problem("stix.null", path, "STIX has no null.")
        elif isinstance(value, list | dict) and not value and not path.startswith("extensions."):
            yield Problem("stix.empty", path, "STIX has no empty lists and dictionaries.")


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    if path:
        yield path, value
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _walk(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _walk(below, f"{path}[{index}]")


@lru_cache(maxsize=1)
def _validators() -> dict[str, jsonschema_rs.Draft202012Validator]:
    """One compiled validator for each type; references through a registry, never the network."""
    if _VALIDATOR is None or _VALIDATOR.origin is None:
        raise ModuleNotFoundError("stix2-validator, which brings the schemas of STIX 2.1")
    folder = Path(_VALIDATOR.origin).parent / "schemas-2.1" / "schemas"
    documents = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*.json"))
    ]
    registry = jsonschema_rs.Registry([(one["$id"], one) for one in documents])
    validators = {
        one["title"]: jsonschema_rs.Draft202012Validator(one, registry=registry)
        for one in documents
        if "/sdos/" in one["$id"] or "/sros/" in one["$id"] or "/observables/" in one["$id"]
    }
    for name in ("marking-definition", "language-content", "extension-definition"):
        found = next(one for one in documents if one["$id"].endswith(f"/common/{name}.json"))
        validators[name] = jsonschema_rs.Draft202012Validator(found, registry=registry)
    core = next(one for one in documents if one["$id"].endswith("/common/core.json"))
    validators["core"] = jsonschema_rs.Draft202012Validator(core, registry=registry)
    for name in extensions.OBSERVABLES:
        ours = {**extensions.OBSERVABLE_SCHEMA, "$ref": f"#/$defs/{name}"}
        validators[name] = jsonschema_rs.Draft202012Validator(ours)
    validators["context"] = jsonschema_rs.Draft202012Validator(extensions.CONTEXT_SCHEMA)
    return validators


def _schema(obj: Mapping[str, Any]) -> Iterator[Problem]:
    name = str(obj["type"])
    validators = _validators()
    known = name if name in validators else ("core" if "created" in obj else "")
    if known in ("core", "context"):
        known = "core"
    if known:
        yield from _broken(validators[known], obj, "")


def _broken(
    validator: jsonschema_rs.Draft202012Validator, value: Mapping[str, Any], at: str
) -> Iterator[Problem]:
    if validator.is_valid(value):
        return
    for error in validator.iter_errors(value):
        path = _path([*([at] if at else []), *error.instance_path])
        yield Problem("stix.schema", path, _sentence(error, path))


def _sentence(error: Any, path: str) -> str:  # noqa: ANN401 - the library's own error class
    """Which rule is broken, in words; the value is never repeated."""
    keyword = str(error.schema_path[-1]) if error.schema_path else ""
    named = f"`{path}`" if path else "The object"
    words = {
        "required": f"{named} lacks a required property.",
        "enum": f"{named} is not one of the allowed values.",
        "const": f"{named} is not the one allowed value.",
        "pattern": f"{named} does not have the required form.",
        "type": f"{named} is of the wrong JSON type.",
        "additionalProperties": f"{named} has a property that its closed schema does not know.",
        "minItems": f"{named} has too few items.",
        "maxItems": f"{named} has too many items.",
        "minimum": f"{named} is too small.",
        "maximum": f"{named} is too large.",
        "format": f"{named} does not have the required form.",
    }
    missing = getattr(getattr(error, "kind", None), "property", None)
    if keyword == "required" and isinstance(missing, str):
        return f"{named} lacks the required property `{missing}`."
    return words.get(keyword, f"{named} breaks the schema of its type.")


def _path(steps: list[str | int]) -> str:
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def _instant(text: object) -> tuple[str, str] | None:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    return (match[1], (match[2] or "").rstrip("0")) if match else None


def _times(obj: Mapping[str, Any]) -> Iterator[Problem]:
    for name in ("created", "modified", "valid_from", "valid_until"):
        if name in obj and _instant(obj[name]) is None:
            yield Problem("stix.time", name, f"`{name}` is no UTC timestamp of STIX.")
    if "created" in obj and "modified" not in obj and obj["type"] not in _UNVERSIONED:
        yield Problem("stix.modified", "modified", "The object lacks `modified`.")
    for first, last in _LATER:
        if first in obj and last in obj and obj[first] != obj[last]:
            a, b = _instant(obj[first]), _instant(obj[last])
            if a and b and b < a:
                yield Problem("stix.order", last, f"`{last}` lies before `{first}`.")
    if "valid_from" in obj and "valid_until" in obj:
        start, end = _instant(obj["valid_from"]), _instant(obj["valid_until"])
        if start and end and end <= start:
            sentence = "`valid_until` is not later than `valid_from`."
            yield Problem("stix.order", "valid_until", sentence)


def _numbers(obj: Mapping[str, Any]) -> Iterator[Problem]:
    confidence = obj.get("confidence")
    if confidence is not None and (type(confidence) is not int or not 0 <= confidence <= 100):
        yield Problem("stix.confidence", "confidence", "`confidence` is a whole number 0 to 100.")
    if "revoked" in obj and not isinstance(obj["revoked"], bool):
        yield Problem("stix.revoked", "revoked", "`revoked` is true or false.")


def _markings(obj: Mapping[str, Any]) -> Iterator[Problem]:
    own = obj["id"]
    refs = obj.get("object_marking_refs", [])
    if isinstance(refs, list) and own in refs:
        yield Problem("stix.marking", "object_marking_refs", "A marking refers to itself.")
    granular = obj.get("granular_markings", [])
    for index, one in enumerate(granular if isinstance(granular, list) else ()):
        place = f"granular_markings[{index}]"
        if not isinstance(one, Mapping) or ("marking_ref" in one) == ("lang" in one):
            yield Problem("stix.marking", place, "A granular marking has a marking or a language.")
            continue
        selectors = one.get("selectors")
        for selector in selectors if isinstance(selectors, list) else [None]:
            if not isinstance(selector, str) or not _is_there(obj, selector):
                yield Problem("stix.selector", place, "A selector points at nothing in the object.")
    if obj["type"] == "marking-definition":
        yield from _tlp1(obj)


def _is_there(obj: Mapping[str, Any], selector: str) -> bool:
    if not _SELECTOR.fullmatch(selector):
        return False
    value: Any = obj
    for index, name in _STEP.findall(selector):
        if index:
            if not isinstance(value, list) or int(index) >= len(value):
                return False
            value = value[int(index)]
        elif isinstance(value, Mapping) and name in value:
            value = value[name]
        else:
            return False
    return True


def _tlp1(obj: Mapping[str, Any]) -> Iterator[Problem]:
    if obj.get("definition_type") != "tlp":
        return
    from_standard = {
        "613f2e26-407d-48c7-9eca-b8e91df99dc9": "white",
        "34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
        "f88d31f6-486f-44da-b317-01333bde0b82": "amber",
        "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
    }
    definition = obj.get("definition")
    level = definition.get("tlp") if isinstance(definition, Mapping) else None
    if from_standard.get(str(obj["id"]).partition("--")[2]) != level or level not in _TLP1:
        yield Problem("stix.tlp", "definition", "No other TLP 1 marking may be made than the four.")


def _pattern(obj: Mapping[str, Any]) -> Iterator[Problem]:
    if obj.get("pattern_type") == "stix" and isinstance(obj.get("pattern"), str):
        try:
            patterns.parse(obj["pattern"])
        except Refused as refused:
            yield Problem(refused.code, "pattern", refused.sentence)


def _ours(obj: Mapping[str, Any]) -> Iterator[Problem]:
    stix_type = str(obj["type"])
    found = obj.get("extensions")
    if found is not None and not isinstance(found, Mapping):
        yield Problem("stix.extensions", "extensions", "`extensions` is no dictionary.")
        return
    named: Mapping[str, Any] = found or {}
    declared = extensions.extension_of(stix_type)
    if declared is not None:
        own = named.get(declared)
        if not isinstance(own, Mapping) or own.get("extension_type") != "new-sco":
            place = f"extensions.{declared}"
            yield Problem("ours.extension", place, "The object lacks the extension of its type.")
    context = named.get(extensions.CONTEXT)
    if context is None:
        return
    place = f"extensions.{extensions.CONTEXT}"
    if stix_type not in extensions.CONTEXT_TYPES:
        yield Problem("ours.context", place, "The context does not belong on this type.")
    elif not isinstance(context, Mapping):
        yield Problem("ours.context", place, "The context is no dictionary.")
    else:
        yield from _broken(_validators()["context"], context, place)


_CHECKS: tuple[Callable[[Mapping[str, Any]], Iterator[Problem]], ...] = (
    _empties, _schema, _times, _numbers, _markings, _pattern, _ours,
)  # fmt: skip
