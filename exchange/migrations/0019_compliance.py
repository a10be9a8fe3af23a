"""Exports of the compliance workspace, and the log of its views."""

from django.db import migrations


class Migration(migrations.Migration):
    """Exports of the compliance workspace, and the log of its views."""

    dependencies = [("exchange", "0018_keys")]
    operations = []
