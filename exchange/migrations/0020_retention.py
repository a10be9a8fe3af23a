"""Acknowledgements, reminders, legal holds and clocks."""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from members.seals import for_member

SQL = (Path(__file__).parent / "sql" / "retention.sql").read_text(encoding="utf-8")

# Recalls that were told before are followed from now on; nobody is reminded of the old ones.
FOLLOW = """
INSERT INTO exchange_following (recall_id, release_id, part_id, recipient_id, is_told, via, reminded)
SELECT act.recall_id, act.id, part.id, part.recipient_id, act.count > 0, '', 0
FROM exchange_release act
JOIN exchange_releaserecipient part ON part.release_id = act.id
WHERE act.recall_id IS NOT NULL AND NOT act.circle_only AND part.recipient_id IS NOT NULL
    AND part.recipient_id IS DISTINCT FROM part.member_id
"""


def seal_answers(apps, schema_editor):
    """A written word beside an answer was kept in the clear: it is sealed, and the list's word stays."""
    rows = apps.get_model("exchange", "Feedback").objects.filter(answered_at__isnull=False)
    for row in rows.exclude(answer="recalled").iterator():
        aad = b"feedback:" + row.id.bytes
        row.sealed_note = for_member(row.member_id).seal(row.answer.encode(), aad=aad)
        row.answer = "stands"
        row.save(update_fields=["sealed_note", "answer"])


def foreign(to, *, null=False, related_name="+"):
    return models.ForeignKey(
        null=null, on_delete=django.db.models.deletion.PROTECT, related_name=related_name, to=to
    )


class Migration(migrations.Migration):
    """Acknowledgements, reminders, legal holds and clocks."""

    dependencies = [
        ("exchange", "0019_compliance"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="Following",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("recall", foreign("exchange.recall", related_name="followed")),
                ("release", foreign("exchange.release", related_name="followed")),
                (
                    "part",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="exchange.releaserecipient",
                    ),
                ),
                ("recipient", foreign("members.member")),
                ("is_told", models.BooleanField()),
                ("acknowledged_at", models.DateTimeField(null=True)),
                (
                    "via",
                    models.TextField(
                        choices=[("push", "Push"), ("page", "Page"), ("word", "Word")], default=""
                    ),
                ),
                ("user", foreign(settings.AUTH_USER_MODEL, null=True)),
                ("credential", foreign("members.credential", null=True)),
                ("reminded", models.SmallIntegerField(default=0)),
                ("next_at", models.DateTimeField(null=True)),
                ("escalated_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(acknowledged_at__isnull=True),
                        fields=["next_at"],
                        name="following_due",
                    ),
                    models.Index(
                        condition=models.Q(acknowledged_at__isnull=True),
                        fields=["recipient"],
                        name="following_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Mail",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("user", foreign(settings.AUTH_USER_MODEL)),
                ("kind", models.TextField()),
                ("at", models.DateTimeField()),
                ("tries", models.SmallIntegerField(default=0)),
                ("next_at", models.DateTimeField(null=True)),
                ("sent_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(sent_at__isnull=True),
                        fields=["next_at"],
                        name="mail_waiting",
                    )
                ],
            },
        ),
        migrations.AddField("feedback", "sealed_note", models.BinaryField(default=b"")),
        migrations.RunPython(seal_answers, migrations.RunPython.noop),
        migrations.AlterField(
            "feedback",
            "answer",
            models.TextField(
                choices=[
                    ("recalled", "Recalled"),
                    ("corrected", "Corrected"),
                    ("stands", "Stands"),
                    ("unclear", "Unclear"),
                ],
                default="",
            ),
        ),
        migrations.AddIndex(
            "servednote",
            models.Index(
                condition=models.Q(first_seq=models.F("last_seq")),
                fields=["recipient", "first_seq"],
                name="note_of_one",
            ),
        ),
        migrations.RunSQL(FOLLOW, migrations.RunSQL.noop),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
