from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("members", "0005_token_scope")]

    operations = [
        migrations.AddField(model_name="member", name="owner", field=models.TextField(default="")),
    ]
