-- Previews are read by whose policy they are of: a member by its people, the floor by the forum's
-- counsel. The operator, who activates a floor, reads how much it would change, and no line.
DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_preview', 'exchange_previewpart',
                               'exchange_previewaudience', 'exchange_previewline'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I TO weir_web '
                       'USING (member_id = weir_member()) WITH CHECK (member_id = weir_member())', one);
        EXECUTE format('DROP POLICY IF EXISTS judged ON %I', one);
        EXECUTE format('CREATE POLICY judged ON %I TO weir_web '
                       'USING (member_id IS NULL AND weir_acts_as(''forum-counsel'')) '
                       'WITH CHECK (member_id IS NULL AND weir_acts_as(''forum-counsel''))', one);
        EXECUTE format('GRANT SELECT ON %I TO weir_web', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO weir_worker', one);
    END LOOP;
END
$$;

DROP POLICY IF EXISTS counted ON exchange_preview;
CREATE POLICY counted ON exchange_preview FOR SELECT TO weir_web
    USING (member_id IS NULL AND weir_acts_as('operator'));
DROP POLICY IF EXISTS counted ON exchange_previewaudience;
CREATE POLICY counted ON exchange_previewaudience FOR SELECT TO weir_web
    USING (member_id IS NULL AND weir_acts_as('operator'));

GRANT INSERT, UPDATE (state, finished_at) ON exchange_preview TO weir_web;
GRANT USAGE ON SEQUENCE exchange_previewpart_id_seq, exchange_previewaudience_id_seq,
    exchange_previewline_id_seq TO weir_worker;
