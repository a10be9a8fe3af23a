"""What changes over time: ends that lists may lack, and sightings that leave as one."""

import uuid
from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

SQL = (Path(__file__).parent / "sql" / "sightings.sql").read_text(encoding="utf-8")


def _row_of(model):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=model
    )


class Migration(migrations.Migration):
    """Rows of this part; additive."""

    dependencies = [("exchange", "0009_recalls")]

    operations = [
        migrations.AddField(
            model_name="missing",
            name="optional",
            field=models.BooleanField(default=False, db_default=False),
        ),
        migrations.AddField(
            model_name="missing",
            name="act",
            field=models.TextField(
                choices=[
                    ("", "an end that was missing"),
                    ("day", "the decade of a sum is another"),
                    ("join", "a newcomer, to whom its contributor lets go what is live"),
                    ("again", "released again under a loosened policy"),
                ],
                db_default="",
                default="",
            ),
        ),
        migrations.CreateModel(
            name="Fold",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.BinaryField()),
                ("total", models.BinaryField()),
                ("shown", models.BinaryField(null=True)),
                ("shown_on", models.DateField(null=True)),
                ("changed", models.BooleanField(default=False)),
                ("ended", models.BooleanField(default=False)),
                ("circle", _row_of("members.circle")),
                ("member", _row_of("members.member")),
                ("object", _row_of("indicators.forumobject")),
            ],
        ),
        migrations.CreateModel(
            name="FoldPart",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("sealed", models.BinaryField()),
                ("gone", models.BooleanField(default=False)),
                (
                    "fold",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="exchange.fold",
                    ),
                ),
                ("member", _row_of("members.member")),
                ("object", _row_of("indicators.forumobject")),
            ],
        ),
        migrations.AddIndex(
            model_name="fold",
            index=models.Index(
                condition=models.Q(("changed", True), ("ended", False)),
                fields=["id"],
                name="fold_changed",
            ),
        ),
        migrations.AddConstraint(
            model_name="fold",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended", False)),
                fields=("member", "circle", "key"),
                name="one_open_fold",
            ),
        ),
        migrations.AddConstraint(
            model_name="foldpart",
            constraint=models.UniqueConstraint(fields=("fold", "object"), name="fold_part_once"),
        ),
        migrations.CreateModel(
            name="Backfill",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("after", models.BigIntegerField(default=0)),
                ("done_at", models.DateTimeField(null=True)),
                (
                    "seat",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.circlemember",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="backfill",
            index=models.Index(
                condition=models.Q(("done_at__isnull", True)), fields=["id"], name="backfill_open"
            ),
        ),
        migrations.CreateModel(
            name="ReleaseAgain",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("preview_id", models.UUIDField()),
                ("at", models.DateTimeField()),
                ("after", models.BigIntegerField(default=0)),
                ("objects_again", models.IntegerField(default=0)),
                ("done_at", models.DateTimeField(null=True)),
                ("member", _row_of("members.member")),
                ("user", _row_of("members.user")),
            ],
        ),
        migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop),
    ]
