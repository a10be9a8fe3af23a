"""Rows of the statistics lane: tables that everybody reads; what they are made of, nobody."""

from django.db import models

from exchange.models.policies import FloorPolicy


class StatisticsTable(models.Model):
    """One quarter's table of one measure, made once."""

    id = models.BigAutoField(primary_key=True)
    measure = models.TextField()
    period = models.TextField()
    floor = models.ForeignKey(FloorPolicy, on_delete=models.PROTECT, related_name="+")
    due_at = models.DateTimeField()
    # SHA-256 over what is read of it; the ledger has it in the audit slot of a decision.
    digest = models.BinaryField()

    class Meta:
        """There is no second one, and no other."""

        constraints = [
            models.UniqueConstraint(fields=["measure", "period"], name="one_table_of_a_quarter")
        ]


class StatisticsCell(models.Model):
    """A rounded figure, or nothing where it is suppressed; never why."""

    id = models.BigAutoField(primary_key=True)
    table = models.ForeignKey(StatisticsTable, on_delete=models.PROTECT, related_name="cells")
    row = models.TextField()
    figure = models.BigIntegerField(null=True)

    class Meta:
        """One cell for a row."""

        constraints = [models.UniqueConstraint(fields=["table", "row"], name="one_cell_of_a_row")]


class StatisticsBlock(models.Model):
    """What released cells tell exactly, member by member: later tables are judged against it."""

    id = models.BigAutoField(primary_key=True)
    table = models.ForeignKey(StatisticsTable, on_delete=models.PROTECT, related_name="blocks")
    name = models.TextField()
    # Member id to its part. No role of the web has a grant on this table.
    parts = models.JSONField()

    class Meta:
        """One block of a name."""

        constraints = [
            models.UniqueConstraint(fields=["table", "name"], name="one_block_of_a_name")
        ]
