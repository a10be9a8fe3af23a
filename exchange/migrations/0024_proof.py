"""What the tamper tests asked for."""

from django.db import migrations


class Migration(migrations.Migration):
    """What the tamper tests asked for."""

    dependencies = [("exchange", "0023_runs")]
    operations = []
