"""An extract as it lies on the disk: read again, judged as the exchange will, and sent."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import uuid4

from exchange.proof import jcs
from exchange.proof.refused import Refused
from exchange.proof.remote import Remote
from indicators.detection import manifest, parquet, rules
from indicators.detection.values import Extract
from indicators.extract.make import CLUSTERS, MANIFEST, TEMPLATES

PATH = "/api/extracts/"
TAKEN = "taken"
PARTS = {
    "manifest": (MANIFEST, "application/json", manifest.MOST_OCTETS),
    "clusters": (CLUSTERS, "application/vnd.apache.parquet", parquet.MOST_OCTETS["clusters"]),
    "templates": (TEMPLATES, "application/vnd.apache.parquet", parquet.MOST_OCTETS["templates"]),
}


@dataclass(frozen=True, slots=True)
class Lying:
    """The files as they lie, and the extract that they are."""

    files: dict[str, bytes]
    extract: Extract


def read(folder: Path) -> Lying:
    """The extract in a folder; Refused where a file is missing or not in its form."""
    files = {name: _file(folder / file, most) for name, (file, _, most) in PARTS.items()}
    said = manifest.read(files["manifest"])
    found = parquet.read(said, files["clusters"], files["templates"], rows=rules.SHIPPED.rows)
    return Lying(files, found)


def problems(found: Lying, *, today: date) -> list[str]:
    """What the exchange would say of it, each with its rule and place."""
    return [
        f"{one.sentence} ({f'{one.rule}, ' if one.rule else ''}{one.code}, {one.path})"
        for one in rules.check(found.extract, today=today)
    ]


def check(found: Lying, *, today: date) -> None:
    """Refused with the first rule that it breaks."""
    for one in rules.check(found.extract, today=today):
        raise Refused(one.code, one.sentence, one.path)


def send(door: Remote, found: Lying) -> None:
    """Send the three parts; Refused where the exchange does not take them."""
    border = f"weir-{uuid4().hex}"
    parts = []
    for name, (file, media, _) in PARTS.items():
        head = f'Content-Disposition: form-data; name="{name}"; filename="{file}"'
        parts.append(f"--{border}\r\n{head}\r\nContent-Type: {media}\r\n\r\n".encode())
        parts.append(found.files[name] + b"\r\n")
    body = b"".join(parts) + f"--{border}--\r\n".encode()
    answer = jcs.decode(door.post(PATH, body, media=f"multipart/form-data; boundary={border}"))
    if not isinstance(answer, dict) or answer.get("state") != TAKEN:
        said = answer.get("refused") if isinstance(answer, dict) else None
        said = said if isinstance(said, dict) else {}
        code, sentence, path = (_printable(said.get(name)) for name in ("code", "sentence", "path"))
        raise Refused(code or "exchange.answer", sentence or "The exchange did not take it.", path)


def _printable(text: object) -> str:
    return "".join(char for char in str(text or "")[:300] if char.isprintable())


def _file(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise Refused("extract.file", "A file is larger than it may be.", path.name)
        return path.read_bytes()
    except OSError:
        sentence = "A file of the extract is missing, or cannot be read."
        raise Refused("extract.file", sentence, path.name) from None
