"""The exchange itself contributes what its runs find."""

import django.db.models.manager
from django.db import migrations, models

import members.models

# Whatever a page forgets to ask: the exchange has no people, no key and no seat, and accepts nothing.
ALONE = """
CREATE FUNCTION weir_not_of_the_exchange() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM members_member one WHERE one.id = NEW.member_id AND one.is_exchange)
        THEN
            RAISE EXCEPTION 'The exchange has no people, no credential and no seat.'
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END
    $$;
CREATE TRIGGER not_of_the_exchange BEFORE INSERT OR UPDATE ON members_user
    FOR EACH ROW EXECUTE FUNCTION weir_not_of_the_exchange();
CREATE TRIGGER not_of_the_exchange BEFORE INSERT OR UPDATE ON members_invitation
    FOR EACH ROW EXECUTE FUNCTION weir_not_of_the_exchange();
CREATE TRIGGER not_of_the_exchange BEFORE INSERT OR UPDATE ON members_credential
    FOR EACH ROW EXECUTE FUNCTION weir_not_of_the_exchange();
CREATE TRIGGER not_of_the_exchange BEFORE INSERT OR UPDATE ON members_circlemember
    FOR EACH ROW EXECUTE FUNCTION weir_not_of_the_exchange();
CREATE TRIGGER not_of_the_exchange BEFORE INSERT OR UPDATE ON members_acceptance
    FOR EACH ROW EXECUTE FUNCTION weir_not_of_the_exchange();
"""
NOT_ALONE = """
DROP TRIGGER not_of_the_exchange ON members_user;
DROP TRIGGER not_of_the_exchange ON members_invitation;
DROP TRIGGER not_of_the_exchange ON members_credential;
DROP TRIGGER not_of_the_exchange ON members_circlemember;
DROP TRIGGER not_of_the_exchange ON members_acceptance;
DROP FUNCTION weir_not_of_the_exchange();
"""


class Migration(migrations.Migration):
    """The exchange itself contributes what its runs find."""

    dependencies = [("members", "0007_extracts")]
    operations = [
        migrations.AddField(
            model_name="member",
            name="is_exchange",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddConstraint(
            model_name="member",
            constraint=models.UniqueConstraint(
                fields=["is_exchange"],
                condition=models.Q(is_exchange=True),
                name="member_one_exchange",
            ),
        ),
        migrations.AddConstraint(
            model_name="member",
            constraint=models.CheckConstraint(
                condition=models.Q(is_exchange=False) | models.Q(state="active"),
                name="member_exchange_stays",
            ),
        ),
        migrations.RunSQL(ALONE, NOT_ALONE),
    ]
