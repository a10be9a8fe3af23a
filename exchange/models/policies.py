"""Rows of policies, of what became of each object under them, and of counsel's holds."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from indicators.models import Contribution, Version
from members.models import Circle, Member, User


class Forum(models.Model):
    """One row: the names that this forum minted for itself."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    name = models.TextField()
    identity_id = models.UUIDField(default=uuid4)
    created_at = models.DateTimeField()

    class Meta:
        """A single row."""

        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_forum")]


class PolicyDraft(models.Model):
    """A floor or member policy on its way: written, submitted, answered, and put in force."""

    class Kind(models.TextChoices):
        """Whose policy it is to become."""

        FLOOR = "floor"
        MEMBER = "member"

    class State(models.TextChoices):
        """Where it stands."""

        DRAFT = "draft"
        SUBMITTED = "submitted"
        APPROVED = "approved"  # waits for the time that it names
        ACTIVE = "active"
        DISCARDED = "discarded"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.TextField(choices=Kind)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    source = models.TextField()
    document = models.JSONField()
    digest = models.BinaryField()
    state = models.TextField(choices=State, default=State.DRAFT)
    note = models.TextField(default="")
    answer = models.TextField(default="")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    # What was in force when it was approved: the comparison and the preview were made against it.
    against = models.BinaryField(null=True)
    reach = models.TextField(default="forward")
    starts_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        """A member's draft names its member, the forum's none; what is due is found at once."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="floor", member__isnull=True)
                | models.Q(kind="member", member__isnull=False),
                name="draft_of_whom",
            )
        ]
        indexes = [
            models.Index(
                fields=["starts_at"], condition=models.Q(state="approved"), name="draft_due"
            ),
            models.Index(fields=["member", "-changed_at"], name="draft_of_member"),
        ]


class FloorPolicy(models.Model):
    """One version of the forum's floor, as a document; a trigger keeps it as it is."""

    id = models.BigAutoField(primary_key=True)
    document = models.JSONField()
    source = models.TextField(default="")
    digest = models.BinaryField(unique=True)
    version = models.TextField()
    note = models.TextField(default="")
    drafted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    activated_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    effective_at = models.DateTimeField()


class MemberPolicyVersion(models.Model):
    """One version of a member's own terms, as a document; a trigger keeps it as it is."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    document = models.JSONField()
    source = models.TextField(default="")
    digest = models.BinaryField()
    note = models.TextField(default="")
    drafted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    approved_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    effective_at = models.DateTimeField()

    class Meta:
        """The newest row of a member is the one in force."""

        indexes = [models.Index(fields=["member", "-id"], name="policy_of_member")]


class Outcome(models.Model):
    """What became of one version in one circle, decided once for all recipients."""

    class Kind(models.TextChoices):
        """The outcomes of an object that is stored."""

        ACCEPTED = "accepted"
        INCOMPLETE = "incomplete"
        HELD = "held"
        WITHHELD = "withheld"

    id = models.BigAutoField(primary_key=True)
    version = models.ForeignKey(
        Version, on_delete=models.PROTECT, related_name="outcomes", db_index=False
    )
    # The same in all outcomes of a contribution, and checked there.
    circle = models.ForeignKey(
        Circle, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="+", db_constraint=False
    )
    contribution = models.ForeignKey(
        Contribution, on_delete=models.PROTECT, related_name="outcomes"
    )
    floor = models.ForeignKey(
        FloorPolicy, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    outcome = models.TextField(choices=Kind)
    sensitivity = models.TextField()
    # The window in which it leaves; empty while it is held, and when it never leaves.
    due_at = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)
    # A newer version of the object took its place before it left.
    replaced = models.BooleanField(default=False)

    class Meta:
        """One outcome for a version in a circle; what is due is found at once."""

        constraints = [
            models.UniqueConstraint(fields=["version", "circle"], name="one_outcome_in_a_circle")
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(released_at__isnull=True, due_at__isnull=False),
                name="outcome_due",
            ),
            models.Index(
                fields=["member"],
                condition=models.Q(
                    released_at__isnull=True, replaced=False, outcome__in=["accepted", "held"]
                ),
                name="outcome_waits",
            ),
        ]


class Hold(models.Model):
    """A ruling on a version: a person must judge it before it goes to anyone."""

    class State(models.TextChoices):
        """Where counsel's judgement stands."""

        OPEN = "open"
        ASKED = "asked"
        RELEASED = "released"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    outcome = models.ForeignKey(Outcome, on_delete=models.PROTECT, related_name="holds")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, related_name="+")
    field_class = models.TextField()
    rule = models.TextField()
    reason = models.TextField()
    basis = models.TextField(default="")
    # Where a tripwire was set off: names of properties that the catalogue knows, never a text.
    places = ArrayField(models.TextField(), default=list)
    stix_type = models.TextField(default="")
    approvers = ArrayField(models.TextField())
    # The roles that have said yes since the last question; the acts are the record of it.
    approved = ArrayField(models.TextField(), default=list)
    # Its place in the queue, in which contributors take turns: see `exchange.holds`.
    turn = models.BigIntegerField(default=1)
    state = models.TextField(choices=State, default=State.OPEN)
    opened_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)

    class Meta:
        """One hold for a reason; the queue reads what waits by turn."""

        constraints = [
            models.UniqueConstraint(fields=["outcome", "rule"], name="one_hold_for_a_rule")
        ]
        indexes = [
            models.Index(
                fields=["opened_at"],
                condition=models.Q(state__in=["open", "asked"]),
                name="hold_queue",
            ),
            models.Index(
                fields=["turn", "id"],
                condition=models.Q(state__in=["open", "asked"]),
                name="hold_turns",
            ),
            models.Index(
                fields=["member", "turn"],
                condition=models.Q(state__in=["open", "asked"]),
                name="hold_turns_of_member",
            ),
        ]
