-- Runs and findings: a member sees its own drafts, and of a finding that it holds what found it.
-- Idempotent.
DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_run', 'exchange_finding', 'exchange_findingobject'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('REVOKE ALL ON %I FROM weir_web, weir_worker, weir_sequencer', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO weir_worker', one);
    END LOOP;
END
$$;
GRANT USAGE ON SEQUENCE exchange_findingobject_id_seq TO weir_worker, weir_web;

-- How runs ended is for who watches over the pool; nothing of what they read is in it.
DROP POLICY IF EXISTS watched ON exchange_run;
CREATE POLICY watched ON exchange_run TO weir_web USING (
    weir_acts_as('operator') OR weir_acts_as('forum-counsel') OR weir_acts_as('forum-officer'))
    WITH CHECK (weir_acts_as('operator'));
GRANT SELECT ON exchange_run TO weir_web;
GRANT UPDATE (seen_at, seen_by_id) ON exchange_run TO weir_web;

-- A draft is its member's, for those who may read an original of it.
DROP POLICY IF EXISTS own ON exchange_finding;
CREATE POLICY own ON exchange_finding TO weir_web
    USING (member_id = weir_member() AND weir_reads_algorithms())
    WITH CHECK (member_id = weir_member() AND weir_acts_as('analyst'));
GRANT SELECT (id, member_id, state, sealed, algorithms, made_at, changed_at, ended_at, ended_by_id,
    contribution_id) ON exchange_finding TO weir_web;
GRANT UPDATE (state, sealed, ended_at, ended_by_id, contribution_id) ON exchange_finding TO weir_web;
DROP POLICY IF EXISTS own ON exchange_findingobject;
CREATE POLICY own ON exchange_findingobject TO weir_web
    USING (member_id = weir_member()) WITH CHECK (member_id = weir_member());
GRANT SELECT, INSERT ON exchange_findingobject TO weir_web;

-- What found an object that I hold: algorithms, the run's name, the day, and which other objects
-- of the finding I hold. Of any other object there is no row, as of one that no run found.
CREATE OR REPLACE FUNCTION weir_found_by_run(named text)
    RETURNS TABLE (finding uuid, algorithms jsonb, run uuid, on_day date, objects text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF weir_active() IS NULL THEN
            RETURN;
        END IF;
        RETURN QUERY
        SELECT made.id, made.algorithms, made.run_id, (made.changed_at AT TIME ZONE 'UTC')::date,
            ARRAY(
                SELECT DISTINCT said.stix_id
                FROM exchange_findingobject part
                JOIN indicators_forumobject obj
                    ON obj.member_id = part.member_id AND obj.id_digest = part.id_digest
                JOIN exchange_rendition said ON said.object_id = obj.id
                JOIN exchange_releaseitem item ON item.rendition_id = said.id AND NOT item.recalled
                WHERE part.finding_id = made.id AND weir_holds(item.release_id)
                ORDER BY 1)
        FROM exchange_finding made
        WHERE made.id IN (
            SELECT part.finding_id
            FROM exchange_rendition said
            JOIN exchange_releaseitem item ON item.rendition_id = said.id AND NOT item.recalled
            JOIN indicators_forumobject obj ON obj.id = said.object_id
            JOIN exchange_findingobject part
                ON part.member_id = obj.member_id AND part.id_digest = obj.id_digest
            WHERE said.stix_id = weir_found_by_run.named AND weir_holds(item.release_id))
        ORDER BY made.id;
    END
    $$;
REVOKE ALL ON FUNCTION weir_found_by_run FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_found_by_run TO weir_web, weir_worker;
