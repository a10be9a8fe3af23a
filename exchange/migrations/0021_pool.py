"""Extracts and their keys."""

from django.db import migrations


class Migration(migrations.Migration):
    """Extracts and their keys."""

    dependencies = [("exchange", "0020_retention"), ("members", "0007_extracts")]
    operations = []
