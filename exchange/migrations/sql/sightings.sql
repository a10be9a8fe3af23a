-- Folds: totals are sealed; the worker adds to them, the web only says that something changed.

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_fold', 'exchange_foldpart', 'exchange_releaseagain'] LOOP
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

-- Seats that stand already are no newcomers'.
INSERT INTO exchange_backfill (seat_id, after, done_at)
    SELECT id, 0, now() FROM members_circlemember ON CONFLICT DO NOTHING;
GRANT SELECT, INSERT, UPDATE ON exchange_backfill TO weir_worker;
GRANT USAGE ON SEQUENCE exchange_backfill_id_seq TO weir_worker;
GRANT SELECT, INSERT ON exchange_releaseagain TO weir_web;
ALTER TABLE exchange_backfill ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS engine ON exchange_backfill;
CREATE POLICY engine ON exchange_backfill TO weir_worker USING (true) WITH CHECK (true);
GRANT SELECT (id, ended, member_id), UPDATE (changed) ON exchange_fold TO weir_web;
GRANT SELECT (fold_id, object_id, member_id) ON exchange_foldpart TO weir_web;
GRANT USAGE ON SEQUENCE exchange_fold_id_seq, exchange_foldpart_id_seq TO weir_worker;
