-- Each connection of a queen that writes has a part of `ledger_counts` of its own, by a setting of its
-- session: two that share one by chance would wait for each other, in a circle.

-- @sqlite
-- There is one writer.
-- @postgres
CREATE FUNCTION ledger_part() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT COALESCE(NULLIF(current_setting('colony.part', TRUE), '')::bigint, pg_backend_pid() % 16)
$$;
CREATE OR REPLACE FUNCTION ledger_counted_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, TG_TABLE_NAME, status, ledger_part(), COUNT(*)
        FROM new_rows GROUP BY org_id, status ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ledger_counted_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, TG_TABLE_NAME, status, ledger_part(), SUM(change)
        FROM (SELECT org_id, status, 1 AS change FROM new_rows
              UNION ALL SELECT org_id, status, -1 FROM old_rows) AS changes
        GROUP BY org_id, status HAVING SUM(change) <> 0 ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ledger_counted_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, TG_TABLE_NAME, status, ledger_part(), -COUNT(*)
        FROM old_rows GROUP BY org_id, status ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ledger_counted_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, 'runs', status, ledger_part(), change
        FROM (VALUES (OLD.org_id, OLD.status, -1), (NEW.org_id, NEW.status, 1))
            AS changes (org_id, status, change)
        ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    RETURN NULL;
END $$;
-- @end
