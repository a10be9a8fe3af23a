-- What may be seen: all that lies under the newest published checkpoint or, where the forum waits
-- for its witnesses, under the newest one that enough of them have cosigned. Idempotent.

CREATE OR REPLACE FUNCTION weir_published() RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
    AS $$
    BEGIN
        RETURN coalesce((SELECT gate.size FROM ledger_gate gate),
                        (SELECT max(head.size) FROM ledger_checkpoint head), 0);
    END
    $$;

-- The one condition of visibility: released to me under a published checkpoint, and I am still
-- an active member of that circle (the constants have none). In plpgsql, whose plans are kept.
CREATE OR REPLACE FUNCTION weir_holds(release uuid) RETURNS boolean LANGUAGE plpgsql STABLE
    SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        published bigint := weir_published();
    BEGIN
        RETURN EXISTS (
            SELECT 1 FROM exchange_releaserecipient part
            JOIN exchange_release act ON act.id = part.release_id
            JOIN members_member me ON me.id = part.recipient_id AND me.state = 'active'
            WHERE part.release_id = release
              AND part.recipient_id = weir_member()
              AND part.idx < published
              AND (act.circle_id IS NULL OR EXISTS (
                  SELECT 1 FROM members_circlemember seat
                  WHERE seat.circle_id = act.circle_id AND seat.member_id = me.id
                    AND seat.left_at IS NULL)));
    END
    $$;
