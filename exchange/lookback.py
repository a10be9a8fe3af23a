"""Look back at what was released: decided again under the policies that the release recorded.

Three records must agree: the verdict whose digest the ledger holds, the bytes that left, and the
policies of then. Whatever differs is an alarm, for somebody changed one of them, or the exchange
gave what it must not. What cannot be decided any more (an original was erased) is said as that.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from exchange import audiences, constants, telemetry
from exchange.ledger.intake import release_aad, seal
from exchange.models import (
    Hold,
    LookBack,
    LookedBack,
    Outcome,
    Release,
    ReleaseItem,
    ReleaseRecipient,
    Rendition,
    Twin,
    VerdictDocument,
)
from exchange.policy import decide, explain, terms
from exchange.policy.decide import Verdict
from exchange.policy.lattice import Treatment
from exchange.policy.outcomes import ACCEPTED, HELD, WITHHELD, Context, Standing
from exchange.proof import jcs
from exchange.recheck import objects_of, policies_of
from indicators.models import Contribution
from members.models import Acceptance, CircleMember, Member
from members.seals import for_member

AT_ONCE = 300  # objects in one run: a few seconds
AGAIN = timedelta(days=7)  # what was looked at is looked at again after that
LATE = timedelta(minutes=10)  # no transaction that writes releases takes longer
# Sums of sightings leave in place of what was contributed: their verdicts are judged, not compared.
_SUMS = ("sighting", "observed-data")
# Written by the exchange itself, whatever the original says there.
_OURS = ("id", "created", "modified", "created_by_ref", "object_marking_refs", "name", "revoked")
FAULTS = {
    "bytes": "The bytes that left are not those that were recorded.",
    "verdict": "Decided again, the verdict is not the one that the ledger holds.",
    "field": "A field that the recorded policies remove stands in the bytes that left.",
    "held": "It left although a hold on it was not released.",
    "withheld": "It left although the recorded policies withhold it.",
    "recipient": "Somebody received it who was not entitled to it.",
}
GONE = "gone"  # no fault: the original was erased
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decided:
    """One object of a release decided again: its verdict, and what is otherwise than recorded."""

    rendition_id: int
    verdict: Verdict | None
    fault: str

    @property
    def changed(self) -> Iterator[tuple[str, str]]:
        """Class and rule of each field that did not pass as it came."""
        for _, ruling in self.verdict.rulings if self.verdict else ():
            if ruling.treatment is not Treatment.PASS:
                yield ruling.field_class, ruling.rule


@dataclass(frozen=True, slots=True)
class _Told:
    """One object that a release is about."""

    outcome: Outcome | None
    rendition: Rendition


def decided(release: Release) -> tuple[Decided, ...]:
    """Each object of a release decided again, in the order of the contributor's list."""
    told = _told(release)
    if release.kind != Release.Kind.RELEASE or release.contribution is None:
        return tuple(Decided(one.rendition.pk, None, _bytes(one.rendition)) for one in told)
    side = _Side(release, release.contribution)
    strangers = "recipient" if side.strangers() else ""
    found = []
    for one in told:
        verdict, fault = side.judged(one)
        found.append(Decided(one.rendition.pk, verdict, fault or strangers))
    if not any(one.fault for one in found) and _differs(release, told, found):
        return tuple(replace(one, fault="verdict") for one in found)
    return tuple(found)


def work(*, now: datetime, most: int = AT_ONCE) -> int:
    """Look at what was released since, then again at what was looked at longest ago."""
    done = 0
    for release_id in _unseen(now=now, most=most):
        done += look(release_id, now=now)
        if done >= most:
            return done
    old = LookedBack.objects.filter(at__lt=now - AGAIN).order_by("at")
    for release_id in dict.fromkeys(old.values_list("release_id", flat=True)[: most - done]):
        done += look(release_id, now=now)
    return done


@transaction.atomic
def look(release_id: UUID, *, now: datetime) -> int:
    """Look at one release, write down what was found, and raise the alarm for what differs."""
    release = Release.objects.select_related("contribution").get(pk=release_id)
    found = decided(release)
    known = dict(LookedBack.objects.filter(release=release).values_list("rendition_id", "fault"))
    verdicts = {one.verdict.digest: one.verdict for one in found if one.verdict}
    VerdictDocument.objects.bulk_create(
        (
            VerdictDocument(digest=bytes.fromhex(digest), document=verdict.document())
            for digest, verdict in verdicts.items()
        ),
        ignore_conflicts=True,
    )
    LookedBack.objects.bulk_create(
        [_row(release, one, now=now) for one in found],
        update_conflicts=True,
        unique_fields=["release", "rendition"],
        update_fields=["fault", "at"],
    )
    for one in found:
        if one.fault not in ("", GONE, known.get(one.rendition_id)):
            telemetry.count("lookback.fault")
            log.critical("lookback.fault", release=str(release_id), fault=one.fault)
    return len(found)


def entries_of(releases: Sequence[UUID], *, auditor: bool) -> dict[UUID, list[int]]:
    """The entries of releases that tell of them to who asks: their contributor, or the auditors."""
    rows = ReleaseRecipient.objects.filter(release_id__in=releases, idx__isnull=False)
    if not auditor:
        rows = rows.filter(told_here=True).exclude(recipient_id=F("member_id"))
    found: dict[UUID, list[int]] = defaultdict(list)
    for release_id, idx in rows.order_by("idx").values_list("release_id", "idx"):
        if idx is not None:
            found[release_id].append(idx)
    return found


def _row(release: Release, one: Decided, *, now: datetime) -> LookedBack:
    classes, rules = (sorted(set(words)) for words in _columns(one.changed))
    return LookedBack(
        release=release,
        rendition_id=one.rendition_id,
        member_id=release.member_id,
        verdict=bytes.fromhex(one.verdict.digest) if one.verdict else b"",
        classes=classes,
        rules=rules,
        fault=one.fault,
        at=now,
    )


def _columns(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    listed = list(pairs)
    return [one for one, _ in listed], [one for _, one in listed]


def _unseen(*, now: datetime, most: int) -> list[UUID]:
    """Releases that were never looked at, the oldest first; and how far we are is written down."""
    row, _ = LookBack.objects.get_or_create(pk=1, defaults={"at": now})
    looked = LookedBack.objects.filter(release=OuterRef("release"), rendition=OuterRef("rendition"))
    rows = ReleaseItem.objects.filter(~Exists(looked), id__gt=row.seen).order_by("id")
    chosen = list(rows.values_list("id", "release_id")[:most])
    last = ReleaseItem.objects.order_by("-id").values_list("id", flat=True).first() or 0
    upto = _settled(chosen[0][0] - 1 if chosen else last, now=now)
    LookBack.objects.filter(pk=1).update(seen=max(row.seen, upto), at=now)
    return list(dict.fromkeys(release_id for _, release_id in chosen))


def _settled(upto: int, *, now: datetime) -> int:
    """The last item up to this one behind which no number can turn up any more."""
    young = ReleaseItem.objects.filter(id__lte=upto, release__committed_at__gte=now - LATE)
    first = young.order_by("id").values_list("id", flat=True).first()
    return first - 1 if first else upto


def _told(release: Release) -> list[_Told]:
    """The objects of a release in the contributor's order; without one, as they are listed."""
    rows = [
        _Told(row.outcome, row.rendition)
        for model in (ReleaseItem, Twin)
        for row in model.objects.filter(release=release)
        .select_related("rendition", "outcome__version")
        .order_by("id")
    ]
    if not release.told or release.member_id is None:
        return rows
    by_digest = {bytes(one.rendition.digest).hex(): one for one in rows}
    sealed = for_member(release.member_id).open(
        bytes(release.told), aad=b"told:" + release.id.bytes
    )
    listed = orjson.loads(sealed)
    ordered = [by_digest[digest] for _, _, digest in listed if digest in by_digest]
    return ordered + [one for one in rows if one not in ordered]


def _bytes(rendition: Rendition) -> str:
    """Whether the bytes are those that were recorded; erased ones say nothing any more."""
    body = bytes(rendition.body)
    return "bytes" if body and sha256(body).digest() != bytes(rendition.digest) else ""


def _differs(release: Release, told: Sequence[_Told], found: Sequence[Decided]) -> bool:
    """Whether the verdicts are others than the ledger's slots name."""
    if any(one.verdict is None for one in found):
        return False
    if any(one.rendition.stix_type in _SUMS for one in told):
        return False
    slots = orjson.loads(seal().open(bytes(release.slots), aad=release_aad(release.id)))
    recorded = slots.get("from", {}).get("verdict")
    digests = [one.verdict.digest for one in found if one.verdict]
    made = digests[0] if len(digests) == 1 else sha256(jcs.encode(digests)).hexdigest()
    return recorded is not None and recorded != made


class _Side:
    """A release's contribution as its own policies decide it, at the moment of the release."""

    def __init__(self, release: Release, contribution: Contribution) -> None:
        self.release, self.contribution = release, contribution
        self.at = release.committed_at
        self.force = policies_of(release, audiences.floor_alone())
        self.objects = objects_of(contribution)
        rulings = decide.standing(list(self.objects.values()), self._context(), self.force.floor)
        self.standings: Mapping[int, Standing] = dict(zip(self.objects, rulings, strict=True))
        self.entitled = self._entitlements()
        self.terms = self._terms()

    def judged(self, one: _Told) -> tuple[Verdict | None, str]:
        """The verdict on one object, and the first thing that is otherwise than it should be."""
        fault = _bytes(one.rendition)
        outcome = one.outcome
        if outcome is None or outcome.version_id not in self.objects or self.terms is None:
            return None, fault or GONE
        standing = self.standings[outcome.version_id]
        fault = fault or self._unfree(outcome, standing)
        freed = replace(standing, outcome=ACCEPTED, holds=(), withheld=None)
        obj = self.objects[outcome.version_id]
        verdict = decide.verdict(obj, freed, self.terms)
        if not fault and _leaks(obj, verdict, bytes(one.rendition.body)):
            fault = "field"
        return verdict, fault

    def strangers(self) -> list[UUID]:
        """Recipients who had no seat, no agreement, or whom the policy of then shut out."""
        rows = ReleaseRecipient.objects.filter(release=self.release, recipient__isnull=False)
        ids = [pk for pk in rows.values_list("recipient_id", flat=True) if pk is not None]
        return [pk for pk in ids if pk not in self.entitled or self._shut_out(pk)]

    def _unfree(self, outcome: Outcome, standing: Standing) -> str:
        """A hold that nobody released, or a policy that lets nothing of it pass."""
        if standing.outcome == WITHHELD:
            return "withheld"
        if standing.outcome != HELD:
            return ""
        rows = Hold.objects.filter(outcome__version_id=outcome.version_id)
        names = {
            rule.split("/hold/", 1)[-1]
            for rule in rows.filter(state=Hold.State.RELEASED).values_list("rule", flat=True)
        }
        return "" if all(reason.name in names for reason in standing.holds) else "held"

    def _context(self) -> Context:
        """As at the release: who joined since was not watched for then."""
        here = Member.objects.filter(joined_at__lte=self.at)
        return Context(
            contributor=str(self.contribution.member_id),
            circle=str(self.contribution.circle_id),
            default_basis=tuple(self.contribution.default_basis),
            now=self.at,
            watch=frozenset(here.values_list("name", flat=True)),
            constants=constants.ids(),
            policy=self.force.policy,
        )

    def _entitlements(self) -> Mapping[UUID, terms.Entitlement]:
        """Who had a seat in the circle, and what else counts, at that moment."""
        seats: dict[UUID, set[str]] = defaultdict(set)
        held = CircleMember.objects.filter(joined_at__lte=self.at).filter(
            Q(left_at__isnull=True) | Q(left_at__gt=self.at)
        )
        for member_id, circle_id in held.values_list("member_id", "circle_id"):
            seats[member_id].add(str(circle_id))
        agreed = set(
            Acceptance.objects.filter(accepted_at__lte=self.at).values_list("member_id", flat=True)
        )
        # Reach and ceiling may have been others then, and are not recorded: they are left out.
        return {
            member_id: terms.Entitlement(
                member=str(member_id),
                circles=frozenset(circles),
                agreement=member_id in agreed,
                tlp_ceiling="red",
                active=True,
            )
            for member_id, circles in seats.items()
            if str(self.release.circle_id) in circles
        }

    def _terms(self) -> terms.Terms | None:
        """The terms of anybody who may receive: they differ in what they withhold alone."""
        for member_id in sorted(self.entitled):
            return replace(self._join(member_id), withhold_all=None)
        return None

    def _shut_out(self, member_id: UUID) -> bool:
        return self._join(member_id).withhold_all is not None

    def _join(self, member_id: UUID) -> terms.Terms:
        return terms.join(
            self.force.floor,
            self.force.policy,
            self.entitled[member_id],
            contributor=str(self.contribution.member_id),
            circle=str(self.release.circle_id),
            on=self.at.date(),
            # How many owners there were then is not recorded; a circle too small is seen at once.
            circle_size=max(len(self.entitled), 1),
        )


def _leaks(obj: Mapping[str, Any], verdict: Verdict, body: bytes) -> bool:
    """Whether a value that is removed or tokenised stands in its own place in the bytes."""
    if not body:
        return False
    return any(
        line.treatment in ("drop", "token")
        and line.sent is not None
        and line.sent == line.value
        and line.path.split(".")[0].split("[")[0] not in _OURS
        for line in explain.lens(obj, verdict, body)
    )
