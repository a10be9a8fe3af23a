"""Deliver signed bundles to subscriptions: at least once, in order, PostgreSQL is the queue.

States and outcomes are those of sections 7.2 and 7.3 of the format; a Celery message is a hint.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import SystemRandom
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.http import parse_http_date_safe

from exchange import access, audiences, bundles, keyring, outbound, recheck
from exchange.celery import nudge
from exchange.models import (
    Attempt,
    Delivery,
    LedgerCheckpoint,
    Release,
    ReleaseItem,
    ReleaseRecipient,
    SigningKey,
    Subscription,
)
from exchange.proof import claims, jcs, keys
from exchange.proof.refused import Forbidden, NotFound
from indicators import store
from members.auth import Principal
from members.models import CircleMember, Member

LEASE_SECONDS = 60
DRAIN_SECONDS = 45
BACKOFF_SECONDS = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400)
BACKOFF_AFTER = 28_800
SUSPEND_AFTER = timedelta(days=5)
MESSAGE_FAULTS = (60, 600)
_BUSY = (429, 503)
_MESSAGE = (400, 413, 415, 422)
_State = Delivery.State
_Sub = Subscription.State
_LIVE = (_Sub.ACTIVE, _Sub.BACKING_OFF)
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """One subscription as its owner sees it."""

    id: UUID
    name: str
    url: str
    circle: str
    state: str
    next_at: datetime | None
    fail_since: datetime | None
    fail_count: int
    waiting: int


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery as its owner sees it."""

    id: UUID
    seq: int | None
    event: str
    state: str
    attempts: int
    created_at: datetime
    done_at: datetime | None
    count: int
    tries: tuple[tuple[int, datetime, str, int | None, str], ...]


def enqueue(
    release_id: UUID,
    recipient_ids: Sequence[UUID],
    *,
    event: str = Delivery.Event.BUNDLE,
    now: datetime,
) -> None:
    """In the release's transaction: a waiting delivery for each subscription of a recipient."""
    rows = Subscription.objects.filter(member=store.among("uuid", recipient_ids)).exclude(
        state__in=[_Sub.UNVERIFIED, _Sub.REMOVED]
    )
    circle = Release.objects.filter(pk=release_id).values("circle_id")
    rows = rows.filter(Q(circle__isnull=True) | Q(circle_id__in=circle))
    Delivery.objects.bulk_create(
        Delivery(
            subscription=row,
            member_id=row.member_id,
            release_id=release_id,
            event=event,
            created_at=now,
        )
        for row in rows
    )


@transaction.atomic
def notify(kid: str, *, now: datetime) -> int:
    """A notice of a revoked key for every subscription; ready at once, signed as it is sent."""
    rows = Subscription.objects.exclude(state__in=[_Sub.UNVERIFIED, _Sub.REMOVED])
    for row in rows.order_by("id"):
        made = Delivery.objects.create(
            subscription=row,
            member_id=row.member_id,
            key_id=kid,
            event=Delivery.Event.NOTICE,
            created_at=now,
        )
        _number(made.id, row.id)
        _hint(row.id)
    return len(rows)


def _hint(subscription_id: UUID) -> None:
    transaction.on_commit(
        lambda: nudge("exchange.tasks.drain", str(subscription_id), queue="deliver")
    )


@transaction.atomic
def stop(release_ids: Sequence[UUID], *, now: datetime) -> int:
    """Cancel what waits and contains what was taken back; a bundle of the rest is made."""
    rows = Delivery.objects.filter(
        release_id__in=list(release_ids), state__in=[_State.WAITING, _State.READY]
    )
    locked = Subscription.objects.select_for_update(no_key=True, of=("self",)).filter(
        id__in=rows.values("subscription_id")
    )
    list(locked.order_by("id").values_list("id", flat=True))
    stopped = [_give_way(row, now=now) for row in rows.select_related("release")]
    return sum(stopped)


def taken_back(row: Delivery) -> list[int]:
    """The positions in a delivery's release that its recipient is no longer served."""
    if row.release_id is None:
        return []
    items = ReleaseItem.objects.filter(release_id=row.release_id, recalled=True)
    lost = items.exclude(access.stands(row.member_id))
    return sorted(lost.values_list("position", flat=True))


@transaction.atomic
def _give_way(row: Delivery, *, now: datetime) -> bool:
    """Cancelled where it contains what was taken back, or what the policies now in force would
    give less of; the rest is another delivery."""
    gone = taken_back(row)
    if row.release is not None:
        gone = sorted({*gone, *recheck.less(row.release, row.member_id, now=now)})
    if set(gone) <= set(row.left_out):
        return False
    moved = Delivery.objects.filter(
        pk=row.pk, state__in=[_State.WAITING, _State.READY, _State.SENDING]
    ).update(state=_State.CANCELLED, done_at=now)
    if moved and row.release is not None and len(gone) < row.release.count:
        Delivery.objects.create(
            subscription_id=row.subscription_id,
            member_id=row.member_id,
            release_id=row.release_id,
            left_out=gone,
            event=row.event,
            replay_of=row.replay_of,
            created_at=now,
        )
        transaction.on_commit(lambda: nudge("exchange.tasks.seal_waiting", queue="deliver"))
    return True


def make_ready(*, now: datetime) -> int:
    """Published releases: seal each bundle once, and number its deliveries in ledger order."""
    size = LedgerCheckpoint.objects.order_by("-size").values_list("size", flat=True).first() or 0
    waiting = (
        Delivery.objects.filter(
            state=_State.WAITING,
            release__recipients__recipient=F("member_id"),
            release__recipients__idx__lt=size,
        )
        .order_by("release__recipients__idx", "id")
        .select_related("release")
    )
    subscriptions: set[UUID] = set()
    for row in list(waiting):
        if _give_way(row, now=now):
            continue
        if row.release_id is not None:
            bundles.seal(
                row.release_id,
                left_out=row.left_out,
                signer=keyring.signer("bundle"),
                now=now,
            )
        if _number(row.id, row.subscription_id):
            subscriptions.add(row.subscription_id)
    for subscription_id in subscriptions:
        nudge("exchange.tasks.drain", str(subscription_id), queue="deliver")
    return len(subscriptions)


def drain(subscription_id: UUID, *, resolver: outbound.Resolve = outbound.resolve) -> int:
    """Send what one subscription waits for, while the lease and the time last.

    1. take the lease    2. send, lowest number first    3. give the lease back
    """
    lease = _take_lease(subscription_id)  # 1
    if lease is None:
        return 0
    try:
        return _send_all(subscription_id, lease, resolver)  # 2
    finally:
        _give_back(subscription_id, lease)  # 3


def _send_all(subscription_id: UUID, lease: UUID, resolver: outbound.Resolve) -> int:
    until = timezone.now() + timedelta(seconds=DRAIN_SECONDS)
    sent = 0
    while timezone.now() < until:
        with audiences.policies_held_still():
            row = _next(subscription_id, lease)
            if row is None:
                break
            attempt = _begin(row)
            answer = outbound.post(_endpoint(row.subscription), *_message(row), resolver=resolver)
        sent += 1
        if not _finish(row, attempt, answer, lease):
            break
    return sent


def sweep(*, now: datetime) -> int:
    """Find what a lost hint or a dead worker left: lapsed leases, subscriptions that are due."""
    lapsed = Delivery.objects.filter(state=_State.SENDING).filter(
        Q(subscription__lease_until__lt=now) | Q(subscription__lease_until__isnull=True)
    )
    lapsed.update(state=_State.READY)
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    due = Q(next_at__isnull=True) | Q(next_at__lte=now)
    with transaction.atomic():
        rows = (
            Subscription.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
            .filter(free, due, state__in=[*_LIVE, _Sub.UNVERIFIED])
            .filter(id__in=Delivery.objects.filter(state=_State.READY).values("subscription_id"))
        )
        ids = [row.id for row in rows[:200]]
    for subscription_id in ids:
        nudge("exchange.tasks.drain", str(subscription_id), queue="deliver")
    return len(ids)


@transaction.atomic
def subscribe(
    principal: Principal, *, name: str, url: str, circle_id: UUID | None, now: datetime
) -> UUID:
    """Register an endpoint; nothing is sent to it but a signed test before that is answered."""
    member = _may_manage(principal)
    outbound.check_url(url, domains=member.verified_domains, exempt=settings.OUTBOUND_EXEMPT)
    if circle_id is not None and not _has_seat(member, circle_id):
        raise NotFound
    row = Subscription.objects.create(
        member=member,
        name=name.strip() or "Webhook",
        url=url,
        circle_id=circle_id,
        created_by_id=principal.user_id,
        created_at=now,
    )
    _send_test(row, now=now)
    return row.id


@transaction.atomic
def verify(principal: Principal, subscription_id: UUID, *, now: datetime) -> None:
    """Send the signed test again."""
    _send_test(_own(principal, subscription_id), now=now)


@transaction.atomic
def pause(principal: Principal, subscription_id: UUID) -> None:
    """Send nothing until its owner resumes; what comes meanwhile waits."""
    row = _own(principal, subscription_id)
    if row.state in _LIVE:
        _move(row, _Sub.PAUSED)


@transaction.atomic
def resume(principal: Principal, subscription_id: UUID) -> None:
    """Go on, in order; after a suspension too."""
    row = _own(principal, subscription_id)
    if row.state in (_Sub.PAUSED, _Sub.SUSPENDED):
        Subscription.objects.filter(pk=row.pk).update(
            state=_Sub.ACTIVE, next_at=None, fail_since=None, fail_count=0
        )
        transaction.on_commit(
            lambda: nudge("exchange.tasks.drain", str(subscription_id), queue="deliver")
        )


@transaction.atomic
def remove(principal: Principal, subscription_id: UUID, *, now: datetime) -> None:
    """End it; what waits is cancelled, and can be pulled."""
    row = _own(principal, subscription_id)
    _move(row, _Sub.REMOVED)
    Delivery.objects.filter(subscription=row, state__in=[_State.WAITING, _State.READY]).update(
        state=_State.CANCELLED, done_at=now
    )


@transaction.atomic
def replay(principal: Principal, delivery_id: UUID, *, now: datetime) -> UUID:
    """Send a finished delivery once more: a new delivery with a number of its own."""
    member = _may_manage(principal)
    old = (
        Delivery.objects.filter(pk=delivery_id, member=member)
        .filter(state__in=[_State.DEAD, _State.DELIVERED], release__isnull=False)
        .first()
    )
    if old is None:
        raise NotFound
    again = Delivery.objects.create(
        subscription_id=old.subscription_id,
        member=member,
        release_id=old.release_id,
        event=old.event,
        replay_of=old,
        created_at=now,
    )
    transaction.on_commit(lambda: nudge("exchange.tasks.seal_waiting", queue="deliver"))
    return again.id


def subscriptions(principal: Principal) -> tuple[SubscriptionRow, ...]:
    """The member's subscriptions, oldest first."""
    if principal.member_id is None:
        return ()
    rows = (
        Subscription.objects.filter(member_id=principal.member_id)
        .exclude(state=_Sub.REMOVED)
        .select_related("circle")
        .order_by("created_at")
    )
    waiting = (_State.WAITING, _State.READY, _State.SENDING)
    counts: dict[UUID, int] = {}
    for subscription_id in Delivery.objects.filter(
        member_id=principal.member_id, state__in=waiting
    ).values_list("subscription_id", flat=True):
        counts[subscription_id] = counts.get(subscription_id, 0) + 1
    return tuple(
        SubscriptionRow(
            row.id,
            row.name,
            row.url,
            row.circle.name if row.circle else "",
            row.state,
            row.next_at,
            row.fail_since,
            row.fail_count,
            counts.get(row.id, 0),
        )
        for row in rows
    )


def deliveries(
    principal: Principal, subscription_id: UUID, *, limit: int = 100
) -> tuple[DeliveryRow, ...]:
    """The newest deliveries of one subscription with their attempts."""
    if principal.member_id is None:
        return ()
    rows = (
        Delivery.objects.filter(member_id=principal.member_id, subscription_id=subscription_id)
        .select_related("release")
        .prefetch_related("tries")
        .order_by("-id")[:limit]
    )
    return tuple(
        DeliveryRow(
            row.id,
            row.seq,
            row.event,
            row.state,
            row.attempts,
            row.created_at,
            row.done_at,
            row.release.count if row.release else 0,
            tuple(
                (one.n, one.started_at, one.outcome, one.http_status, one.error_class)
                for one in sorted(row.tries.all(), key=lambda one: one.n)
            ),
        )
        for row in rows
    )


@transaction.atomic
def _number(delivery_id: UUID, subscription_id: UUID) -> bool:
    """Ready, with the subscription's next number, in one transaction."""
    row = Subscription.objects.select_for_update(no_key=True, of=("self",)).get(pk=subscription_id)
    moved = Delivery.objects.filter(pk=delivery_id, state=_State.WAITING).update(
        state=_State.READY, seq=row.next_seq
    )
    if moved:
        Subscription.objects.filter(pk=row.pk).update(next_seq=F("next_seq") + 1)
    return bool(moved)


_LEASE = """
UPDATE exchange_subscription SET lease_token = %s, lease_until = now() + make_interval(secs => %s)
WHERE id = %s AND (lease_until IS NULL OR lease_until < now())
AND (next_at IS NULL OR next_at <= now()) AND state IN ('active', 'backing-off', 'unverified')
"""


def _take_lease(subscription_id: UUID) -> UUID | None:
    token = uuid4()
    with connection.cursor() as cursor:
        cursor.execute(_LEASE, [token, LEASE_SECONDS, subscription_id])
        return token if cursor.rowcount else None


def _give_back(subscription_id: UUID, lease: UUID) -> None:
    Subscription.objects.filter(pk=subscription_id, lease_token=lease).update(
        lease_token=None, lease_until=None
    )


@transaction.atomic
def _next(subscription_id: UUID, lease: UUID) -> Delivery | None:
    """The lowest ready delivery that the recipient may still have; others are cancelled."""
    sub = (
        Subscription.objects.select_for_update(no_key=True, of=("self",))
        .select_related("member")
        .filter(pk=subscription_id, lease_token=lease, state__in=[*_LIVE, _Sub.UNVERIFIED])
        .first()
    )
    if sub is None or (sub.next_at is not None and sub.next_at > timezone.now()):
        return None
    rows = Delivery.objects.filter(subscription=sub, state__in=[_State.READY, _State.SENDING])
    if sub.state == _Sub.UNVERIFIED:
        rows = rows.filter(event=Delivery.Event.TEST)
    if not _has_basis(timezone.now()):
        rows = rows.exclude(event=Delivery.Event.BUNDLE)
    for row in rows.select_related("release", "key").order_by("seq"):
        if _give_way(row, now=timezone.now()):
            continue
        if _is_entitled(sub.member, row):
            row.subscription = sub
            Delivery.objects.filter(pk=row.pk).update(
                state=_State.SENDING, attempts=F("attempts") + 1
            )
            row.attempts += 1
            return row
        Delivery.objects.filter(pk=row.pk).update(state=_State.CANCELLED, done_at=timezone.now())
    return None


def _has_basis(now: datetime) -> bool:
    """Under no legal basis what was released waits; what ends harm, and tests, still go."""
    _, floor = audiences.floor_in_force()
    return floor.legal_basis(now.date()) is not None


def _is_entitled(member: Member, row: Delivery) -> bool:
    """Decided again before each send: an active member, still in the circle."""
    if member.state != "active":
        return False
    if row.release is None:
        return True
    circle_id = row.release.circle_id
    return circle_id is None or _has_seat(member, circle_id)


def _has_seat(member: Member, circle_id: UUID) -> bool:
    return CircleMember.objects.filter(
        member=member, circle_id=circle_id, left_at__isnull=True
    ).exists()


def _begin(row: Delivery) -> Attempt:
    """The attempt is written and committed before the first byte is sent."""
    return Attempt.objects.create(
        delivery=row, member_id=row.member_id, n=row.attempts, started_at=timezone.now()
    )


def _message(row: Delivery) -> tuple[bytes, dict[str, str]]:
    """Body and headers of section 5; the token is fresh on each attempt."""
    body, manifest, media = b"{}", "", claims.MEDIA
    if row.key is not None:
        body, media = _notice(row.key), "application/json"
    if row.release_id is not None:
        bundle = bundles.seal(
            row.release_id,
            left_out=row.left_out,
            signer=keyring.signer("bundle"),
            now=timezone.now(),
        )
        body, manifest = bytes(bundle.body), bundle.manifest
    issued = int(timezone.now().timestamp())
    digest = sha256(body)
    seqs = ReleaseRecipient.objects.filter(
        release__deliveries=row, recipient_id=row.member_id, to_seq__isnull=False
    ).values_list("to_seq", flat=True)
    token = claims.Delivery(
        iss=settings.WEIR_BASE_URL,
        aud=row.subscription.url,
        sub=str(row.subscription_id),
        jti=str(row.id),
        iat=issued,
        exp=issued + claims.WINDOW,
        seq=row.seq or 0,
        seqs=claims.spell_ranges(n for n in seqs if n is not None),
        event=row.event,
        sha256=digest.hexdigest(),
        size=len(body),
    )
    headers = {
        "Content-Type": media,
        "Content-Digest": f"sha-256=:{keys.b64(digest.digest())}:",
        "Weir-Delivery-Token": token.sign(keyring.signer("delivery")),
        "Weir-Delivery": str(row.id),
        "Weir-Attempt": str(row.attempts),
        "User-Agent": "Weir/0.1",
    }
    if manifest:
        headers["Weir-Manifest"] = manifest
    return body, headers


def _notice(key: SigningKey) -> bytes:
    """The same on each attempt: it says what is public in the key set and in the ledger."""
    said = {
        "v": 1,
        "type": "weir-notice",
        "about": "key",
        "kid": key.kid,
        "purpose": key.purpose,
        "status": key.status,
        "revoked_at": int(key.revoked_at.timestamp()) if key.revoked_at else None,
        "jwks": f"{settings.WEIR_BASE_URL}/.well-known/jwks.json",
    }
    return jcs.encode(said)


@transaction.atomic
def _finish(row: Delivery, attempt: Attempt, answer: outbound.Answer, lease: UUID) -> bool:
    """Outcome and state in one transaction, only while the lease is ours; whether to go on."""
    now = timezone.now()
    outcome = _judge(row, answer)
    Attempt.objects.filter(pk=attempt.pk).update(
        finished_at=now,
        outcome=outcome,
        http_status=answer.status,
        error_class=answer.error_class,
        remote_address=answer.remote_address,
        answer_digest=answer.digest,
    )
    sub = (
        Subscription.objects.select_for_update(no_key=True, of=("self",))
        .filter(pk=row.subscription_id, lease_token=lease)
        .first()
    )
    if sub is None:
        return False
    return _OUTCOMES[outcome](row, sub, answer, now)


def _judge(row: Delivery, answer: outbound.Answer) -> str:
    """The outcomes of section 7.2."""
    if answer.status is None:
        return "endpoint"
    if row.event == Delivery.Event.TEST and answer.status == 200:
        return "ok" if _is_challenge(row, answer.body) else "endpoint"
    if 200 <= answer.status < 300:
        return "ok"
    if answer.status in _BUSY and answer.retry_after:
        return "busy"
    if answer.status == 410:
        return "gone"
    return "message" if answer.status in _MESSAGE else "endpoint"


def _is_challenge(row: Delivery, body: bytes) -> bool:
    try:
        said = json.loads(body)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("challenge") == str(row.id)


def _ok(row: Delivery, sub: Subscription, _: outbound.Answer, now: datetime) -> bool:
    Delivery.objects.filter(pk=row.pk).update(state=_State.DELIVERED, done_at=now)
    state = _Sub.ACTIVE if sub.state in (*_LIVE, _Sub.UNVERIFIED) else sub.state
    Subscription.objects.filter(pk=sub.pk).update(
        state=state, next_at=None, fail_since=None, fail_count=0
    )
    if sub.state == _Sub.UNVERIFIED:
        _begin_with_constants(sub, now=now)
    return True


def _begin_with_constants(sub: Subscription, *, now: datetime) -> None:
    """The exchange's own release comes first: what everything else refers to."""
    release = (
        Release.objects.filter(member__isnull=True, recipients__recipient_id=sub.member_id)
        .exclude(deliveries__subscription=sub)
        .order_by("-committed_at")
        .first()
    )
    if release is not None:
        Delivery.objects.create(
            subscription=sub, member_id=sub.member_id, release=release, created_at=now
        )
        transaction.on_commit(lambda: nudge("exchange.tasks.seal_waiting", queue="deliver"))


def _busy(row: Delivery, sub: Subscription, answer: outbound.Answer, now: datetime) -> bool:
    if sub.fail_since is not None and now - sub.fail_since > timedelta(days=1):
        return _endpoint_fault(row, sub, answer, now)
    Delivery.objects.filter(pk=row.pk).update(state=_State.READY)
    Subscription.objects.filter(pk=sub.pk).update(
        next_at=now + _retry_after(answer.retry_after, now), fail_since=sub.fail_since or now
    )
    return False


def _endpoint_fault(row: Delivery, sub: Subscription, _: outbound.Answer, now: datetime) -> bool:
    """It belongs to the endpoint, not to the message: the whole subscription backs off."""
    Delivery.objects.filter(pk=row.pk).update(state=_State.READY)
    since = sub.fail_since or now
    count = sub.fail_count + 1
    seconds = BACKOFF_SECONDS[count - 1] if count <= len(BACKOFF_SECONDS) else BACKOFF_AFTER
    state = _Sub.UNVERIFIED if sub.state == _Sub.UNVERIFIED else _Sub.BACKING_OFF
    if now - since > SUSPEND_AFTER:
        state = _Sub.SUSPENDED
    Subscription.objects.filter(pk=sub.pk).update(
        state=state,
        fail_since=since,
        fail_count=count,
        next_at=now + timedelta(seconds=seconds * _random.uniform(0.8, 1.2)),
    )
    return False


def _message_fault(row: Delivery, sub: Subscription, _: outbound.Answer, now: datetime) -> bool:
    """The same delivery again after 1 and 10 minutes, then dead, and on to the next."""
    faults = row.message_faults + 1
    if faults > len(MESSAGE_FAULTS):
        Delivery.objects.filter(pk=row.pk).update(
            state=_State.DEAD, done_at=now, message_faults=faults
        )
        return True
    Delivery.objects.filter(pk=row.pk).update(state=_State.READY, message_faults=faults)
    Subscription.objects.filter(pk=sub.pk).update(
        next_at=now + timedelta(seconds=MESSAGE_FAULTS[faults - 1])
    )
    return False


def _gone(row: Delivery, sub: Subscription, _: outbound.Answer, now: datetime) -> bool:
    Delivery.objects.filter(pk=row.pk).update(state=_State.READY)
    Subscription.objects.filter(pk=sub.pk).update(
        state=_Sub.SUSPENDED, fail_since=sub.fail_since or now
    )
    return False


_OUTCOMES = {
    "ok": _ok,
    "busy": _busy,
    "endpoint": _endpoint_fault,
    "message": _message_fault,
    "gone": _gone,
}


def _retry_after(text: str, now: datetime) -> timedelta:
    """`Retry-After` in seconds or as a date (RFC 9110), clamped to 5 s .. 6 h."""
    if text.isdigit():
        seconds = float(text[:9])
    else:
        moment = parse_http_date_safe(text)
        seconds = moment - now.timestamp() if moment is not None else 5.0
    return timedelta(seconds=min(max(seconds, 5.0), 21_600.0))


def _send_test(row: Subscription, *, now: datetime) -> None:
    Subscription.objects.filter(pk=row.pk).update(
        next_at=None, next_seq=F("next_seq") + 1, state=_Sub.UNVERIFIED
    )
    seq = Subscription.objects.values_list("next_seq", flat=True).get(pk=row.pk) - 1
    Delivery.objects.create(
        subscription=row,
        member_id=row.member_id,
        seq=seq,
        event=Delivery.Event.TEST,
        state=_State.READY,
        created_at=now,
    )
    transaction.on_commit(lambda: nudge("exchange.tasks.drain", str(row.id), queue="deliver"))


def _may_manage(principal: Principal) -> Member:
    if principal.member_id is None or not principal.may("manage-subscriptions"):
        raise Forbidden("Your role may not manage subscriptions.")
    return Member.objects.get(pk=principal.member_id)


def _own(principal: Principal, subscription_id: UUID) -> Subscription:
    member = _may_manage(principal)
    row = (
        Subscription.objects.select_for_update(no_key=True, of=("self",))
        .filter(pk=subscription_id, member=member)
        .exclude(state=_Sub.REMOVED)
        .first()
    )
    if row is None:
        raise NotFound
    return row


def _move(row: Subscription, state: str) -> None:
    Subscription.objects.filter(pk=row.pk).update(state=state)


def _endpoint(row: Subscription) -> outbound.Endpoint:
    return outbound.Endpoint(row.url, settings.OUTBOUND_EXEMPT)
