"""The database's roles, and what each may do with the rows of who takes part."""

from django.db import migrations

ROLES = """
DO $$
DECLARE
    one text;
BEGIN
    PERFORM pg_advisory_xact_lock(1464157522);
    FOREACH one IN ARRAY ARRAY['weir_web', 'weir_worker', 'weir_sequencer'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = one) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', one);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        -- Who may create roles is a member of what it created, yet may not act as it.
        IF NOT pg_has_role(current_user, one, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', one);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', one);
    END LOOP;
END
$$;
"""

GRANTS = """
GRANT SELECT ON members_member, members_datakey, members_user, members_userrole, members_circle,
    members_circlemember, members_agreement, members_acceptance, members_credential,
    members_signinlink, members_invitation TO weir_web, weir_worker;
GRANT SELECT ON members_member, members_circle, members_circlemember TO weir_sequencer;
GRANT INSERT ON members_user, members_userrole, members_acceptance, members_credential,
    members_signinlink, members_invitation, members_circlemember TO weir_web;
GRANT UPDATE ON members_user, members_credential, members_signinlink, members_invitation,
    members_circlemember TO weir_web;
GRANT DELETE ON members_signinlink TO weir_web;
GRANT INSERT ON members_datakey TO weir_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON django_session, axes_accessattempt, axes_accesslog,
    axes_accessfailurelog, axes_accessattemptexpiration TO weir_web;
GRANT SELECT ON django_content_type, django_migrations TO weir_web, weir_worker, weir_sequencer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weir_web, weir_worker, weir_sequencer;
"""


class Migration(migrations.Migration):
    """Roles are the cluster's: they stay when the tables go."""

    dependencies = [
        ("members", "0001_initial"),
        ("sessions", "0001_initial"),
        ("axes", "0010_accessattemptexpiration"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunSQL(ROLES, migrations.RunSQL.noop),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
    ]
