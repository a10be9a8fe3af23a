"""MITRE ATLAS techniques, whole as published, as constants of the exchange.

A generated extract of the STIX bundle of mitre-atlas/atlas-navigator-data (ATLAS 5.6.0, Apache
License 2.0); invalid objects are left out. Rebuilt by `python -m indicators.stix.atlas BUNDLE`.
"""

import gzip
import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from indicators.stix import validate

_FILE = Path(__file__).with_name("data") / "atlas.json.gz"


@lru_cache(maxsize=1)
def techniques() -> Mapping[str, dict[str, Any]]:
    """Every technique by its STIX id."""
    with gzip.open(_FILE, "rt", encoding="utf-8") as stream:
        return {obj["id"]: obj for obj in json.load(stream)["objects"]}


def external_id(obj: Mapping[str, Any]) -> str:
    """The number of a technique, such as `AML.T0024`."""
    refs = obj.get("external_references", ())
    return next((str(ref["external_id"]) for ref in refs if "external_id" in ref), "")


def rebuild(bundle: Path) -> int:
    """Write the extract from a published bundle; the number of techniques in it."""
    found = json.loads(bundle.read_text(encoding="utf-8"))["objects"]
    kept = [o for o in found if o["type"] == "attack-pattern" and not validate.problems(o)]
    document = {
        "source": "mitre-atlas/atlas-navigator-data, ATLAS 5.6.0",
        "licence": "Apache-2.0",
        "objects": sorted(kept, key=lambda obj: str(obj["id"])),
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    _FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    return len(kept)


if __name__ == "__main__":
    rebuild(Path(sys.argv[1]))
