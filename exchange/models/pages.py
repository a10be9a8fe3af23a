"""Rows of sealed pages: which bytes a member's walk shows between two numbers."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from members.models import Circle, Member


class SealedPage(models.Model):
    """A page that was full when it was first read; its borders stay, its content may shrink."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="+")
    # Empty: the whole holding.
    circle = models.ForeignKey(Circle, on_delete=models.CASCADE, null=True, related_name="+")
    # It shows what lies behind the one number, up to the other.
    after = models.BigIntegerField()
    until = models.BigIntegerField()
    # By what its releases were known when it was made, and the name of its bytes.
    signature = models.BinaryField()
    digest = models.BinaryField()
    count = models.IntegerField()
    first_number = models.BigIntegerField()
    # The numbers in it that take something back: to serve them is an acknowledgement.
    back = ArrayField(models.BigIntegerField(), default=list)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        """One page behind a number."""

        constraints = [
            models.UniqueConstraint(
                fields=["member", "circle", "after"], nulls_distinct=False, name="page_once"
            )
        ]
        indexes = [models.Index(fields=["digest"], name="page_by_digest")]
