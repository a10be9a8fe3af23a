"""Roles of the forum and roles of a member never meet in one person."""

from django.db import migrations

APART = """
CREATE FUNCTION members_role_apart() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_forum boolean;
BEGIN
    SELECT member_id IS NULL INTO of_forum FROM members_user WHERE id = NEW.user_id;
    IF of_forum AND NEW.role IN ('analyst', 'administrator')
            OR NOT of_forum AND NEW.role = 'operator' THEN
        RAISE EXCEPTION 'this person cannot have the role %', NEW.role
            USING ERRCODE = 'check_violation', CONSTRAINT = 'role_apart';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER role_apart BEFORE INSERT OR UPDATE ON members_userrole
    FOR EACH ROW EXECUTE FUNCTION members_role_apart();

-- "counsel" means another role once its person is of the forum, so nobody changes sides.
CREATE FUNCTION members_user_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a person stays with its member'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'user_stays';
END
$$;
CREATE TRIGGER user_stays BEFORE UPDATE ON members_user
    FOR EACH ROW WHEN (OLD.member_id IS DISTINCT FROM NEW.member_id)
    EXECUTE FUNCTION members_user_stays();
"""

TOGETHER = """
DROP TRIGGER user_stays ON members_user;
DROP FUNCTION members_user_stays();
DROP TRIGGER role_apart ON members_userrole;
DROP FUNCTION members_role_apart();
"""


class Migration(migrations.Migration):
    """What a check cannot say, for it looks at two tables."""

    dependencies = [("members", "0003_constraints")]

    operations = [migrations.RunSQL(APART, TOGETHER)]
