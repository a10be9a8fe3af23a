"""The algorithms that act at home: documents from a file, or those that the exchange has active."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exchange.proof import jcs
from exchange.proof.refused import Refused
from exchange.proof.remote import Remote
from indicators.detection import document, home
from indicators.detection.home import Setup

PATH = "/api/algorithms/"
SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What acts, and how it is named in the manifest: id and SHA-256."""

    setup: Setup = Setup()
    named: tuple[tuple[str, str], ...] = ()


def chosen(texts: Sequence[bytes]) -> Chosen:
    """These documents, as far as they run on a log; without any, what the command starts with."""
    if not texts:
        return Chosen()
    read = [document.parse(text) for text in texts]
    at_home = [one for one in read if one.runs_on in ("log", "both")]
    return Chosen(home.setup_of(at_home), tuple(sorted((one.id, one.digest) for one in at_home)))


def of_files(place: Path) -> list[bytes]:
    """The documents at a path: one, or all of a folder."""
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    try:
        texts = [one.read_bytes() for one in files if one.suffix in SUFFIXES]
    except OSError:
        texts = []
    if not texts:
        sentence = "There is no algorithm at this place."
        raise Refused("usage.algorithms", sentence, "--algorithms")
    return texts


def of_exchange(door: Remote) -> list[bytes]:
    """The documents that are active now and run on a log."""
    found = jcs.decode(door.get(PATH, accept="application/json"))
    listed = found.get("algorithms") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise Refused("exchange.answer", "The exchange answered no list of algorithms.", PATH)
    texts = [str(one.get("document")).encode() for one in listed]
    for place, (text, one) in enumerate(zip(texts, listed, strict=True)):
        if document.parse(text).digest != one.get("digest"):
            sentence = "An algorithm is not the one that its digest names."
            raise Refused("exchange.algorithm", sentence, f"algorithms[{place}]")
    return texts
