"""A key store of the tests' own: slow, and failing on demand; installed as a deployment would."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.proof.keys import Signer
from exchange.signers import signer_for

MOOD: dict[str, float] = {"failures": 0, "seconds": 0.0, "asked": 0}


class Moody:
    """Signs with the key that the rest of the URI names, when it likes."""

    alg = "EdDSA"

    def __init__(self, inner: Signer) -> None:
        self._inner = inner
        self.public, self.kid = inner.public, inner.kid

    def sign(self, message: bytes) -> bytes:
        """After a while, and not every time."""
        MOOD["asked"] += 1
        time.sleep(MOOD["seconds"])
        if MOOD["failures"] > 0:
            MOOD["failures"] -= 1
            raise TimeoutError("the key store is in a mood")
        return self._inner.sign(message)


def store(rest: str) -> Moody:
    """What the entry point names."""
    return Moody(signer_for(rest))


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """A distribution whose entry point is the scheme `moody`, on the path for a while."""
    made = folder / "moody-1.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1\n")
    (made / "entry_points.txt").write_text("[weir.signers]\nmoody = tests.shell.moody:store\n")
    sys.path.append(str(folder))
    MOOD.update(failures=0, seconds=0.0, asked=0)
    try:
        yield
    finally:
        sys.path.remove(str(folder))
