from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("exchange", "0003_health")]

    operations = [
        migrations.RenameField(model_name="hold", old_name="basis", new_name="reason"),
        migrations.AddField(
            model_name="hold", name="basis", field=models.TextField(default="")
        ),
    ]
