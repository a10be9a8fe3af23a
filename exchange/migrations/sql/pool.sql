-- Extracts: a member sends and sees its own statuses. Sealed bytes and keys the web may put down and
-- never read; the worker reads both, and only that of the queue `pool` has the key that opens them.
DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_extract', 'exchange_sealedextract', 'exchange_extractkey',
                               'exchange_extracttry', 'exchange_extractview'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I TO weir_web '
                       'USING (member_id = weir_member()) WITH CHECK (member_id = weir_member())', one);
        EXECUTE format('REVOKE ALL ON %I FROM weir_web, weir_worker, weir_sequencer', one);
    END LOOP;
END
$$;
GRANT SELECT, INSERT ON exchange_extract, exchange_extracttry, exchange_extractview TO weir_web;
GRANT UPDATE (state, ended_at) ON exchange_extract TO weir_web;
GRANT UPDATE (tried, refused) ON exchange_extracttry TO weir_web;
GRANT INSERT, DELETE, SELECT (id, extract_id, member_id, day) ON exchange_sealedextract TO weir_web;
GRANT INSERT, DELETE, SELECT (id, member_id, day) ON exchange_extractkey TO weir_web;
GRANT SELECT, UPDATE (state, ended_at) ON exchange_extract TO weir_worker;
GRANT SELECT, DELETE ON exchange_sealedextract, exchange_extractkey, exchange_extracttry TO weir_worker;
GRANT SELECT, UPDATE (state, made_at, sealed, key) ON exchange_extractview TO weir_worker;
GRANT UPDATE (extracted, extract_refused) ON exchange_tokenday TO weir_web;

-- Whether a file was sent before: by another member, or by this one for another day.
CREATE OR REPLACE FUNCTION weir_extract_elsewhere(file bytea, on_day date)
    RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT CASE WHEN bool_or(sent.member_id <> weir_member()) THEN 'other'
                    WHEN bool_or(sent.day <> on_day) THEN 'again' ELSE '' END
        FROM exchange_extract sent WHERE sent.clusters = file AND sent.state <> 'refused'
    $$;
REVOKE ALL ON FUNCTION weir_extract_elsewhere FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_extract_elsewhere TO weir_web;

-- What the pool holds, for who watches over it: days and digests, and whose is not said.
CREATE OR REPLACE FUNCTION weir_pool_days()
    RETURNS TABLE (on_day date, digest bytea) LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
    AS $$
    BEGIN
        IF NOT (weir_acts_as('operator') OR weir_acts_as('forum-counsel')
                OR weir_acts_as('forum-officer')) THEN
            RETURN;
        END IF;
        RETURN QUERY SELECT sent.day, sent.digest FROM exchange_extract sent
            WHERE sent.state = 'taken' ORDER BY 1 DESC, 2;
    END
    $$;
REVOKE ALL ON FUNCTION weir_pool_days FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_pool_days TO weir_web;

-- Who leaves takes its days out of the pool at once; what is under a legal hold stays sealed until it
-- is lifted, and no run reads it.
CREATE OR REPLACE FUNCTION weir_end_extracts(who uuid, at timestamptz)
    RETURNS TABLE (on_day date) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        free uuid[] := ARRAY(
            SELECT sent.id FROM exchange_extract sent
            WHERE sent.member_id = who AND sent.state = 'taken'
              AND weir_legal_hold(ARRAY[who], NULL, NULL, sent.received_at) IS NULL);
    BEGIN
        IF NOT weir_acts_as('operator') THEN
            RAISE EXCEPTION 'Only the operator ends what waits.'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        DELETE FROM exchange_extractkey key USING exchange_extract sent
            WHERE sent.id = ANY (free) AND key.member_id = who AND key.day = sent.day;
        DELETE FROM exchange_sealedextract WHERE extract_id = ANY (free);
        UPDATE exchange_extractview SET sealed = '', key = '' WHERE member_id = who;
        RETURN QUERY UPDATE exchange_extract SET state = 'erased', ended_at = at
            WHERE id = ANY (free) RETURNING day;
    END
    $$;
REVOKE ALL ON FUNCTION weir_end_extracts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_end_extracts TO weir_web;
