-- What the operator watches: numbers of work done and waiting, and nothing of what it is about.

CREATE OR REPLACE FUNCTION weir_health() RETURNS TABLE (topic text, name text, n bigint, at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT * FROM (
            SELECT 'intake', 'waiting', count(*), min(received_at)
                FROM indicators_contribution WHERE state = 'pending'
            UNION ALL SELECT 'ledger', 'unsequenced', count(*), NULL FROM ledger_intake
            UNION ALL SELECT 'holds', 'open', count(*), min(opened_at)
                FROM exchange_hold WHERE state IN ('open', 'asked')
            UNION ALL SELECT 'deliveries', state, count(*), max(created_at)
                FROM exchange_delivery GROUP BY state
            UNION ALL SELECT 'subscriptions', state, count(*), NULL
                FROM exchange_subscription GROUP BY state
        ) AS found
        WHERE weir_acts_as('operator')
        ORDER BY 1, 2
    $$;
REVOKE ALL ON FUNCTION weir_health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION weir_health() TO weir_web;
