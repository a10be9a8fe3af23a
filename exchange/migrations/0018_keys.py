"""Keys that rotate, and archives that verify years later."""

from django.db import migrations


class Migration(migrations.Migration):
    """Keys that rotate, and archives that verify years later."""

    dependencies = [("exchange", "0017_ledger")]
    operations = []
