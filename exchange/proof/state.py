"""What a member's verifier remembers: one small file, replaced whole or not at all."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from exchange.proof import jcs
from exchange.proof.refused import Refused

BROKEN = "state.broken"
MOST_NOTES = 400  # cosigned checkpoints, by which entry times are bracketed


@dataclass(frozen=True, slots=True)
class Account:
    """How far one slot was read: the last number, and where its entry stands."""

    seq: int = 0
    index: int = -1


@dataclass(frozen=True, slots=True)
class State:
    """All that later checks rest on; the empty one believes the first answer."""

    url: str = ""
    origin: str = ""
    vkeys: tuple[str, ...] = ()  # logs whose word counts
    revoked: tuple[str, ...] = ()  # and those whose does no more
    note: str = ""  # the newest checkpoint that was checked
    signed: str = ""  # the newest that this member's witness signed
    cosigned: tuple[str, ...] = ()  # checkpoints with a quorum, rising
    to: Account = field(default_factory=Account)
    from_: Account = field(default_factory=Account)
    day: str = ""  # of the last statement
    received: int = 0  # the last number that it counted, in each slot
    contributed: int = 0
    checked_at: int = 0

    def write(self, path: Path) -> None:
        """Replace the file: a crash leaves the old one."""
        text = json.dumps({"v": 1, **asdict(self)}, indent=1, ensure_ascii=False)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def seen(self, signed: str) -> "State":
        """With one more cosigned checkpoint; the oldest go."""
        known = [
            one for one in self.cosigned if one.split("\n", 2)[:2] != signed.split("\n", 2)[:2]
        ]
        return replace(self, cosigned=(*known, signed)[-MOST_NOTES:])


def read(path: Path) -> State:
    """The state as it was left; a new one where there is none."""
    if not path.exists():
        return State()
    try:
        value = jcs.decode(path.read_bytes())
        if not isinstance(value, dict) or value.pop("v", None) != 1:
            raise TypeError
        for name in ("to", "from_"):
            value[name] = Account(**value[name])
        for name in ("vkeys", "revoked", "cosigned"):
            value[name] = tuple(map(str, value[name]))
        state = State(**value)
    except (OSError, TypeError, KeyError, Refused):
        raise Refused(
            BROKEN, "The state file cannot be read: look why before you make a new one."
        ) from None
    return state
