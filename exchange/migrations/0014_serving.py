"""What serving a page needs of the database: one condition for all that is held, and names found."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """The functions of pages and of search, made anew on the same conditions."""

    dependencies = [("exchange", "0013_search")]
    operations = [
        migrations.RunSQL((SQL / name).read_text(encoding="utf-8"), migrations.RunSQL.noop)
        for name in ("page.sql", "pages.sql", "search.sql")
    ]
