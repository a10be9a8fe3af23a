"""What serving a page needs of the database."""

from django.db import migrations


class Migration(migrations.Migration):
    """What serving a page needs of the database."""

    dependencies = [("exchange", "0013_search")]
    operations = []
