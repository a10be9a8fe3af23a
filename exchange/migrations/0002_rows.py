"""What the database itself enforces: row-level security, grants, the append-only ledger."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).with_name("sql")


class Migration(migrations.Migration):
    """Each file is idempotent, so that a later migration may run it again."""

    dependencies = [
        ("exchange", "0001_initial"),
        ("indicators", "0001_initial"),
        ("members", "0002_roles"),
    ]

    operations = [
        migrations.RunSQL(
            (SQL / "published.sql").read_text(encoding="utf-8"), migrations.RunSQL.noop
        ),
        migrations.RunSQL((SQL / "page.sql").read_text(encoding="utf-8"), migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "rows.sql").read_text(encoding="utf-8"), migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "ledger.sql").read_text(encoding="utf-8"), migrations.RunSQL.noop),
    ]
