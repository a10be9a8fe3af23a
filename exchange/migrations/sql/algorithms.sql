-- Algorithms: what is told of one, and who reads its text. Idempotent.

-- Analysts, officers and counsel, of a member; an administrator reads no algorithm.
CREATE OR REPLACE FUNCTION weir_reads_algorithms() RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT weir_acts_as('analyst') OR weir_acts_as('officer') OR weir_acts_as('counsel') $$;

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_algorithm', 'exchange_algorithmtext',
                               'exchange_algorithmact', 'exchange_dryrun'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO weir_worker', one);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO weir_web', one);
        -- A member's own, by those who may read an original of it.
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I FOR SELECT TO weir_web '
                       'USING (member_id = weir_member() AND weir_reads_algorithms())', one);
        -- The forum's counsel reviews; what is shipped is the forum's.
        EXECUTE format('DROP POLICY IF EXISTS reviewed ON %I', one);
        EXECUTE format('CREATE POLICY reviewed ON %I FOR SELECT TO weir_web '
                       'USING (weir_acts_as(''forum-counsel''))', one);
    END LOOP;
END
$$;
GRANT UPDATE ON exchange_algorithm TO weir_web;
GRANT UPDATE (sealed, sealed_tests, given) ON exchange_algorithmtext TO weir_web;
REVOKE UPDATE ON exchange_algorithmact FROM weir_worker;

-- Each side writes the steps that are its own: a member's people end with their approval, the
-- forum's counsel with the review, and the operator alone puts in force.
DROP POLICY IF EXISTS written ON exchange_algorithm;
CREATE POLICY written ON exchange_algorithm FOR INSERT TO weir_web
    WITH CHECK (member_id = weir_member() AND weir_reads_algorithms()
                AND author_id = weir_user() AND state = 'draft');
DROP POLICY IF EXISTS moved ON exchange_algorithm;
CREATE POLICY moved ON exchange_algorithm FOR UPDATE TO weir_web
    USING (member_id = weir_member() AND weir_reads_algorithms())
    WITH CHECK (member_id = weir_member()
                AND state IN ('draft', 'submitted', 'approved', 'discarded', 'withdrawn'));
DROP POLICY IF EXISTS judged ON exchange_algorithm;
CREATE POLICY judged ON exchange_algorithm FOR UPDATE TO weir_web
    USING (weir_acts_as('forum-counsel') AND state IN ('approved', 'reviewed', 'active', 'suspended'))
    WITH CHECK (weir_acts_as('forum-counsel')
                AND (state IN ('draft', 'reviewed', 'withdrawn')
                     OR (state = 'active' AND activated_at IS NOT NULL)));
DROP POLICY IF EXISTS run ON exchange_algorithm;
CREATE POLICY run ON exchange_algorithm FOR SELECT TO weir_web USING (
    weir_acts_as('operator') AND state IN ('reviewed', 'active', 'suspended', 'withdrawn', 'replaced'));
DROP POLICY IF EXISTS activated ON exchange_algorithm;
CREATE POLICY activated ON exchange_algorithm FOR UPDATE TO weir_web
    USING (weir_acts_as('operator') AND state IN ('reviewed', 'active', 'suspended'))
    WITH CHECK (weir_acts_as('operator') AND state IN ('active', 'replaced'));

DROP POLICY IF EXISTS written ON exchange_algorithmtext;
CREATE POLICY written ON exchange_algorithmtext FOR INSERT TO weir_web
    WITH CHECK (member_id = weir_member() AND weir_reads_algorithms() AND given = '');
DROP POLICY IF EXISTS moved ON exchange_algorithmtext;
CREATE POLICY moved ON exchange_algorithmtext FOR UPDATE TO weir_web
    USING (member_id = weir_member() AND weir_reads_algorithms())
    WITH CHECK (member_id = weir_member() AND given = '');
DROP POLICY IF EXISTS judged ON exchange_algorithmtext;
CREATE POLICY judged ON exchange_algorithmtext FOR UPDATE TO weir_web
    USING (weir_acts_as('forum-counsel')) WITH CHECK (weir_acts_as('forum-counsel'));

-- Who writes an act writes it in his own name.
DROP POLICY IF EXISTS said ON exchange_algorithmact;
CREATE POLICY said ON exchange_algorithmact FOR INSERT TO weir_web WITH CHECK (
    user_id = weir_user() AND weir_acts_as(role)
    AND (role IN ('forum-counsel', 'operator') OR member_id = weir_member()));

DROP POLICY IF EXISTS spoken ON exchange_algorithmact;
CREATE POLICY spoken ON exchange_algorithmact FOR SELECT TO weir_web USING (user_id = weir_user());

DROP POLICY IF EXISTS asked ON exchange_dryrun;
CREATE POLICY asked ON exchange_dryrun FOR INSERT TO weir_web WITH CHECK (
    user_id = weir_user() AND state = 'waiting' AND rows_bucket = ''
    AND (weir_acts_as('forum-counsel')
         OR (member_id = weir_member() AND weir_reads_algorithms())));
DROP POLICY IF EXISTS run ON exchange_dryrun;
CREATE POLICY run ON exchange_dryrun FOR SELECT TO weir_web USING (weir_acts_as('operator'));

-- What came to its end stays as it is, and a text that somebody approved is not written anew.
CREATE OR REPLACE FUNCTION weir_algorithm_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state IN ('withdrawn', 'replaced', 'discarded')
            OR NEW.member_id IS DISTINCT FROM OLD.member_id
            OR (OLD.state <> 'draft' AND (NEW.digest <> OLD.digest OR NEW.version <> OLD.version
                OR NEW.document_id <> OLD.document_id OR NEW.runs_on <> OLD.runs_on
                OR NEW.valid_days <> OLD.valid_days))
            OR (OLD.activated_at IS NOT NULL AND NEW.valid_until IS DISTINCT FROM OLD.valid_until) THEN
        RAISE EXCEPTION 'An algorithm that left its author stays as it is.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER stays BEFORE UPDATE OR DELETE ON exchange_algorithm
    FOR EACH ROW EXECUTE FUNCTION weir_algorithm_stays();

CREATE OR REPLACE FUNCTION weir_algorithm_text_stays() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR ((NEW.sealed <> OLD.sealed OR NEW.sealed_tests <> OLD.sealed_tests)
            AND NOT EXISTS (SELECT 1 FROM exchange_algorithm one
                            WHERE one.id = OLD.algorithm_id AND one.state = 'draft')) THEN
        RAISE EXCEPTION 'The text of an algorithm that left its author stays as it is.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER stays BEFORE UPDATE OR DELETE ON exchange_algorithmtext
    FOR EACH ROW EXECUTE FUNCTION weir_algorithm_text_stays();
REVOKE ALL ON FUNCTION weir_algorithm_text_stays() FROM PUBLIC;

-- Those in force, as every member and the forum's people may know them: never whose they are. The
-- document only of those that run on a member's log; parameters of the others stay here.
CREATE OR REPLACE FUNCTION weir_algorithms_in_force(today date)
    RETURNS TABLE (id uuid, document_id uuid, version integer, kind text, detector text,
                   runs_on text, title text, look_alikes text[], base_rate text, digest bytea,
                   valid_until date, activated_at timestamptz, given bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    BEGIN
        RETURN QUERY
        SELECT one.id, one.document_id, one.version, one.kind, one.detector, one.runs_on, one.title,
            one.look_alikes::text[], one.base_rate, one.digest, one.valid_until, one.activated_at,
            CASE WHEN one.runs_on IN ('log', 'both') THEN said.given ELSE ''::bytea END
        FROM exchange_algorithm one
        JOIN exchange_algorithmtext said ON said.algorithm_id = one.id
        WHERE one.state = 'active' AND one.valid_until >= today
          AND (weir_member() IS NOT NULL OR weir_acts_as('forum-counsel')
               OR weir_acts_as('forum-officer') OR weir_acts_as('operator'))
        ORDER BY one.document_id, one.version;
    END
    $$;
REVOKE ALL ON FUNCTION weir_algorithms_in_force(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_algorithms_in_force(date) TO weir_web;

-- Those that are or were in force, by id of a row or of a document: a finding names what found it
-- for as long as it is read. The document goes with its force.
CREATE OR REPLACE FUNCTION weir_algorithms_known(wanted uuid[])
    RETURNS TABLE (id uuid, document_id uuid, version integer, kind text, detector text,
                   runs_on text, title text, look_alikes text[], base_rate text, digest bytea,
                   valid_until date, activated_at timestamptz, given bytea, state text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    BEGIN
        RETURN QUERY
        SELECT one.id, one.document_id, one.version, one.kind, one.detector, one.runs_on, one.title,
            one.look_alikes::text[], one.base_rate, one.digest, one.valid_until, one.activated_at,
            CASE WHEN one.runs_on IN ('log', 'both') AND one.state = 'active'
                THEN said.given ELSE ''::bytea END, one.state
        FROM exchange_algorithm one
        JOIN exchange_algorithmtext said ON said.algorithm_id = one.id
        WHERE one.activated_at IS NOT NULL
          AND (one.id = ANY(wanted) OR one.document_id = ANY(wanted))
          AND (weir_member() IS NOT NULL OR weir_acts_as('forum-counsel')
               OR weir_acts_as('forum-officer') OR weir_acts_as('operator'))
        ORDER BY one.document_id, one.version, one.activated_at;
    END
    $$;
REVOKE ALL ON FUNCTION weir_algorithms_known(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_algorithms_known(uuid[]) TO weir_web;

-- Whether an id is in force, whoever's it is: ids of those in force are known to all.
CREATE OR REPLACE FUNCTION weir_algorithm_is_anothers(wanted uuid, whose uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN EXISTS (SELECT 1 FROM exchange_algorithm one
                       WHERE one.document_id = wanted AND one.activated_at IS NOT NULL
                         AND one.member_id IS DISTINCT FROM whose);
    END
    $$;
REVOKE ALL ON FUNCTION weir_algorithm_is_anothers(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_algorithm_is_anothers(uuid, uuid) TO weir_web;

-- How often a document was tried on a day, over all its versions and whoever asked.
CREATE OR REPLACE FUNCTION weir_dry_runs(wanted uuid, on_day date) RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN (SELECT count(*) FROM exchange_dryrun one
                WHERE one.document_id = wanted AND one.day = on_day);
    END
    $$;
REVOKE ALL ON FUNCTION weir_dry_runs(uuid, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_dry_runs(uuid, date) TO weir_web;

GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weir_web, weir_worker;
