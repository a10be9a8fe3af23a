"""Who contributed may be named, by its own choice."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Additive; nobody is named who did not ask for it."""

    dependencies = [("indicators", "0001_initial")]

    operations = [
        migrations.AddField(
            "contribution", "attributed", models.BooleanField(default=False, db_default=False)
        ),
    ]
