"""Pack `weir-extract` as a wheel of its own: what it imports of this tree, and nothing of Django.

Written by hand, since a wheel is a ZIP of a known form (PEP 427): so the same tree gives the same
bytes on every machine, and a digest can be compared. Standard library only.
"""

import ast
import base64
import io
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from indicators.extract.version import VERSION

NAME = f"weir_extract-{VERSION}-py3-none-any.whl"
# As in pyproject.toml: a test compares them.
NEEDS = (
    "cryptography>=50.0.2,<51",
    "duckdb>=1.5.6,<2",
    "ibis-framework[duckdb]==12.0.0",
    "jsonschema-rs>=0.60.3,<0.61",
    "pyarrow>=26",
    "pyyaml>=6.0",
    "scipy>=1.17,<2",
    "sqlglot<30.18",
    "zstandard>=0.25,<0.26",
)
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "clickhouse": ("chdb>=4.4",),
    "spark": ("pyspark>=3.5,<4.1",),
}
_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("exchange", "indicators")
_DATA = ("json", "json.gz", "yaml")
_INFO = f"weir_extract-{VERSION}.dist-info"
_TEXT = "What a member runs at home for the pool of Weir: make, check and send extracts, and hunt."


def archive() -> bytes:
    """The bytes of the wheel."""
    files = {place: (_ROOT / place).read_bytes() for place in _places()}
    files[f"{_INFO}/METADATA"] = _metadata().encode()
    files[f"{_INFO}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: weir\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{_INFO}/entry_points.txt"] = (
        b"[console_scripts]\nweir-extract = indicators.extract.command:run\n"
    )
    files[f"{_INFO}/licenses/LICENSE"] = (_ROOT / "LICENSE").read_bytes()
    record = f"{_INFO}/RECORD"
    lines = [f"{place},sha256={_digest(data)},{len(data)}\n" for place, data in files.items()]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for place, data in files.items():
            entry = zipfile.ZipInfo(place, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            made.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def modules() -> tuple[str, ...]:
    """The modules of this tree that the command imports, itself and theirs included."""
    ahead = [f"indicators.extract.{file.stem}" for file in Path(__file__).parent.glob("[a-z]*.py")]
    ahead.remove("indicators.extract.wheel")
    found: set[str] = set()
    while ahead:
        name = ahead.pop()
        if not name or name in found or _file(name) is None:
            continue
        found.add(name)
        ahead += [*_imports(name), name.rpartition(".")[0]]  # with the package around it
    return tuple(sorted(found))


def _places() -> list[str]:
    """The files of the wheel, in order: modules, and the data of their packages."""
    found = {file for name in modules() if (file := _file(name)) is not None}
    packages = {file.parent for file in found}
    for package in packages:
        folders = [one for one in package.iterdir() if one.name in ("data", "schemas", "shipped")]
        for folder in folders:
            found.update(one for kind in _DATA for one in folder.glob(f"*.{kind}"))
    return sorted(file.relative_to(_ROOT).as_posix() for file in found)


def _imports(name: str) -> Iterator[str]:
    """Ours among what a module imports, wherever in it."""
    file = _file(name)
    tree = ast.parse(file.read_bytes() if file is not None else b"")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            named = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (one for one in named if one.partition(".")[0] in _OURS)


def _file(name: str) -> Path | None:
    place = _ROOT.joinpath(*name.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return None


def _metadata() -> str:
    lines = [
        "Metadata-Version: 2.4",
        "Name: weir-extract",
        f"Version: {VERSION}",
        f"Summary: {_TEXT}",
        "Requires-Python: >=3.11",
        "License-Expression: Apache-2.0",
        "License-File: LICENSE",
        *(f"Requires-Dist: {need}" for need in NEEDS),
    ]
    for extra, needs in EXTRAS.items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {need}; extra == '{extra}'" for need in needs]
    return "\n".join([*lines, ""])


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(data).digest()).decode().rstrip("=")
