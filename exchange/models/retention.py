"""Rows of what is kept and what goes: legal holds, clocks, erasures, people's requests."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from members.models import Member, User


class LegalHold(models.Model):
    """What is under it is not aged out and not erased until it is lifted."""

    class Kind(models.TextChoices):
        """What it is about."""

        CONTRIBUTION = "contribution"
        OBJECT = "object"
        CAMPAIGN = "campaign"
        MEMBER = "member"
        PERIOD = "period"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.TextField(choices=Kind)
    # Whose things it is about; empty for everybody's in a period.
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    contribution_id = models.UUIDField(null=True)
    # The object; of a campaign also what was contributed with it, looked up again by the clocks.
    objects_held = ArrayField(models.UUIDField(), default=list)
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    # Why; sealed for whoever set it, the member's counsel or the forum's.
    sealed_reason = models.BinaryField()
    of_forum = models.BooleanField()
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    sealed_lift = models.BinaryField(default=b"")

    class Meta:
        """The standing ones are asked at each erasure."""

        indexes = [
            models.Index(
                fields=["kind"],
                condition=models.Q(lifted_at__isnull=True),
                name="legal_hold_stands",
            )
        ]


class KeptList(models.Model):
    """The list to which a contribution's entry commits, kept when the originals went; sealed."""

    contribution_id = models.UUIDField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    sealed = models.BinaryField()


class RetentionRun(models.Model):
    """What one clock has aged out in one run, in numbers."""

    id = models.BigAutoField(primary_key=True)
    clock = models.TextField()
    at = models.DateTimeField()
    before = models.DateTimeField()
    count = models.IntegerField()

    class Meta:
        """The newest of each clock."""

        indexes = [models.Index(fields=["clock", "-at"], name="run_of_clock")]


class PersonRequest(models.Model):
    """A person asks what is held about them, or that it be erased: two people of ours decide."""

    class Kind(models.TextChoices):
        """What is asked for."""

        ACCESS = "access"
        ERASURE = "erasure"

    class State(models.TextChoices):
        """The officer asks, counsel decides; what is approved is then done by a worker."""

        ASKED = "asked"
        REFUSED = "refused"
        APPROVED = "approved"
        DONE = "done"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.TextField(choices=Kind)
    state = models.TextField(choices=State, default=State.ASKED)
    # Whose officer asks; empty for the forum's.
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    # The values by which the person is found, and both written reasons; sealed.
    sealed = models.BinaryField()
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    sealed_decision = models.BinaryField(default=b"")
    # What a worker found: these objects, and no others, are erased; and the names under which
    # others' objects with the person's tokens were received.
    objects_found = ArrayField(models.UUIDField(), default=list)
    names_received = ArrayField(models.TextField(), default=list)
    # The last version that was searched: where it goes on.
    after = models.BigIntegerField(default=0)
    searched_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        """What waits for a worker is found at once."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=True)
                | ~models.Q(decided_by=models.F("asked_by")),
                name="request_two_people",
            )
        ]
        indexes = [
            models.Index(
                fields=["asked_at"],
                condition=models.Q(state__in=["asked", "approved"]),
                name="request_to_do",
            )
        ]


class Erasure(models.Model):
    """Entries whose slots are erased: recorded in the ledger first, then emptied, never before."""

    class Ground(models.TextChoices):
        """Why."""

        REQUEST = "request"
        CLOCK = "clock"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    ground = models.TextField(choices=Ground)
    request = models.ForeignKey(
        PersonRequest, on_delete=models.PROTECT, null=True, related_name="erasures"
    )
    objects_erased = ArrayField(models.UUIDField(), default=list)
    # The entries, once they have numbers, and the ledger's events that say so.
    indexes = ArrayField(models.BigIntegerField(), default=list)
    events = ArrayField(models.BigIntegerField(), default=list)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        """What is not done yet is found at once."""

        indexes = [
            models.Index(
                fields=["at"], condition=models.Q(done_at__isnull=True), name="erasure_to_do"
            )
        ]
