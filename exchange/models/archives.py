"""Rows of archives: what was ordered, by whom, and the sealed file for as long as it is kept."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from members.models import Member, User


class Archive(models.Model):
    """One archive; question and file are sealed, and the file goes after a while."""

    class State(models.TextChoices):
        """How far it has come."""

        ORDERED = "ordered"
        MADE = "made"
        FAILED = "failed"
        GONE = "gone"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # Empty for people of the forum.
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    kind = models.TextField()
    state = models.TextField(choices=State, default=State.ORDERED)
    # Why it could not be made: the code of a refusal.
    fault = models.TextField(default="")
    # What is asked, and the answer: emptied with the file.
    order = models.BinaryField()
    body = models.BinaryField(default=b"")
    size = models.BigIntegerField(default=0)
    digest = models.BinaryField(default=b"")
    rows = models.IntegerField(default=0)
    # The parts (release x recipient) whose bundles lie in it.
    parts = ArrayField(models.BigIntegerField(), default=list)
    ordered_at = models.DateTimeField()
    made_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)

    class Meta:
        """A person's newest are listed; a worker looks for what waits and for what is over."""

        indexes = [
            models.Index(fields=["user", "-ordered_at"], name="archive_of_user"),
            models.Index(
                fields=["ends_at"],
                condition=models.Q(state__in=["ordered", "made", "failed"]),
                name="archive_kept",
            ),
        ]
