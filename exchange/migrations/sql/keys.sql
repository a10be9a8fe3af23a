-- Archives: who ordered one sees and takes it, and nobody else. The worker makes it. Idempotent.

ALTER TABLE exchange_archive ENABLE ROW LEVEL SECURITY;
-- Compressed before it is sealed: PostgreSQL would find nothing to save.
ALTER TABLE exchange_archive ALTER COLUMN body SET STORAGE EXTERNAL;
DROP POLICY IF EXISTS engine ON exchange_archive;
CREATE POLICY engine ON exchange_archive TO weir_worker USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS own ON exchange_archive;
CREATE POLICY own ON exchange_archive TO weir_web
    USING (user_id = weir_user() AND member_id IS NOT DISTINCT FROM weir_member())
    WITH CHECK (user_id = weir_user() AND member_id IS NOT DISTINCT FROM weir_member());
GRANT SELECT, INSERT, UPDATE (taken_at) ON exchange_archive TO weir_web;
GRANT SELECT, UPDATE ON exchange_archive TO weir_worker;
