"""Files that are taken in parts, and column mappings that are remembered."""

from django.db import migrations


class Migration(migrations.Migration):
    """Files that are taken in parts, and column mappings that are remembered."""

    dependencies = [("exchange", "0015_intake")]
    operations = []
