-- Lists of runs and tasks by their start, at a lower price: an entry is written once, when a row
-- ends, and not at its start.

-- By start, of each status. Those that run are sorted when someone asks: they are few.
DROP INDEX runs_started;
DROP INDEX tasks_started;
CREATE INDEX runs_started ON runs (org_id, status, started_at, id)
    WHERE started_at IS NOT NULL AND status <> 'running';
CREATE INDEX tasks_started ON tasks (org_id, status, started_at, id)
    WHERE started_at IS NOT NULL AND status <> 'running';

-- Rows without a start whose status lets expect one: few, and else lost among the others.
DROP INDEX runs_not_started;
DROP INDEX tasks_not_started;
CREATE INDEX runs_not_started ON runs (org_id, status, started_at, id)
    WHERE started_at IS NULL AND status <> 'pending' AND status <> 'queued';
CREATE INDEX tasks_not_started ON tasks (org_id, status, started_at, id)
    WHERE started_at IS NULL AND status <> 'pending' AND status <> 'queued';

-- How many rows of each status a stretch of ids has: of those after the stretch before, up to
-- `last_id`. Stretches are counted once, oldest first, when someone looks far into a list; from then
-- on the triggers keep them. The newest rows are in none. The sum over `part` counts, as above.
CREATE TABLE ledger_blocks (
    org_id    {text} NOT NULL,
    kind      {text} NOT NULL,
    last_id   {id} NOT NULL,
    part      {int} NOT NULL,
    cancelled {int} NOT NULL,
    completed {int} NOT NULL,
    failed    {int} NOT NULL,
    pending   {int} NOT NULL,
    queued    {int} NOT NULL,
    retrying  {int} NOT NULL,
    running   {int} NOT NULL,
    PRIMARY KEY (org_id, kind, last_id, part)
){clustered};

-- @sqlite
CREATE TRIGGER runs_blocks_new AFTER INSERT ON runs BEGIN
    UPDATE ledger_blocks SET
        cancelled = cancelled + (NEW.status = 'cancelled'),
        completed = completed + (NEW.status = 'completed'),
        failed = failed + (NEW.status = 'failed'),
        pending = pending + (NEW.status = 'pending'),
        queued = queued + (NEW.status = 'queued'),
        retrying = retrying + (NEW.status = 'retrying'),
        running = running + (NEW.status = 'running')
        WHERE org_id = NEW.org_id AND kind = 'runs' AND part = 0 AND last_id =
            (SELECT MIN(last_id) FROM ledger_blocks
             WHERE org_id = NEW.org_id AND kind = 'runs' AND last_id >= NEW.id);
END;
CREATE TRIGGER runs_blocks_moved AFTER UPDATE OF status ON runs WHEN OLD.status <> NEW.status BEGIN
    UPDATE ledger_blocks SET
        cancelled = cancelled + (NEW.status = 'cancelled') - (OLD.status = 'cancelled'),
        completed = completed + (NEW.status = 'completed') - (OLD.status = 'completed'),
        failed = failed + (NEW.status = 'failed') - (OLD.status = 'failed'),
        pending = pending + (NEW.status = 'pending') - (OLD.status = 'pending'),
        queued = queued + (NEW.status = 'queued') - (OLD.status = 'queued'),
        retrying = retrying + (NEW.status = 'retrying') - (OLD.status = 'retrying'),
        running = running + (NEW.status = 'running') - (OLD.status = 'running')
        WHERE org_id = NEW.org_id AND kind = 'runs' AND part = 0 AND last_id =
            (SELECT MIN(last_id) FROM ledger_blocks
             WHERE org_id = NEW.org_id AND kind = 'runs' AND last_id >= NEW.id);
END;
CREATE TRIGGER runs_blocks_gone AFTER DELETE ON runs BEGIN
    UPDATE ledger_blocks SET
        cancelled = cancelled - (OLD.status = 'cancelled'),
        completed = completed - (OLD.status = 'completed'),
        failed = failed - (OLD.status = 'failed'),
        pending = pending - (OLD.status = 'pending'),
        queued = queued - (OLD.status = 'queued'),
        retrying = retrying - (OLD.status = 'retrying'),
        running = running - (OLD.status = 'running')
        WHERE org_id = OLD.org_id AND kind = 'runs' AND part = 0 AND last_id =
            (SELECT MIN(last_id) FROM ledger_blocks
             WHERE org_id = OLD.org_id AND kind = 'runs' AND last_id >= OLD.id);
END;
CREATE TRIGGER tasks_blocks_new AFTER INSERT ON tasks BEGIN
    UPDATE ledger_blocks SET
        cancelled = cancelled + (NEW.status = 'cancelled'),
        completed = completed + (NEW.status = 'completed'),
        failed = failed + (NEW.status = 'failed'),
        pending = pending + (NEW.status = 'pending'),
        queued = queued + (NEW.status = 'queued'),
        retrying = retrying + (NEW.status = 'retrying'),
        running = running + (NEW.status = 'running')
        WHERE org_id = NEW.org_id AND kind = 'tasks' AND part = 0 AND last_id =
            (SELECT MIN(last_id) FROM ledger_blocks
             WHERE org_id = NEW.org_id AND kind = 'tasks' AND last_id >= NEW.id);
END;
CREATE TRIGGER tasks_blocks_moved AFTER UPDATE OF status ON tasks WHEN OLD.status <> NEW.status BEGIN
    UPDATE ledger_blocks SET
        cancelled = cancelled + (NEW.status = 'cancelled') - (OLD.status = 'cancelled'),
        completed = completed + (NEW.status = 'completed') - (OLD.status = 'completed'),
        failed = failed + (NEW.status = 'failed') - (OLD.status = 'failed'),
        pending = pending + (NEW.status = 'pending') - (OLD.status = 'pending'),
        queued = queued + (NEW.status = 'queued') - (OLD.status = 'queued'),
        retrying = retrying + (NEW.status = 'retrying') - (OLD.status = 'retrying'),
        running = running + (NEW.status = 'running') - (OLD.status = 'running')
        WHERE org_id = NEW.org_id AND kind = 'tasks' AND part = 0 AND last_id =
            (SELECT MIN(last_id) FROM ledger_blocks
             WHERE org_id = NEW.org_id AND kind = 'tasks' AND last_id >= NEW.id);
END;
CREATE TRIGGER tasks_blocks_gone AFTER DELETE ON tasks BEGIN
    UPDATE ledger_blocks SET
        cancelled = cancelled - (OLD.status = 'cancelled'),
        completed = completed - (OLD.status = 'completed'),
        failed = failed - (OLD.status = 'failed'),
        pending = pending - (OLD.status = 'pending'),
        queued = queued - (OLD.status = 'queued'),
        retrying = retrying - (OLD.status = 'retrying'),
        running = running - (OLD.status = 'running')
        WHERE org_id = OLD.org_id AND kind = 'tasks' AND part = 0 AND last_id =
            (SELECT MIN(last_id) FROM ledger_blocks
             WHERE org_id = OLD.org_id AND kind = 'tasks' AND last_id >= OLD.id);
END;
-- @postgres
-- As before, and the stretches.
CREATE OR REPLACE FUNCTION ledger_counted_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, TG_TABLE_NAME, status, ledger_part(), COUNT(*)
        FROM new_rows GROUP BY org_id, status ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    -- Whoever counts a stretch holds this lock alone: it sees what was committed before, and who
    -- commits later sees the stretch.
    PERFORM pg_advisory_xact_lock_shared(1668246639, 7);
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT ON (org_id) org_id, id FROM new_rows ORDER BY org_id, id) AS oldest
        WHERE EXISTS (SELECT 1 FROM ledger_blocks AS block WHERE block.org_id = oldest.org_id
                      AND block.kind = TG_TABLE_NAME AND block.last_id >= oldest.id)
    ) THEN
        INSERT INTO ledger_blocks AS blocks (org_id, kind, last_id, part, cancelled, completed, failed, pending, queued, retrying, running)
        SELECT org_id, TG_TABLE_NAME, last_id, 1 + ledger_part(),
               COALESCE(SUM(change) FILTER (WHERE status = 'cancelled'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'completed'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'failed'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'pending'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'queued'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'retrying'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'running'), 0)
        FROM (SELECT org_id, id, status, 1 AS change FROM new_rows) AS changes
        CROSS JOIN LATERAL (
            SELECT last_id FROM ledger_blocks AS block WHERE block.org_id = changes.org_id
            AND block.kind = TG_TABLE_NAME AND block.last_id >= changes.id
            ORDER BY last_id LIMIT 1
        ) AS block
        GROUP BY org_id, last_id ORDER BY org_id, last_id
        ON CONFLICT (org_id, kind, last_id, part) DO UPDATE SET
            cancelled = blocks.cancelled + EXCLUDED.cancelled,
            completed = blocks.completed + EXCLUDED.completed,
            failed = blocks.failed + EXCLUDED.failed,
            pending = blocks.pending + EXCLUDED.pending,
            queued = blocks.queued + EXCLUDED.queued,
            retrying = blocks.retrying + EXCLUDED.retrying,
            running = blocks.running + EXCLUDED.running;
    END IF;
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
    -- No status has changed: no stretch has.
    IF NOT FOUND AND NOT EXISTS (
        SELECT 1 FROM old_rows JOIN new_rows USING (id) WHERE old_rows.status <> new_rows.status
    ) THEN
        RETURN NULL;
    END IF;
    -- Whoever counts a stretch holds this lock alone: it sees what was committed before, and who
    -- commits later sees the stretch.
    PERFORM pg_advisory_xact_lock_shared(1668246639, 7);
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT ON (org_id) org_id, id FROM new_rows ORDER BY org_id, id) AS oldest
        WHERE EXISTS (SELECT 1 FROM ledger_blocks AS block WHERE block.org_id = oldest.org_id
                      AND block.kind = TG_TABLE_NAME AND block.last_id >= oldest.id)
    ) THEN
        INSERT INTO ledger_blocks AS blocks (org_id, kind, last_id, part, cancelled, completed, failed, pending, queued, retrying, running)
        SELECT org_id, TG_TABLE_NAME, last_id, 1 + ledger_part(),
               COALESCE(SUM(change) FILTER (WHERE status = 'cancelled'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'completed'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'failed'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'pending'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'queued'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'retrying'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'running'), 0)
        FROM (SELECT org_id, id, status, 1 AS change FROM new_rows
              UNION ALL SELECT org_id, id, status, -1 AS change FROM old_rows) AS changes
        CROSS JOIN LATERAL (
            SELECT last_id FROM ledger_blocks AS block WHERE block.org_id = changes.org_id
            AND block.kind = TG_TABLE_NAME AND block.last_id >= changes.id
            ORDER BY last_id LIMIT 1
        ) AS block
        GROUP BY org_id, last_id ORDER BY org_id, last_id
        ON CONFLICT (org_id, kind, last_id, part) DO UPDATE SET
            cancelled = blocks.cancelled + EXCLUDED.cancelled,
            completed = blocks.completed + EXCLUDED.completed,
            failed = blocks.failed + EXCLUDED.failed,
            pending = blocks.pending + EXCLUDED.pending,
            queued = blocks.queued + EXCLUDED.queued,
            retrying = blocks.retrying + EXCLUDED.retrying,
            running = blocks.running + EXCLUDED.running;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ledger_counted_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_counts AS counts (org_id, kind, status, part, n)
        SELECT org_id, TG_TABLE_NAME, status, ledger_part(), -COUNT(*)
        FROM old_rows GROUP BY org_id, status ORDER BY org_id, status
        ON CONFLICT (org_id, kind, status, part) DO UPDATE SET n = counts.n + EXCLUDED.n;
    -- Whoever counts a stretch holds this lock alone: it sees what was committed before, and who
    -- commits later sees the stretch.
    PERFORM pg_advisory_xact_lock_shared(1668246639, 7);
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT ON (org_id) org_id, id FROM old_rows ORDER BY org_id, id) AS oldest
        WHERE EXISTS (SELECT 1 FROM ledger_blocks AS block WHERE block.org_id = oldest.org_id
                      AND block.kind = TG_TABLE_NAME AND block.last_id >= oldest.id)
    ) THEN
        INSERT INTO ledger_blocks AS blocks (org_id, kind, last_id, part, cancelled, completed, failed, pending, queued, retrying, running)
        SELECT org_id, TG_TABLE_NAME, last_id, 1 + ledger_part(),
               COALESCE(SUM(change) FILTER (WHERE status = 'cancelled'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'completed'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'failed'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'pending'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'queued'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'retrying'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'running'), 0)
        FROM (SELECT org_id, id, status, -1 AS change FROM old_rows) AS changes
        CROSS JOIN LATERAL (
            SELECT last_id FROM ledger_blocks AS block WHERE block.org_id = changes.org_id
            AND block.kind = TG_TABLE_NAME AND block.last_id >= changes.id
            ORDER BY last_id LIMIT 1
        ) AS block
        GROUP BY org_id, last_id ORDER BY org_id, last_id
        ON CONFLICT (org_id, kind, last_id, part) DO UPDATE SET
            cancelled = blocks.cancelled + EXCLUDED.cancelled,
            completed = blocks.completed + EXCLUDED.completed,
            failed = blocks.failed + EXCLUDED.failed,
            pending = blocks.pending + EXCLUDED.pending,
            queued = blocks.queued + EXCLUDED.queued,
            retrying = blocks.retrying + EXCLUDED.retrying,
            running = blocks.running + EXCLUDED.running;
    END IF;
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
    -- Whoever counts a stretch holds this lock alone: it sees what was committed before, and who
    -- commits later sees the stretch.
    PERFORM pg_advisory_xact_lock_shared(1668246639, 7);
    IF EXISTS (
        SELECT 1 FROM ledger_blocks AS block WHERE block.org_id = NEW.org_id
        AND block.kind = TG_TABLE_NAME AND block.last_id >= NEW.id
    ) THEN
        INSERT INTO ledger_blocks AS blocks (org_id, kind, last_id, part, cancelled, completed, failed, pending, queued, retrying, running)
        SELECT org_id, TG_TABLE_NAME, last_id, 1 + ledger_part(),
               COALESCE(SUM(change) FILTER (WHERE status = 'cancelled'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'completed'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'failed'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'pending'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'queued'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'retrying'), 0),
               COALESCE(SUM(change) FILTER (WHERE status = 'running'), 0)
        FROM (SELECT * FROM (VALUES (OLD.org_id, OLD.id, OLD.status, -1), (NEW.org_id, NEW.id, NEW.status, 1))
              AS moved (org_id, id, status, change)) AS changes
        CROSS JOIN LATERAL (
            SELECT last_id FROM ledger_blocks AS block WHERE block.org_id = changes.org_id
            AND block.kind = TG_TABLE_NAME AND block.last_id >= changes.id
            ORDER BY last_id LIMIT 1
        ) AS block
        GROUP BY org_id, last_id ORDER BY org_id, last_id
        ON CONFLICT (org_id, kind, last_id, part) DO UPDATE SET
            cancelled = blocks.cancelled + EXCLUDED.cancelled,
            completed = blocks.completed + EXCLUDED.completed,
            failed = blocks.failed + EXCLUDED.failed,
            pending = blocks.pending + EXCLUDED.pending,
            queued = blocks.queued + EXCLUDED.queued,
            retrying = blocks.retrying + EXCLUDED.retrying,
            running = blocks.running + EXCLUDED.running;
    END IF;
    RETURN NULL;
END $$;
-- @end
