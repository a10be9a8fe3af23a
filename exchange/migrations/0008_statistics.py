from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("exchange", "0007_previews")]

    operations: list = []
