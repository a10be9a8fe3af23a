"""A member hands a file in: it is sealed while it comes, looked at, and sent or given up."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from exchange import judged
from exchange.celery import nudge
from exchange.files import converting, mappings, sealed, words
from exchange.files.owned import own
from exchange.files.sealed import Writer
from exchange.files.words import Sent
from exchange.models import File
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.stix import vocab
from members.auth import Principal

AT_ONCE = 10  # files of one member that are not yet taken in
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7-zip",
    b"%PDF": "PDF",
    b"\xd0\xcf\x11\xe0": "Office",
}
_MISP_ROOTS = (b'"Event"', b'"response"')
_JSON = (b"{", b"[")


def receive(principal: Principal, *, announced: int, circle_id: UUID | None = None) -> Writer:
    """Somewhere to put a file while it comes in; judged before the first octet is read.

    The caller writes to it, and keeps it or gives it up.
    """
    if principal.member_id is None or not principal.may("contribute"):
        raise Forbidden("Your role may not contribute.")
    if circle_id is not None:
        judged.may_contribute(principal, circle_id)
    if announced > settings.MAX_FILE_LENGTH:
        raise sealed.too_large(settings.MAX_FILE_LENGTH)
    if File.objects.filter(member_id=principal.member_id, state__in=words.OPEN).count() >= AT_ONCE:
        busy = f"{AT_ONCE} files of yours are still on their way in. Wait for one, or delete one."
        raise Refused("file.busy", busy, "file")
    if not sealed.has_room(announced):
        raise sealed.no_room()
    return Writer(uuid4(), principal.member_id, most=settings.MAX_FILE_LENGTH)


def keep(principal: Principal, writer: Writer, *, name: str, kind: str = "", now: datetime) -> UUID:
    """All of a file has come in: it is there to be looked at, for two hours."""
    if principal.member_id is None:
        raise NotFound
    octets = writer.keep()
    try:
        found = kind_of(writer.head, name=name, stated=kind)
        File.objects.create(
            id=writer.id,
            member_id=principal.member_id,
            user_id=principal.user_id,
            credential_id=principal.credential_id,
            kind=found,
            sealed_name=words.sealed_name(principal.member_id, writer.id, name),
            octets=octets,
            received_at=now,
            moved_at=now,
        )
    except BaseException:
        writer.give_up()
        raise
    return writer.id


@transaction.atomic
def hand_in(
    principal: Principal, writer: Writer, *, name: str, kind: str, sent: Sent, now: datetime
) -> UUID:
    """Keep a file and send it at once."""
    made = keep(principal, writer, name=name, kind=kind, now=now)
    send(principal, made, sent, now=now)
    return made


def kind_of(head: bytes, *, name: str = "", stated: str = "") -> str:
    """How a file is to be read, by how it begins; Refused for what is none of the kinds."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise Refused("file.empty", "The file is empty.", "file")
    for mark, word in _PACKED.items():
        if head.startswith(mark):
            said = f"This is a {word} file. Files are taken as they are: unpack it first."
            raise Refused("file.packed", said, "file")
    if text.startswith(_JSON):
        if stated == File.Kind.TABLE:
            raise Refused("file.kind", "The file is stated as a table and begins as JSON.", "file")
        if stated:
            return stated
        is_misp = (
            any(root in text[:2_000] for root in _MISP_ROOTS)
            and b'"spec_version"' not in (text[:2_000])
        )
        return File.Kind.MISP if is_misp else File.Kind.STIX
    is_named = name.lower().endswith((".json", ".stix", ".stix2", ".taxii"))
    if stated in (File.Kind.STIX, File.Kind.MISP) or (is_named and not stated):
        raise Refused("file.kind", "The file is meant as JSON and does not begin so.", "file")
    return File.Kind.TABLE


@transaction.atomic
def send(principal: Principal, file_id: UUID, sent: Sent, *, now: datetime) -> None:
    """Address a file to a circle: from now on it is taken in, whatever happens here."""
    row = own(principal, file_id, lock=True)
    if not principal.may("contribute"):
        raise Forbidden("Your role may not contribute.")
    if row.state != File.State.CHOSEN:
        raise Refused("file.sent", "This file was sent before.", "file")
    judged.may_contribute(principal, sent.circle_id)
    if not set(sent.default_basis) <= set(vocab.THREAT_BASES):
        raise Refused("basis.unknown", "A threat basis is one of the closed list.", "basis")
    if row.kind == File.Kind.MISP:
        converting.can_convert()
    mapping = mappings.settle(row, now=now) if row.kind == File.Kind.TABLE else None
    File.objects.filter(pk=row.id).update(
        sealed_mapping=mapping,
        circle_id=sent.circle_id,
        default_basis=list(sent.default_basis),
        attributed=sent.attributed,
        state=File.State.WAITING,
        sent_at=now,
        moved_at=now,
    )
    transaction.on_commit(lambda: nudge("exchange.tasks.take_file", str(row.id), queue="render"))


@transaction.atomic
def discard(principal: Principal, file_id: UUID) -> None:
    """Delete a file that was not sent."""
    row = own(principal, file_id, lock=True)
    if row.state != File.State.CHOSEN or not principal.may("contribute"):
        raise Refused("file.sent", "This file was sent before.", "file")
    row.delete()
    transaction.on_commit(lambda: sealed.drop(file_id))


def open_body(principal: Principal, file_id: UUID, *, most: int) -> bytes | None:
    """The bytes of one's own file that is not yet sent, if they are no more than this."""
    row = own(principal, file_id)
    if row.octets > most or not principal.may("contribute"):
        return None
    with sealed.Reader(row.id, row.member_id, row.octets) as read:
        return read(0, row.octets)


def recent(principal: Principal, *, limit: int = 25) -> Sequence[File]:
    """The member's newest files."""
    if principal.member_id is None or not principal.may("read-own-originals"):
        raise NotFound
    rows = File.objects.filter(member_id=principal.member_id).select_related("circle")
    return list(rows.order_by("-received_at")[:limit])
