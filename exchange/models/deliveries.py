"""Rows of subscriptions, bundles, deliveries and attempts: PostgreSQL is the queue."""

from uuid import UUID, uuid4

import uuid6
from django.contrib.postgres.fields import ArrayField
from django.db import models

from exchange.models.entries import SigningKey
from exchange.models.releases import Release
from members.models import Circle, Member, User


def time_ordered_id() -> UUID:
    """A UUIDv7: deliveries sort by the time at which they were written."""
    return UUID(int=uuid6.uuid7().int)


class Subscription(models.Model):
    """What a member wants pushed, and where."""

    class State(models.TextChoices):
        """The states of section 7.3."""

        UNVERIFIED = "unverified"
        ACTIVE = "active"
        BACKING_OFF = "backing-off"
        SUSPENDED = "suspended"
        PAUSED = "paused"
        REMOVED = "removed"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    name = models.TextField()
    url = models.TextField()
    # Empty: everything that the member receives.
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, null=True, related_name="+")
    state = models.TextField(choices=State, default=State.UNVERIFIED)
    lease_token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    fail_since = models.DateTimeField(null=True)
    fail_count = models.IntegerField(default=0)
    next_seq = models.BigIntegerField(default=1)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()


class Bundle(models.Model):
    """Renditions of one release, packed and signed once for its audience."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="bundles")
    # The positions of what was taken back before it was packed.
    left_out = ArrayField(models.IntegerField(), default=list)
    sealed_at = models.DateTimeField()
    # Empty once its bytes were erased.
    body = models.BinaryField()
    digest = models.BinaryField()
    manifest = models.TextField()

    class Meta:
        """Packed once, whole or as the same rest."""

        constraints = [models.UniqueConstraint(fields=["release", "left_out"], name="bundle_once")]


class Delivery(models.Model):
    """One bundle on its way to one subscription."""

    class State(models.TextChoices):
        """The states of section 7.2."""

        WAITING = "waiting"
        READY = "ready"
        SENDING = "sending"
        DELIVERED = "delivered"
        DEAD = "dead"
        CANCELLED = "cancelled"

    class Event(models.TextChoices):
        """What the delivery token says."""

        BUNDLE = "bundle"
        RECALL = "recall"
        NOTICE = "notice"
        TEST = "test"

    id = models.UUIDField(primary_key=True, default=time_ordered_id, editable=False)
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="deliveries"
    )
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    # Empty for a test.
    release = models.ForeignKey(
        Release, on_delete=models.PROTECT, null=True, related_name="deliveries"
    )
    left_out = ArrayField(models.IntegerField(), default=list)
    # Of a notice: the key that was revoked.
    key = models.ForeignKey(SigningKey, on_delete=models.PROTECT, null=True, related_name="+")
    seq = models.BigIntegerField(null=True)
    event = models.TextField(choices=Event, default=Event.BUNDLE)
    state = models.TextField(choices=State, default=State.WAITING)
    attempts = models.IntegerField(default=0)
    message_faults = models.IntegerField(default=0)
    replay_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        """In order for each subscription, without gaps."""

        constraints = [models.UniqueConstraint(fields=["subscription", "seq"], name="delivery_seq")]
        indexes = [
            models.Index(
                fields=["subscription", "seq"],
                condition=models.Q(state__in=["ready", "sending"]),
                name="delivery_under_way",
            ),
            models.Index(
                fields=["release"], condition=models.Q(state="waiting"), name="delivery_waiting"
            ),
        ]


class Attempt(models.Model):
    """One try; append-only but for its end."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="tries")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    n = models.IntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    outcome = models.TextField(default="")
    http_status = models.IntegerField(null=True)
    error_class = models.TextField(default="")
    remote_address = models.TextField(default="")
    answer_digest = models.BinaryField(null=True)

    class Meta:
        """Numbered within its delivery."""

        constraints = [models.UniqueConstraint(fields=["delivery", "n"], name="attempt_once")]
