"""Rows of what changes over time: sightings that leave as one, and seats that are new."""

from uuid import uuid4

from django.db import models

from indicators.models import ForumObject
from members.models import Circle, CircleMember, Member, User


class Fold(models.Model):
    """Sightings (or observations) of one thing by one member in one circle."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, related_name="+")
    # Keyed hash of what they are of.
    key = models.BinaryField()
    # The one that leaves for all.
    object = models.ForeignKey(ForumObject, on_delete=models.PROTECT, related_name="+")
    # The exact total, and what is shown of it since when; sealed, for volumes are S4.
    total = models.BinaryField()
    shown = models.BinaryField(null=True)
    shown_on = models.DateField(null=True)
    # Something was added since the last look.
    changed = models.BooleanField(default=False)
    # Its object was taken back: the next one of its kind begins anew.
    ended = models.BooleanField(default=False)

    class Meta:
        """One that goes on for each thing; what changed is found at once."""

        constraints = [
            models.UniqueConstraint(
                fields=["member", "circle", "key"],
                condition=models.Q(ended=False),
                name="one_open_fold",
            )
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(changed=True, ended=False), name="fold_changed"
            )
        ]


class FoldPart(models.Model):
    """What one contributed object adds to a fold; sealed."""

    id = models.BigAutoField(primary_key=True)
    fold = models.ForeignKey(Fold, on_delete=models.PROTECT, related_name="parts")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    object = models.ForeignKey(ForumObject, on_delete=models.PROTECT, related_name="+")
    sealed = models.BinaryField()
    # Taken out of the total again, since the object was taken back.
    gone = models.BooleanField(default=False)

    class Meta:
        """An object adds once."""

        constraints = [models.UniqueConstraint(fields=["fold", "object"], name="fold_part_once")]


class Backfill(models.Model):
    """A seat that was taken: what contributors let go to a newcomer goes to it, once."""

    id = models.BigAutoField(primary_key=True)
    seat = models.OneToOneField(CircleMember, on_delete=models.PROTECT, related_name="+")
    # The last outcome that was looked at: where it goes on.
    after = models.BigIntegerField(default=0)
    done_at = models.DateTimeField(null=True)

    class Meta:
        """What is left to do is found at once."""

        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(done_at__isnull=True), name="backfill_open"
            )
        ]


class ReleaseAgain(models.Model):
    """A member's own decision to let go old objects as far as today's policies show more."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField()
    until = models.DateTimeField()
    # The finished preview that was looked at.
    preview_id = models.UUIDField()
    at = models.DateTimeField()
    # The last outcome that was looked at: where it goes on.
    after = models.BigIntegerField(default=0)
    # How many objects leave again, for whomever.
    objects_again = models.IntegerField(default=0)
    done_at = models.DateTimeField(null=True)
