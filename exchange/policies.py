"""The life of a policy: drafted, submitted, approved, in force; every change is in the ledger.

A floor is drafted by the forum's counsel and activated by its operator, who sees the document and
no object. A member's policy is the work of its officer and counsel, of two of them where its own
`two_people` says so. A version takes effect under the lock that every release holds shared: its
time is read after the lock was taken, so nothing is released under the old one afterwards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from exchange import audiences, ledger, replacing, replay
from exchange.celery import nudge
from exchange.models import FloorPolicy, MemberPolicyVersion, PolicyDraft
from exchange.policy import changes, documents, prose, terms
from exchange.policy.changes import Change
from exchange.policy.documents import Kind
from exchange.policy.prose import Section
from exchange.proof.refused import Forbidden, NotFound, Refused
from members.auth import Principal

Clock = Callable[[], datetime]
Slots = Mapping[str, Mapping[str, Any]]
Reach = Literal["forward", "replace"]
REACHES: tuple[Reach, ...] = ("forward", "replace")
OPEN = (PolicyDraft.State.DRAFT, PolicyDraft.State.SUBMITTED, PolicyDraft.State.APPROVED)
SHORTEST_REASON = 8
_State = PolicyDraft.State


@dataclass(frozen=True, slots=True)
class Draft:
    """A policy on its way, as those whose work it is see it."""

    id: UUID
    kind: Kind
    member_id: UUID | None
    source: str
    document: Mapping[str, Any]
    digest: str
    state: str
    note: str
    answer: str
    author_id: UUID
    author: str
    approved_by: str
    starts_at: datetime | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """One policy that took effect: who wrote it, who approved it, and from when to when."""

    version: str
    title: str
    note: str
    digest: str
    author: str
    approver: str
    since: datetime
    until: datetime | None
    source: str
    document: Mapping[str, Any]


# --- writing -------------------------------------------------------------------------------------


@transaction.atomic
def draft(
    principal: Principal,
    text: str,
    *,
    draft_id: UUID | None = None,
    note: str = "",
    starts_at: datetime | None = None,
    now: datetime,
) -> UUID:
    """Write a draft, or write it anew; what is no policy is refused with its first fault.

    The forum's counsel writes floors, officer and counsel of a member that member's policy. What
    was submitted is open to writing again only when it was sent back.
    """
    kind = _may_write(principal)
    document = documents.read(text, kind)
    if principal.user_id is None:
        raise Forbidden("A policy is written by a person.")
    fields = {
        "source": text,
        "document": dict(document),
        "digest": documents.digest(document),
        "note": note.strip(),
        "author_id": principal.user_id,
        "starts_at": starts_at,
        "changed_at": now,
    }
    if draft_id is None:
        made = PolicyDraft.objects.create(
            kind=kind, member_id=principal.member_id, created_at=now, **fields
        )
        return made.id
    row = _locked(principal, draft_id, _State.DRAFT)
    PolicyDraft.objects.filter(pk=row.pk).update(**fields)
    return row.id


@transaction.atomic
def submit(principal: Principal, draft_id: UUID, *, now: datetime) -> None:
    """Hand a draft to who activates it; from then on its text stays."""
    _may_write(principal)
    row = _locked(principal, draft_id, _State.DRAFT)
    _demand_newer(row)
    PolicyDraft.objects.filter(pk=row.pk).update(state=_State.SUBMITTED, answer="", changed_at=now)


@transaction.atomic
def send_back(principal: Principal, draft_id: UUID, *, reason: str, now: datetime) -> None:
    """Back to its author, with a written reason; what was approved for later is stopped so too."""
    row = _locked(principal, draft_id, _State.SUBMITTED, _State.APPROVED)
    _may_activate(principal, row.kind)
    _demand(reason)
    PolicyDraft.objects.filter(pk=row.pk).update(
        state=_State.DRAFT, answer=reason.strip(), approved_by=None, against=None, changed_at=now
    )
    _decided(row, principal, "sent-back", reason=reason, now=now)


@transaction.atomic
def discard(principal: Principal, draft_id: UUID, *, now: datetime) -> None:
    """Put a draft aside for good."""
    _may_write(principal)
    row = _locked(principal, draft_id, _State.DRAFT, _State.SUBMITTED)
    PolicyDraft.objects.filter(pk=row.pk).update(state=_State.DISCARDED, changed_at=now)


# --- putting in force ----------------------------------------------------------------------------


@transaction.atomic
def found(document: Mapping[str, Any], *, clock: Clock = timezone.now) -> FloorPolicy:
    """A forum's first floor; it alone has neither author nor approver."""
    audiences.lock_policies()
    if FloorPolicy.objects.exists():
        raise Refused("floor.two-people", "A floor is drafted and activated by two people.")
    return _floor_in_force(
        document, source=documents.write(document), drafted_by=None, by=None, now=clock()
    )


@transaction.atomic
def activate(
    principal: Principal,
    draft_id: UUID,
    *,
    digest: str,
    saw: bool = False,
    reach: Reach = "forward",
    clock: Clock = timezone.now,
) -> datetime | None:
    """Approve a submitted draft, and put it in force; its time, or none if it waits for its own.

    1. who may, and two people where two are asked    2. exactly the document that was read
    3. newer than what is in force                    4. what it loosens was previewed, and `saw`
    5. now under the lock, or at its time                says that the list was looked at
    With `replace` what was released is held to it too: a worker finds what it takes back and puts
    it in force then, at its time or as soon as all is found.
    """
    row = _locked(principal, draft_id, _State.SUBMITTED)
    _may_activate(principal, row.kind)
    _demand_second(principal, row)  # 1
    if bytes(row.digest).hex() != digest:  # 2
        raise Refused("policy.changed", "The draft has changed since you read it.")
    if reach not in REACHES:
        raise Refused("policy.reach", f"One of {', '.join(REACHES)}.", "reach")
    _lock()
    now = clock()
    _demand_newer(row)  # 3
    seen = _demand_preview(row, saw=saw)  # 4
    row.approved_by_id = principal.user_id
    row.reach = reach
    is_later = row.starts_at is not None and row.starts_at > now
    if is_later or reach == "replace":  # 5
        PolicyDraft.objects.filter(pk=row.pk).update(
            state=_State.APPROVED,
            approved_by_id=principal.user_id,
            against=_in_force_digest(row),
            reach=reach,
            starts_at=row.starts_at if is_later else now,
            changed_at=now,
        )
        transaction.on_commit(lambda: nudge("exchange.tasks.start_policies", queue="render"))
        _decided(row, principal, "approved", seen=seen, now=now)
        return None
    _decided(row, principal, "approved", seen=seen, now=now)
    _start(row, now=now)
    return now


def start_due(*, clock: Clock = timezone.now) -> int:
    """Put in force what was approved for a time that has come; how many."""
    replaces = PolicyDraft.objects.filter(state=_State.APPROVED, reach="replace")
    for row in replaces.order_by("starts_at", "id"):
        replacing.prepare(row, against=bytes(row.against or b""))
    due = PolicyDraft.objects.filter(state=_State.APPROVED, starts_at__lte=clock())
    due = due.exclude(reach="replace", preparation__ready_at__isnull=True)
    ids = list(due.order_by("starts_at", "id").values_list("id", flat=True))
    return sum(_start_one(draft_id, clock=clock) for draft_id in ids)


@transaction.atomic
def _start_one(draft_id: UUID, *, clock: Clock) -> int:
    row = (
        PolicyDraft.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=draft_id, state=_State.APPROVED)
        .first()
    )
    if row is None:
        return 0
    audiences.lock_policies()
    now = clock()
    if _in_force_digest(row) != row.against:
        # What the approver saw compared is not what this would now replace.
        answer = "The policy in force has changed since this was approved: look at it again."
        PolicyDraft.objects.filter(pk=row.pk).update(
            state=_State.SUBMITTED, answer=answer, approved_by=None, against=None, changed_at=now
        )
        return 0
    if row.reach == "replace":
        replacing.replace(row, now=now)
    _start(row, now=now)
    return 1


def _start(row: PolicyDraft, *, now: datetime) -> None:
    """Under the lock: the version's row, its ledger entry, and the end of the draft."""
    if row.kind == PolicyDraft.Kind.FLOOR:
        _floor_in_force(
            row.document,
            source=row.source,
            drafted_by=row.author_id,
            by=row.approved_by_id,
            note=row.note,
            now=now,
        )
    elif row.member_id is not None:
        _member_policy_in_force(row, row.member_id, now=now)
    PolicyDraft.objects.filter(pk=row.pk).update(
        state=_State.ACTIVE, approved_by_id=row.approved_by_id, reach=row.reach, changed_at=now
    )


def _floor_in_force(
    document: Mapping[str, Any],
    *,
    source: str,
    drafted_by: UUID | None,
    by: UUID | None,
    note: str = "",
    now: datetime,
) -> FloorPolicy:
    faults = documents.faults_of(document, "floor")
    if faults:
        raise Refused("policy.document", faults[0].sentence, faults[0].path)
    floor = terms.Floor.parse(document)
    row = FloorPolicy.objects.create(
        document=dict(document),
        source=source,
        digest=bytes.fromhex(floor.digest),
        version=str(floor.version),
        note=note,
        drafted_by_id=drafted_by,
        activated_by_id=by,
        effective_at=now,
    )
    _ask_approvers(floor)
    fields = {"policy": "floor", "digest": floor.digest, "version": str(floor.version)}
    approvers = [str(one) for one in (drafted_by, by) if one is not None]
    slots: Slots = {"to": fields, "audit": {**fields, "approvers": approvers}}
    ledger.record("policy", slots=slots, now=now)
    return row


def _ask_approvers(floor: terms.Floor) -> None:
    """An approval outlives the floor under which it was given, but never asks fewer people."""
    with connection.cursor() as cursor:
        for hold_class in floor.document["hold_classes"]:
            wanted = list(floor.approvers(hold_class))
            cursor.execute("SELECT weir_ask_approvers(%s, %s::text[])", [hold_class, wanted])


def _member_policy_in_force(row: PolicyDraft, member_id: UUID, *, now: datetime) -> None:
    MemberPolicyVersion.objects.create(
        member_id=member_id,
        document=row.document,
        source=row.source,
        digest=row.digest,
        note=row.note,
        drafted_by_id=row.author_id,
        approved_by_id=row.approved_by_id,
        effective_at=now,
    )
    fields = {
        "policy": "member",
        "digest": bytes(row.digest).hex(),
        "version": str(row.document["version"]),
    }
    approvers = [str(one) for one in (row.author_id, row.approved_by_id) if one is not None]
    # The auditors see that a member changed its terms, never the terms.
    slots: Slots = {"from": {**fields, "approvers": approvers}, "audit": {"policy": "member"}}
    ledger.record("policy", by=member_id, slots=slots, now=now)


def _decided(
    row: PolicyDraft,
    principal: Principal,
    decision: str,
    *,
    reason: str = "",
    seen: replay.Finished | None = None,
    now: datetime,
) -> None:
    fields: dict[str, Any] = {
        "decision": decision,
        "policy": row.kind,
        "digest": bytes(row.digest).hex(),
        "reason": reason.strip(),
    }
    if seen is not None:
        # What was confirmed: that this preview's list of newly exposed objects was seen.
        fields |= {"preview": str(seen.id), "shown": seen.shown}
    person = {"user": str(principal.user_id)}
    if row.member_id is None:
        ledger.record("decision", slots={"audit": {**fields, **person}}, now=now)
    else:
        audit = {"decision": decision, "policy": row.kind}
        slots: Slots = {"from": {**fields, **person}, "audit": audit}
        ledger.record("decision", by=row.member_id, slots=slots, now=now)


# --- reading -------------------------------------------------------------------------------------


def in_force(principal: Principal, kind: Kind) -> Version | None:
    """The policy of this kind in force: the floor, or one's own member's."""
    found = versions(principal, kind, limit=1)
    return found[0] if found else None


def versions(principal: Principal, kind: Kind, *, limit: int = 50) -> tuple[Version, ...]:
    """The versions that took effect, newest first; of member policies one's own alone."""
    if kind == "floor":
        floors = FloorPolicy.objects.select_related("drafted_by", "activated_by").order_by("-id")
        rows = [(row, row.drafted_by, row.activated_by) for row in floors[:limit]]
        return _versions(rows)
    if principal.member_id is None:
        return ()
    own = MemberPolicyVersion.objects.filter(member_id=principal.member_id).order_by("-id")
    named = own.select_related("drafted_by", "approved_by")[:limit]
    return _versions([(row, row.drafted_by, row.approved_by) for row in named])


def drafts(principal: Principal) -> tuple[Draft, ...]:
    """What is on its way and the caller's work, newest first."""
    rows = _visible(principal).filter(state__in=OPEN).select_related("author", "approved_by")
    return tuple(_draft(row) for row in rows.order_by("-changed_at")[:50])


def draft_of(principal: Principal, draft_id: UUID) -> Draft:
    """One draft; NotFound for what is not the caller's work."""
    row = _visible(principal).select_related("author", "approved_by").filter(pk=draft_id).first()
    if row is None:
        raise NotFound
    return _draft(row)


def _versions(rows: list[tuple[Any, Any, Any]]) -> tuple[Version, ...]:
    made: list[Version] = []
    until: datetime | None = None
    for row, author, approver in rows:
        made.append(
            Version(
                version=str(row.document.get("version", "")),
                title=str(row.document.get("title", "")),
                note=row.note,
                digest=bytes(row.digest).hex(),
                author=author.name if author else "",
                approver=approver.name if approver else "",
                since=row.effective_at,
                until=until,
                source=row.source or documents.write(row.document),
                document=row.document,
            )
        )
        until = row.effective_at
    return tuple(made)


def _draft(row: PolicyDraft) -> Draft:
    return Draft(
        id=row.id,
        kind="floor" if row.kind == PolicyDraft.Kind.FLOOR else "member",
        member_id=row.member_id,
        source=row.source,
        document=row.document,
        digest=bytes(row.digest).hex(),
        state=row.state,
        note=row.note,
        answer=row.answer,
        author_id=row.author_id,
        author=row.author.name,
        approved_by=row.approved_by.name if row.approved_by else "",
        starts_at=row.starts_at,
        changed_at=row.changed_at,
    )


# --- for the desk --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Review:
    """A draft beside what is in force: what goes which way, and what the caller may do now."""

    draft: Draft
    changes: tuple[Change, ...]
    is_looser: bool
    preview: replay.Finished | None
    may_write: bool
    may_submit: bool
    may_activate: bool
    may_send_back: bool
    # Why the caller cannot put it in force, where another person could.
    waits_for: str


@dataclass(frozen=True, slots=True)
class Words:
    """One version of the floor, all of it in words."""

    version: str
    title: str
    digest: str
    since: datetime
    until: datetime | None
    author: str
    approver: str
    sections: tuple[Section, ...]


def review_of(principal: Principal, draft_id: UUID) -> Review:
    """One draft with its difference to the policy in force, looser first."""
    row = _visible(principal).select_related("author", "approved_by").filter(pk=draft_id).first()
    if row is None:
        raise NotFound
    kind: Kind = "floor" if row.member_id is None else "member"
    old = _newest(row) or {}
    is_open = row.state in OPEN
    found = changes.compare(old, row.document, kind) if is_open else ()
    seen = replay.finished_for(kind, row.member_id, bytes(row.digest))
    if seen is not None and not (seen.is_whole and seen.against == documents.digest(old)):
        seen = None
    writes = principal.may("draft-floor" if kind == "floor" else "edit-member-policy")
    activates = principal.may("activate-floor" if kind == "floor" else "edit-member-policy")
    waits_for = _waits_for(principal, row)
    return Review(
        draft=_draft(row),
        changes=found,
        is_looser=changes.is_looser(found),
        preview=seen,
        may_write=writes and row.state == _State.DRAFT,
        may_submit=writes and row.state == _State.DRAFT,
        may_activate=activates and row.state == _State.SUBMITTED and not waits_for,
        may_send_back=activates and row.state in (_State.SUBMITTED, _State.APPROVED),
        waits_for=waits_for if row.state == _State.SUBMITTED else "",
    )


def _waits_for(principal: Principal, row: PolicyDraft) -> str:
    is_floor = row.member_id is None
    if not principal.may("activate-floor" if is_floor else "edit-member-policy"):
        return "It waits for the forum's operator."
    try:
        _demand_second(principal, row)
    except Refused as refused:
        return refused.sentence
    return ""


def changes_to(principal: Principal, document: Mapping[str, Any]) -> tuple[Change, ...]:
    """What a document of the caller's kind would change, looser first."""
    kind = _may_write(principal)
    found = in_force(principal, kind)
    return changes.compare(found.document if found else {}, document, kind)


def starting_text(principal: Principal, kind: Kind) -> str:
    """What a new draft begins with: what is in force, as the next version."""
    found = in_force(principal, kind)
    if found is None:
        return _FIRST
    now, then = f"version: {found.version}", f"version: {int(found.version or 0) + 1}"
    head, sign, rest = found.source.partition(now)
    return f"{head}{then}{rest}" if sign else found.source


_FIRST = """\
# Your own policy: each setting can only remove more, delay more, or send to fewer.
# All settings are in the schema: /schemas/member-policy.json
version: 1
title: Our own policy
"""


def floor_in_words(version: str = "", *, now: datetime) -> Words:
    """The floor in force in words, or an earlier version of it."""
    rows = FloorPolicy.objects.select_related("drafted_by", "activated_by").order_by("-id")
    chosen = rows.filter(version=version) if version else rows
    row = chosen.first()
    if row is None:
        raise NotFound
    after = FloorPolicy.objects.filter(id__gt=row.id).order_by("id").first()
    floor = terms.Floor.parse(row.document)
    return Words(
        version=row.version,
        title=str(row.document["title"]),
        digest=bytes(row.digest).hex(),
        since=row.effective_at,
        until=after.effective_at if after else None,
        author=row.drafted_by.name if row.drafted_by else "",
        approver=row.activated_by.name if row.activated_by else "",
        sections=prose.whole(floor, on=now.date()),
    )


# --- who may -------------------------------------------------------------------------------------


def _may_write(principal: Principal) -> Kind:
    if principal.member_id is None and principal.may("draft-floor"):
        return "floor"
    if principal.member_id is not None and principal.may("edit-member-policy"):
        return "member"
    raise Forbidden("Your role writes no policies.")


def _may_activate(principal: Principal, kind: str) -> None:
    is_floor = kind == PolicyDraft.Kind.FLOOR
    if not principal.may("activate-floor" if is_floor else "edit-member-policy"):
        raise Forbidden("Your role does not put this policy in force.")


def _demand_second(principal: Principal, row: PolicyDraft) -> None:
    """Two people for a floor; for a member's policy where the one in force or the new one asks."""
    if row.kind == PolicyDraft.Kind.FLOOR:
        if principal.user_id in (None, row.author_id):
            raise Refused("floor.two-people", "A floor is drafted and activated by two people.")
        return
    newest = _newest(row)
    asked = [one["two_people"] for one in (row.document, newest) if one and "two_people" in one]
    if any(asked) and principal.user_id == row.author_id:
        raise Refused("policy.two-people", "Your policy asks for a second person.")


def _demand_newer(row: PolicyDraft) -> None:
    newest = _newest(row)
    if newest and row.document["version"] <= newest.get("version", 1):
        sentence = f"Version {newest.get('version', 1)} is in force: a new one is larger."
        raise Refused("policy.version", sentence, "version")


def _demand_preview(row: PolicyDraft, *, saw: bool) -> replay.Finished | None:
    """A loosening takes effect only after its newly exposed objects were listed and looked at."""
    kind: Kind = "floor" if row.member_id is None else "member"
    old = _newest(row) or {}
    if not changes.is_looser(changes.compare(old, row.document, kind)):
        return None
    seen = replay.finished_for(kind, row.member_id, bytes(row.digest))
    if seen is None or not seen.is_whole or seen.against != documents.digest(old):
        sentence = (
            "It loosens the policy in force: preview exactly this document first, "
            "over the last 30 days."
        )
        raise Refused("policy.preview", sentence)
    if not saw:
        sentence = "Confirm that you saw the list of what this newly exposes."
        raise Refused("policy.confirm", sentence, "saw")
    return seen


def _newest(row: PolicyDraft) -> Mapping[str, Any] | None:
    if row.member_id is None:
        floors = FloorPolicy.objects.order_by("-id").values_list("document", flat=True)
        return floors.first()
    own = MemberPolicyVersion.objects.filter(member_id=row.member_id).order_by("-id")
    return own.values_list("document", flat=True).first()


def _in_force_digest(row: PolicyDraft) -> bytes:
    newest = _newest(row)
    return documents.digest(newest or {})


def _visible(principal: Principal) -> QuerySet[PolicyDraft]:
    if principal.member_id is not None and principal.may("edit-member-policy"):
        return PolicyDraft.objects.filter(member_id=principal.member_id)
    if principal.member_id is None and (
        principal.may("draft-floor") or principal.may("activate-floor")
    ):
        return PolicyDraft.objects.filter(member__isnull=True)
    return PolicyDraft.objects.none()


def _locked(principal: Principal, draft_id: UUID, *states: str) -> PolicyDraft:
    row = (
        _visible(principal).select_for_update(no_key=True, of=("self",)).filter(pk=draft_id).first()
    )
    if row is None:
        raise NotFound
    if row.state not in states:
        raise Refused("policy.state", f"The draft is {row.state}.")
    return row


def _lock() -> None:
    try:
        with transaction.atomic():
            audiences.lock_policies()
    except OperationalError:
        raise Refused(
            "policy.busy", "Releases are under way. Nothing was changed: try again in a moment."
        ) from None


def _demand(reason: str) -> None:
    if len(reason.strip()) < SHORTEST_REASON:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "reason")
