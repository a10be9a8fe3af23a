"""The operator's numbers, counted by the database on its behalf."""

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).parent / "sql" / "health.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):
    """One function that answers to the operator alone."""

    dependencies = [("exchange", "0002_rows")]
    operations = [
        migrations.RunSQL(SQL, reverse_sql="DROP FUNCTION IF EXISTS weir_health()"),
    ]
