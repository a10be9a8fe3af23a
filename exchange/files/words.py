"""What is said of a file: values for doors, and the names that the rooms of this package share."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from exchange.models import File, FileFault
from members.seals import for_member

# Not sent within so long, it is deleted; sent and not taken in, it is given up.
UNSENT = timedelta(hours=2)
UNTAKEN = timedelta(days=7)
# How long it is told what became of a file; its contributions stay.
TOLD = timedelta(days=90)
OPEN = (File.State.CHOSEN, File.State.WAITING, File.State.READING, File.State.TAKING)
UNDER_WAY = (File.State.WAITING, File.State.READING, File.State.TAKING)
CONVERTED = "stix"


@dataclass(frozen=True, slots=True)
class Sent:
    """To whom a file is addressed, and what its contributor says of it."""

    circle_id: UUID
    default_basis: tuple[str, ...] = ()
    attributed: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """How far a file has come; the counts always add up to the total."""

    id: UUID
    name: str
    kind: str
    # chosen, pending, complete or refused
    state: str
    # Of what is pending: waiting, reading or taking.
    step: str
    circle: str
    octets: int
    read: int
    received_at: datetime
    ended_at: datetime | None
    total: int
    successes: int
    failures: int
    pendings: int
    parts: int
    parts_taken: int
    code: str = ""
    sentence: str = ""
    place: str = ""
    contributions: tuple[UUID, ...] = ()

    @property
    def share(self) -> int:
        """How much is done, in a hundred: reading is the smaller part of the work."""
        if self.state == "complete":
            return 100
        if self.parts:
            return 30 + 69 * self.parts_taken // self.parts
        return 30 * self.read // max(1, self.octets)


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one object, or row, of a file."""

    place: int
    stix_id: str
    version: str
    success: bool
    message: str
    version_id: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines of a report, and where the next ones begin."""

    lines: tuple[Line, ...]
    next: str = ""


def name_of(row: File) -> str:
    """The file's name, as its contributor's machine had it."""
    return for_member(row.member_id).open(bytes(row.sealed_name), aad=_name_aad(row.id)).decode()


def sealed_name(member_id: UUID, file_id: UUID, name: str) -> bytes:
    """The same at rest."""
    return for_member(member_id).seal(name[:200].encode(), aad=_name_aad(file_id))


def fault_text(row: FileFault) -> str:
    """Why a row makes no object."""
    aad = _fault_aad(row.file_id, row.place)
    return for_member(row.member_id).open(bytes(row.sealed), aad=aad).decode()


def sealed_fault(member_id: UUID, file_id: UUID, place: int, sentence: str) -> bytes:
    """The same at rest."""
    return for_member(member_id).seal(sentence.encode(), aad=_fault_aad(file_id, place))


def _name_aad(file_id: UUID) -> bytes:
    return b"file-name:" + file_id.bytes


def _fault_aad(file_id: UUID, place: int) -> bytes:
    return b"file-fault:" + file_id.bytes + b":%d" % place
