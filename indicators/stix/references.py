"""The references in a STIX object: every `_ref` and `_refs`, at any depth."""

from collections.abc import Iterator, Mapping
from typing import Any


def of(obj: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each reference as (path, id); who made it and how it is marked are no links and left out."""
    for path, target in _walk(obj, ""):
        head = path.partition("[")[0].rpartition(".")[2]
        if head not in ("created_by_ref", "object_marking_refs", "marking_ref"):
            yield path, target


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        for key, below in value.items():
            place = f"{path}.{key}" if path else str(key)
            if key.endswith("_ref") and isinstance(below, str):
                yield place, below
            elif key.endswith("_refs") and isinstance(below, list):
                for index, target in enumerate(below):
                    if isinstance(target, str):
                        yield f"{place}[{index}]", target
            else:
                yield from _walk(below, place)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _walk(below, f"{path}[{index}]")
