"""A credential may have the scope of sending extracts."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """The closed list of scopes, with one more."""

    dependencies = [("members", "0006_owner")]

    operations = [
        migrations.RemoveConstraint(model_name="credential", name="credential_scopes"),
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "scopes__contained_by",
                        [
                            "taxii-read",
                            "taxii-write",
                            "api-read",
                            "api-write",
                            "ledger-read",
                            "tokens",
                            "extracts",
                        ],
                    ),
                    ("scopes__len__gt", 0),
                ),
                name="credential_scopes",
            ),
        ),
    ]
