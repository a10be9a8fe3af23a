"""A credential may have the scope of turning values into tokens."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """The closed list of scopes, with one more."""

    dependencies = [("members", "0004_roles_apart")]

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
                        ],
                    ),
                    ("scopes__len__gt", 0),
                ),
                name="credential_scopes",
            ),
        ),
    ]
