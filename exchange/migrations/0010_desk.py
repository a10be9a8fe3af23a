from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("exchange", "0009_sightings")]

    operations: list = []
