"""The exchange itself contributes what its runs find."""

from django.db import migrations


class Migration(migrations.Migration):
    """The exchange itself contributes what its runs find."""

    dependencies = [("members", "0007_extracts")]
    operations = []
