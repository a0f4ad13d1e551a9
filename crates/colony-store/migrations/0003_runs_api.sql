-- What the Runs API and its work queue need beyond the ledger.

-- Lower first, as the priorities of queues that clients know.
ALTER TABLE tasks ADD COLUMN priority {int} NOT NULL DEFAULT 0;
-- At most one task of a run has a given key.
ALTER TABLE tasks ADD COLUMN dedupe_key {text};
-- Where it waits for a worker: 'offered' in offers, 'delayed' in delayed_tasks; NULL = it does not.
ALTER TABLE tasks ADD COLUMN waiting {text};
-- When a delayed task is offered.
ALTER TABLE tasks ADD COLUMN due_at {time};
CREATE UNIQUE INDEX tasks_dedupe ON tasks (run_id, dedupe_key) WHERE dedupe_key IS NOT NULL;

-- Environment of an organization's key, the second part of its text.
ALTER TABLE tokens ADD COLUMN environment {text};

-- Tasks that any worker of the organization may claim, by type. Claiming takes from the front.
-- timeout_ms is set for tasks of jobs: the limit of their attempts, from the first claim.
CREATE TABLE offers (
    org_id     {text} NOT NULL,
    type       {text} NOT NULL,
    rank       {int} NOT NULL,
    task_id    {id} NOT NULL,
    timeout_ms {int},
    PRIMARY KEY (org_id, type, rank, task_id)
){clustered};

-- Tasks that are offered at a later time.
CREATE TABLE delayed_tasks (
    due_at  {time} NOT NULL,
    task_id {id} NOT NULL,
    PRIMARY KEY (due_at, task_id)
){clustered};

-- Time-limited rights of workers to tasks that no job owns. Those of job tasks are in leases, as
-- those of ants are.
CREATE TABLE worker_leases (
    task_id    {id} PRIMARY KEY,
    org_id     {text} NOT NULL,
    epoch      {int} NOT NULL,
    holder     {text} NOT NULL,
    started_at {time} NOT NULL,
    expires_at {time} NOT NULL
){clustered};
CREATE INDEX worker_leases_expiry ON worker_leases (expires_at);

-- Answers to requests that may be sent again.
CREATE TABLE idempotency_keys (
    org_id         {text} NOT NULL,
    key            {text} NOT NULL,
    request_sha256 {text} NOT NULL,
    status         {int} NOT NULL,
    response       {text} NOT NULL,
    created_at     {time} NOT NULL,
    PRIMARY KEY (org_id, key)
){clustered};
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
