"""Rows of what is folded: the one object that leaves for many, and what each adds to it."""

from django.db import models

from indicators.models import ForumObject
from members.models import Circle, Member


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
