from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("exchange", "0010_sightings")]

    operations: list = []
