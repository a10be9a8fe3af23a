from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("exchange", "0009_recalls")]

    operations: list = []
