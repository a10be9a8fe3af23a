"""The counsel's desk: a queue in turns, sealed texts, openings that need two officers."""

import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import exchange.models.desk
from members.seals import for_member

SQL = (Path(__file__).parent / "sql" / "desk.sql").read_text(encoding="utf-8")


def seal_texts(apps, schema_editor):
    """What was written in the clear so far is sealed with its contributor's key."""
    for row in apps.get_model("exchange", "HoldAct").objects.iterator():
        aad = b"hold-act:" + row.hold_id.bytes
        row.sealed = for_member(row.member_id).seal(row.reason.encode(), aad=aad)
        row.save(update_fields=["sealed"])
    for row in apps.get_model("exchange", "OriginalRead").objects.iterator():
        aad = b"original-read:%d" % row.version_id
        row.sealed = for_member(row.member_id).seal(row.reason.encode(), aad=aad)
        row.role = "forum-counsel"
        row.save(update_fields=["sealed", "role"])


def fill_holds(apps, schema_editor):
    """The type, and who has said yes, as the rows that are there tell it."""
    holds = apps.get_model("exchange", "Hold").objects
    for row in holds.select_related("outcome__version__object").iterator(chunk_size=2_000):
        row.stix_type = row.outcome.version.object.stix_type
        acts = row.acts.order_by("id").values_list("act", "role")
        row.approved = []
        for act, role in acts:
            row.approved = [] if act == "ask" else row.approved
            if act == "release" and role not in row.approved:
                row.approved.append(role)
        row.save(update_fields=["stix_type", "approved"])


class Migration(migrations.Migration):
    """Texts in the clear go; what they said is kept, sealed."""

    dependencies = [
        ("exchange", "0010_sightings"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField("hold", "stix_type", models.TextField(default="")),
        migrations.AddField("hold", "turn", models.BigIntegerField(default=1)),
        migrations.AddField(
            "hold",
            "approved",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(), default=list, size=None
            ),
        ),
        migrations.AddIndex(
            "outcome",
            models.Index(
                fields=["member"],
                condition=models.Q(
                    released_at__isnull=True, replaced=False, outcome__in=["accepted", "held"]
                ),
                name="outcome_waits",
            ),
        ),
        migrations.AddIndex(
            "hold",
            models.Index(
                fields=["turn", "id"],
                condition=models.Q(state__in=["open", "asked"]),
                name="hold_turns",
            ),
        ),
        migrations.AddIndex(
            "hold",
            models.Index(
                fields=["member", "turn"],
                condition=models.Q(state__in=["open", "asked"]),
                name="hold_turns_of_member",
            ),
        ),
        migrations.CreateModel(
            name="OriginalRequest",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("stix_id", models.TextField()),
                ("asked_at", models.DateTimeField()),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="indicators.version",
                    ),
                ),
                (
                    "member",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.member",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="OriginalWord",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("role", models.TextField()),
                ("is_yes", models.BooleanField()),
                ("sealed", models.BinaryField()),
                ("at", models.DateTimeField()),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="words",
                        to="exchange.originalrequest",
                    ),
                ),
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
        migrations.AddConstraint(
            "originalword",
            models.UniqueConstraint(fields=["request", "role"], name="one_word_of_a_role"),
        ),
        migrations.AddConstraint(
            "originalword",
            models.UniqueConstraint(fields=["request", "user"], name="one_word_of_a_person"),
        ),
        migrations.AddField("holdact", "sealed", models.BinaryField(default=b"")),
        migrations.AddField("originalread", "sealed", models.BinaryField(default=b"")),
        migrations.AddField("originalread", "role", models.TextField(default="")),
        migrations.AddField(
            "originalread",
            "request",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reads",
                to="exchange.originalrequest",
            ),
        ),
        migrations.AddField(
            "originalread",
            "written_in",
            models.BigIntegerField(db_default=exchange.models.desk.ThisTransaction()),
        ),
        migrations.RunPython(seal_texts, migrations.RunPython.noop),
        migrations.RunPython(fill_holds, migrations.RunPython.noop),
        migrations.RemoveField("holdact", "reason"),
        migrations.RemoveField("originalread", "reason"),
        migrations.AlterField("holdact", "sealed", models.BinaryField()),
        migrations.AlterField("originalread", "sealed", models.BinaryField()),
        migrations.AddIndex(
            "holdact", models.Index(fields=["user", "-at"], name="hold_act_of_user")
        ),
        migrations.AddIndex(
            "originalread", models.Index(fields=["member", "-at"], name="read_of_member")
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
