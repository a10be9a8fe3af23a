"""A scope for extracts."""

from django.db import migrations


class Migration(migrations.Migration):
    """A scope for extracts."""

    dependencies = [("members", "0006_owner")]
    operations = []
