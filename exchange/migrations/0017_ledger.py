"""What the ledger gained: cosigning, export and full checks."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

SQL = Path(__file__).with_name("sql")


class Migration(migrations.Migration):
    """What the ledger gained: cosigning, export and full checks."""

    dependencies = [("exchange", "0016_files")]
    operations = [
        migrations.CreateModel(
            name="LedgerGate",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("size", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "ledger_gate",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="one_gate")
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerWitness",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
                ("public", models.BinaryField()),
                ("added_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "member",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.member",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_witness",
            },
        ),
        migrations.CreateModel(
            name="LedgerCosignature",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("size", models.BigIntegerField()),
                ("line", models.TextField()),
                ("at", models.DateTimeField()),
                ("kept_at", models.DateTimeField()),
                (
                    "witness",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="exchange.ledgerwitness",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_cosignature",
            },
        ),
        migrations.AddConstraint(
            model_name="ledgerwitness",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None)), fields=("member",), name="one_witness"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerwitness",
            constraint=models.UniqueConstraint(fields=("public",), name="witness_key_once"),
        ),
        migrations.AddConstraint(
            model_name="ledgerwitness",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None)), fields=("name",), name="witness_name_once"
            ),
        ),
        migrations.AddIndex(
            model_name="ledgercosignature",
            index=models.Index(fields=["witness", "size"], name="cosignature_by_witness"),
        ),
        migrations.AddConstraint(
            model_name="ledgercosignature",
            constraint=models.UniqueConstraint(fields=("size", "witness"), name="cosignature_once"),
        ),
        *(
            migrations.RunSQL((SQL / name).read_text(encoding="utf-8"), migrations.RunSQL.noop)
            # The three in between read what is published by one function, where they looked it up.
            for name in ("published.sql", "page.sql", "pages.sql", "search.sql", "witnesses.sql")
        ),
    ]
