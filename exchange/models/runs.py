"""Rows of runs and of what they found: which algorithms, when, and which objects came of it.

What is remembered of a group, so that a later run knows it again, is sealed with a key that the
process of a run alone has.
"""

from uuid import uuid4

from django.db import models

from indicators.models import Contribution
from members.models import Member, User


class Run(models.Model):
    """One execution of the active algorithms over the pool."""

    class State(models.TextChoices):
        """How it ended."""

        DONE = "done"
        STOPPED = "stopped"  # by a group of more than a tenth of all rows: nothing left
        FAILED = "failed"  # the process ended before it answered

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    number = models.BigIntegerField(unique=True)
    at = models.DateTimeField()
    state = models.TextField(choices=State)
    # All that it read: extracts, algorithms, disputes, and the day.
    inputs = models.BinaryField()
    extracts = models.IntegerField(default=0)
    rows = models.IntegerField(default=0)
    largest = models.IntegerField(default=0)
    # Members whose rows hang together as no honest rows do: how many, never who.
    left_out = models.IntegerField(default=0)
    engine = models.TextField()
    # Of each algorithm: id, version, digest, and why it failed, if it did.
    algorithms = models.JSONField(default=list)
    seen_at = models.DateTimeField(null=True)
    seen_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        """Newest first."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=["done", "stopped", "failed"]), name="run_state"
            )
        ]
        indexes = [models.Index(fields=["-number"], name="run_newest")]


class Finding(models.Model):
    """A group that a run found: of several members the exchange's, of one member its own draft."""

    class State(models.TextChoices):
        """A finding of several members is sent as it is made; a draft waits for its member."""

        OPEN = "open"
        SENT = "sent"
        DROPPED = "dropped"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # By which the run's process knows what it remembers of it.
    name = models.TextField(unique=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    state = models.TextField(choices=State, default=State.OPEN)
    memory = models.BinaryField()
    # The objects, sealed for its member; gone once it is sent or thrown away.
    sealed = models.BinaryField(default=b"")
    algorithms = models.JSONField(default=list)
    first_run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    contribution = models.ForeignKey(
        Contribution, on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        """A member's drafts, newest first; what may still change is found by its day."""

        indexes = [
            models.Index(fields=["member", "state", "-made_at"], name="finding_of_member"),
            models.Index(fields=["changed_at"], name="finding_changed"),
        ]


class FindingObject(models.Model):
    """One object of a finding, by the keyed hash of the name under which it was contributed."""

    id = models.BigAutoField(primary_key=True)
    finding = models.ForeignKey(Finding, on_delete=models.CASCADE, related_name="objects_made")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    id_digest = models.BinaryField()
    # Its name at home, sealed for whose contribution it is.
    sealed_id = models.BinaryField()

    class Meta:
        """Named once in a finding; several findings may hold one token."""

        constraints = [
            models.UniqueConstraint(fields=["finding", "id_digest"], name="finding_object_once")
        ]
        indexes = [models.Index(fields=["member", "id_digest"], name="finding_of_object")]
