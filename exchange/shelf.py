"""Files of sealed pages in the encodings that were asked for, named by what is in them."""

import gzip
import os
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from threading import get_ident

import zstandard
from django.conf import settings

ENCODINGS = ("zstd", "gzip", "identity")  # best first, where an asker takes several alike
_SUFFIX = {"zstd": ".zst", "gzip": ".gz", "identity": ""}
_GZIP, _ZSTD = 6, 9  # made once, read often


@dataclass(frozen=True, slots=True)
class File:
    """The bytes of one page in one encoding, and their SHA-256 in base64 (RFC 9530)."""

    path: Path
    encoding: str
    digest: str

    @property
    def name(self) -> str:
        """The path below the folder of all pages."""
        return f"{self.path.parent.name}/{self.path.name}"

    def read(self) -> bytes:
        """All of it: a page has at most a few megabytes."""
        return self.path.read_bytes()


def find(key: str, encoding: str) -> File | None:
    """The file of a page, if it was made and not dropped since."""
    path = _path(key, encoding)
    if not path.exists():
        return None
    try:
        return File(path, encoding, _digest_of(path))
    except FileNotFoundError:  # dropped in this moment
        return None


def put(key: str, encoding: str, body: bytes) -> File:
    """Make the file of a page, whole or not at all."""
    path = _path(key, encoding)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    made = encoded(body, encoding)
    digest = b64encode(sha256(made).digest()).decode()
    # The digest first: where the page is, its digest is too.
    for target, content in ((_digest_path(path), digest.encode()), (path, made)):
        fresh = target.with_name(f"{target.name}.{os.getpid()}.{get_ident()}")
        fresh.write_bytes(content)
        fresh.replace(target)
    return File(path, encoding, digest)


def drop(key: str) -> int:
    """Forget the files of a page; how many there were."""
    paths = [_path(key, encoding) for encoding in ENCODINGS]
    found = [path for path in paths if path.exists()]
    for path in found:
        path.unlink(missing_ok=True)
        _digest_path(path).unlink(missing_ok=True)
    return len(found)


def encoded(body: bytes, encoding: str, *, fast: bool = False) -> bytes:
    """A body in one of our encodings; `fast` for what is sent once."""
    if encoding == "gzip":
        return gzip.compress(body, 1 if fast else _GZIP, mtime=0)
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=1 if fast else _ZSTD).compress(body)
    return body


@lru_cache(maxsize=10_000)
def _digest_of(path: Path) -> str:
    """Read once: a file under this name always has the same bytes."""
    return _digest_path(path).read_text("ascii")


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _path(key: str, encoding: str) -> Path:
    folder: Path = settings.SEALED_DIR
    return folder / key[:2] / f"{key}.json{_SUFFIX[encoding]}"
