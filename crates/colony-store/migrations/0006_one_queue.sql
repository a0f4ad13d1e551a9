-- One queue, one table of leases and one of delays for every kind of worker; what the engine knows of
-- a job's run and task is in the rows of the run and the task.

-- A run that executes a job has a request; for others these columns are empty.
ALTER TABLE runs ADD COLUMN request_id {id};
ALTER TABLE runs ADD COLUMN definition_id {id};
ALTER TABLE runs ADD COLUMN schedule_key {text};
ALTER TABLE runs ADD COLUMN rank {int};
ALTER TABLE runs ADD COLUMN job_state {text};
ALTER TABLE runs ADD COLUMN phase {text};
ALTER TABLE runs ADD COLUMN occupies_slot {bool};
ALTER TABLE runs ADD COLUMN pass {int};
ALTER TABLE runs ADD COLUMN job_retries {int};
ALTER TABLE runs ADD COLUMN retried {int};
ALTER TABLE runs ADD COLUMN paused_count {int};
ALTER TABLE runs ADD COLUMN task_runs {int};
ALTER TABLE runs ADD COLUMN deadline_at {time};
ALTER TABLE runs ADD COLUMN current_task {text};
ALTER TABLE runs ADD COLUMN verdict {json};
ALTER TABLE runs ADD COLUMN skip_cleanup {bool};

UPDATE runs SET request_id = old.request_id, definition_id = old.definition_id,
    schedule_key = old.schedule_key, rank = old.rank, job_state = old.job_state,
    phase = old.phase, occupies_slot = old.occupies_slot, pass = old.pass,
    job_retries = old.job_retries, retried = old.retried, paused_count = old.paused_count,
    task_runs = old.task_runs, deadline_at = old.deadline_at, current_task = old.current_task,
    verdict = old.verdict, skip_cleanup = old.skip_cleanup
    FROM job_runs AS old WHERE old.run_id = runs.id;
CREATE INDEX runs_deadline ON runs (deadline_at) WHERE deadline_at IS NOT NULL;

-- A task of a job has a name in it; for others these columns are empty.
ALTER TABLE tasks ADD COLUMN job_task {text};
ALTER TABLE tasks ADD COLUMN task_order {int};
ALTER TABLE tasks ADD COLUMN method {text};
ALTER TABLE tasks ADD COLUMN allow_failure {bool};
ALTER TABLE tasks ADD COLUMN job_state {text};
ALTER TABLE tasks ADD COLUMN pass {int};
ALTER TABLE tasks ADD COLUMN seq {int};
ALTER TABLE tasks ADD COLUMN exit_code {text};
ALTER TABLE tasks ADD COLUMN error_code {text};
ALTER TABLE tasks ADD COLUMN error_message {text};
ALTER TABLE tasks ADD COLUMN failed_command {text};
ALTER TABLE tasks ADD COLUMN failed_attempts {int};
ALTER TABLE tasks ADD COLUMN losses {int};
ALTER TABLE tasks ADD COLUMN deadline_at {time};
ALTER TABLE tasks ADD COLUMN stop {text};
ALTER TABLE tasks ADD COLUMN old_status {text};
ALTER TABLE tasks ADD COLUMN old_error_code {text};
ALTER TABLE tasks ADD COLUMN reused {bool};
ALTER TABLE tasks ADD COLUMN control {json};
ALTER TABLE tasks ADD COLUMN ant_id {text};
ALTER TABLE tasks ADD COLUMN ant_host {text};
ALTER TABLE tasks ADD COLUMN warnings {json};
ALTER TABLE tasks ADD COLUMN stdout {json};
-- Where a task of a job waits: the key of its row in `queue`.
ALTER TABLE tasks ADD COLUMN queue_key {text};

UPDATE tasks SET job_task = old.task_type, task_order = old.task_order, method = old.method,
    allow_failure = old.allow_failure, job_state = old.state, pass = old.pass, seq = old.seq,
    exit_code = old.exit_code, error_code = old.error_code, error_message = old.error_message,
    failed_command = old.failed_command, failed_attempts = old.failed_attempts,
    retry_count = old.retries, losses = old.losses, deadline_at = old.deadline_at,
    stop = old.stop, old_status = old.old_status, old_error_code = old.old_error_code,
    reused = old.reused, control = old.control, ant_id = old.ant_id, ant_host = old.ant_host,
    warnings = old.warnings, stdout = old.stdout, started_at = old.started_at,
    completed_at = old.ended_at
    FROM job_tasks AS old WHERE old.task_id = tasks.id;

-- Tasks that wait, by who can do them: `key` names a method and its tags, or an organization and a
-- type. Lower rank first; within one, flows (organization and job) take turns, and in a flow the
-- oldest task is first. timeout_ms is set for tasks of jobs: the limit of all their attempts.
CREATE TABLE queue (
    key        {text} NOT NULL,
    rank       {int} NOT NULL,
    flow       {text} NOT NULL,
    task_id    {id} NOT NULL,
    run_id     {id} NOT NULL,
    timeout_ms {int},
    PRIMARY KEY (key, rank, flow, task_id)
){clustered};

INSERT INTO queue (key, rank, flow, task_id, run_id, timeout_ms)
    SELECT CASE old.queue WHEN 'WORKER' THEN 'render' ELSE 'ant:' || old.queue END, old.rank,
        runs.schedule_key, old.task_id, old.run_id, old.timeout_ms
    FROM ready_tasks AS old JOIN runs ON runs.id = old.run_id WHERE runs.schedule_key IS NOT NULL;
UPDATE tasks SET queue_key = queue.key, priority = queue.rank, waiting = 'offered'
    FROM queue WHERE queue.task_id = tasks.id;
INSERT INTO queue (key, rank, flow, task_id, run_id, timeout_ms)
    SELECT 'worker:' || REPLACE(REPLACE(old.org_id, '%', '%25'), '/', '%2F') || '/' || old.type,
        old.rank, '', old.task_id, tasks.run_id, old.timeout_ms
    FROM offers AS old JOIN tasks ON tasks.id = old.task_id;
UPDATE tasks SET queue_key = queue.key FROM queue
    WHERE queue.task_id = tasks.id AND tasks.job_task IS NOT NULL;

-- Time-limited rights to work on a task, of ants, workers and the queen alike.
CREATE TABLE held (
    task_id     {id} PRIMARY KEY,
    epoch       {int} NOT NULL,
    run_id      {id} NOT NULL,
    org_id      {text} NOT NULL,
    of_job      {bool} NOT NULL,
    holder_kind {text} NOT NULL,
    holder      {text} NOT NULL,
    started_at  {time} NOT NULL,
    expires_at  {time} NOT NULL,
    deadline_at {time},
    stop        {text}
){clustered};
INSERT INTO held (task_id, epoch, run_id, org_id, of_job, holder_kind, holder, started_at, expires_at,
    deadline_at, stop)
    SELECT old.task_id, old.epoch, old.run_id, tasks.org_id, TRUE,
        CASE WHEN old.holder LIKE 'worker:%' THEN 'worker' WHEN old.holder = 'queen' THEN 'queen'
            ELSE 'ant' END,
        CASE WHEN old.holder LIKE 'worker:%' THEN SUBSTR(old.holder, 8) ELSE old.holder END,
        old.started_at, old.expires_at, old.deadline_at, tasks.stop
    FROM leases AS old JOIN tasks ON tasks.id = old.task_id;
INSERT INTO held (task_id, epoch, run_id, org_id, of_job, holder_kind, holder, started_at, expires_at)
    SELECT old.task_id, old.epoch, tasks.run_id, old.org_id, FALSE, 'worker', old.holder,
        old.started_at, old.expires_at
    FROM worker_leases AS old JOIN tasks ON tasks.id = old.task_id WHERE TRUE ON CONFLICT DO NOTHING;
DROP TABLE leases;
DROP TABLE worker_leases;
ALTER TABLE held RENAME TO leases;
CREATE INDEX leases_expiry ON leases (expires_at);
CREATE INDEX leases_deadline ON leases (deadline_at) WHERE deadline_at IS NOT NULL;
CREATE INDEX leases_ant ON leases (holder) WHERE holder_kind = 'ant';

INSERT INTO timers (kind, subject, detail, due_at)
    SELECT 'offer_due', id, '', due_at FROM tasks
    WHERE waiting = 'delayed' AND due_at IS NOT NULL AND id IN (SELECT task_id FROM delayed_tasks);

DROP TABLE delayed_tasks;
DROP TABLE offers;
DROP TABLE ready_tasks;
DROP TABLE job_tasks;
DROP TABLE job_runs;

-- The queue that no ant serves, of a request that waits for one: it is not looked at before one does.
ALTER TABLE requests ADD COLUMN unserved {text};
CREATE INDEX requests_unserved ON requests (unserved, id) WHERE unserved IS NOT NULL;

-- The control flow of a version, as it was understood when it was saved: an upgrade of the program
-- does not change runs under way.
ALTER TABLE definitions ADD COLUMN plan {json};
