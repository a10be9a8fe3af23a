"""Rows of previews: what a draft policy would release and remove, by place and class, no values."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from exchange.models.policies import Outcome
from members.models import Circle, Member, User


class Preview(models.Model):
    """A draft policy replayed over what was contributed in a range of time."""

    class Kind(models.TextChoices):
        """Whose policy the draft is of."""

        FLOOR = "floor"
        MEMBER = "member"

    class State(models.TextChoices):
        """How far it has come; the last three are final."""

        WAITING = "waiting"
        RUNNING = "running"
        FINISHED = "finished"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.TextField(choices=Kind)
    # Whose policy it is, and who may read the lines; empty for the forum's floor.
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    document = models.JSONField()
    digest = models.BinaryField()
    # What it is compared with; where nothing was chosen, the policy in force at the start.
    against = models.JSONField()
    against_digest = models.BinaryField()
    is_against_force = models.BooleanField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    state = models.TextField(choices=State, default=State.WAITING)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # When a worker last finished a part: where this stands still, a hint was lost.
    moved_at = models.DateTimeField()
    expected_seconds = models.IntegerField()
    # Objects in the range, and how many of them have been looked at.
    total = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    # Lines that say more than before, and that say less.
    shown = models.IntegerField(default=0)
    hidden = models.IntegerField(default=0)
    # Rows of [way, audience, class, rule, objects, fields].
    counts = models.JSONField(default=list)

    class Meta:
        """The newest of a document counts."""

        indexes = [models.Index(fields=["digest", "-finished_at"], name="preview_of_document")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="floor", member__isnull=True)
                | models.Q(kind="member", member__isnull=False),
                name="preview_of_whom",
            )
        ]


class PreviewPart(models.Model):
    """Some contributions of the range, which one worker decides in one transaction."""

    id = models.BigAutoField(primary_key=True)
    preview = models.ForeignKey(Preview, on_delete=models.CASCADE, related_name="parts")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    contributions = ArrayField(models.UUIDField())
    # A part that ends its worker again and again is given up.
    tries = models.IntegerField(default=0)
    done_at = models.DateTimeField(null=True)
    counts = models.JSONField(default=list)

    class Meta:
        """What is not done yet is found at once."""

        indexes = [
            models.Index(
                fields=["preview"],
                condition=models.Q(done_at__isnull=True),
                name="preview_part_open",
            )
        ]


class PreviewAudience(models.Model):
    """Recipients who would see the like; without any, the circle, whoever of it gets something."""

    id = models.BigAutoField(primary_key=True)
    preview = models.ForeignKey(Preview, on_delete=models.CASCADE, related_name="audiences")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    # From the circle and the recipients: workers that meet the same audience agree on it.
    key = models.BigIntegerField()
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, related_name="+")
    recipients = ArrayField(models.UUIDField())

    class Meta:
        """An audience once in a preview."""

        constraints = [
            models.UniqueConstraint(fields=["preview", "key"], name="preview_audience_once")
        ]


class PreviewLine(models.Model):
    """One field of one object, or the object as a whole, that would be otherwise."""

    id = models.BigAutoField(primary_key=True)
    # Many are written at once and read one way only, so they have the one index of that.
    preview = models.ForeignKey(
        Preview, on_delete=models.CASCADE, related_name="lines", db_index=False
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    outcome = models.ForeignKey(Outcome, on_delete=models.CASCADE, related_name="+", db_index=False)
    object_id = models.UUIDField()
    stix_type = models.TextField()
    way = models.TextField()
    path = models.TextField()
    field_class = models.TextField()
    before = models.TextField()
    after = models.TextField()
    rule_before = models.TextField()
    rule_after = models.TextField()
    audiences = ArrayField(models.BigIntegerField())
    # The classes of the fields of an object that newly leaves, or no longer does.
    classes = ArrayField(models.TextField(), default=list)

    class Meta:
        """Read in pages, one way at a time."""

        indexes = [models.Index(fields=["preview", "way", "id"], name="preview_lines")]
