"""The statistics lane: tables for all, and what they are made of for nobody."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "statistics.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """Tables, their row-level security, a trigger that lets them only grow; where a hold points."""

    dependencies = [("exchange", "0007_previews")]

    operations = [
        migrations.CreateModel(
            name="StatisticsTable",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("measure", models.TextField()),
                ("period", models.TextField()),
                ("due_at", models.DateTimeField()),
                ("digest", models.BinaryField()),
                (
                    "floor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="exchange.floorpolicy",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StatisticsCell",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("row", models.TextField()),
                ("figure", models.BigIntegerField(null=True)),
                (
                    "table",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cells",
                        to="exchange.statisticstable",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StatisticsBlock",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
                ("parts", models.JSONField()),
                (
                    "table",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="blocks",
                        to="exchange.statisticstable",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="statisticstable",
            constraint=models.UniqueConstraint(
                fields=("measure", "period"), name="one_table_of_a_quarter"
            ),
        ),
        migrations.AddConstraint(
            model_name="statisticscell",
            constraint=models.UniqueConstraint(fields=("table", "row"), name="one_cell_of_a_row"),
        ),
        migrations.AddConstraint(
            model_name="statisticsblock",
            constraint=models.UniqueConstraint(
                fields=("table", "name"), name="one_block_of_a_name"
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="places",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(), default=list, size=None
            ),
        ),
        migrations.RunSQL(SQL, "DROP FUNCTION IF EXISTS statistics_refuse() CASCADE"),
    ]
