"""Rows of the pool: sealed extracts and their keys, for the pool and its runs alone."""

from uuid import uuid4

from django.db import models

from members.models import Credential, Member, User


class Extract(models.Model):
    """What a member sent for a day, by its digests: what was in it is sealed, or was not kept."""

    class State(models.TextChoices):
        """Of one day of a member at most one is in the pool."""

        TAKEN = "taken"
        REPLACED = "replaced"
        REFUSED = "refused"
        ERASED = "erased"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    credential = models.ForeignKey(
        Credential, on_delete=models.PROTECT, null=True, related_name="+"
    )
    state = models.TextField(choices=State)
    # None where the manifest was not read so far.
    day = models.DateField(null=True)
    # Of manifest and both files, and of `clusters` alone: a file is one member's and one day's.
    digest = models.BinaryField()
    clusters = models.BinaryField()
    octets = models.IntegerField()
    received_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    # Of a refused one alone: why, and where; never what.
    code = models.TextField(default="")
    sentence = models.TextField(default="")
    place = models.TextField(default="")

    class Meta:
        """One a day: a further one replaces it, and is never added to it."""

        constraints = [
            models.UniqueConstraint(
                fields=["member", "day"],
                condition=models.Q(state="taken"),
                name="extract_one_a_day",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["taken", "replaced", "refused", "erased"]),
                name="extract_state",
            ),
            models.CheckConstraint(
                condition=models.Q(state="refused") | models.Q(day__isnull=False),
                name="extract_of_a_day",
            ),
        ]
        indexes = [
            models.Index(fields=["member", "-received_at"], name="extract_newest"),
            models.Index(fields=["clusters"], name="extract_of_a_file"),
        ]


class SealedExtract(models.Model):
    """Manifest and files of one day, sealed under that day's own key; opened by runs alone."""

    id = models.BigAutoField(primary_key=True)
    extract = models.OneToOneField(Extract, on_delete=models.PROTECT, related_name="+")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    sealed = models.BinaryField()

    class Meta:
        """One for a day."""

        constraints = [
            models.UniqueConstraint(fields=["member", "day"], name="sealed_extract_once")
        ]


class ExtractKey(models.Model):
    """The key of one member's day, wrapped to the pool's public key: without it the day is gone."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    wrapped = models.BinaryField()

    class Meta:
        """One for a day."""

        constraints = [models.UniqueConstraint(fields=["member", "day"], name="extract_key_once")]


class ExtractTry(models.Model):
    """How often a member tried on one day (UTC): judged before anything is read."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    tried = models.IntegerField(default=0)
    # Beyond the quota, and not even read.
    refused = models.IntegerField(default=0)

    class Meta:
        """One row for a member and day."""

        constraints = [models.UniqueConstraint(fields=["member", "day"], name="extract_try_once")]


class ExtractView(models.Model):
    """A person of the member asks to see, in words, what one of its extracts gave away."""

    class State(models.TextChoices):
        """Made by the run's process, and for an hour."""

        ASKED = "asked"
        MADE = "made"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    extract = models.ForeignKey(Extract, on_delete=models.PROTECT, related_name="+")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    state = models.TextField(choices=State, default=State.ASKED)
    asked_at = models.DateTimeField()
    made_at = models.DateTimeField(null=True)
    # The words, sealed under a key of this view, and that key under the member's own.
    sealed = models.BinaryField(default=b"")
    key = models.BinaryField(default=b"")

    class Meta:
        """What waits is found at once."""

        indexes = [
            models.Index(
                fields=["asked_at"], condition=models.Q(state="asked"), name="extract_view_to_do"
            )
        ]
