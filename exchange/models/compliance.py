"""Rows of the compliance workspace: who asked what, what was exported, and what was looked back at.

None of them holds a value of an object in the clear: filters are ids, names and dates, files and
what a person was looked up by are sealed.
"""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from exchange.models.releases import Release, Rendition
from exchange.models.statistics import StatisticsTable
from members.models import Member, User


class QuestionView(models.Model):
    """Somebody was shown an answer, or took it along; written before it is shown, never changed."""

    id = models.BigAutoField(primary_key=True)
    # Empty for the forum's own people.
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    role = models.TextField()
    # The name of a question, or of another page of the workspace.
    question = models.TextField()
    form = models.TextField()
    filters = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        """A member's log, and the forum's, newest first."""

        indexes = [models.Index(fields=["member", "-id"], name="question_view_newest")]


class Inquiry(models.Model):
    """What a person asked to be found by; sealed, so that no address or log names the person."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    sealed = models.BinaryField()
    at = models.DateTimeField()


class AnswerExport(models.Model):
    """An answer that a worker writes down with the rights of who asked, in files."""

    class State(models.TextChoices):
        """How far it has come; the last two are final."""

        WAITING = "waiting"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    question = models.TextField()
    filters = models.JSONField(default=dict)
    form = models.TextField()
    state = models.TextField(choices=State, default=State.WAITING)
    # Rows so far, and where the next part begins.
    done = models.IntegerField(default=0)
    cursor = models.TextField(default="")
    failure = models.TextField(default="")
    created_at = models.DateTimeField()
    # When a worker last finished a part: where this stands still, a hint was lost.
    moved_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        """What is to be done, and what a person has, newest first."""

        indexes = [
            models.Index(fields=["user", "-created_at"], name="export_of_user"),
            models.Index(
                fields=["moved_at"],
                condition=models.Q(state__in=["waiting", "running"]),
                name="export_open",
            ),
        ]


class AnswerFile(models.Model):
    """One file of an export, sealed like the objects that it tells of."""

    id = models.BigAutoField(primary_key=True)
    export = models.ForeignKey(AnswerExport, on_delete=models.CASCADE, related_name="files")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    n = models.IntegerField()
    name = models.TextField()
    media = models.TextField()
    rows = models.IntegerField()
    size = models.BigIntegerField()
    digest = models.BinaryField()
    sealed = models.BinaryField()
    # The parts (release x recipient) whose bundles lie in it.
    parts = ArrayField(models.BigIntegerField(), default=list)

    class Meta:
        """Each part once."""

        constraints = [models.UniqueConstraint(fields=["export", "n"], name="answer_file_once")]


class Attestation(models.Model):
    """A member's officer states what was passed on outside, to whom and under which mark."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    stix_id = models.TextField()
    rendition_digest = models.BinaryField()
    # The mark that it came with, and the one that it was passed on under.
    tlp_received = models.TextField()
    tlp_passed = models.TextField()
    whom = models.TextField()
    passed_on = models.DateField()
    # What the officer attests, in words; sealed with the member's key.
    sealed = models.BinaryField()
    text_digest = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        """Newest first."""

        indexes = [models.Index(fields=["member", "-at"], name="attestation_of_member")]


class Nature(models.Model):
    """What the operator has stated a member to be, from then on; the newest row holds."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    is_public_body = models.BooleanField()
    stated_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()


class VerdictDocument(models.Model):
    """A verdict whose digest stands in the ledger: every field's treatment, class, rule, basis.

    No value stands in it; verdicts on like objects are one.
    """

    digest = models.BinaryField(primary_key=True)
    document = models.JSONField()


class LookedBack(models.Model):
    """One object of a release decided again under the policies that the release recorded."""

    id = models.BigAutoField(primary_key=True)
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="+")
    rendition = models.ForeignKey(Rendition, on_delete=models.PROTECT, related_name="+")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    # SHA-256 of the verdict; empty for what no policy decides, such as a recall.
    verdict = models.BinaryField(default=b"")
    # Of what did not pass as it came: classes and rules.
    classes = ArrayField(models.TextField(), default=list)
    rules = ArrayField(models.TextField(), default=list)
    # What is otherwise than it should be; empty where nothing is.
    fault = models.TextField(default="")
    at = models.DateTimeField()

    class Meta:
        """Once for each object of a release; faults and the oldest look are found at once."""

        constraints = [
            models.UniqueConstraint(fields=["release", "rendition"], name="looked_back_once")
        ]
        indexes = [
            models.Index(fields=["id"], condition=~models.Q(fault=""), name="looked_back_fault"),
            models.Index(fields=["at"], name="looked_back_at"),
        ]


class LookBack(models.Model):
    """One row: up to which item the looking back has come."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    seen = models.BigIntegerField(default=0)
    at = models.DateTimeField()

    class Meta:
        """A single row."""

        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_look_back")]


class JudgedTable(models.Model):
    """A released statistics table judged again by the floor that it was made under."""

    table = models.OneToOneField(
        StatisticsTable, on_delete=models.PROTECT, primary_key=True, related_name="judged"
    )
    fault = models.TextField(default="")
    at = models.DateTimeField()
