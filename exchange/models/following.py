"""Rows of a recall that is followed to each recipient, and of mails that say "sign in", no more."""

from django.db import models

from exchange.models.recalls import Recall
from exchange.models.releases import Release, ReleaseRecipient
from members.models import Credential, Member, User


class Following(models.Model):
    """One recipient of a recall, followed until it has acknowledged."""

    class Via(models.TextChoices):
        """What counts: a push that was answered, a page that was pulled, or a person's word."""

        PUSH = "push"
        PAGE = "page"
        WORD = "word"

    id = models.BigAutoField(primary_key=True)
    recall = models.ForeignKey(Recall, on_delete=models.PROTECT, related_name="followed")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="followed")
    part = models.OneToOneField(ReleaseRecipient, on_delete=models.PROTECT, related_name="+")
    recipient = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    # False: it keeps equal bytes of somebody else, was told nothing, and is never asked.
    is_told = models.BooleanField()
    acknowledged_at = models.DateTimeField(null=True)
    via = models.TextField(choices=Via, default="")
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    credential = models.ForeignKey(
        Credential, on_delete=models.PROTECT, null=True, related_name="+"
    )
    # Reminders sent so far, and when the next is due; none after the last.
    reminded = models.SmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)

    class Meta:
        """What is due, and what one recipient still has to do, is found at once."""

        indexes = [
            models.Index(
                fields=["next_at"],
                condition=models.Q(acknowledged_at__isnull=True),
                name="following_due",
            ),
            models.Index(
                fields=["recipient"],
                condition=models.Q(acknowledged_at__isnull=True),
                name="following_open",
            ),
        ]


class Mail(models.Model):
    """A mail that waits or was sent: to whom and of which kind; its text is the same for all."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    kind = models.TextField()
    at = models.DateTimeField()
    tries = models.SmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        """What waits is found at once."""

        indexes = [
            models.Index(
                fields=["next_at"], condition=models.Q(sent_at__isnull=True), name="mail_waiting"
            )
        ]
