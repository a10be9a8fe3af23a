"""Exports of the compliance workspace, the log of its views, and what was looked back at."""

import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "compliance.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """Exports of the compliance workspace, the log of its views, and what was looked back at."""

    dependencies = [("exchange", "0018_keys"), ("members", "0006_owner")]

    operations = [
        migrations.CreateModel(
            name="JudgedTable",
            fields=[
                (
                    "table",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="judged",
                        serialize=False,
                        to="exchange.statisticstable",
                    ),
                ),
                ("fault", models.TextField(default="")),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="VerdictDocument",
            fields=[
                ("digest", models.BinaryField(primary_key=True, serialize=False)),
                ("document", models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name="AnswerExport",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("question", models.TextField()),
                ("filters", models.JSONField(default=dict)),
                ("form", models.TextField()),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                    ),
                ),
                ("done", models.IntegerField(default=0)),
                ("cursor", models.TextField(default="")),
                ("failure", models.TextField(default="")),
                ("created_at", models.DateTimeField()),
                ("moved_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
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
        ),
        migrations.CreateModel(
            name="AnswerFile",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("n", models.IntegerField()),
                ("name", models.TextField()),
                ("media", models.TextField()),
                ("rows", models.IntegerField()),
                ("size", models.BigIntegerField()),
                ("digest", models.BinaryField()),
                ("sealed", models.BinaryField()),
                (
                    "parts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "export",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="files",
                        to="exchange.answerexport",
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
        ),
        migrations.CreateModel(
            name="Attestation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("stix_id", models.TextField()),
                ("rendition_digest", models.BinaryField()),
                ("tlp_received", models.TextField()),
                ("tlp_passed", models.TextField()),
                ("whom", models.TextField()),
                ("passed_on", models.DateField()),
                ("sealed", models.BinaryField()),
                ("text_digest", models.BinaryField()),
                ("at", models.DateTimeField()),
                (
                    "member",
                    models.ForeignKey(
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
        ),
        migrations.CreateModel(
            name="Inquiry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("sealed", models.BinaryField()),
                ("at", models.DateTimeField()),
                (
                    "member",
                    models.ForeignKey(
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
        ),
        migrations.CreateModel(
            name="LookBack",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("seen", models.BigIntegerField(default=0)),
                ("at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="one_look_back")
                ],
            },
        ),
        migrations.CreateModel(
            name="LookedBack",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("verdict", models.BinaryField(default=b"")),
                (
                    "classes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), default=list, size=None
                    ),
                ),
                (
                    "rules",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), default=list, size=None
                    ),
                ),
                ("fault", models.TextField(default="")),
                ("at", models.DateTimeField()),
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
                    "release",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="exchange.release",
                    ),
                ),
                (
                    "rendition",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="exchange.rendition",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Nature",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("is_public_body", models.BooleanField()),
                ("at", models.DateTimeField()),
                (
                    "member",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.member",
                    ),
                ),
                (
                    "stated_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="QuestionView",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("role", models.TextField()),
                ("question", models.TextField()),
                ("form", models.TextField()),
                ("filters", models.JSONField(default=dict)),
                ("at", models.DateTimeField()),
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
        ),
        migrations.AddIndex(
            model_name="answerexport",
            index=models.Index(fields=["user", "-created_at"], name="export_of_user"),
        ),
        migrations.AddIndex(
            model_name="answerexport",
            index=models.Index(
                condition=models.Q(("state__in", ["waiting", "running"])),
                fields=["moved_at"],
                name="export_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="answerfile",
            constraint=models.UniqueConstraint(fields=("export", "n"), name="answer_file_once"),
        ),
        migrations.AddIndex(
            model_name="attestation",
            index=models.Index(fields=["member", "-at"], name="attestation_of_member"),
        ),
        migrations.AddIndex(
            model_name="lookedback",
            index=models.Index(
                condition=models.Q(("fault", ""), _negated=True),
                fields=["id"],
                name="looked_back_fault",
            ),
        ),
        migrations.AddIndex(
            model_name="lookedback",
            index=models.Index(fields=["at"], name="looked_back_at"),
        ),
        migrations.AddConstraint(
            model_name="lookedback",
            constraint=models.UniqueConstraint(
                fields=("release", "rendition"), name="looked_back_once"
            ),
        ),
        migrations.AddIndex(
            model_name="questionview",
            index=models.Index(fields=["member", "-id"], name="question_view_newest"),
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
