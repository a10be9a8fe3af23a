"""Rows of files on their way in: how far each has come, its parts, its faults, column mappings."""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from indicators.models import Contribution
from members.models import Circle, Credential, Member, User


class File(models.Model):
    """A file that a member hands in; its bytes lie sealed in a folder until they are taken in."""

    class State(models.TextChoices):
        """How far it has come. The last two are final."""

        CHOSEN = "chosen"  # not sent yet: its contributor looks at it
        WAITING = "waiting"
        READING = "reading"
        TAKING = "taking"
        TAKEN = "taken"
        REFUSED = "refused"

    class Kind(models.TextChoices):
        """How it is read."""

        STIX = "stix"
        MISP = "misp"
        TABLE = "table"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, null=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    credential = models.ForeignKey(
        Credential, on_delete=models.PROTECT, null=True, related_name="+"
    )
    kind = models.TextField(choices=Kind)
    # Its name and how its columns are read are the member's own words.
    sealed_name = models.BinaryField()
    sealed_mapping = models.BinaryField(null=True)
    default_basis = ArrayField(models.TextField(), default=list)
    attributed = models.BooleanField(default=False)
    state = models.TextField(choices=State, default=State.CHOSEN)
    octets = models.BigIntegerField()
    # Of what a converter made of it, where there is one between the file and its objects.
    converted = models.BigIntegerField(null=True)
    received_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    # When a worker last finished a piece of it: where this stands still, a hint was lost.
    moved_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    tries = models.IntegerField(default=0)
    # Octets that were read so far, and what was found: objects, and rows that make none.
    read = models.BigIntegerField(default=0)
    total = models.IntegerField(default=0)
    faulty = models.IntegerField(default=0)
    # Of what was taken in.
    successes = models.IntegerField(default=0)
    failures = models.IntegerField(default=0)
    # Why nothing of it was taken.
    code = models.TextField(default="")
    sentence = models.TextField(default="")
    place = models.TextField(default="")

    class Meta:
        """Listed by member, newest first; what is open is found at once."""

        indexes = [
            models.Index(fields=["member", "-received_at"], name="file_of_member"),
            models.Index(
                fields=["moved_at"],
                condition=models.Q(state__in=["chosen", "waiting", "reading", "taking"]),
                name="file_open",
            ),
        ]


class FilePart(models.Model):
    """Objects of a file that are taken in together, as a contribution of their own."""

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="parts")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    number = models.IntegerField()
    # The part that has to be taken in before this one.
    after = models.IntegerField(null=True)
    # Places in the file; the last ones, after `own`, were taken with an earlier part and are given
    # again so that what is linked to them is judged as in the whole.
    places = ArrayField(models.IntegerField())
    own = models.IntegerField()
    offsets = ArrayField(models.BigIntegerField())
    lengths = ArrayField(models.IntegerField())
    contribution = models.ForeignKey(
        Contribution, on_delete=models.CASCADE, null=True, related_name="+"
    )
    taken_at = models.DateTimeField(null=True)
    tries = models.IntegerField(default=0)
    # Why it was not taken, where that is so.
    sentence = models.TextField(default="")

    class Meta:
        """Each part once, and its contribution leads back to it."""

        constraints = [
            models.UniqueConstraint(fields=["file", "number"], name="file_part_once"),
            models.UniqueConstraint(fields=["contribution"], name="file_part_of_contribution"),
        ]


class FileFault(models.Model):
    """What makes no object: a row of a table, or what a converter has no form for."""

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="faults")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    place = models.IntegerField()
    # Column and sentence: the name of a column is the member's own.
    sealed = models.BinaryField()

    class Meta:
        """Read in pages, in the order of the file."""

        constraints = [models.UniqueConstraint(fields=["file", "place"], name="file_fault_once")]


class ColumnMapping(models.Model):
    """How a member reads tables with a certain first row."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    # A keyed hash of the first row, which itself stands in the sealed document.
    shape = models.BinaryField()
    sealed = models.BinaryField()
    made_at = models.DateTimeField()
    used_at = models.DateTimeField()

    class Meta:
        """One for each first row."""

        constraints = [models.UniqueConstraint(fields=["member", "shape"], name="mapping_of_shape")]
