"""What a member keeps at home: a folder of its own with days, templates, tokens and keys.

    state/            0700
      keys.json       0600: a random secret from which the keys of this folder follow
      days/<day>/     Parquet of numbers and keyed digests; `names.sealed`: what they stand for
      templates.json  templates known, as signatures
      window/         the tables of the window that was looked at last
      tokens/<epoch>  tokens of the quarter that were evaluated, sealed
      work/           temporary, emptied at each start

Who finds a day without the keys has numbers. Days leave after 45 (R9).
"""

import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from exchange.proof.refused import Refused
from indicators.detection import schema
from indicators.extract.prompts import Template

_SECRET = 32
_NONCE = 12
_WIDTH = 8  # octets that say how long a sealed part is
NAMES = "names.sealed"
WINDOW = "window"

Table = Any  # of Arrow


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of the folder, each for one purpose."""

    secret: bytes

    def of(self, purpose: str) -> bytes:
        """The key for a purpose."""
        return HKDF(SHA256(), 32, None, f"weir-extract/{purpose}".encode()).derive(self.secret)


@dataclass(frozen=True, slots=True)
class State:
    """The folder, open and locked."""

    folder: Path
    keys: Keys

    @property
    def work(self) -> Path:
        """Where temporary files may lie."""
        return self.folder / "work"

    def days(self) -> list[date]:
        """The days that were folded, in order."""
        found = (self.folder / "days").iterdir()
        return sorted(date.fromisoformat(one.name) for one in found if not _is_odd(one.name))

    def day(self, day: date) -> Path:
        """The folder of a day."""
        return self.folder / "days" / day.isoformat()

    def begun(self, day: date) -> Path:
        """A new folder for a day, out of sight until it is published."""
        made = self.work / f"day-{day}"
        made.mkdir(mode=0o700, exist_ok=True)
        return made

    def publish(self, days: Iterable[date]) -> None:
        """Put new days in the places of the old ones; the window of the old ones goes."""
        shutil.rmtree(self.folder / WINDOW, ignore_errors=True)
        for day in days:
            place = self.day(day)
            if place.exists():
                shutil.rmtree(place)
            self.begun(day).rename(place)

    def forget(self, *, last: date) -> None:
        """Erase the days that an extract may not look back to any more."""
        for day in self.days():
            if day <= last - timedelta(days=schema.DAYS):
                shutil.rmtree(self.folder / WINDOW, ignore_errors=True)
                shutil.rmtree(self.day(day))

    # --- what numbers stand for

    def seal_names(self, place: Path, parts: Iterable[Table]) -> None:
        """Write tables of kind, digest and text, sealed part by part."""
        key = AESGCM(self.keys.of("names"))
        with _private(place / NAMES) as file:
            for part in parts:
                file.write(_sealed(key, part))

    def names(
        self, wanted: Mapping[str, set[str]], *, beside: Path | None = None
    ) -> dict[tuple[str, str], str]:
        """The texts of these digests by kind, as far as a day kept has them; the newest first."""
        found: dict[tuple[str, str], str] = {}
        left = {kind: set(digests) for kind, digests in wanted.items()}
        places = [self.day(day) for day in reversed(self.days())]
        for place in [beside, *places] if beside is not None else places:
            if not any(left.values()):
                break
            for part in self._opened(place / NAMES):
                for kind, digests in left.items():
                    hits = _hits(part, kind, digests)
                    found.update(((kind, digest), text) for digest, text in hits)
                    digests.difference_update(digest for digest, _ in hits)
        return found

    def _opened(self, path: Path) -> Iterator[Table]:
        key = AESGCM(self.keys.of("names"))
        with path.open("rb") as file:
            while head := file.read(_WIDTH):
                sealed = file.read(int.from_bytes(head, "big"))
                try:
                    plain = key.decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
                except InvalidTag:
                    raise _foreign() from None
                yield pq.read_table(pa.BufferReader(plain))

    # --- tables that grow part by part

    def append(self, name: str, part: Table) -> None:
        """Add a part to a sealed table."""
        place = self.folder / name
        place.parent.mkdir(mode=0o700, exist_ok=True)
        how = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(place, how, 0o600), "ab") as file:
            file.write(_sealed(AESGCM(self.keys.of("names")), part))

    def parts(self, name: str) -> Iterator[Table]:
        """The parts of a sealed table; one that was cut off at the end is taken away."""
        place = self.folder / name
        if place.exists():
            _mend(place)
            yield from self._opened(place)

    def drop_others(self, name: str) -> None:
        """Erase all that lies beside a file but itself."""
        place = self.folder / name
        if place.parent.is_dir():
            for other in place.parent.iterdir():
                if other != place:
                    other.unlink()

    # --- small things kept as JSON

    def read_json(self, name: str) -> Any:  # noqa: ANN401 - what was written
        """What was kept under a name; None where nothing was."""
        place = self.folder / name
        if not place.exists():
            return None
        key = AESGCM(self.keys.of("kept"))
        sealed = place.read_bytes()
        try:
            return json.loads(key.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode()))
        except InvalidTag:
            raise _foreign() from None

    def write_json(self, name: str, value: object) -> None:
        """Keep a value under a name, sealed, in the place of an earlier one."""
        place = self.folder / name
        place.parent.mkdir(mode=0o700, exist_ok=True)
        nonce = secrets.token_bytes(_NONCE)
        key = AESGCM(self.keys.of("kept"))
        made = self.work / secrets.token_hex(8)
        with _private(made) as file:
            file.write(nonce + key.encrypt(nonce, json.dumps(value).encode(), name.encode()))
        made.replace(place)

    def templates(self) -> list[Template]:
        """The templates known so far."""
        rows = self.read_json("templates.json") or []
        return [
            Template(number, tuple(signature), length, languages)
            for number, signature, length, languages in rows
        ]

    def keep_templates(self, known: Iterable[Template]) -> None:
        """Keep these, and no others."""
        rows = [(one.template, one.signature, one.length, one.languages) for one in known]
        self.write_json("templates.json", rows)


@contextmanager
def opened(folder: Path, key_file: Path | None = None) -> Iterator[State]:
    """The folder, made where there is none; one command at a time works with it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            sentence = "The state's folder can be read by others: give it the mode 0700."
            raise Refused("state.mode", sentence, "--state")
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        raise Refused("state.folder", "The state's folder cannot be used.", "--state") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        sentence = "Another weir-extract works with this state now."
        raise Refused("state.busy", sentence, "--state") from None
    work = folder / "work"
    try:
        shutil.rmtree(work, ignore_errors=True)  # of one that was killed
        work.mkdir(mode=0o700)
        (folder / "days").mkdir(mode=0o700, exist_ok=True)
        yield State(folder, _keys(key_file or folder / "keys.json"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def _keys(path: Path) -> Keys:
    try:
        if not path.exists():
            with _private(path) as file:
                file.write(json.dumps({"secret": secrets.token_hex(_SECRET)}).encode())
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            sentence = "The file of keys can be read by others: give it the mode 0600."
            raise Refused("state.keys", sentence, "--key-file")
        found = bytes.fromhex(json.loads(path.read_text("utf-8"))["secret"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused("state.keys", "The file of keys cannot be used.", "--key-file") from None
    if len(found) != _SECRET:
        raise Refused("state.keys", "The file of keys is not one of ours.", "--key-file")
    return Keys(found)


def _private(path: Path) -> Any:  # noqa: ANN401 - a binary file
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _mend(place: Path) -> None:
    """Cut off the part that a killed command left unfinished."""
    size, end = place.stat().st_size, 0
    with place.open("rb") as file:
        while len(head := file.read(_WIDTH)) == _WIDTH:
            after = end + _WIDTH + int.from_bytes(head, "big")
            if after > size:
                break
            end = after
            file.seek(end)
    if end < size:
        os.truncate(place, end)


def _sealed(key: AESGCM, part: Table) -> bytes:
    packed = pa.BufferOutputStream()
    pq.write_table(part, packed, compression="zstd")
    nonce = secrets.token_bytes(_NONCE)
    sealed = nonce + key.encrypt(nonce, packed.getvalue().to_pybytes(), None)
    return len(sealed).to_bytes(_WIDTH, "big") + sealed


def _hits(part: Table, kind: str, digests: set[str]) -> list[tuple[str, str]]:
    wanted = pa.array(sorted(digests), pa.string())
    mask = pc.and_(pc.equal(part["kind"], kind), pc.is_in(part["digest"], value_set=wanted))
    rows = part.filter(mask)
    return list(zip(rows["digest"].to_pylist(), rows["text"].to_pylist(), strict=True))


def _is_odd(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() != name
    except ValueError:
        return True


def _foreign() -> Refused:
    sentence = "The state was written under other keys than those of its file of keys."
    return Refused("state.keys", sentence, "--state")
