-- Blind evaluation: a member sees its own use. The forum sees that an alarm was raised, its counsel
-- and officer also how much it was on that day; nobody else's volume is anybody's to see. Idempotent.

DO $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['exchange_tokenday', 'exchange_tokencall', 'exchange_tokenalarm'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I TO weir_web '
                       'USING (member_id = weir_member()) WITH CHECK (member_id = weir_member())', one);
    END LOOP;
END
$$;

DROP POLICY IF EXISTS watched ON exchange_tokenalarm;
CREATE POLICY watched ON exchange_tokenalarm FOR SELECT TO weir_web USING (
    weir_acts_as('operator') OR weir_acts_as('forum-counsel') OR weir_acts_as('forum-officer'));

DROP POLICY IF EXISTS watched ON exchange_tokenday;
CREATE POLICY watched ON exchange_tokenday FOR SELECT TO weir_web USING (
    (weir_acts_as('forum-counsel') OR weir_acts_as('forum-officer')) AND EXISTS (
        SELECT 1 FROM exchange_tokenalarm raised
        WHERE raised.member_id = exchange_tokenday.member_id
          AND raised.day = exchange_tokenday.day));

-- The log grows only, and of a day's row only the two counts change. The worker has no part in it.
GRANT SELECT, INSERT ON exchange_tokenday, exchange_tokencall, exchange_tokenalarm TO weir_web;
GRANT UPDATE (used, refused) ON exchange_tokenday TO weir_web;
REVOKE ALL ON exchange_tokenday, exchange_tokencall, exchange_tokenalarm
    FROM weir_worker, weir_sequencer;
