"""Blind evaluation: what a member used of its quota, its calls, and alarms by volume."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "tokens.sql").read_text(encoding="utf-8")


def _of(model: str) -> models.ForeignKey:
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=f"members.{model}"
    )


class Migration(migrations.Migration):
    """Three tables of numbers, each with row-level security."""

    dependencies = [("exchange", "0005_drafts"), ("members", "0005_token_scope")]

    operations = [
        migrations.CreateModel(
            name="TokenDay",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("used", models.IntegerField(default=0)),
                ("refused", models.IntegerField(default=0)),
                ("member", _of("member")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("member", "day"), name="token_day_once"),
                    models.CheckConstraint(
                        condition=models.Q(("refused__gte", 0), ("used__gte", 0)),
                        name="token_day_counts",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TokenCall",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("epoch", models.TextField()),
                ("count", models.IntegerField()),
                ("is_charged", models.BooleanField()),
                ("at", models.DateTimeField()),
                ("circle", _of("circle")),
                ("credential", _of("credential")),
                ("member", _of("member")),
            ],
            options={
                "indexes": [models.Index(fields=["member", "-at"], name="token_call_newest")],
            },
        ),
        migrations.CreateModel(
            name="TokenAlarm",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                (
                    "kind",
                    models.TextField(
                        choices=[("share", "Share"), ("growth", "Growth"), ("quota", "Quota")]
                    ),
                ),
                ("at", models.DateTimeField()),
                ("member", _of("member")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("member", "day", "kind"), name="token_alarm_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["share", "growth", "quota"])),
                        name="token_alarm_kind",
                    ),
                ],
            },
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
