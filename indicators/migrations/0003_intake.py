"""What is checked and indexed for each of ten thousand rows: what their contribution does not say."""

import django.db.models.deletion
from django.db import migrations, models


def member(*, index: bool) -> models.ForeignKey:
    """The member of a row, which is that of its contribution."""
    return models.ForeignKey(
        db_constraint=False,
        db_index=index,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="members.member",
    )


class Migration(migrations.Migration):
    """Indexes that another one covers go, and checks of a member whose contribution is checked."""

    dependencies = [("indicators", "0002_attributed"), ("members", "0006_owner")]
    operations = [
        migrations.AlterField("item", "member", member(index=False)),
        migrations.AlterField("observable", "member", member(index=False)),
        migrations.AlterField("original", "member", member(index=False)),
        migrations.AlterField("version", "member", member(index=True)),
        migrations.AlterField(
            "item",
            "contribution",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="items",
                to="indicators.contribution",
            ),
        ),
        migrations.AlterField(
            "version",
            "contribution",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="indicators.contribution",
            ),
        ),
        migrations.AlterField(
            "version",
            "object",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="indicators.forumobject",
            ),
        ),
    ]
