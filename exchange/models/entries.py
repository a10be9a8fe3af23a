"""Rows of the ledger; append-only by trigger, written by the sequencer alone."""

from django.db import models

from members.models import Member


class LedgerEvent(models.Model):
    """What is to be recorded beside releases: contributions, decisions, reads, keys, policies."""

    id = models.BigAutoField(primary_key=True)
    kind = models.TextField()
    to_member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    from_member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    # The three slots' fields but index, seq and time; sealed under the ledger's key.
    slots = models.BinaryField()
    contribution_id = models.UUIDField(null=True)
    # Objects that this entry adds to the contributor's own collection.
    count = models.IntegerField(default=0)
    at = models.DateTimeField()

    class Meta:
        """Ours by name, as the page on the ledger has it."""

        db_table = "ledger_event"


class LedgerIntake(models.Model):
    """A queue: rows are deleted when they are sequenced."""

    id = models.BigAutoField(primary_key=True)
    kind = models.TextField()
    ref = models.BigIntegerField()

    class Meta:
        """One row for one thing to record."""

        db_table = "ledger_intake"
        constraints = [models.UniqueConstraint(fields=["kind", "ref"], name="intake_once")]


class LedgerEntry(models.Model):
    """One leaf of the log."""

    idx = models.BigIntegerField(primary_key=True)
    kind = models.TextField()
    leaf = models.BinaryField()
    to_member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    to_seq = models.BigIntegerField(null=True)
    from_member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    from_seq = models.BigIntegerField(null=True)
    ref = models.BigIntegerField(null=True)

    class Meta:
        """Numbers are given once; padding has no `ref`."""

        db_table = "ledger_entry"
        constraints = [
            models.UniqueConstraint(fields=["to_member", "to_seq"], name="entry_to_seq"),
            models.UniqueConstraint(fields=["from_member", "from_seq"], name="entry_from_seq"),
            models.UniqueConstraint(fields=["kind", "ref"], name="entry_once"),
        ]


class LedgerSlot(models.Model):
    """Salt and exact bytes of one slot, sealed."""

    id = models.BigAutoField(primary_key=True)
    idx = models.BigIntegerField()
    slot = models.TextField()
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    digest = models.BinaryField()
    sealed = models.BinaryField()

    class Meta:
        """Three slots for each entry."""

        db_table = "ledger_slot"
        constraints = [models.UniqueConstraint(fields=["idx", "slot"], name="slot_once")]


class LedgerTile(models.Model):
    """Up to 256 hashes of one level."""

    id = models.BigAutoField(primary_key=True)
    level = models.SmallIntegerField()
    n = models.BigIntegerField()
    hashes = models.BinaryField()

    class Meta:
        """A tile only grows."""

        db_table = "ledger_tile"
        constraints = [models.UniqueConstraint(fields=["level", "n"], name="tile_once")]


class LedgerHead(models.Model):
    """One row: the size and root of the tree."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    size = models.BigIntegerField(default=0)
    root = models.BinaryField()

    class Meta:
        """A single row."""

        db_table = "ledger_head"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_head")]


class LedgerCheckpoint(models.Model):
    """A signed head."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField()
    note = models.TextField()
    at = models.DateTimeField()
    # The next checkpoint's time lies behind this: the most microseconds that were given.
    spread = models.BigIntegerField(default=0)

    class Meta:
        """Grows with its size."""

        db_table = "ledger_checkpoint"


class LedgerAccount(models.Model):
    """The last number given to a member in one slot, and its running count of objects."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    slot = models.TextField()
    seq = models.BigIntegerField(default=0)
    running = models.BigIntegerField(default=0)

    class Meta:
        """One account for a member and slot."""

        db_table = "ledger_account"
        constraints = [models.UniqueConstraint(fields=["member", "slot"], name="account_once")]


class LedgerWitness(models.Model):
    """A member's key that cosigns checkpoints; one that has ended stays, for what it signed."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="+")
    name = models.TextField()
    public = models.BinaryField()
    added_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        """One witness for a member at a time: nobody is two of the quorum."""

        db_table = "ledger_witness"
        constraints = [
            models.UniqueConstraint(
                fields=["member"], condition=models.Q(ended_at=None), name="one_witness"
            ),
            models.UniqueConstraint(fields=["public"], name="witness_key_once"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(ended_at=None), name="witness_name_once"
            ),
        ]


class LedgerCosignature(models.Model):
    """A witness's signature line under a checkpoint; `at` is the second that it signed."""

    id = models.BigAutoField(primary_key=True)
    size = models.BigIntegerField()
    witness = models.ForeignKey(LedgerWitness, on_delete=models.PROTECT, related_name="+")
    line = models.TextField()
    at = models.DateTimeField()
    kept_at = models.DateTimeField()

    class Meta:
        """A witness signs a size once."""

        db_table = "ledger_cosignature"
        constraints = [models.UniqueConstraint(fields=["size", "witness"], name="cosignature_once")]
        indexes = [models.Index(fields=["witness", "size"], name="cosignature_by_witness")]


class LedgerGate(models.Model):
    """One row, only where the forum waits for its witnesses: what lies below it may be seen."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    size = models.BigIntegerField(default=0)

    class Meta:
        """A single row."""

        db_table = "ledger_gate"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_gate")]


class SigningKey(models.Model):
    """A public key of the exchange; retired and revoked ones stay for ever."""

    class Status(models.TextChoices):
        """How far its life has come (signing-and-ledger, section 4)."""

        NEXT = "next"
        ACTIVE = "active"
        RETIRED = "retired"
        REVOKED = "revoked"

    kid = models.TextField(primary_key=True)
    purpose = models.TextField()
    public = models.BinaryField()
    status = models.TextField(choices=Status, default=Status.ACTIVE)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        """One key signs for a purpose at a time."""

        db_table = "ledger_signing_key"
        constraints = [
            models.UniqueConstraint(
                fields=["purpose"],
                condition=models.Q(status="active"),
                name="one_active_key",
            )
        ]
