"""Rows of what is shared: contributions, objects, their immutable versions, sealed originals.

A row of ten thousand is checked against others by its version and its contribution alone: its
member is that of the contribution, which is never deleted while it has any.
"""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from members.models import Circle, Credential, Member, User


class Contribution(models.Model):
    """What one member submits at one time, addressed to one circle."""

    class State(models.TextChoices):
        """How far intake has come; `complete` is final."""

        PENDING = "pending"
        COMPLETE = "complete"

    class Source(models.TextChoices):
        """The door it came through."""

        TAXII = "taxii"
        FILE = "file"
        FORM = "form"
        API = "api"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, related_name="+")
    source = models.TextField(choices=Source)
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    credential = models.ForeignKey(
        Credential, on_delete=models.PROTECT, null=True, related_name="+"
    )
    default_basis = ArrayField(models.TextField(), default=list)
    # Its member chose to be named to the circle, for these objects and no others.
    attributed = models.BooleanField(default=False, db_default=False)
    state = models.TextField(choices=State, default=State.PENDING)
    received_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    total = models.IntegerField(default=0)
    successes = models.IntegerField(default=0)
    failures = models.IntegerField(default=0)
    # Given by the ledger: the position of its objects in the contributor's own collection.
    idx = models.BigIntegerField(null=True)
    running = models.BigIntegerField(null=True)
    added_at = models.DateTimeField(null=True)

    class Meta:
        """Listed by member, newest first."""

        indexes = [
            models.Index(fields=["member", "-received_at"], name="contribution_of_member"),
            models.Index(
                fields=["received_at"],
                condition=models.Q(state="pending"),
                name="contribution_pending",
            ),
        ]


class Submission(models.Model):
    """The bytes of a contribution that is not yet taken in; deleted when it is."""

    contribution = models.OneToOneField(
        Contribution, on_delete=models.CASCADE, primary_key=True, related_name="submission"
    )
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    sealed = models.BinaryField()


class ForumObject(models.Model):
    """One contributed object under its forum id; the original id is sealed."""

    class State(models.TextChoices):
        """Whether the original name still leads to this object."""

        LIVE = "live"
        WITHDRAWN = "withdrawn"
        RECALLED = "recalled"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    id_digest = models.BinaryField()
    sealed_id = models.BinaryField()
    stix_type = models.TextField()
    name = models.TextField(default="")
    state = models.TextField(choices=State, default=State.LIVE)
    # The nominal second of first release, and the newest `modified` minted so far.
    created_at = models.DateTimeField(null=True)
    minted_at = models.DateTimeField(null=True)

    class Meta:
        """A name leads to one object, until that is withdrawn."""

        constraints = [
            models.UniqueConstraint(
                fields=["member", "id_digest"],
                condition=~models.Q(state="withdrawn"),
                name="one_object_of_a_name",
            )
        ]


class Version(models.Model):
    """One immutable state of an object."""

    id = models.BigAutoField(primary_key=True)
    object = models.ForeignKey(
        ForumObject, on_delete=models.PROTECT, related_name="versions", db_index=False
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="+", db_constraint=False
    )
    contribution = models.ForeignKey(
        Contribution, on_delete=models.PROTECT, related_name="versions", db_index=False
    )
    position = models.IntegerField()
    # Nanoseconds since 1970: STIX allows more digits than a database timestamp holds.
    modified_ns = models.BigIntegerField()
    content_digest = models.BinaryField()
    is_late = models.BooleanField(default=False)

    class Meta:
        """(id, modified) never stands for two contents of one member."""

        constraints = [
            models.UniqueConstraint(fields=["object", "modified_ns"], name="one_version_of_a_time")
        ]
        indexes = [models.Index(fields=["contribution", "position"], name="version_in_order")]


class Original(models.Model):
    """The bytes of one version as contributed, sealed; erasure is a delete."""

    version = models.OneToOneField(
        Version, on_delete=models.CASCADE, primary_key=True, related_name="original"
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    sealed = models.BinaryField()


class Observable(models.Model):
    """A value inside a pattern or an observable, as a keyed hash."""

    id = models.BigAutoField(primary_key=True)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="observables")
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    kind = models.TextField()
    digest = models.BinaryField()

    class Meta:
        """Looked up by value, within one member."""

        indexes = [models.Index(fields=["member", "kind", "digest"], name="observable_by_value")]


class Item(models.Model):
    """What a contribution's status says of one object; id and message are sealed."""

    id = models.BigAutoField(primary_key=True)
    contribution = models.ForeignKey(
        Contribution, on_delete=models.CASCADE, related_name="items", db_index=False
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    position = models.IntegerField()
    success = models.BooleanField()
    version = models.ForeignKey(Version, on_delete=models.SET_NULL, null=True, related_name="+")
    sealed = models.BinaryField()

    class Meta:
        """Every object is accounted for once."""

        constraints = [
            models.UniqueConstraint(fields=["contribution", "position"], name="item_once")
        ]
