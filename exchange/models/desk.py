"""Rows of the counsel's desk: written acts on holds, and the openings of originals by others."""

from uuid import uuid4

from django.db import models
from django.db.models import Func

from exchange.models.policies import Hold
from indicators.models import Version
from members.models import Member, User


class ThisTransaction(Func):
    """The number of the transaction that writes: an opening is good for that one and no other."""

    template = "(pg_current_xact_id()::text::bigint)"
    arity = 0
    output_field = models.BigIntegerField()


class HoldAct(models.Model):
    """One person's written act on a hold; the text is sealed with the contributor's key."""

    id = models.BigAutoField(primary_key=True)
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="acts")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.TextField()
    act = models.TextField()
    sealed = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        """What one person decided lately is found at once."""

        indexes = [models.Index(fields=["user", "-at"], name="hold_act_of_user")]


class OriginalRequest(models.Model):
    """A wish that the forum's officer reads an original: nothing without both officers' word."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    # The name by which the forum's officer knows it; the original id stays with the contributor.
    stix_id = models.TextField()
    asked_at = models.DateTimeField()


class OriginalWord(models.Model):
    """One officer's written yes or no to such a wish; written once, never changed."""

    id = models.BigAutoField(primary_key=True)
    request = models.ForeignKey(OriginalRequest, on_delete=models.PROTECT, related_name="words")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.TextField()
    is_yes = models.BooleanField()
    sealed = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        """Each role speaks once, each through a person of its own."""

        constraints = [
            models.UniqueConstraint(fields=["request", "role"], name="one_word_of_a_role"),
            models.UniqueConstraint(fields=["request", "user"], name="one_word_of_a_person"),
        ]


class OriginalRead(models.Model):
    """An original was opened by someone outside its contributor; written before it is shown."""

    id = models.BigAutoField(primary_key=True)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.TextField(default="")
    request = models.ForeignKey(
        OriginalRequest, on_delete=models.PROTECT, null=True, related_name="reads"
    )
    sealed = models.BinaryField()
    at = models.DateTimeField()
    written_in = models.BigIntegerField(db_default=ThisTransaction())

    class Meta:
        """A contributor's log, newest first."""

        indexes = [models.Index(fields=["member", "-at"], name="read_of_member")]
