"""By what renditions are found. Those that are there already: `manage.py search_fill`."""

from pathlib import Path

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models

import exchange.models.search

SQL = (Path(__file__).parent / "sql" / "search.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """Two tables that no role of the web reads, and the functions that read them for it."""

    dependencies = [("exchange", "0012_pages")]

    operations = [
        migrations.CreateModel(
            name="SearchEntry",
            fields=[
                (
                    "rendition",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="search_entry",
                        serialize=False,
                        to="exchange.rendition",
                    ),
                ),
                ("stix_type", models.TextField()),
                ("kind", models.TextField(default="")),
                (
                    "phases",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), default=list, size=None
                    ),
                ),
                (
                    "words",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), default=list, size=None
                    ),
                ),
                ("confidence", models.SmallIntegerField(null=True)),
                ("valid_from", models.DateTimeField(null=True)),
                ("valid_until", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        fields=["words"], name="search_by_word"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SearchValue",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("digest", models.BinaryField()),
                ("network", exchange.models.search.NetworkField(null=True)),
                (
                    "rendition",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="exchange.rendition",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["digest"], name="search_by_value"),
                    django.contrib.postgres.indexes.GistIndex(
                        condition=models.Q(("network__isnull", False)),
                        fields=["network"],
                        name="search_by_network",
                        opclasses=["inet_ops"],
                    ),
                ],
            },
        ),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
        # Versions of before the mark was kept; set too often, it only costs a look.
        migrations.RunSQL(
            "UPDATE exchange_rendition older SET has_later = true WHERE NOT has_later AND EXISTS ("
            "SELECT 1 FROM exchange_rendition newer WHERE newer.stix_id = older.stix_id "
            "AND newer.modified > older.modified)",
            migrations.RunSQL.noop,
        ),
    ]
