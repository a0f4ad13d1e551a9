-- Lists of runs and tasks: totals that are kept instead of counted, and one index range for each
-- filter and order.

-- How many runs and tasks an organization has by status; `kind` is the table. The sum over `part`
-- counts: each connection of PostgreSQL has a row of its own, so that none waits for another.
-- Triggers keep it in the transaction of the rows, whatever changes them.
CREATE TABLE ledger_counts (
    org_id {text} NOT NULL,
    kind   {text} NOT NULL,
    status {text} NOT NULL,
    part   {int} NOT NULL,
    n      {int} NOT NULL,
    PRIMARY KEY (org_id, kind, status, part)
){clustered};

INSERT INTO ledger_counts (org_id, kind, status, part, n)
    SELECT org_id, 'runs', status, 0, COUNT(*) FROM runs GROUP BY org_id, status;
INSERT INTO ledger_counts (org_id, kind, status, part, n)
    SELECT org_id, 'tasks', status, 0, COUNT(*) FROM tasks GROUP BY org_id, status;

-- By status; the other columns spare a look at the row.
CREATE INDEX runs_status ON runs (org_id, status, id, started_at, completed_at);
CREATE INDEX tasks_status ON tasks (org_id, status, id, started_at, completed_at, run_id);

-- By time, of rows that have it.
CREATE INDEX runs_started ON runs (org_id, started_at, id) WHERE started_at IS NOT NULL;
CREATE INDEX tasks_started ON tasks (org_id, started_at, id) WHERE started_at IS NOT NULL;
CREATE INDEX runs_completed ON runs (org_id, status, completed_at, id)
    WHERE completed_at IS NOT NULL;
CREATE INDEX tasks_completed ON tasks (org_id, status, completed_at, id)
    WHERE completed_at IS NOT NULL;

-- Rows that have ended (cancelled, completed, failed: the statuses before 'g') without a time that
-- others have: few, and else lost among those. A list of words would be much slower to check.
CREATE INDEX runs_not_started ON runs (org_id, status, started_at, id)
    WHERE started_at IS NULL AND status < 'g';
CREATE INDEX tasks_not_started ON tasks (org_id, status, started_at, id)
    WHERE started_at IS NULL AND status < 'g';
CREATE INDEX runs_not_completed ON runs (org_id, status, completed_at, id)
    WHERE completed_at IS NULL AND status < 'g';
CREATE INDEX tasks_not_completed ON tasks (org_id, status, completed_at, id)
    WHERE completed_at IS NULL AND status < 'g';

-- @sqlite
-- Queries of run data look at nothing else but the page. (PostgreSQL has no index entries as long as
-- tags may be, and is as fast with the rows, which it writes beside each other.)
DROP INDEX run_data_key;
CREATE INDEX run_data_key ON run_data (run_id, key, id, tags, updated_at);

CREATE TRIGGER runs_counted_new AFTER INSERT ON runs BEGIN
    INSERT INTO ledger_counts VALUES (NEW.org_id, 'runs', NEW.status, 0, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER runs_counted_moved AFTER UPDATE OF status ON runs WHEN OLD.status <> NEW.status BEGIN
    UPDATE ledger_counts SET n = n - 1
        WHERE org_id = OLD.org_id AND kind = 'runs' AND status = OLD.status AND part = 0;
    INSERT INTO ledger_counts VALUES (NEW.org_id, 'runs', NEW.status, 0, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER runs_counted_gone AFTER DELETE ON runs BEGIN
    UPDATE ledger_counts SET n = n - 1
        WHERE org_id = OLD.org_id AND kind = 'runs' AND status = OLD.status AND part = 0;
END;
CREATE TRIGGER tasks_counted_new AFTER INSERT ON tasks BEGIN
    INSERT INTO ledger_counts VALUES (NEW.org_id, 'tasks', NEW.status, 0, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tasks_counted_moved AFTER UPDATE OF status ON tasks WHEN OLD.status <> NEW.status BEGIN
    UPDATE ledger_counts SET n = n - 1
        WHERE org_id = OLD.org_id AND kind = 'tasks' AND status = OLD.status AND part = 0;
    INSERT INTO ledger_counts VALUES (NEW.org_id, 'tasks', NEW.status, 0, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tasks_counted_gone AFTER DELETE ON tasks BEGIN
    UPDATE ledger_counts SET n = n - 1
        WHERE org_id = OLD.org_id AND kind = 'tasks' AND status = OLD.status AND part = 0;
END;
-- @postgres
-- Rows that change all the time stay on their page.
ALTER TABLE ledger_counts SET (fillfactor = 40);

-- Once for each statement, however many rows it changes.
CREATE FUNCTION ledger_counted_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, TG_TABLE_NAME, status, pg_backend_pid() % 16, COUNT(*)
        FROM new_rows GROUP BY org_id, status ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    RETURN NULL;
END $$;
CREATE FUNCTION ledger_counted_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, TG_TABLE_NAME, status, pg_backend_pid() % 16, SUM(change)
        FROM (SELECT org_id, status, 1 AS change FROM new_rows
              UNION ALL SELECT org_id, status, -1 FROM old_rows) AS changes
        GROUP BY org_id, status HAVING SUM(change) <> 0 ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    RETURN NULL;
END $$;
CREATE FUNCTION ledger_counted_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, TG_TABLE_NAME, status, pg_backend_pid() % 16, -COUNT(*)
        FROM old_rows GROUP BY org_id, status ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    RETURN NULL;
END $$;
-- Counters of runs change far more often than their status: one row at a time, when it moves.
CREATE FUNCTION ledger_counted_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, 'runs', status, pg_backend_pid() % 16, change
        FROM (VALUES (OLD.org_id, OLD.status, -1), (NEW.org_id, NEW.status, 1))
            AS changes (org_id, status, change)
        ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    RETURN NULL;
END $$;
CREATE TRIGGER runs_counted_new AFTER INSERT ON runs REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_counted_new();
CREATE TRIGGER runs_counted_moved AFTER UPDATE OF status ON runs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION ledger_counted_run();
CREATE TRIGGER runs_counted_gone AFTER DELETE ON runs REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_counted_gone();
CREATE TRIGGER tasks_counted_new AFTER INSERT ON tasks REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_counted_new();
CREATE TRIGGER tasks_counted_moved AFTER UPDATE ON tasks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_counted_moved();
CREATE TRIGGER tasks_counted_gone AFTER DELETE ON tasks REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_counted_gone();
-- @end
