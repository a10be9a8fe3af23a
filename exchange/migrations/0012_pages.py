"""Sealed pages, and the marks by which a walk passes over what has a later version."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

SQL = Path(__file__).with_name("sql") / "pages.sql"


class Migration(migrations.Migration):
    """Additive."""

    dependencies = [("exchange", "0011_desk")]

    operations = [
        migrations.AddField(
            "rendition", "has_later", models.BooleanField(default=False, db_default=False)
        ),
        migrations.AddField("release", "changes", models.IntegerField(default=0, db_default=0)),
        migrations.AlterField(
            "releaseitem",
            "release",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="items",
                to="exchange.release",
            ),
        ),
        migrations.AddIndex(
            "releaseitem",
            models.Index(
                fields=["release", "position"],
                condition=models.Q(superseded=False),
                name="item_current",
            ),
        ),
        migrations.CreateModel(
            name="SealedPage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("after", models.BigIntegerField()),
                ("until", models.BigIntegerField()),
                ("signature", models.BinaryField()),
                ("digest", models.BinaryField()),
                ("count", models.IntegerField()),
                ("first_number", models.BigIntegerField()),
                (
                    "back",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                (
                    "circle",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.circle",
                    ),
                ),
                (
                    "member",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.member",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["digest"], name="page_by_digest")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("member", "circle", "after"),
                        name="page_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.RunSQL(SQL.read_text(encoding="utf-8"), migrations.RunSQL.noop),
    ]
