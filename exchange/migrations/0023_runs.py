"""Runs, findings, drafts."""

from django.db import migrations


class Migration(migrations.Migration):
    """Runs, findings, drafts."""

    dependencies = [("exchange", "0022_algorithms"), ("members", "0008_exchange")]
    operations = []
