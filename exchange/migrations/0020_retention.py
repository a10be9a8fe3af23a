"""Acknowledgements, reminders, legal holds and clocks."""

import uuid
from pathlib import Path

import django.contrib.postgres.fields
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
        migrations.CreateModel(
            name='PersonRequest',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('access', 'Access'), ('erasure', 'Erasure')])),
                ('state', models.TextField(choices=[('asked', 'Asked'), ('refused', 'Refused'), ('approved', 'Approved'), ('done', 'Done')], default='asked')),
                ('sealed', models.BinaryField()),
                ('asked_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(null=True)),
                ('sealed_decision', models.BinaryField(default=b'')),
                ('objects_found', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None)),
                ('names_received', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ('after', models.BigIntegerField(default=0)),
                ('searched_at', models.DateTimeField(null=True)),
                ('done_at', models.DateTimeField(null=True)),
                ('asked_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.CreateModel(
            name='Erasure',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('ground', models.TextField(choices=[('request', 'Request'), ('clock', 'Clock')])),
                ('objects_erased', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None)),
                ('indexes', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None)),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None)),
                ('at', models.DateTimeField()),
                ('recorded_at', models.DateTimeField(null=True)),
                ('done_at', models.DateTimeField(null=True)),
                ('request', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='erasures', to='exchange.personrequest')),
            ],
        ),
        migrations.CreateModel(
            name='KeptList',
            fields=[
                ('contribution_id', models.UUIDField(primary_key=True, serialize=False)),
                ('sealed', models.BinaryField()),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
            ],
        ),
        migrations.CreateModel(
            name='RetentionRun',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('clock', models.TextField()),
                ('at', models.DateTimeField()),
                ('before', models.DateTimeField()),
                ('count', models.IntegerField()),
            ],
            options={
                'indexes': [models.Index(fields=['clock', '-at'], name='run_of_clock')],
            },
        ),
        migrations.CreateModel(
            name='LegalHold',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.TextField(choices=[('contribution', 'Contribution'), ('object', 'Object'), ('campaign', 'Campaign'), ('member', 'Member'), ('period', 'Period')])),
                ('contribution_id', models.UUIDField(null=True)),
                ('objects_held', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None)),
                ('since', models.DateTimeField(null=True)),
                ('until', models.DateTimeField(null=True)),
                ('sealed_reason', models.BinaryField()),
                ('of_forum', models.BooleanField()),
                ('at', models.DateTimeField()),
                ('lifted_at', models.DateTimeField(null=True)),
                ('sealed_lift', models.BinaryField(default=b'')),
                ('lifted_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('member', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='members.member')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('lifted_at__isnull', True)), fields=['kind'], name='legal_hold_stands')],
            },
        ),
        migrations.AddIndex(
            model_name='personrequest',
            index=models.Index(condition=models.Q(('state__in', ['asked', 'approved'])), fields=['asked_at'], name='request_to_do'),
        ),
        migrations.AddConstraint(
            model_name='personrequest',
            constraint=models.CheckConstraint(condition=models.Q(('decided_by__isnull', True), models.Q(('decided_by', models.F('asked_by')), _negated=True), _connector='OR'), name='request_two_people'),
        ),
        migrations.AddIndex(
            model_name='erasure',
            index=models.Index(condition=models.Q(('done_at__isnull', True)), fields=['at'], name='erasure_to_do'),
        ),
        migrations.RunSQL(FOLLOW, migrations.RunSQL.noop),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
