-- Row-level security: who may see which row of content through the web's database role.
-- The worker and the sequencer have grants instead. Idempotent.

CREATE OR REPLACE FUNCTION weir_member() RETURNS uuid LANGUAGE sql STABLE
    AS $$ SELECT nullif(current_setting('weir.member', true), '')::uuid $$;

CREATE OR REPLACE FUNCTION weir_user() RETURNS uuid LANGUAGE sql STABLE
    AS $$ SELECT nullif(current_setting('weir.user', true), '')::uuid $$;

CREATE OR REPLACE FUNCTION weir_acts_as(role text) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT role = ANY (string_to_array(coalesce(current_setting('weir.roles', true), ''), ',')) $$;

DO $$
DECLARE
    owned text[] := ARRAY[
        'indicators_contribution', 'indicators_submission', 'indicators_forumobject',
        'indicators_version', 'indicators_original', 'indicators_observable', 'indicators_item',
        'exchange_memberpolicyversion', 'exchange_outcome', 'exchange_hold', 'exchange_holdact',
        'exchange_originalread', 'exchange_revocation', 'exchange_subscription',
        'exchange_delivery', 'exchange_attempt'];
    judged text[] := ARRAY[
        'indicators_contribution', 'indicators_forumobject', 'indicators_version',
        'exchange_outcome', 'exchange_hold', 'exchange_holdact', 'exchange_originalread'];
    shared text[] := ARRAY[
        'exchange_release', 'exchange_releaseitem', 'exchange_releaserecipient',
        'exchange_rendition', 'exchange_bundle', 'exchange_missing', 'exchange_servednote',
        'ledger_event', 'ledger_slot', 'ledger_entry'];
    one text;
BEGIN
    FOREACH one IN ARRAY owned || shared LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', one);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', one);
        EXECUTE format('CREATE POLICY engine ON %I TO weir_worker, weir_sequencer '
                       'USING (true) WITH CHECK (true)', one);
    END LOOP;
    FOREACH one IN ARRAY owned LOOP
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', one);
        EXECUTE format('CREATE POLICY own ON %I TO weir_web '
                       'USING (member_id = weir_member()) WITH CHECK (member_id = weir_member())', one);
    END LOOP;
    FOREACH one IN ARRAY judged LOOP
        EXECUTE format('DROP POLICY IF EXISTS judged ON %I', one);
        EXECUTE format('CREATE POLICY judged ON %I FOR %s TO weir_web '
                       'USING (weir_acts_as(''forum-counsel''))', one,
                       CASE WHEN one IN ('exchange_hold', 'exchange_holdact',
                                         'exchange_originalread') THEN 'ALL' ELSE 'SELECT' END);
    END LOOP;
END
$$;

-- The forum's counsel reads an original only after a recorded opening of its own.
DROP POLICY IF EXISTS opened ON indicators_original;
CREATE POLICY opened ON indicators_original FOR SELECT TO weir_web USING (
    weir_acts_as('forum-counsel') AND EXISTS (
        SELECT 1 FROM exchange_originalread seen
        WHERE seen.version_id = indicators_original.version_id AND seen.user_id = weir_user()));

DROP POLICY IF EXISTS held ON exchange_release;
CREATE POLICY held ON exchange_release FOR SELECT TO weir_web USING (
    member_id = weir_member() OR weir_holds(id) OR weir_acts_as('forum-officer'));

DROP POLICY IF EXISTS held ON exchange_releaserecipient;
CREATE POLICY held ON exchange_releaserecipient FOR SELECT TO weir_web USING (
    (recipient_id = weir_member() AND weir_holds(release_id))
    OR (member_id = weir_member() AND told_here) OR weir_acts_as('forum-officer'));

DROP POLICY IF EXISTS held ON exchange_releaseitem;
CREATE POLICY held ON exchange_releaseitem FOR SELECT TO weir_web USING (
    (NOT recalled AND weir_holds(release_id))
    OR EXISTS (SELECT 1 FROM exchange_release act
               WHERE act.id = release_id AND act.member_id = weir_member())
    OR weir_acts_as('forum-officer'));

DROP POLICY IF EXISTS held ON exchange_rendition;
CREATE POLICY held ON exchange_rendition FOR SELECT TO weir_web USING (
    EXISTS (SELECT 1 FROM exchange_releaseitem item
            WHERE item.rendition_id = exchange_rendition.id
              AND NOT item.recalled AND weir_holds(item.release_id))
    OR EXISTS (SELECT 1 FROM indicators_forumobject mine
               WHERE mine.id = object_id AND mine.member_id = weir_member())
    OR weir_acts_as('forum-officer'));

DROP POLICY IF EXISTS held ON exchange_bundle;
CREATE POLICY held ON exchange_bundle FOR SELECT TO weir_web USING (weir_holds(release_id));

DROP POLICY IF EXISTS own ON exchange_servednote;
CREATE POLICY own ON exchange_servednote TO weir_web
    USING (recipient_id = weir_member()) WITH CHECK (recipient_id = weir_member());

DROP POLICY IF EXISTS own ON ledger_event;
CREATE POLICY own ON ledger_event TO weir_web
    USING (from_member_id = weir_member() OR to_member_id = weir_member())
    WITH CHECK (true);

DROP POLICY IF EXISTS own ON ledger_slot;
CREATE POLICY own ON ledger_slot FOR SELECT TO weir_web USING (
    member_id = weir_member() OR (slot = 'audit' AND weir_acts_as('forum-officer')));

-- A leaf and its number tell nothing; whom it concerns is shown to that member alone.
DROP POLICY IF EXISTS own ON ledger_entry;
CREATE POLICY own ON ledger_entry FOR SELECT TO weir_web USING (
    to_member_id = weir_member() OR from_member_id = weir_member()
    OR weir_acts_as('forum-officer'));

GRANT SELECT ON exchange_forum, exchange_floorpolicy TO weir_web, weir_worker, weir_sequencer;
GRANT SELECT ON exchange_release, exchange_releaseitem, exchange_releaserecipient,
    exchange_rendition, exchange_bundle, exchange_memberpolicyversion, exchange_outcome,
    exchange_hold, exchange_holdact, exchange_originalread, exchange_revocation,
    exchange_subscription, exchange_delivery, exchange_attempt, exchange_servednote,
    indicators_contribution, indicators_submission, indicators_forumobject, indicators_version,
    indicators_original, indicators_item, indicators_observable, ledger_event TO weir_web;
GRANT INSERT ON indicators_contribution, indicators_submission, exchange_holdact,
    exchange_originalread, exchange_revocation, exchange_subscription, exchange_delivery,
    exchange_servednote, exchange_memberpolicyversion, exchange_floorpolicy,
    ledger_event, ledger_intake TO weir_web;
GRANT UPDATE (state) ON indicators_forumobject TO weir_web;
GRANT UPDATE (replaced) ON exchange_outcome TO weir_web;
GRANT UPDATE (state, decided_at) ON exchange_hold TO weir_web;
GRANT UPDATE ON exchange_subscription TO weir_web;
GRANT UPDATE (state, done_at) ON exchange_delivery TO weir_web;

-- The worker writes what is shared and the act of sharing, and nothing of who takes part.
DO $$
DECLARE
    one text;
BEGIN
    FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
            AND (tablename LIKE 'indicators\_%' OR tablename LIKE 'exchange\_%') LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO weir_worker', one);
    END LOOP;
END
$$;
GRANT SELECT, INSERT ON ledger_event, ledger_intake TO weir_worker;
GRANT SELECT ON ledger_entry, ledger_checkpoint, ledger_head, ledger_account TO weir_worker;
GRANT DELETE ON indicators_submission, exchange_missing TO weir_worker;
REVOKE INSERT, UPDATE ON ledger_entry, ledger_slot, ledger_tile, ledger_head, ledger_checkpoint,
    ledger_account FROM weir_worker;

GRANT SELECT ON exchange_release, exchange_releaseitem, exchange_releaserecipient,
    exchange_rendition, indicators_contribution TO weir_sequencer;
GRANT UPDATE (idx, to_seq, running, added_at) ON exchange_releaserecipient TO weir_sequencer;
GRANT UPDATE (idx, running, added_at) ON indicators_contribution TO weir_sequencer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weir_web, weir_worker, weir_sequencer;
