-- Folds: totals are sealed; the worker adds to them, the web only says that something changed.

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_fold', 'exchange_foldpart'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker, weir_sequencer '
                       'USING (true) WITH CHECK (true)', one);
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I TO weir_web '
                       'USING (member_id = weir_member()) WITH CHECK (member_id = weir_member())', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO weir_worker', one);
    END LOOP;
END
$$;
GRANT SELECT (id, ended, member_id), UPDATE (changed) ON exchange_fold TO weir_web;
GRANT SELECT (fold_id, object_id, member_id) ON exchange_foldpart TO weir_web;
GRANT USAGE ON SEQUENCE exchange_fold_id_seq, exchange_foldpart_id_seq TO weir_worker;
