"""Rows of what is taken back: recalls, what is to be given anew, and feedback as tasks."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from exchange.models.policies import Outcome, PolicyDraft
from exchange.models.releases import Release, ReleaseItem, Rendition
from indicators.models import ForumObject, Version
from members.models import Circle, Member, User


class Recall(models.Model):
    """An object that does harm is taken back at once."""

    class Reason(models.TextChoices):
        """The closed list: the only thing of a recall that its recipients are told."""

        LEAK = "leak"
        ERROR = "error"
        FALSE_POSITIVE = "false-positive"
        SHARED_INFRASTRUCTURE = "shared-infrastructure"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    object = models.OneToOneField(ForumObject, on_delete=models.PROTECT, related_name="recall")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(choices=Reason)
    # The written note, for the contributor and the forum's counsel; sealed like the original.
    sealed_note = models.BinaryField()
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    role = models.TextField()
    # The renditions' bytes go too: personal data, or a secret.
    erases = models.BooleanField(default=False)
    at = models.DateTimeField()
    told_at = models.DateTimeField(null=True)
    # The `erase` entry of the ledger is written once the entries that it names have numbers.
    erasure_recorded_at = models.DateTimeField(null=True)
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        """Listed newest first; what is still to be told is found at once."""

        indexes = [
            models.Index(fields=["member", "-at"], name="recall_of_member"),
            models.Index(
                fields=["at"], condition=models.Q(told_at__isnull=True), name="recall_to_tell"
            ),
        ]


class Reissue(models.Model):
    """What its recipients lost through no recall of its own: a stricter version is due, or none."""

    class Cause(models.TextChoices):
        """Why it is no longer served as it was."""

        POLICY = "policy"
        REFERENCE = "reference"

    id = models.BigAutoField(primary_key=True)
    outcome = models.ForeignKey(Outcome, on_delete=models.PROTECT, related_name="reissues")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    cause = models.TextField(choices=Cause)
    at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        """One that waits for each outcome."""

        constraints = [
            models.UniqueConstraint(
                fields=["outcome"], condition=models.Q(done_at__isnull=True), name="reissue_once"
            )
        ]


class Kept(models.Model):
    """An item that was taken back from others, and that this recipient keeps at its position."""

    id = models.BigAutoField(primary_key=True)
    item = models.ForeignKey(ReleaseItem, on_delete=models.PROTECT, related_name="kept")
    recipient = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")

    class Meta:
        """Once for a recipient."""

        constraints = [models.UniqueConstraint(fields=["item", "recipient"], name="kept_once")]


class Twin(models.Model):
    """Given without a position: the recipients already held equal bytes from somebody else."""

    id = models.BigAutoField(primary_key=True)
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="twins")
    rendition = models.ForeignKey(Rendition, on_delete=models.PROTECT, related_name="twins")
    outcome = models.ForeignKey(Outcome, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        """Once in a release."""

        constraints = [models.UniqueConstraint(fields=["release", "rendition"], name="twin_once")]


class Feedback(models.Model):
    """A recipient's sighting says that something is wrong with an object: a task, no verdict."""

    class Answer(models.TextChoices):
        """The closed list: all that who said it is told, never in anybody's own words."""

        RECALLED = "recalled"
        CORRECTED = "corrected"
        STANDS = "stands"
        UNCLEAR = "unclear"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    object = models.ForeignKey(ForumObject, on_delete=models.PROTECT, related_name="feedback")
    # Whose object it is about; who said it is not kept here.
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    version = models.OneToOneField(Version, on_delete=models.PROTECT, related_name="feedback")
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, related_name="+")
    disposition = models.TextField()
    at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    answer = models.TextField(choices=Answer, default="")
    # The written word beside it, for the contributor and the forum's counsel; sealed.
    sealed_note = models.BinaryField(default=b"")

    class Meta:
        """The open ones by age."""

        indexes = [
            models.Index(
                fields=["member", "at"],
                condition=models.Q(answered_at__isnull=True),
                name="feedback_open",
            )
        ]


class Preparation(models.Model):
    """What a stricter policy takes back of what was released, found before it is in force."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    draft = models.OneToOneField(PolicyDraft, on_delete=models.PROTECT, related_name="preparation")
    # The document that it was made for, and what was in force then; with others it starts anew.
    digest = models.BinaryField()
    against = models.BinaryField()
    at = models.DateTimeField()
    # A pass goes through the contributions by id, and goes on there after a crash: those with items
    # behind `seen`, up to `upto`.
    seen = models.BigIntegerField(default=0)
    upto = models.BigIntegerField(default=0)
    after = models.UUIDField(null=True)
    total = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    ready_at = models.DateTimeField(null=True)


class Affected(models.Model):
    """One item that these recipients may not keep as it is under the stricter policy."""

    id = models.BigAutoField(primary_key=True)
    preparation = models.ForeignKey(Preparation, on_delete=models.CASCADE, related_name="affected")
    item = models.ForeignKey(ReleaseItem, on_delete=models.PROTECT, related_name="+")
    recipients = ArrayField(models.UUIDField())

    class Meta:
        """Found once."""

        constraints = [
            models.UniqueConstraint(fields=["preparation", "item"], name="affected_once")
        ]
