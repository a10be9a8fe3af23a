"""Markings: TLP 2.0 as published, TLP 1 read as such, and the strictest of what an object bears."""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"


class Tlp(IntEnum):
    """Traffic Light Protocol 2.0, from open to closed."""

    CLEAR = 0
    GREEN = 1
    AMBER = 2
    AMBER_STRICT = 3
    RED = 4

    @property
    def label(self) -> str:
        """As the standard writes it, in lower case."""
        return "amber+strict" if self is Tlp.AMBER_STRICT else self.name.lower()


TLP2: Mapping[str, Tlp] = {
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": Tlp.CLEAR,
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": Tlp.GREEN,
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": Tlp.AMBER,
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": Tlp.AMBER_STRICT,
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": Tlp.RED,
}
TLP1: Mapping[str, Tlp] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": Tlp.CLEAR,
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": Tlp.GREEN,
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": Tlp.AMBER,
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Tlp.RED,
}
TLP1_TO_TLP2: Mapping[str, str] = {
    old: next(new for new, named in TLP2.items() if named is level) for old, level in TLP1.items()
}


def published() -> tuple[dict[str, Any], ...]:
    """The five TLP 2.0 marking definitions, whole as OASIS publishes them."""
    return tuple(
        {
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": marking,
            "created": "2022-10-01T00:00:00.000Z",
            "name": f"TLP:{level.label.upper()}",
            "extensions": {
                _EXTENSION: {"extension_type": "property-extension", "tlp_2_0": level.label}
            },
        }
        for marking, level in TLP2.items()
    )


def tlp_of(obj: Mapping[str, Any]) -> Tlp | None:
    """The strictest mark on any part of an object; one that cannot be resolved counts as red."""
    levels = [TLP2.get(one, TLP1.get(one, Tlp.RED)) for one in _marks(obj)]
    return max(levels) if levels else None


def foreign_markings(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """The markings that are not of the Traffic Light Protocol."""
    return tuple(dict.fromkeys(one for one in _marks(obj) if one not in TLP2 and one not in TLP1))


def _marks(obj: Mapping[str, Any]) -> Iterator[str]:
    refs = obj.get("object_marking_refs")
    yield from (one for one in (refs if isinstance(refs, list) else ()) if isinstance(one, str))
    granular = obj.get("granular_markings")
    for one in granular if isinstance(granular, list) else ():
        if isinstance(one, Mapping) and isinstance(one.get("marking_ref"), str):
            yield one["marking_ref"]
