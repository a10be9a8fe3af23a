-- Released figures are every member's to read; what they are made of is no web role's.

ALTER TABLE exchange_statisticstable ENABLE ROW LEVEL SECURITY;
ALTER TABLE exchange_statisticscell ENABLE ROW LEVEL SECURITY;
ALTER TABLE exchange_statisticsblock ENABLE ROW LEVEL SECURITY;

CREATE POLICY engine ON exchange_statisticstable TO weir_worker USING (true) WITH CHECK (true);
CREATE POLICY engine ON exchange_statisticscell TO weir_worker USING (true) WITH CHECK (true);
CREATE POLICY engine ON exchange_statisticsblock TO weir_worker USING (true) WITH CHECK (true);

-- Everybody who has signed in: members, and the forum's own people.
CREATE POLICY told ON exchange_statisticstable FOR SELECT TO weir_web
    USING (weir_member() IS NOT NULL OR weir_user() IS NOT NULL);
CREATE POLICY told ON exchange_statisticscell FOR SELECT TO weir_web
    USING (weir_member() IS NOT NULL OR weir_user() IS NOT NULL);

GRANT SELECT ON exchange_statisticstable, exchange_statisticscell TO weir_web;
GRANT SELECT, INSERT ON exchange_statisticstable, exchange_statisticscell,
    exchange_statisticsblock TO weir_worker;
GRANT USAGE ON SEQUENCE exchange_statisticstable_id_seq, exchange_statisticscell_id_seq,
    exchange_statisticsblock_id_seq TO weir_worker;

CREATE FUNCTION statistics_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What was told stays told: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON exchange_statisticstable
    FOR EACH ROW EXECUTE FUNCTION statistics_refuse();
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON exchange_statisticscell
    FOR EACH ROW EXECUTE FUNCTION statistics_refuse();
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON exchange_statisticsblock
    FOR EACH ROW EXECUTE FUNCTION statistics_refuse();
