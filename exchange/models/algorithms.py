"""Rows of algorithms: the document, who wrote, approved and reviewed it, and what a dry run said.

What is told of one (`Algorithm`) and what it says (`AlgorithmText`) are two tables: the forum's
operator, who activates, sees the first and never the second.
"""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from members.models import Member, User


class Algorithm(models.Model):
    """One version of an algorithm on its way, in force, or at its end; nothing of its text."""

    class State(models.TextChoices):
        """Where it stands."""

        DRAFT = "draft"
        SUBMITTED = "submitted"  # its tests passed; waits for the member's second person
        APPROVED = "approved"  # by the member; waits for the forum's counsel
        REVIEWED = "reviewed"  # by the forum's counsel; waits for dry run and operator
        ACTIVE = "active"
        SUSPENDED = "suspended"  # by a run that failed; counsel lifts
        WITHDRAWN = "withdrawn"
        REPLACED = "replaced"  # by its next version
        DISCARDED = "discarded"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # The id that stands in the document, the same for all its versions.
    document_id = models.UUIDField()
    version = models.IntegerField()
    # Empty: shipped with the exchange, and nobody's.
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    kind = models.TextField()
    detector = models.TextField(default="")
    runs_on = models.TextField()
    title = models.TextField()
    look_alikes = ArrayField(models.TextField(), default=list)
    base_rate = models.TextField(default="")
    digest = models.BinaryField()
    # As the document says it: a day, or so many days from its activation; then its last day.
    until = models.DateField(null=True)
    valid_days = models.SmallIntegerField()
    valid_until = models.DateField(null=True)
    state = models.TextField(choices=State, default=State.DRAFT)
    # Why a run suspended it: a code of ours.
    trouble = models.TextField(default="")
    author = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    approved_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    reviewed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    activated_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        """Two people of the member; one version in force at a time, and none of them twice."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(approved_by__isnull=True)
                | ~models.Q(approved_by=models.F("author")),
                name="algorithm_two_people",
            ),
            models.UniqueConstraint(
                fields=["document_id"],
                condition=models.Q(state__in=["active", "suspended"]),
                name="algorithm_in_force_once",
            ),
            models.UniqueConstraint(
                fields=["member", "document_id", "version"],
                condition=~models.Q(state__in=["withdrawn", "replaced", "discarded"]),
                nulls_distinct=False,
                name="algorithm_version_once",
            ),
        ]
        indexes = [
            models.Index(fields=["member", "-changed_at"], name="algorithm_of_member"),
            models.Index(fields=["state", "changed_at"], name="algorithm_queue"),
        ]


class AlgorithmText(models.Model):
    """The document as it was written, and what its tests said; sealed for its member."""

    algorithm = models.OneToOneField(
        Algorithm, on_delete=models.PROTECT, primary_key=True, related_name="text"
    )
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    sealed = models.BinaryField()
    sealed_tests = models.BinaryField(default=b"")
    # The same document under the forum's seal, once counsel has reviewed it: for every member, of
    # those that run on a member's log.
    given = models.BinaryField(default=b"")


class AlgorithmAct(models.Model):
    """One person's written act on an algorithm; the words are sealed as its text is."""

    id = models.BigAutoField(primary_key=True)
    algorithm = models.ForeignKey(Algorithm, on_delete=models.PROTECT, related_name="acts")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    role = models.TextField()
    act = models.TextField()
    sealed = models.BinaryField(default=b"")
    at = models.DateTimeField()


class DryRun(models.Model):
    """A wish that an algorithm be tried on the pool, and the three buckets that come back."""

    class State(models.TextChoices):
        """Asked, answered, or failed; nothing else of the pool is ever here."""

        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    algorithm = models.ForeignKey(Algorithm, on_delete=models.PROTECT, related_name="dry_runs")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    document_id = models.UUIDField()
    digest = models.BinaryField()
    day = models.DateField()
    state = models.TextField(choices=State, default=State.WAITING)
    rows_bucket = models.TextField(default="")
    members_bucket = models.TextField(default="")
    look_alikes_hit = models.TextField(default="")
    trouble = models.TextField(default="")
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)

    class Meta:
        """Closed buckets; what waits is found at once, and what was asked on a day is counted."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(members_bucket__in=["", "0", "1", "2+"]),
                name="dry_run_members_bucket",
            ),
        ]
        indexes = [
            models.Index(
                fields=["asked_at"], condition=models.Q(state="waiting"), name="dry_run_waiting"
            ),
            models.Index(fields=["document_id", "day"], name="dry_run_of_day"),
        ]
