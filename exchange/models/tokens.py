"""Rows of blind evaluation: how much a member asked for on a day, each call, and alarms.

Never a value, a point or a token: the numbers are all that there is to keep.
"""

from django.db import models

from members.models import Circle, Credential, Member


class TokenDay(models.Model):
    """What a member used of its quota on one day (UTC)."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    used = models.IntegerField(default=0)
    # Asked for beyond the quota, and not evaluated.
    refused = models.IntegerField(default=0)
    # The same for credentials that send extracts: a quota of its own.
    extracted = models.IntegerField(default=0)
    extract_refused = models.IntegerField(default=0)

    class Meta:
        """One row for a member and day: both quotas are judged on it alone."""

        constraints = [
            models.UniqueConstraint(fields=["member", "day"], name="token_day_once"),
            models.CheckConstraint(
                condition=models.Q(used__gte=0, refused__gte=0), name="token_day_counts"
            ),
        ]


class TokenCall(models.Model):
    """One call: who asked for how many values of which circle and quarter."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, related_name="+")
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, related_name="+")
    epoch = models.TextField()
    count = models.IntegerField()
    # Refused by the quota, or charged to it.
    is_charged = models.BooleanField()
    at = models.DateTimeField()

    class Meta:
        """The log is read from its newest end, and by day."""

        indexes = [models.Index(fields=["member", "-at"], name="token_call_newest")]


class TokenAlarm(models.Model):
    """A member asked for unusually much on a day; without the number, which is the member's."""

    class Kind(models.TextChoices):
        """Why."""

        SHARE = "share"
        GROWTH = "growth"
        QUOTA = "quota"

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    kind = models.TextField(choices=Kind)
    at = models.DateTimeField()

    class Meta:
        """Each once a day."""

        constraints = [
            models.UniqueConstraint(fields=["member", "day", "kind"], name="token_alarm_once"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["share", "growth", "quota"]), name="token_alarm_kind"
            ),
        ]
