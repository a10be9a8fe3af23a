"""What people state for the record: what was passed on outside, who is a public body, whom to find.

Statements are written once. An attestation and its ledger entry are one act.
"""

from collections.abc import Sequence
from datetime import date, datetime
from hashlib import sha256
from uuid import UUID, uuid4

import orjson
from django.db import transaction
from django.db.models import QuerySet

from exchange import access, ledger, written
from exchange.ledger.intake import event_aad, seal
from exchange.models import Attestation, Inquiry, LedgerEntry, LedgerEvent, Nature
from exchange.policy import catalogue
from exchange.proof import jcs, oprf
from exchange.proof.answers import Mark
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.questions.asking import FORUM_OFFICER, OF_A_MEMBER
from indicators.stix import markings
from members.auth import Principal
from members.models import Member, User
from members.seals import for_member

# Whom something can be passed on to; a closed list, for names of third parties have no place here.
WHOM = {
    "own-supplier": "a supplier of ours",
    "own-customer": "a customer of ours",
    "authority": "an authority",
    "other-forum": "another sharing forum",
    "public": "the public",
}
# How far each mark reaches outside of who received it (TLP 2.0).
_REACH = {
    "clear": frozenset(WHOM),
    "green": frozenset({"own-supplier", "own-customer", "authority", "other-forum"}),
    "amber": frozenset({"own-supplier", "own-customer"}),
    "amber+strict": frozenset(),
    "red": frozenset(),
}


@transaction.atomic
def attest(  # noqa: PLR0913 - the fields of one statement
    principal: Principal,
    stix_id: str,
    *,
    whom: str,
    tlp: str,
    passed_on: date,
    words: str,
    now: datetime,
) -> UUID:
    """A member's officer states that an object which it holds was passed on outside.

    What its mark does not allow is recorded all the same: a record that only knows what was right
    would prove nothing.
    """
    member_id, user_id = _officer(principal)
    if whom not in WHOM:
        raise Refused("attest.whom", "Choose to whom it was passed on.", "whom")
    if tlp not in catalogue.TLP_ORDER:
        raise Refused("attest.tlp", "Choose the mark that it was passed on under.", "tlp")
    if passed_on > now.date():
        raise Refused("attest.day", "What is attested has happened.", "passed_on")
    text = written.demand(words, path="words")
    held = _held(principal, stix_id, now=now)
    made = uuid4()
    row = Attestation(
        id=made,
        member_id=member_id,
        user_id=user_id,
        stix_id=held.stix_id,
        rendition_digest=sha256(held.body).digest(),
        tlp_received=_mark(held.body),
        tlp_passed=tlp,
        whom=whom,
        passed_on=passed_on,
        sealed=for_member(member_id).seal(text.encode(), aad=_aad(made)),
        text_digest=sha256(text.encode()).digest(),
        at=now,
    )
    row.save(force_insert=True)
    fields = {
        "decision": "attest",
        "attestation": str(made),
        "sha256": sha256(jcs.encode(_document(row))).hexdigest(),
    }
    ledger.record("decision", by=member_id, slots={"from": fields, "audit": fields}, now=now)
    return made


def attested(principal: Principal) -> QuerySet[Attestation]:
    """A member's own attestations; for the auditors, that they were made."""
    rows = Attestation.objects.all()
    if principal.member_id is not None:
        return rows.filter(member_id=principal.member_id)
    return rows if FORUM_OFFICER in principal.roles else rows.none()


def is_allowed(row: Attestation) -> bool:
    """Whether the mark that it came with reaches that far, and was not widened."""
    order = catalogue.TLP_ORDER.index
    narrower = order(row.tlp_passed) >= order(row.tlp_received)
    return narrower and row.whom in _REACH[row.tlp_received]


def words_of(row: Attestation) -> str:
    """What was attested, for its own member."""
    return for_member(row.member_id).open(bytes(row.sealed), aad=_aad(row.id)).decode()


def marks_of(principal: Principal, rows: Sequence[Attestation]) -> dict[UUID, tuple[Mark, ...]]:
    """The ledger's entries of attestations, in the slot that who asks may open."""
    if principal.member_id is None:
        return {}
    wanted = {row.id for row in rows}
    events = LedgerEvent.objects.filter(
        kind="decision", from_member_id=principal.member_id, at__in={row.at for row in rows}
    )
    named: dict[int, UUID] = {}
    for event in events:
        fields = orjson.loads(seal().open(bytes(event.slots), aad=event_aad(event.id)))["from"]
        made = fields.get("attestation")
        if made is not None and UUID(made) in wanted:
            named[event.id] = UUID(made)
    entries = LedgerEntry.objects.filter(kind="decision", ref__in=named)
    return {
        named[ref]: (Mark(index, "from", {"attestation": str(named[ref])}),)
        for index, ref in entries.values_list("idx", "ref")
        if ref is not None
    }


def inquire(principal: Principal, kind: str, value: str, *, now: datetime) -> UUID:
    """What a person is to be found by, sealed: neither an address nor a log says it."""
    member_id, user_id = _officer(principal)
    spelled = oprf.checked(kind, value)
    made = uuid4()
    sealed = for_member(member_id).seal(orjson.dumps([kind, spelled]), aad=b"inquiry:" + made.bytes)
    Inquiry(id=made, member_id=member_id, user_id=user_id, sealed=sealed, at=now).save(
        force_insert=True
    )
    return made


def state_nature(
    principal: Principal, member_id: UUID, *, is_public_body: bool, now: datetime
) -> None:
    """The operator states that a member is a public body, or that it is none any more."""
    if not principal.may("manage-members") or principal.user_id is None:
        raise Forbidden("Only the forum's operator states what a member is.")
    row = Member.objects.filter(pk=member_id).first()
    if row is None:
        raise NotFound
    Nature(member=row, is_public_body=is_public_body, stated_by_id=principal.user_id, at=now).save(
        force_insert=True
    )


def is_public_body(member_id: UUID) -> bool:
    """What was stated last of a member; a company where nothing was."""
    row = Nature.objects.filter(member_id=member_id).order_by("-id").first()
    return row is not None and row.is_public_body


def _officer(principal: Principal) -> tuple[UUID, UUID]:
    if principal.member_id is None or principal.user_id is None:
        raise NotFound
    if principal.roles.isdisjoint(OF_A_MEMBER):
        raise NotFound
    return principal.member_id, User.objects.get(pk=principal.user_id).pk


def _held(principal: Principal, stix_id: str, *, now: datetime) -> access.Held:
    """The object as the member holds it; unknown and another's are the same answer."""
    chosen = access.collections(principal)[0]
    page = access.page(principal, chosen, access.Query(limit=1, ids=(stix_id,)), via="web", now=now)
    if not page.items:
        raise Refused("attest.object", "Your company holds no object of this id.", "object")
    return page.items[0]


def _mark(body: bytes) -> str:
    refs = orjson.loads(body).get("object_marking_refs") or ()
    marks = [markings.TLP2[ref].label for ref in refs if ref in markings.TLP2]
    return str(marks[0]) if marks else "clear"


def _document(row: Attestation) -> dict[str, object]:
    """What the ledger's digest is of."""
    return {
        "attestation": str(row.id),
        "member": str(row.member_id),
        "object": row.stix_id,
        "rendition": bytes(row.rendition_digest).hex(),
        "received": row.tlp_received,
        "passed": row.tlp_passed,
        "whom": row.whom,
        "day": row.passed_on.isoformat(),
        "text": bytes(row.text_digest).hex(),
    }


def _aad(attestation_id: UUID) -> bytes:
    return b"attestation:" + attestation_id.bytes
