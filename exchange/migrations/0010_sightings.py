"""What changes over time: ends that lists may lack."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Rows of this part; additive."""

    dependencies = [("exchange", "0009_recalls")]

    operations = [
        migrations.AddField(
            model_name="missing",
            name="optional",
            field=models.BooleanField(default=False, db_default=False),
        ),
    ]
