-- Files on their way in, and how a member reads its tables: the member's own, and nobody else's.
-- The bytes lie sealed in a folder; the web may begin, send and give up, workers do the rest.
DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_file', 'exchange_filepart', 'exchange_filefault',
                               'exchange_columnmapping'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker USING (true) WITH CHECK (true)', one);
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I TO weir_web '
                       'USING (member_id = weir_member()) WITH CHECK (member_id = weir_member())', one);
        EXECUTE format('GRANT SELECT ON %I TO weir_web', one);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO weir_worker', one);
    END LOOP;
END
$$;
GRANT INSERT, DELETE ON exchange_file TO weir_web;
GRANT UPDATE (circle_id, default_basis, attributed, state, kind, sealed_mapping, sent_at, moved_at)
    ON exchange_file TO weir_web;
-- What was not sent has no parts and no faults: to delete it looks for some.
GRANT DELETE ON exchange_filepart, exchange_filefault TO weir_web;
GRANT INSERT, UPDATE, DELETE ON exchange_columnmapping TO weir_web;
GRANT USAGE ON SEQUENCE exchange_filepart_id_seq, exchange_filefault_id_seq TO weir_worker;
