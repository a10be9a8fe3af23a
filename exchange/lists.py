"""Each recipient's list: what it newly gets of a contribution, made once for equal recipients.

Read-only: names resolved, holdings looked up, references closed; `release` writes what follows.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from exchange import access, audiences, constants, folds
from exchange.models import Kept, Outcome, ReleaseItem, Rendition
from exchange.policy import decide, tokens
from exchange.policy.closure import Closed, Due, Made, close
from exchange.policy.decide import Verdict
from exchange.policy.facts import Facts
from exchange.policy.outcomes import Standing
from exchange.policy.render import Shape
from exchange.policy.terms import Terms
from indicators import store
from indicators.models import Contribution, ForumObject, Version
from indicators.stix import references
from members.models import CircleMember


@dataclass(frozen=True, slots=True)
class Leaving:
    """One version that is due in one circle."""

    outcome_id: int
    version: Version
    obj: Mapping[str, Any]
    standing: Standing
    nominal_at: datetime
    # As contributed, where what leaves is written for many like it.
    original: Mapping[str, Any] | None = None
    # Only these, where it left before and is now due for some; empty: all recipients.
    recipients: frozenset[UUID] = frozenset()
    # The other circles in which this very version left: who has it there keeps what it has.
    elsewhere: frozenset[UUID] = frozenset()

    # What was read in the object when it was decided, so that it is read once.
    facts: Facts | None = None

    @property
    def subject(self) -> Mapping[str, Any] | Facts:
        """The object for those who decide and render."""
        return self.facts or self.obj

    @property
    def links(self) -> Sequence[str]:
        """The ids that it refers to."""
        if self.facts is not None:
            return self.facts.references
        return [target for _, target in references.of(self.obj)]

    @property
    def is_observable(self) -> bool:
        """Observables have no version of their own (STIX 2.1, 3.6)."""
        return "created" not in self.obj

    @property
    def contributed(self) -> Mapping[str, Any]:
        """The object as its contributor wrote it."""
        return self.obj if self.original is None else self.original

    @property
    def forum_id(self) -> str:
        """The id under which all recipients know it; observables get theirs from content."""
        return f"{self.obj['type']}--{self.version.object_id}"


@dataclass(frozen=True, slots=True)
class Held:
    """What a recipient holds of an object."""

    rendition_id: int
    version_id: int | None
    stix_id: str
    content_digest: str
    circle_id: UUID | None
    # As minted; empty for observables, which have one state for ever.
    modified: str = ""
    takes_back: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """Where the original ids in a contribution lead to."""

    objects: Mapping[str, ForumObject]
    public: frozenset[str]

    def is_foreign(self, obj: Mapping[str, Any], contributor_id: UUID) -> bool:
        """Whether it refers to another member's object: then its contributor sees no names."""
        return self.leads_away([target for _, target in references.of(obj)], contributor_id)

    def leads_away(self, links: Iterable[str], contributor_id: UUID) -> bool:
        """Whether any of these names leads to another member's object."""
        return any(
            target in self.objects and self.objects[target].member_id != contributor_id
            for target in links
        )


@dataclass(frozen=True, slots=True)
class Audience:
    """Recipients with equal terms that resolve the same names, and what they may get."""

    recipients: tuple[UUID, ...]
    verdicts: Mapping[int, Verdict]
    closed: Closed


Holdings = Mapping[tuple[UUID, UUID], Sequence[Held]]


def names_of(contributor_id: UUID, leaving: Sequence[Leaving]) -> Names:
    """Resolve every reference: the contributor's own names first, then forum ids it has held."""
    return _names(contributor_id, {target for one in leaving for target in one.links})


def is_foreign(contributor_id: UUID, obj: Mapping[str, Any]) -> bool:
    """Whether an object of a contributor's refers to another member's."""
    links = {target for _, target in references.of(obj)}
    return _names(contributor_id, links).leads_away(links, contributor_id)


def _names(contributor_id: UUID, wanted: set[str]) -> Names:
    if not wanted:
        return Names({}, frozenset())
    public = frozenset(wanted & constants.ids())
    digests = {store.name_digest(contributor_id, name): name for name in wanted - public}
    rows = ForumObject.objects.filter(
        member_id=contributor_id, id_digest__in=list(digests), state=ForumObject.State.LIVE
    )
    own = {digests[bytes(row.id_digest)]: row for row in rows}
    leads = folds.leads(own.values())
    found = {name: leads.get(row.id, row) for name, row in own.items()}
    rest = wanted - public - found.keys()
    seats = CircleMember.objects.filter(member_id=contributor_id, left_at__isnull=True)
    held = ReleaseItem.objects.filter(
        access.stands(contributor_id),
        rendition__stix_id__in=list(rest),
        rendition__object__isnull=False,
        release__circle_id__in=seats.values("circle_id"),
        release__recipients__recipient_id=contributor_id,
    ).select_related("rendition__object")
    for item in held:
        if item.rendition.object is not None:
            found.setdefault(item.rendition.stix_id, item.rendition.object)
    return Names(found, public)


def holdings(object_ids: Iterable[UUID], recipients: Iterable[UUID]) -> Holdings:
    """What these recipients may read now of these objects, oldest first."""
    members = list(recipients)
    seats = set(
        CircleMember.objects.filter(member_id__in=members, left_at__isnull=True).values_list(
            "member_id", "circle_id"
        )
    )
    # What came through a circle that was left cannot be read, so nothing may refer to it.
    return _by_holder(
        (who, object_id, held)
        for who, object_id, held in _held_rows(_standing(_given(object_ids, members)))
        if held.circle_id is None or (who, held.circle_id) in seats
    )


def once_given(object_ids: Iterable[UUID], recipients: Iterable[UUID]) -> Holdings:
    """What these recipients were ever given of these objects, oldest first."""
    rows = _given(object_ids, list(recipients))
    return _by_holder(_held_rows((row[2], row[3], tuple(row[4:])) for row in rows))


def _given(object_ids: Iterable[UUID], recipients: Sequence[UUID]) -> Iterable[tuple[Any, ...]]:
    """Every item of theirs; the notice of an observable is no state of it."""
    items = ReleaseItem.objects.filter(
        rendition__object=store.among("uuid", list(object_ids)),
        release__recipients__recipient_id__in=recipients,
    ).exclude(rendition__takes_back=True, rendition__stix_type="note")
    return items.order_by("id").values_list(
        "id",
        "recalled",
        "release__recipients__recipient_id",
        "rendition__object_id",
        "rendition_id",
        "rendition__version_id",
        "rendition__stix_id",
        "rendition__content_digest",
        "release__circle_id",
        "rendition__modified",
        "rendition__takes_back",
    )


def _held_rows(
    rows: Iterable[tuple[UUID, UUID, tuple[Any, ...]]],
) -> Iterator[tuple[UUID, UUID, Held]]:
    for who, object_id, (rendition, version, stix_id, digest, circle, modified, back) in rows:
        held = Held(rendition, version, stix_id, bytes(digest).hex(), circle, modified, back)
        yield who, object_id, held


def _by_holder(rows: Iterable[tuple[UUID, UUID, Held]]) -> Holdings:
    held: dict[tuple[UUID, UUID], list[Held]] = defaultdict(list)
    for who, object_id, one in rows:
        held[(who, object_id)].append(one)
    return held


def _standing(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[UUID, UUID, tuple[Any, ...]]]:
    """Without what was taken back from that recipient."""
    found = list(rows)
    taken = [row[0] for row in found if row[1]]
    kept = set(Kept.objects.filter(item_id__in=taken).values_list("item_id", "recipient_id"))
    for item_id, recalled, recipient, object_id, *rest in found:
        if not recalled or (item_id, recipient) in kept:
            yield recipient, object_id, tuple(rest)


def listed(one: Leaving, shape: Shape, earlier: Sequence[Held], circle: UUID) -> str:
    """Newly given, listed again in a further circle, or nothing new for this recipient."""
    if not earlier:
        return "new"
    newest = earlier[-1]
    if newest.takes_back:  # `revoked` is for ever
        return "nothing"
    here = [old for old in earlier if old.circle_id == circle]
    # Who got this version through another circle keeps rendition, tokens and position.
    is_kept = any(old.circle_id in one.elsewhere for old in earlier)
    if one.recipients and here:  # an act of its own on what is here already
        is_kept = False
    if newest.content_digest != shape.digest and not is_kept:
        return "new"
    return "nothing" if any(old.rendition_id == newest.rendition_id for old in here) else "again"


def holders_of_equal_bytes(
    circle_id: UUID, shapes: Iterable[Shape], recipients: Iterable[UUID]
) -> frozenset[tuple[UUID, str]]:
    """Who already holds an observable of equal bytes through this circle, from whomever."""
    digests = [bytes.fromhex(shape.digest) for shape in shapes if shape.is_observable]
    if not digests:
        return frozenset()
    # These first: all that was ever released to these recipients is much more.
    equal = Rendition.objects.filter(content_digest__in=digests).values_list("pk", flat=True)
    rows = ReleaseItem.objects.filter(
        rendition=store.among("bigint", list(equal)),
        release__circle_id=circle_id,
        release__recipients__recipient_id__in=list(recipients),
    ).values_list(
        "id",
        "recalled",
        "release__recipients__recipient_id",
        "rendition__object_id",
        "rendition__content_digest",
    )
    return frozenset((who, bytes(digest).hex()) for who, _, (digest,) in _standing(rows))


def audiences_of(
    contribution: Contribution,
    leaving: Sequence[Leaving],
    force: audiences.InForce,
    *,
    names: Names,
    now: datetime,
) -> tuple[list[Audience], Holdings]:
    """The circle's recipients in as few groups as their terms and holdings allow."""
    groups = audiences.by_terms(contribution.member_id, contribution.circle_id, force, now=now)
    further = _further(contribution, leaving, force, now=now)
    recipients = [member_id for ids in groups.values() for member_id in ids]
    objects = {row.id for row in names.objects.values()}
    objects |= {one.version.object_id for one in leaving if one.version.object.created_at}
    held = holdings(objects, recipients) if objects else {}
    scope = audiences.token_scope(contribution.circle_id, now=now)
    by = audiences.named(contribution, force.policy)
    made: list[Audience] = []
    known: _Known = defaultdict(dict)
    rendered: Made = {}
    for (terms, elsewhere), members in _by_all_terms(groups, further).items():
        if terms.withhold_all is not None:
            continue
        verdicts = _verdicts(leaving, terms, elsewhere, further, known)
        for (refs, keys), ids in alike(leaving, members, names, held).items():
            due = [one for one in leaving if one.outcome_id in keys]
            ready = closed(due, verdicts, dict(refs), scope, by, rendered)
            made.append(Audience(tuple(ids), verdicts, ready))
    return made, held


@dataclass(frozen=True, slots=True)
class _Further:
    """The further circles to which some of what leaves is addressed too, and the terms there."""

    circles: Mapping[int | None, frozenset[UUID]]
    terms: Mapping[UUID, Mapping[UUID, Terms]]

    def addressed(self, one: Leaving) -> frozenset[UUID]:
        """The further circles of one version."""
        return self.circles.get(one.version.pk, frozenset())


def _further(
    contribution: Contribution,
    leaving: Sequence[Leaving],
    force: audiences.InForce,
    *,
    now: datetime,
) -> _Further:
    """Who is in several circles to which an object is addressed gets it under all their terms."""
    circles: dict[int | None, set[UUID]] = defaultdict(set)
    rows = Outcome.objects.filter(
        version=store.among("bigint", [one.version.pk for one in leaving if one.version.pk]),
        replaced=False,
    ).exclude(circle_id=contribution.circle_id)
    for version_id, circle_id in rows.values_list("version_id", "circle_id"):
        circles[version_id].add(circle_id)
    terms: dict[UUID, dict[UUID, Terms]] = {}
    for circle_id in {one for found in circles.values() for one in found}:
        groups = audiences.by_terms(contribution.member_id, circle_id, force, now=now)
        terms[circle_id] = {who: found for found, ids in groups.items() for who in ids}
    return _Further({key: frozenset(found) for key, found in circles.items()}, terms)


Elsewhere = tuple[tuple[UUID, Terms], ...]


def _by_all_terms(
    groups: Mapping[Terms, Sequence[UUID]], further: _Further
) -> Mapping[tuple[Terms, Elsewhere], list[UUID]]:
    """Members with equal terms here and in every further circle; there is seldom one."""
    found: dict[tuple[Terms, Elsewhere], list[UUID]] = defaultdict(list)
    for terms, members in groups.items():
        for member_id in members:
            elsewhere = tuple(
                (circle_id, there[member_id])
                for circle_id, there in sorted(further.terms.items())
                if member_id in there
            )
            found[(terms, elsewhere)].append(member_id)
    return found


# Verdicts for recipients from whom nothing is withheld, by their terms.
_Known = dict[Terms, dict[int, Verdict]]


def _verdicts(
    leaving: Sequence[Leaving],
    terms: Terms,
    elsewhere: Elsewhere,
    further: _Further,
    known: _Known,
) -> dict[int, Verdict]:
    """Every field is ruled on once for all whose terms differ only in what they withhold."""
    found: dict[int, Verdict] = {}
    joined, bare = terms, terms.open()
    ruled = known[bare]
    for one in leaving:
        if elsewhere:
            joined = _joined(terms, elsewhere, further.addressed(one))
            bare = joined.open()
            ruled = known[bare]
        verdict = ruled.get(one.outcome_id)
        if verdict is None:
            verdict = ruled[one.outcome_id] = decide.verdict(one.subject, one.standing, bare)
        found[one.outcome_id] = decide.beside(verdict, one.subject, one.standing, joined)
    return found


def _joined(terms: Terms, elsewhere: Elsewhere, addressed: frozenset[UUID]) -> Terms:
    for circle_id, there in elsewhere:
        if circle_id in addressed:
            terms = terms.joined(there)
    return terms


def alike(
    leaving: Sequence[Leaving], members: Sequence[UUID], names: Names, held: Holdings
) -> Mapping[tuple[tuple[tuple[str, str], ...], frozenset[int]], list[UUID]]:
    """Members by what they can resolve and what is theirs to get."""
    found: dict[tuple[tuple[tuple[str, str], ...], frozenset[int]], list[UUID]] = defaultdict(list)
    everyone = frozenset(one.outcome_id for one in leaving if not one.recipients)
    few = [one for one in leaving if one.recipients]
    called: dict[UUID, list[str]] = defaultdict(list)
    for name, row in names.objects.items():
        called[row.id].append(name)
    known: dict[UUID, dict[str, str]] = defaultdict(lambda: {name: name for name in names.public})
    for (member_id, object_id), holding in held.items():
        known[member_id] |= {name: holding[-1].stix_id for name in called.get(object_id, ())}
    for member_id in members:
        own = frozenset(one.outcome_id for one in few if member_id in one.recipients)
        found[(tuple(sorted(known[member_id].items())), everyone | own)].append(member_id)
    return found


def closed(
    leaving: Sequence[Leaving],
    verdicts: Mapping[int, Verdict],
    refs: Mapping[str, str],
    scope: tokens.Scope,
    by: str = "",
    rendered: Made | None = None,
) -> Closed:
    """What of these can leave together, for who resolves these references."""
    due = [
        Due(
            key=one.outcome_id,
            obj=one.subject,
            standing=one.standing,
            verdict=verdicts[one.outcome_id],
            forum_id=one.forum_id,
            name=one.version.object.name,
            by=by,
        )
        for one in leaving
    ]
    return close(due, resolvable=refs, tokens=scope, rendered=rendered)
