"""Acknowledgements, reminders, legal holds and clocks."""

from django.db import migrations


class Migration(migrations.Migration):
    """Acknowledgements, reminders, legal holds and clocks."""

    dependencies = [("exchange", "0019_compliance")]
    operations = []
