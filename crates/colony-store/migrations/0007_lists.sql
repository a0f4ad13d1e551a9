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
