"""What intake at speed needs of the database."""

import django.db.models.deletion
from django.db import migrations, models

PROTECT, CASCADE = django.db.models.deletion.PROTECT, django.db.models.deletion.CASCADE
# What is sealed, or a list of digests, is no smaller for being compressed.
SQL = """
ALTER TABLE exchange_release
    ALTER COLUMN told SET STORAGE EXTERNAL,
    ALTER COLUMN slots SET STORAGE EXTERNAL,
    ALTER COLUMN listing SET STORAGE EXTERNAL;
ALTER TABLE indicators_submission ALTER COLUMN sealed SET STORAGE EXTERNAL;
"""


class Migration(migrations.Migration):
    """Checks and indexes go that cost more for each of ten thousand rows than they guard or find.

    The circle, member and floor of an outcome are those of its contribution and act; the object of
    a rendition is that of its version; rows of the search index are written with their rendition.
    """

    dependencies = [
        ("exchange", "0014_serving"),
        ("indicators", "0003_intake"),
        ("members", "0006_owner"),
    ]
    operations = [
        migrations.AlterField(
            "outcome",
            "circle",
            models.ForeignKey(
                db_constraint=False, db_index=False, on_delete=PROTECT, related_name="+",
                to="members.circle",
            ),
        ),
        migrations.AlterField(
            "outcome",
            "floor",
            models.ForeignKey(
                db_constraint=False, db_index=False, on_delete=PROTECT, related_name="+",
                to="exchange.floorpolicy",
            ),
        ),
        migrations.AlterField(
            "outcome",
            "member",
            models.ForeignKey(
                db_constraint=False, on_delete=PROTECT, related_name="+", to="members.member"
            ),
        ),
        migrations.AlterField(
            "outcome",
            "version",
            models.ForeignKey(
                db_index=False, on_delete=PROTECT, related_name="outcomes", to="indicators.version"
            ),
        ),
        migrations.AlterField(
            "rendition",
            "object",
            models.ForeignKey(
                db_constraint=False, db_index=False, null=True, on_delete=PROTECT,
                related_name="renditions", to="indicators.forumobject",
            ),
        ),
        migrations.AlterField(
            "searchentry",
            "rendition",
            models.OneToOneField(
                db_constraint=False, on_delete=CASCADE, primary_key=True,
                related_name="search_entry", serialize=False, to="exchange.rendition",
            ),
        ),
        migrations.AlterField(
            "searchvalue",
            "rendition",
            models.ForeignKey(
                db_constraint=False, on_delete=CASCADE, related_name="+", to="exchange.rendition"
            ),
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
