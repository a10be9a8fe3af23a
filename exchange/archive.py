"""Signed archives: what a member takes along, and answers with the evidence that they rest on.

Ordered on a page, made by a worker that holds the bundle key (the web holds none), kept sealed for
`ARCHIVE_DAYS` and taken by the person who ordered it. The format is `exchange.proof.archive`; what
was taken back is in no bundle here, and that it had been given stays in the openings.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from exchange import access, bundles, evidence, ledger
from exchange.celery import nudge
from exchange.evidence import Place
from exchange.models import (
    AnswerExport,
    Archive,
    Bundle,
    LedgerEntry,
    ReleaseItem,
    ReleaseRecipient,
)
from exchange.proof import answers, jcs
from exchange.proof import archive as form
from exchange.proof.answers import Answer
from exchange.proof.archive import Described
from exchange.proof.keys import Signer
from exchange.proof.refused import Forbidden, NotFound, Refused
from members.auth import Principal, principal_of
from members.models import CircleMember, Member
from members.seals import Seal, for_forum, for_member

PART = 100  # entries of one part of a member's archive: as many bundles of at most 1 MiB
MOST_ROWS = 10_000  # of an answer in one archive; more make more archives
MOST_KEPT = 60  # of one person at a time
SLOTS = ("to", "from")
MEMBER = "member"  # the kind of what a member takes along
_TASK = "exchange.tasks.make_archive"
_State = Archive.State


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a member's archive: the entries from one number to another in a slot."""

    slot: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Order:
    """An archive as the person who ordered it sees it."""

    id: UUID
    kind: str
    state: str
    fault: str
    about: Mapping[str, Any]
    rows: int
    size: int
    sha256: str
    ordered_at: datetime
    ends_at: datetime
    taken_at: datetime | None

    @property
    def name(self) -> str:
        """What the file is called."""
        return f"weir-{self.kind}-{self.ordered_at:%Y%m%d}-{str(self.id)[:8]}.zip"


# Ordering


def parts(principal: Principal) -> tuple[Part, ...]:
    """The parts of the member's own archive."""
    member_id = _may_take(principal)
    found = []
    for slot in SLOTS:
        seq = f"{slot}_seq"
        rows = LedgerEntry.objects.filter(
            **{f"{slot}_member_id": member_id}, idx__lt=ledger.published_size()
        )
        last = rows.order_by(f"-{seq}").values_list(seq, flat=True).first() or 0
        found += [
            Part(slot, first, min(first + PART - 1, last)) for first in range(1, last + 1, PART)
        ]
    return tuple(found)


def order_part(principal: Principal, slot: str, first: int, *, now: datetime) -> UUID:
    """Have one part of the member's own archive made."""
    part = next((one for one in parts(principal) if (one.slot, one.first) == (slot, first)), None)
    if part is None:
        raise NotFound
    about = {"slot": slot, "first": first, "last": part.last}
    return _order(principal, MEMBER, {"about": about, "answer": None}, now=now)


def order(
    principal: Principal,
    *,
    kind: str,
    about: Mapping[str, Any],
    answer: Answer,
    with_bundles: bool = False,
    now: datetime,
) -> tuple[UUID, ...]:
    """Have an answer packed with the evidence of each of its rows; how many archives it takes.

    `about` says in words what was asked, with its filters; it stands in the signed manifest.
    Whoever calls has judged that the answer is this person's to have.
    """
    if not principal.may("read-ledger") or kind == MEMBER:
        raise Forbidden("You may not have an answer packed.")
    slices = [
        answer.rows[start : start + MOST_ROWS]
        for start in range(0, max(1, len(answer.rows)), MOST_ROWS)
    ]
    made = []
    for number, rows in enumerate(slices, start=1):
        numbered = {**about, "part": f"{number} of {len(slices)}"} if slices[1:] else dict(about)
        one = Answer(answer.columns, rows).json().decode()
        asked = {"about": numbered, "answer": one, "bundles": with_bundles}
        made.append(_order(principal, kind, asked, now=now))
    return tuple(made)


@transaction.atomic
def _order(principal: Principal, kind: str, asked: Mapping[str, Any], *, now: datetime) -> UUID:
    if principal.user_id is None:
        raise Forbidden("Archives are ordered by people.")
    kept = Archive.objects.filter(user_id=principal.user_id, ends_at__gt=now)
    if kept.exclude(state=_State.GONE).count() >= MOST_KEPT:
        raise Refused("archive.many", f"You have {MOST_KEPT} archives: wait until some are over.")
    archive_id = uuid4()
    packed = zlib.compress(jcs.encode(asked))
    Archive.objects.create(
        id=archive_id,
        member_id=principal.member_id,
        user_id=principal.user_id,
        kind=kind,
        order=_seal(principal.member_id).seal(packed, aad=_order_aad(archive_id)),
        ordered_at=now,
        ends_at=now + timedelta(days=settings.ARCHIVE_DAYS),
    )
    transaction.on_commit(lambda: nudge(_TASK, str(archive_id), queue="render"))
    return archive_id


# Looking and taking


def orders(principal: Principal, *, kind: str | None = None) -> tuple[Order, ...]:
    """What this person ordered and is still kept, the newest first."""
    rows = _own(principal).exclude(state=_State.GONE).order_by("-ordered_at", "id").defer("body")
    if kind is not None:
        rows = rows.filter(kind=kind)
    return tuple(map(_shown, rows[:MOST_KEPT]))


@transaction.atomic
def take(principal: Principal, archive_id: UUID, *, now: datetime) -> tuple[Order, bytes]:
    """The file, for who ordered it; bundles only while the member still has all that is in them."""
    row = _own(principal).filter(pk=archive_id).first()
    if row is None or row.state != _State.MADE or row.ends_at <= now:
        raise NotFound
    if row.kind == MEMBER:
        _may_take(principal)
    if row.parts and principal.member_id is not None:
        note_bundles(principal, principal.member_id, row.parts, now=now)
    Archive.objects.filter(pk=row.pk).update(taken_at=now)
    return _shown(row), _seal(row.member_id).open(bytes(row.body), aad=_body_aad(row.id))


def note_bundles(
    principal: Principal, member_id: UUID, part_ids: Sequence[int], *, now: datetime
) -> None:
    """What the bundles show is noted as served before."""
    rows = _received(member_id, pk__in=part_ids)
    # A bundle is shown to the web while the member is still served all that is in it.
    whole = Bundle.objects.filter(release_id__in=[row.release_id for row in rows], left_out=[])
    shown = set(whole.values_list("release_id", flat=True))
    if {row.pk for row in rows if row.release_id in shown} != set(part_ids):
        raise Refused(
            "archive.stale",
            "Since it was made something in it was taken back, or you left its circle: order it "
            "again.",
        )
    numbers = [
        (row.running, row.running + row.release.count - 1)
        for row in rows
        if row.running is not None
    ]
    access.served_ranges(principal, numbers, via="archive", now=now)


# Making


@dataclass(frozen=True, slots=True)
class Wish:
    """What goes into one archive, and for whom its openings are opened."""

    principal: Principal
    kind: str
    about: Mapping[str, Any]
    places: Sequence[Place]
    files: Mapping[str, bytes]
    with_bundles: bool
    is_here: bool = True


def waiting() -> tuple[UUID, ...]:
    """What was ordered and is not made, the oldest first: a hint may have been lost."""
    rows = Archive.objects.filter(state=_State.ORDERED).order_by("ordered_at")
    return tuple(rows.values_list("id", flat=True)[:100])


@transaction.atomic
def make(archive_id: UUID, *, signer: Signer, now: datetime) -> bool:
    """Make an ordered archive, check it as its reader will, and keep it sealed.

    What the signer raises is raised on: the archive waits, and is tried again.
    """
    row = (
        Archive.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("user", "member")
        .filter(pk=archive_id, state=_State.ORDERED)
        .first()
    )
    if row is None:
        return False
    try:
        with transaction.atomic():
            wish = _wish(row)
            packed, part_ids = written(wish, signer=signer, now=now)
    except Refused as refused:
        if refused.code.startswith("signer."):
            raise
        row.state, row.fault = _State.FAILED, refused.code
        row.save(update_fields=["state", "fault"])
        return False
    row.state, row.made_at, row.parts, row.rows = _State.MADE, now, part_ids, len(wish.places)
    row.size, row.digest = len(packed), sha256(packed).digest()
    row.body = _seal(row.member_id).seal(packed, aad=_body_aad(row.id))
    row.save(update_fields=["state", "made_at", "parts", "rows", "size", "digest", "body"])
    return True


def written(wish: Wish, *, signer: Signer, now: datetime) -> tuple[bytes, list[int]]:
    """The archive, checked as its reader will; and the parts whose bundles lie in it."""
    found = evidence.gather(wish.principal, wish.places, now=now)
    files, part_ids = dict(wish.files), []
    if wish.with_bundles and wish.principal.member_id is not None:
        record = evidence.by_index(found)
        rows = _received(wish.principal.member_id, is_here=wish.is_here, idx__in=list(record))
        for row in rows:
            bundle = bundles.seal(row.release_id, signer=signer, now=now)
            if row.idx is None or not bundle.body:
                continue
            name = f"bundle--{bundle.id}"
            files[f"{name}.json"] = bytes(bundle.body)
            files[f"{name}.jws"] = bundle.manifest.encode()
            files[f"{name}.proofs"] = record[row.idx].encode()
            part_ids.append(row.pk)
    described = Described(
        iss=settings.WEIR_BASE_URL,
        iat=int(now.timestamp()),
        kind=wish.kind,
        about=wish.about,
        ledger=ledger.origin(),
        size=evidence.size_of(found.checkpoint),
    )
    packed = form.write(described, found, files, signer)
    form.verify_signed(form.unpack(BytesIO(packed)), None)
    return packed, part_ids


def end_due(*, now: datetime) -> int:
    """Let go of the files and questions whose time is over; that there was one stays."""
    rows = Archive.objects.filter(ends_at__lte=now).exclude(state=_State.GONE)
    return rows.update(state=_State.GONE, body=b"", order=b"")


def forget(release_ids: Iterable[UUID]) -> int:
    """Of what was erased no kept archive may hold the bytes; answers are dropped whole."""
    about = ReleaseRecipient.objects.filter(release_id__in=list(release_ids))
    ids = list(about.values_list("pk", flat=True))
    rows = Archive.objects.exclude(state=_State.GONE)
    dropped = rows.filter(parts__overlap=ids) | rows.exclude(kind=MEMBER)
    # Answers that lie ready in files hold bytes too, where they are archives.
    AnswerExport.objects.filter(form="archive").delete()
    return dropped.update(state=_State.GONE, body=b"", order=b"")


def _wish(row: Archive) -> Wish:
    asked, principal = _asked(row), principal_of(row.user)
    told = {
        **asked["about"],
        "for": row.member.name if row.member else "the forum",
        "asked by": row.user.name,
        "asked at": row.ordered_at.isoformat(timespec="seconds"),
    }
    if row.kind == MEMBER:
        slot, first = str(told["slot"]), int(told["first"])
        places = _places(principal, slot, first)
        return Wish(principal, row.kind, told, places, {}, with_bundles=slot == "to")
    answer = answers.parse(str(asked["answer"]).encode())
    files = {form.ANSWER: answer.json(), form.TABLE: answer.csv()}
    places = sorted({(mark.index, mark.slot) for one in answer.rows for mark in one.marks})
    return Wish(principal, row.kind, told, places, files, with_bundles=asked["bundles"] is True)


def _places(principal: Principal, slot: str, first: int) -> list[Place]:
    found = ledger.openings(principal, slot=slot, after=first - 1, limit=PART)
    return [(one.index, one.slot) for one in found]


# Who has left


def write_enveloped(
    member: Member, certificate: bytes, folder: Path, *, signer: Signer, now: datetime
) -> int:
    """All parts for who has left, each readable with the member's own key alone (CMS, RSA).

    The operator who runs it handles files that it cannot read.
    """
    if member.state != Member.State.LEFT:
        raise Refused("archive.here", "Who takes part takes its archive from its own page.")
    recipient = x509.load_pem_x509_certificate(certificate)
    asks = Principal(member_id=member.id, roles=frozenset({"officer"}), name=member.name)
    found = parts(asks)
    for part in found:
        about = {"slot": part.slot, "first": part.first, "last": part.last, "for": member.name}
        places = _places(asks, part.slot, part.first)
        wish = Wish(asks, MEMBER, about, places, {}, with_bundles=part.slot == "to", is_here=False)
        plain, _ = written(wish, signer=signer, now=now)
        builder = pkcs7.PKCS7EnvelopeBuilder().set_data(plain).add_recipient(recipient)
        sealed = builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
        (folder / f"{member.slug}-{part.slot}-{part.first}.zip.p7m").write_bytes(sealed)
    return len(found)


# Rows


def _received(member_id: UUID, *, is_here: bool = True, **which: object) -> list[ReleaseRecipient]:
    """The releases of something to a member, of which nothing was taken back since.

    While it takes part, those of the circles that it sits in; who has left had them all.
    """
    taken_back = ReleaseItem.objects.filter(release=OuterRef("release"), recalled=True)
    rows = ReleaseRecipient.objects.filter(
        ~Exists(taken_back),
        recipient_id=member_id,
        idx__lt=ledger.published_size(),
        release__count__gt=0,
        **which,
    )
    rows = rows.select_related("release").order_by("idx")
    if not is_here:
        return list(rows)
    seats = CircleMember.objects.filter(member_id=member_id, left_at__isnull=True)
    mine = set(seats.values_list("circle_id", flat=True))
    return [row for row in rows if row.release.circle_id in {*mine, None}]


def _own(principal: Principal) -> QuerySet[Archive]:
    """What this person ordered, for the member or forum that it still acts for."""
    if principal.user_id is None:
        return Archive.objects.none()
    rows = Archive.objects.filter(user_id=principal.user_id)
    if principal.member_id is None:
        return rows.filter(member__isnull=True)
    return rows.filter(member_id=principal.member_id)


def _shown(row: Archive) -> Order:
    return Order(
        id=row.id,
        kind=row.kind,
        state=row.state,
        fault=row.fault,
        about=_asked(row)["about"],
        rows=row.rows,
        size=row.size,
        sha256=bytes(row.digest).hex(),
        ordered_at=row.ordered_at,
        ends_at=row.ends_at,
        taken_at=row.taken_at,
    )


def _asked(row: Archive) -> dict[str, Any]:
    packed = _seal(row.member_id).open(bytes(row.order), aad=_order_aad(row.id))
    asked: dict[str, Any] = orjson.loads(zlib.decompress(packed))
    return asked


def _seal(member_id: UUID | None) -> Seal:
    return for_member(member_id) if member_id else for_forum()


def _order_aad(archive_id: UUID) -> bytes:
    return b"archive-order:" + archive_id.bytes


def _body_aad(archive_id: UUID) -> bytes:
    return b"archive:" + archive_id.bytes


def _may_take(principal: Principal) -> UUID:
    if principal.member_id is None or not principal.may("read-disclosures"):
        raise Forbidden("Only your officer or counsel takes the archive.")
    return principal.member_id
