"""Findings become STIX and ordinary contributions: the exchange's, or one member's draft.

1. what a run says of a group is put in closed words, under names that stay the same
2. of several members: the exchange contributes it to the circle of all; it is decided, released,
   recorded and delivered like anything else
3. of one member: sealed for that member, whose analyst sends it as its own, or throws it away
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from django.db import connection, transaction

from exchange import audiences, contribute
from exchange.models import Feedback, Finding, FindingObject, Run
from exchange.policy import tokens
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import ForumObject
from indicators.stix import extensions, vocab
from members import onboarding
from members.auth import Principal
from members.models import Circle
from members.scope import acting
from members.seals import for_member

LASTS = timedelta(days=60)
PAGE = 50
FINGERPRINT = "minhash128/w3/bands32x4/hmac64/normalise-v1"
MOST_REFS = 64  # that the schema of `account-cluster` allows
MIN_BANDS = 2
BANDS_NAMED = 4  # in a pattern, so that it stays readable; the observable has them all
PIVOTED = 4  # tenths that moved within a day of a public release
SHOWN_KINDS = ("payment-instrument", "device")
# What a finding rests on where none of its algorithms says so.
BASIS = ("fraudulent-identity",)
PHASES = ("bulk-elicitation",)

Object = dict[str, Any]
Said = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One finding as the run's process told it."""

    name: str
    memory: bytes
    owner: UUID | None  # of a draft
    is_known: bool
    is_new: bool  # whether it says something that was not said
    algorithms: tuple[tuple[str, int], ...]
    bases: tuple[str, ...]
    phases: tuple[str, ...]
    said: Said


@dataclass(frozen=True, slots=True)
class What:
    """What found an object: algorithms by id and version, the run, the day, and what belongs to it.

    Neither who is in it nor how many, and no number that counts beyond its reader.
    """

    id: UUID
    algorithms: tuple[tuple[str, int], ...]
    run: UUID
    on: date
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a run found in one member's own rows, before its analyst has said what becomes of it."""

    id: UUID
    made_at: datetime
    changed_at: datetime
    state: str
    algorithms: tuple[tuple[str, int], ...]
    objects: tuple[Object, ...]
    contribution: UUID | None


# --- from a run ----------------------------------------------------------------------------------


def before(now: datetime) -> tuple[Finding, ...]:
    """What a later run has to know again: what was found in the last sixty days, oldest first."""
    rows = Finding.objects.filter(changed_at__gt=now - LASTS)
    return tuple(rows.order_by("made_at", "id"))


def forget(now: datetime) -> int:
    """What is too old to be known again is not kept, nor is a draft that nobody sent by then."""
    old = Finding.objects.filter(changed_at__lte=now - LASTS).exclude(memory=b"")
    old.filter(state=Finding.State.OPEN).update(state=Finding.State.DROPPED, ended_at=now)
    return old.update(memory=b"", sealed=b"")


def disputed() -> frozenset[str]:
    """Names of findings of which a recipient says that they are wrong, until that is answered.

    One that was answered by a recall stays out for as long as it is remembered.
    """
    exchange = _id(onboarding.exchange())
    said = Feedback.objects.filter(member_id=exchange)
    waits = said.filter(answered_at__isnull=True, disposition__in=("false-positive",))
    wrong = set(waits.values_list("object__id_digest", flat=True))
    taken = ForumObject.objects.filter(member_id=exchange, state=ForumObject.State.RECALLED)
    wrong |= set(taken.values_list("id_digest", flat=True))
    parts = FindingObject.objects.filter(
        member_id=exchange, id_digest__in=[bytes(one) for one in wrong]
    )
    return frozenset(parts.values_list("finding__name", flat=True))


@transaction.atomic
def keep(said: Sequence[Told], run: Run, *, now: datetime) -> list[UUID]:
    """Remember what a run found, and say what is new in it; the contributions that were made.

    What is thrown away stays so, and what was sent is its member's from then on.
    """
    circle = Circle.objects.get(is_forum=True)
    keeper = _Keeper(onboarding.exchange(), circle.id, run, now)
    names = [told.name for told in said]
    known = Finding.objects.select_for_update().filter(name__in=names).order_by("pk")
    rows = {row.name: row for row in known}
    kept = [row for told in said if (row := keeper.row(told, rows.get(told.name))) is not None]
    Finding.objects.bulk_create([row for row in kept if row.name not in rows], batch_size=500)
    for row in kept:
        if row.name in rows:
            row.save()
    _lock_parts([row for _, row, _, _ in keeper.sent])
    return [
        _contribute(who, row, made, bases=_bases(told), circle_id=circle.id, now=now)
        for who, row, made, told in keeper.sent
    ]


def _lock_parts(rows: Sequence[Finding]) -> None:
    """What some of these may withdraw: in the order in which all acts wait for one another."""
    parts = FindingObject.objects.filter(finding__in=rows)
    objects = ForumObject.objects.select_for_update(no_key=True, of=("self",)).filter(
        member_id__in={row.member_id for row in rows},
        id_digest__in=parts.values("id_digest"),
        state=ForumObject.State.LIVE,
    )
    list(objects.order_by("pk").values_list("pk", flat=True))


@dataclass(slots=True)
class _Keeper:
    """One run's findings as rows; what is the same for all of them is looked up once."""

    exchange: Principal
    circle: UUID
    run: Run
    now: datetime
    sent: list[tuple[Principal, Finding, Sequence[Object], Told]] = field(default_factory=list)
    _sends: dict[UUID, bool] = field(default_factory=dict)

    def row(self, told: Told, row: Finding | None) -> Finding | None:
        """The row of a finding, not yet saved; none where nothing becomes of it."""
        owner = told.owner or _id(self.exchange)
        if row is not None and not told.is_new:
            return None
        algorithms = [list(one) for one in told.algorithms]
        if row is None:
            row = Finding(name=told.name, member_id=owner, first_run=self.run, made_at=self.now)
        is_ended = told.owner is not None and row.state != Finding.State.OPEN
        if row.member_id != owner or is_ended:
            return None
        row.memory, row.algorithms = told.memory, algorithms
        row.run, row.changed_at = self.run, self.now
        made = objects(told, row.id, circle=self.circle, made_at=row.made_at, now=self.now)
        if told.owner is not None and not self._is_sent_for(told.owner):
            row.sealed = for_member(owner).seal(_text(told, made), aad=_aad(row.id))
            return row
        row.state = Finding.State.SENT
        who = self.exchange if told.owner is None else _on_behalf(owner)
        self.sent.append((who, row, made, told))
        return row

    def _is_sent_for(self, owner: UUID) -> bool:
        if owner not in self._sends:
            self._sends[owner] = audiences.in_force(owner).policy.drafts == "send"
        return self._sends[owner]


def _on_behalf(member_id: UUID) -> Principal:
    """A member's policy says that its drafts are sent: that is its act, and no person's."""
    return Principal(member_id=member_id, roles=frozenset({"analyst"}))


def _contribute(
    who: Principal,
    row: Finding,
    made: Sequence[Object],
    *,
    bases: Sequence[str],
    circle_id: UUID,
    now: datetime,
) -> UUID:
    """The objects as a contribution like any other; what is no longer part of it is withdrawn."""
    member_id = _id(who)
    seal = for_member(member_id)
    names = {store.name_digest(member_id, one["id"]): str(one["id"]) for one in made}
    parts = {bytes(part.id_digest): part for part in FindingObject.objects.filter(finding=row)}
    gone = [part for digest, part in parts.items() if digest not in names]
    FindingObject.objects.bulk_create(
        FindingObject(
            finding=row,
            member_id=member_id,
            id_digest=digest,
            sealed_id=seal.seal(name.encode(), aad=digest),
        )
        for digest, name in names.items()
        if digest not in parts
    )
    FindingObject.objects.filter(pk__in=[part.pk for part in gone]).delete()
    for part in gone:
        digest = bytes(part.id_digest)
        if not FindingObject.objects.filter(member_id=member_id, id_digest=digest).exists():
            _withdraw(who, seal.open(bytes(part.sealed_id), aad=digest).decode(), now=now)
    body = {"type": "bundle", "id": f"bundle--{uuid5(row.id, now.isoformat())}"}
    sent = contribute.submit(
        who,
        json.dumps({**body, "objects": list(made)}).encode(),
        circle_id=circle_id,
        source="api",
        default_basis=bases,
        now=now,
    )
    Finding.objects.filter(pk=row.pk).update(contribution_id=sent)
    return sent


def _withdraw(who: Principal, name: str, *, now: datetime) -> None:
    member_id = _id(who)
    digest = store.name_digest(member_id, name)
    live = ForumObject.objects.filter(
        member_id=member_id, id_digest=digest, state=ForumObject.State.LIVE
    )
    if live.exists():
        contribute.withdraw(who, name, now=now)


# --- what found an object ------------------------------------------------------------------------


def of_object(principal: Principal, stix_id: str) -> tuple[What, ...]:
    """What found an object that the asker holds; nothing for any other, whatever it is."""
    if principal.member_id is None or not principal.may("read-holding"):
        return ()
    with acting(principal.acting()), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM weir_found_by_run(%s)", [stix_id])
        rows = cursor.fetchall()
    return tuple(
        What(key, _named(algorithms), run, on, tuple(named))
        for key, algorithms, run, on, named in rows
    )


def _named(algorithms: str | Iterable[Sequence[Any]]) -> tuple[tuple[str, int], ...]:
    found: Iterable[Sequence[Any]] = (
        json.loads(algorithms) if isinstance(algorithms, str) else algorithms
    )
    return tuple((str(one[0]), int(one[1])) for one in found)


# --- drafts --------------------------------------------------------------------------------------


def drafts(principal: Principal) -> tuple[Draft, ...]:
    """What waits for one's own analysts, newest first."""
    member_id = _reader(principal)
    with acting(principal.acting()):
        rows = Finding.objects.defer("memory").filter(member_id=member_id, state=Finding.State.OPEN)
        found = rows.only(*_SHOWN).order_by("-made_at", "id")[:PAGE]
        return tuple(_draft(row) for row in found)


def draft(principal: Principal, draft_id: UUID) -> Draft:
    """One of them, or what became of it."""
    member_id = _reader(principal)
    with acting(principal.acting()):
        row = Finding.objects.only(*_SHOWN).filter(pk=draft_id, member_id=member_id).first()
        if row is None:
            raise NotFound
        return _draft(row)


@transaction.atomic
def send(principal: Principal, draft_id: UUID, *, now: datetime) -> UUID:
    """Contribute a draft as one's own, to the circle of all: from then on it is like any other."""
    member_id = _sender(principal)
    with acting(principal.acting()):
        row = _open(draft_id, member_id)
        document = json.loads(for_member(member_id).open(bytes(row.sealed), aad=_aad(row.id)))
        _end(row, Finding.State.SENT, principal, now=now)
        circle = Circle.objects.get(is_forum=True)
        return _contribute(
            principal,
            row,
            document["objects"],
            bases=document["bases"],
            circle_id=circle.id,
            now=now,
        )


@transaction.atomic
def drop(principal: Principal, draft_id: UUID, *, now: datetime) -> None:
    """Throw a draft away: its bytes go, and no later run makes one of the same group."""
    member_id = _sender(principal)
    with acting(principal.acting()):
        _end(_open(draft_id, member_id), Finding.State.DROPPED, principal, now=now)


_SHOWN = (
    *("id", "member", "state", "sealed", "algorithms", "made_at", "changed_at", "contribution"),
)


def _open(draft_id: UUID, member_id: UUID) -> Finding:
    rows = Finding.objects.only(*_SHOWN).select_for_update(of=("self",))
    row = rows.filter(pk=draft_id, member_id=member_id).first()
    if row is None:
        raise NotFound
    if row.state != Finding.State.OPEN:
        raise Refused("draft.ended", "This draft was sent or thrown away already.")
    return row


def _end(row: Finding, state: str, principal: Principal, *, now: datetime) -> None:
    Finding.objects.filter(pk=row.pk).update(
        state=state, sealed=b"", ended_at=now, ended_by_id=principal.user_id
    )


def _draft(row: Finding) -> Draft:
    made: tuple[Object, ...] = ()
    if row.sealed:
        opened = for_member(row.member_id).open(bytes(row.sealed), aad=_aad(row.id))
        made = tuple(json.loads(opened)["objects"])
    return Draft(
        id=row.id,
        made_at=row.made_at,
        changed_at=row.changed_at,
        state=row.state,
        algorithms=_named(row.algorithms),
        objects=made,
        contribution=row.contribution_id,
    )


def _reader(principal: Principal) -> UUID:
    if principal.member_id is None or not principal.may("read-own-originals"):
        raise NotFound
    return principal.member_id


def _sender(principal: Principal) -> UUID:
    if principal.member_id is None or not principal.may("contribute"):
        raise Forbidden("Your role may not contribute.")
    if principal.user_id is None:
        raise Forbidden("A person decides on a draft, not a machine.")
    return principal.member_id


def _id(principal: Principal) -> UUID:
    if principal.member_id is None:
        raise NotFound
    return principal.member_id


def _aad(finding_id: UUID) -> bytes:
    return b"finding:" + finding_id.bytes


def _text(told: Told, made: Sequence[Object]) -> bytes:
    return json.dumps({"bases": _bases(told), "objects": list(made)}).encode()


# --- STIX ----------------------------------------------------------------------------------------


def objects(
    told: Told, finding_id: UUID, *, circle: UUID, made_at: datetime, now: datetime
) -> tuple[Object, ...]:
    """A finding in STIX: closed words, buckets, tokens; equal content gives equal bytes."""
    return tuple(_Writer(told, finding_id, circle=circle, made_at=made_at, now=now).write())


class _Writer:
    """One finding's objects, under names that come of its id and their content."""

    def __init__(
        self, told: Told, finding_id: UUID, *, circle: UUID, made_at: datetime, now: datetime
    ) -> None:
        self._said = told.said
        self._bases = _bases(told)
        self._phases = list(told.phases) or list(PHASES)
        self._id = finding_id
        self._epoch = tokens.epoch(now)
        self._domain = tokens.domain_of(str(circle))
        self._made_at, self._now = made_at, now

    def write(self) -> Iterator[Object]:
        """Observables first, then what says something of them."""
        cards = [
            self._token(kind, value)
            for kind, name in zip(SHOWN_KINDS, ("payment", "device"), strict=True)
            for value in self._said[name]
        ]
        cluster = self._cluster(cards)
        templates = [self._template(one) for one in self._said["templates"]]
        shapes = [self._shape()] if self._said["hours"] else []
        clients = [self._client(one) for one in self._said["clients"]]
        campaign = self._campaign()
        marks = [self._of_cluster(cluster), *self._of_tokens(cards)]
        marks += [
            self._of_template(made, one)
            for made, one in zip(templates, self._said["templates"], strict=True)
        ]
        yield from (*cards, cluster, *templates, *shapes, *clients, campaign, *marks)
        yield from (self._relation(mark, "indicates", campaign) for mark in marks)
        yield self._relation(campaign, "related-to", cluster)
        yield from (self._relation(campaign, "uses", one) for one in (*templates, *clients))
        yield from (self._relation(campaign, "related-to", one) for one in shapes)
        yield from (self._relation(campaign, "uses", one) for one in cards[MOST_REFS:])

    def _campaign(self) -> Object:
        context = self._context("campaign", "S2", phases_observed=self._phases)
        context |= {
            name: list(self._said[key])
            for name, key in (
                ("capability_targets", "capabilities"),
                ("elicitation_methods", "methods"),
                ("surfaces", "surface"),
            )
            if self._said[key]
        }
        context["account_count_bucket"] = self._said["accounts"]
        return self._sdo(
            "campaign",
            "",
            name="Campaign",
            confidence=self._said["confidence"],
            first_seen=_midnight(self._said["first_day"]),
            last_seen=_midnight(self._said["last_day"]),
            extensions={extensions.CONTEXT: context},
        )

    def _cluster(self, cards: Sequence[Object]) -> Object:
        return self._sco(
            "account-cluster",
            cluster_token=sha256(b"weir-finding/v1" + self._id.bytes).hexdigest(),
            token_scheme=tokens.SCHEME,
            key_domain=self._domain,
            key_epoch=self._epoch,
            size_bucket=self._said["accounts"],
            linkage_features=list(self._said["linkage"]),
            linkage_strength=self._said["strength"],
            **({"shared_token_refs": [one["id"] for one in cards[:MOST_REFS]]} if cards else {}),
        )

    def _token(self, kind: str, value: str) -> Object:
        return self._sco(
            "keyed-token",
            kind=kind,
            value=value,
            token_scheme=tokens.SCHEME,
            key_domain=self._domain,
            key_epoch=self._epoch,
        )

    def _template(self, said: Said) -> Object:
        named = {"languages": list(said["languages"])} if said["languages"] else {}
        return self._sco(
            "prompt-template-fingerprint",
            algorithm=FINGERPRINT,
            bands=list(said["bands"]),
            min_bands=MIN_BANDS,
            token_scheme=tokens.SCHEME,
            key_domain=self._domain,
            key_epoch=self._epoch,
            length_bucket=said["length_bucket"],
            sample_bucket=said["sample_bucket"],
            **named,
        )

    def _shape(self) -> Object:
        number = int.from_bytes(sha256(b"weir-shape/v1" + self._id.bytes).digest()[:4]) % 10_000
        pivot = {"pivot_lag_bucket": "under-24h"} if self._said["pivot"] >= PIVOTED else {}
        return self._sco(
            "rate-shape",
            shape_id=f"rs-{self._made_at.year:04d}-{number:04d}",
            bin="hour-of-day-utc",
            profile=[int(digit) for digit in self._said["hours"]],
            profile_scale="0-9-relative",
            sync_group_bucket=self._said["accounts"],
            **pivot,
        )

    def _client(self, digest: str) -> Object:
        return self._sco("api-client-fingerprint", header_order_hash=digest)

    def _of_cluster(self, cluster: Object) -> Object:
        context = self._context(
            "account-cluster",
            "S2",
            account_count_bucket=self._said["accounts"],
            match_method="exact-keyed",
        )
        pattern = f"[account-cluster:cluster_token = '{cluster['cluster_token']}']"
        return self._indicator("cluster", pattern, context)

    def _of_tokens(self, cards: Sequence[Object]) -> Iterator[Object]:
        if cards:
            context = self._context("identity-token", "S3", match_method="exact-keyed")
            values = ", ".join(f"'{one['value']}'" for one in cards)
            yield self._indicator("tokens", f"[keyed-token:value IN ({values})]", context)

    def _of_template(self, made: Object, said: Said) -> Object:
        context = self._context(
            "prompt-template",
            "S2",
            match_method="near-duplicate",
            match_params={"metric": "shared-bands", "min_bands": MIN_BANDS},
            base_rate_bucket=said["base_rate_bucket"],
        )
        bands = ", ".join(f"'{band}'" for band in said["bands"][:BANDS_NAMED])
        pattern = f"[prompt-template-fingerprint:bands[*] IN ({bands})]"
        return self._indicator(made["id"], pattern, context)

    def _indicator(self, what: str, pattern: str, context: Object) -> Object:
        today = self._now.astimezone(UTC).date()
        return self._sdo(
            "indicator",
            what,
            name="Indicator",
            indicator_types=["anomalous-activity"],
            pattern=pattern,
            pattern_type="stix",
            pattern_version="2.1",
            valid_from=_midnight(self._said["first_day"]),
            valid_until=_midnight((today + LASTS).isoformat()),
            kill_chain_phases=[
                {"kill_chain_name": vocab.KILL_CHAIN, "phase_name": phase} for phase in self._phases
            ],
            confidence=self._said["confidence"],
            extensions={extensions.CONTEXT: context},
        )

    def _context(self, kind: str, sensitivity: str, **more: object) -> Object:
        return {
            "extension_type": "property-extension",
            "schema_version": "1.0",
            "indicator_kind": kind,
            "sensitivity": sensitivity,
            "threat_basis": self._bases,
            **more,
        }

    def _relation(self, source: Object, word: str, target: Object) -> Object:
        made = self._sdo(
            "relationship",
            f"{source['id']} {word} {target['id']}",
            relationship_type=word,
            source_ref=source["id"],
            target_ref=target["id"],
        )
        # It says the same as long as it stands.
        return {**made, "modified": made["created"]}

    def _sdo(self, stix_type: str, what: str, **properties: object) -> Object:
        return {
            "type": stix_type,
            "spec_version": "2.1",
            "id": f"{stix_type}--{uuid5(self._id, f'{stix_type} {what}')}",
            "created": _instant(self._made_at),
            "modified": _instant(self._now),
            **properties,
        }

    def _sco(self, stix_type: str, **properties: object) -> Object:
        """An observable has no versions: other content is another one."""
        content = store.canonical(properties).decode()
        return {
            "type": stix_type,
            "spec_version": "2.1",
            "id": f"{stix_type}--{uuid5(_OBSERVED, f'{stix_type} {content}')}",
            **properties,
            "extensions": {extensions.OBSERVABLES[stix_type]: {"extension_type": "new-sco"}},
        }


_OBSERVED = UUID("6a3cf5a2-8b1e-4d0b-9d1f-6f0f6f0d3c55")


def _bases(told: Told) -> list[str]:
    """What the algorithms say that it rests on; terms of service alone are no threat."""
    return [one for one in told.bases if one != "terms-of-service-only"] or list(BASIS)


def _midnight(day: str) -> str:
    return f"{day}T00:00:00Z"


def _instant(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
