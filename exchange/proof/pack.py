"""Pack a command that members run into one file: Python and `cryptography` are all it needs."""

import io
import zipfile
from pathlib import Path

_HERE = Path(__file__).parent
_START = "import sys\n\nfrom exchange.proof.{name} import main\n\nsys.exit(main(sys.argv[1:]))\n"
_SHEBANG = b"#!/usr/bin/env python3\n"


def archive(name: str) -> bytes:
    """The bytes of `weir-<name>.pyz`, the same on every machine: digests can be compared."""
    files = {"__main__.py": _START.format(name=name), "exchange/__init__.py": ""}
    for path in sorted(_HERE.glob("*.py")):
        if path.name != "pack.py":
            files[f"exchange/proof/{path.name}"] = path.read_text(encoding="utf-8")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as made:
        for place, text in files.items():
            made.writestr(zipfile.ZipInfo(place, date_time=(1980, 1, 1, 0, 0, 0)), text)
    return _SHEBANG + packed.getvalue()
