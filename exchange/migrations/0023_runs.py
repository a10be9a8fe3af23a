"""Runs, findings, drafts."""

import uuid
from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "runs.sql").read_text(encoding="utf-8")


def found_exchange(apps, schema_editor):
    """A forum that was founded before there was a pool gets the row as which it contributes."""
    forum = apps.get_model("exchange", "Forum").objects.first()
    members = apps.get_model("members", "Member")._base_manager
    if forum is not None and not members.filter(is_exchange=True).exists():
        members.create(
            id=uuid.uuid4(),
            name="The exchange (pool)",
            slug="the-exchange-pool",
            joined_at=forum.created_at,
            is_exchange=True,
        )


class Migration(migrations.Migration):
    """Runs, findings, drafts."""

    dependencies = [
        ("exchange", "0022_algorithms"),
        ("members", "0008_exchange"),
        ("indicators", "0003_intake"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("number", models.BigIntegerField(unique=True)),
                ("at", models.DateTimeField()),
                ("state", models.TextField(choices=[("done", "Done"), ("stopped", "Stopped"), ("failed", "Failed")])),
                ("inputs", models.BinaryField()),
                ("extracts", models.IntegerField(default=0)),
                ("rows", models.IntegerField(default=0)),
                ("largest", models.IntegerField(default=0)),
                ("left_out", models.IntegerField(default=0)),
                ("engine", models.TextField()),
                ("algorithms", models.JSONField(default=list)),
                ("seen_at", models.DateTimeField(null=True)),
                ("seen_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "indexes": [models.Index(fields=["-number"], name="run_newest")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("state__in", ["done", "stopped", "failed"])), name="run_state")
                ],
            },
        ),
        migrations.CreateModel(
            name="Finding",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.TextField(unique=True)),
                ("state", models.TextField(choices=[("open", "Open"), ("sent", "Sent"), ("dropped", "Dropped")], default="open")),
                ("memory", models.BinaryField()),
                ("sealed", models.BinaryField(default=b"")),
                ("algorithms", models.JSONField(default=list)),
                ("made_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("contribution", models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="indicators.contribution")),
                ("ended_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("first_run", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="exchange.run")),
                ("member", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="members.member")),
                ("run", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="exchange.run")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["member", "state", "-made_at"], name="finding_of_member"),
                    models.Index(fields=["changed_at"], name="finding_changed"),
                ],
            },
        ),
        migrations.CreateModel(
            name="FindingObject",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("id_digest", models.BinaryField()),
                ("sealed_id", models.BinaryField()),
                ("finding", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="objects_made", to="exchange.finding")),
                ("member", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="members.member")),
            ],
            options={
                "indexes": [models.Index(fields=["member", "id_digest"], name="finding_of_object")],
                "constraints": [
                    models.UniqueConstraint(fields=("finding", "id_digest"), name="finding_object_once")
                ],
            },
        ),
        migrations.RunPython(found_exchange, migrations.RunPython.noop),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
