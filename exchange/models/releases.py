"""Rows of renditions and releases: what each audience was given, and each recipient's part."""

from uuid import uuid4

from django.db import models

from exchange.models.policies import FloorPolicy, MemberPolicyVersion, Outcome
from indicators.models import Contribution, ForumObject, Version
from members.models import Circle, Member


class Rendition(models.Model):
    """The exact bytes of one object version for one audience."""

    id = models.BigAutoField(primary_key=True)
    # That of its version, and checked there; found through the index below.
    object = models.ForeignKey(
        ForumObject,
        on_delete=models.PROTECT,
        null=True,
        related_name="renditions",
        db_constraint=False,
        db_index=False,
    )
    version = models.ForeignKey(
        Version, on_delete=models.PROTECT, null=True, related_name="renditions"
    )
    stix_id = models.TextField()
    stix_type = models.TextField()
    # `modified` as written in the body; empty where there is none (observables, markings).
    modified = models.TextField()
    body = models.BinaryField()
    digest = models.BinaryField()
    # Over everything but minted id and times: equal content makes no new version.
    content_digest = models.BinaryField()
    # It takes something back: the revoked version, or the notice of an observable.
    takes_back = models.BooleanField(default=False)
    # A later version of the same object can be read by somebody.
    has_later = models.BooleanField(default=False, db_default=False)

    class Meta:
        """Found by id, within what a member holds."""

        indexes = [
            models.Index(fields=["stix_id"], name="rendition_by_id"),
            models.Index(fields=["object"], name="rendition_of_object"),
        ]


class Release(models.Model):
    """What one transaction makes available to one audience."""

    class Kind(models.TextChoices):
        """Releases give; recalls take back."""

        RELEASE = "release"
        RECALL = "recall"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.TextField(choices=Kind, default=Kind.RELEASE)
    # Empty for the exchange's own constants.
    contribution = models.ForeignKey(
        Contribution, on_delete=models.PROTECT, null=True, related_name="releases"
    )
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, null=True, related_name="+")
    floor = models.ForeignKey(FloorPolicy, on_delete=models.PROTECT, related_name="+")
    policy = models.ForeignKey(
        MemberPolicyVersion, on_delete=models.PROTECT, null=True, related_name="+"
    )
    # Objects that recipients already hold, listed again in a further circle only.
    circle_only = models.BooleanField(default=False)
    nominal_at = models.DateTimeField()
    committed_at = models.DateTimeField()
    count = models.IntegerField()
    size = models.IntegerField()
    # The list of the audience (JCS of [[id, version, rendition], ...]), and, sealed under the
    # ledger's key, the slots' fields that are the same for every recipient.
    listing = models.BinaryField()
    slots = models.BinaryField()
    # The contributor's list of the same, with its own ids; sealed with its key.
    told = models.BinaryField(default=b"")
    # Of a recall: which one, and what its recipients are told of the reason.
    recall = models.ForeignKey(
        "exchange.Recall", on_delete=models.PROTECT, null=True, related_name="releases"
    )
    reason = models.TextField(default="")
    # How often something in it was superseded, recalled or erased: counted by the database.
    changes = models.IntegerField(default=0, db_default=0)

    class Meta:
        """A contribution's releases are read together."""

        indexes = [models.Index(fields=["contribution"], name="release_of_contribution")]


class ReleaseItem(models.Model):
    """One rendition at its position in a release's list."""

    id = models.BigAutoField(primary_key=True)
    # Found by its release through the two indexes below.
    release = models.ForeignKey(
        Release, on_delete=models.PROTECT, db_index=False, related_name="items"
    )
    position = models.IntegerField()
    rendition = models.ForeignKey(Rendition, on_delete=models.PROTECT, related_name="items")
    outcome = models.ForeignKey(Outcome, on_delete=models.PROTECT, null=True, related_name="items")
    # Every recipient of the release has a later version.
    superseded = models.BooleanField(default=False)
    # Taken back: not served from that moment.
    recalled = models.BooleanField(default=False)

    class Meta:
        """Positions are given once."""

        constraints = [
            models.UniqueConstraint(fields=["release", "position"], name="release_position")
        ]
        indexes = [
            models.Index(
                fields=["release", "position"],
                condition=models.Q(superseded=False),
                name="item_current",
            )
        ]


class ReleaseRecipient(models.Model):
    """One recipient's part in a release: its ledger entry, and where its feed goes on."""

    id = models.BigAutoField(primary_key=True)
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="recipients")
    # Empty where the contributor alone is told, in one line for the circle.
    recipient = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    told_here = models.BooleanField(default=True)
    idx = models.BigIntegerField(null=True)
    to_seq = models.BigIntegerField(null=True)
    running = models.BigIntegerField(null=True)
    added_at = models.DateTimeField(null=True)
    # Of a recall: the parts that it undoes, as the recipient and as the contributor know them.
    undoes_to = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    undoes_from = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        """A feed is read by the recipient's running count."""

        constraints = [
            models.UniqueConstraint(fields=["release", "recipient"], name="release_once_each")
        ]
        indexes = [
            models.Index(fields=["recipient", "running"], name="feed_of_recipient"),
            models.Index(fields=["recipient", "added_at"], name="feed_by_time"),
        ]


class Missing(models.Model):
    """What left before and waits for somebody: an end that lacks, or a later act of its own."""

    class Act(models.TextChoices):
        """Each leaves in the object's window, decided again under the policies of then."""

        END = "", "an end that was missing"
        DAY = "day", "the decade of a sum is another"
        JOIN = "join", "a newcomer, to whom its contributor lets go what is live"
        AGAIN = "again", "released again under a loosened policy"

    id = models.BigAutoField(primary_key=True)
    outcome = models.ForeignKey(Outcome, on_delete=models.PROTECT, related_name="missing")
    recipient = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    # The missing end: its forum id, or the keyed hash of its original id where none is known.
    # Empty once nothing is missing any more: then it leaves at `due_at`.
    wanted = models.BinaryField()
    # It left without this end, which a list can do: regained, the end makes a new version.
    optional = models.BooleanField(default=False, db_default=False)
    # Why it is due without an end that it waited for; empty where it did wait.
    act = models.TextField(choices=Act, default=Act.END, db_default="")
    due_at = models.DateTimeField(null=True)

    class Meta:
        """Freed by what it waits for."""

        constraints = [
            models.UniqueConstraint(fields=["outcome", "recipient", "wanted"], name="missing_once")
        ]
        indexes = [
            models.Index(fields=["recipient", "wanted"], name="missing_by_end"),
            models.Index(
                fields=["due_at"], condition=models.Q(due_at__isnull=False), name="missing_freed"
            ),
        ]


class Revocation(models.Model):
    """A contributor took an object back: its holders are told in the next daily window."""

    id = models.BigAutoField(primary_key=True)
    object = models.OneToOneField(ForumObject, on_delete=models.PROTECT, related_name="revocation")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    due_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        """What is due is found at once."""

        indexes = [
            models.Index(
                fields=["due_at"], condition=models.Q(done_at__isnull=True), name="revocation_due"
            )
        ]


class ServedNote(models.Model):
    """A recipient took a range of its feed: appended with an asynchronous commit."""

    id = models.BigAutoField(primary_key=True)
    recipient = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    user_id = models.UUIDField(null=True)
    credential_id = models.UUIDField(null=True)
    via = models.TextField()
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        """A single number is the acknowledgement of a recall, among others: looked up by it."""

        indexes = [
            models.Index(
                fields=["recipient", "first_seq"],
                condition=models.Q(first_seq=models.F("last_seq")),
                name="note_of_one",
            )
        ]
