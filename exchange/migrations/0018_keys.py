"""Keys that rotate, and archives that verify years later."""

import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "keys.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """Rows of this part; additive."""

    dependencies = [
        ("exchange", "0017_ledger"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Archive",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.TextField()),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("ordered", "Ordered"),
                            ("made", "Made"),
                            ("failed", "Failed"),
                            ("gone", "Gone"),
                        ],
                        default="ordered",
                    ),
                ),
                ("fault", models.TextField(default="")),
                ("order", models.BinaryField()),
                ("body", models.BinaryField(default=b"")),
                ("size", models.BigIntegerField(default=0)),
                ("digest", models.BinaryField(default=b"")),
                ("rows", models.IntegerField(default=0)),
                (
                    "parts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                ("ordered_at", models.DateTimeField()),
                ("made_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField()),
                ("taken_at", models.DateTimeField(null=True)),
                (
                    "member",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.member",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["user", "-ordered_at"], name="archive_of_user"),
                    models.Index(
                        condition=models.Q(("state__in", ["ordered", "made", "failed"])),
                        fields=["ends_at"],
                        name="archive_kept",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="delivery",
            name="key",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="exchange.signingkey",
            ),
        ),
        migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop),
    ]
