"""What intake at speed needs of the database."""

from django.db import migrations


class Migration(migrations.Migration):
    """What intake at speed needs of the database."""

    dependencies = [("exchange", "0014_serving")]
    operations = []
