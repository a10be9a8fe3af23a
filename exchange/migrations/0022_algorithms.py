"""Algorithms and their review."""

from django.db import migrations


class Migration(migrations.Migration):
    """Algorithms and their review."""

    dependencies = [("exchange", "0021_pool")]
    operations = []
