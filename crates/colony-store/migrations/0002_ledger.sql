-- The ledger, the job side of it, and what the queen's loops live on.
-- Times are milliseconds since 1970, JSON is text, ids are time-ordered UUIDs.

CREATE TABLE organizations (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at {time} NOT NULL
);

CREATE TABLE users (
    id          {id} PRIMARY KEY,
    org_id      TEXT NOT NULL REFERENCES organizations (id),
    username    TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    email       TEXT NOT NULL,
    roles       TEXT NOT NULL,
    permissions TEXT NOT NULL,
    active      {bool} NOT NULL,
    created_at  {time} NOT NULL,
    updated_at  {time} NOT NULL
);

-- Tokens of users and ants, keys of organizations: only hashes are kept.
CREATE TABLE tokens (
    id         {id} PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('user', 'ant', 'key')),
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    user_id    {id} REFERENCES users (id),
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL UNIQUE,
    active     {bool} NOT NULL,
    expires_at {time},
    created_at {time} NOT NULL
);

-- Every saved version of every definition; at most one is active per organization and type.
CREATE TABLE definitions (
    id              {id} PRIMARY KEY,
    org_id          TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    job_type        TEXT NOT NULL,
    version         {int} NOT NULL,
    sem_version     TEXT NOT NULL,
    raw_yaml        TEXT NOT NULL,
    description     TEXT NOT NULL,
    url             TEXT NOT NULL,
    platform        TEXT NOT NULL,
    tags            TEXT NOT NULL,
    methods         TEXT NOT NULL,
    cron_trigger    TEXT NOT NULL,
    public_plugin   {bool} NOT NULL,
    max_concurrency {int} NOT NULL,
    active          {bool} NOT NULL,
    deleted         {bool} NOT NULL,
    disabled        {bool} NOT NULL,
    created_at      {time} NOT NULL,
    updated_at      {time} NOT NULL,
    UNIQUE (org_id, job_type, version)
);
CREATE UNIQUE INDEX definitions_active ON definitions (org_id, job_type) WHERE active;

-- Someone's wish to run a definition. `eligible` rows are due and wait for the scheduler.
CREATE TABLE requests (
    id                {id} PRIMARY KEY,
    org_id            TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    parent_id         {id},
    schedule_key      TEXT NOT NULL,
    definition_id     {id} NOT NULL REFERENCES definitions (id),
    job_type          TEXT NOT NULL,
    job_version       TEXT NOT NULL,
    job_state         TEXT NOT NULL,
    eligible          {bool} NOT NULL,
    job_priority      {int} NOT NULL,
    user_key          TEXT,
    description       TEXT NOT NULL,
    platform          TEXT NOT NULL,
    job_group         TEXT NOT NULL,
    timeout_ms        {int} NOT NULL,
    schedule_attempts {int} NOT NULL,
    retried           {int} NOT NULL,
    paused_count      {int} NOT NULL,
    cron_triggered    {bool} NOT NULL,
    hard_restart      {bool} NOT NULL,
    cascade_cancel    {bool} NOT NULL,
    error_code        TEXT NOT NULL,
    error_message     TEXT NOT NULL,
    current_task      TEXT NOT NULL,
    run_id            {id},
    last_run_id       {id},
    params            TEXT NOT NULL,
    quick_search      TEXT NOT NULL,
    scheduled_at      {time} NOT NULL,
    created_at        {time} NOT NULL,
    updated_at        {time} NOT NULL,
    ended_at          {time},
    CHECK ((job_state IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL))
);
CREATE INDEX requests_eligible ON requests (schedule_key, job_priority DESC, id) WHERE eligible;
CREATE INDEX requests_updated ON requests (org_id, updated_at);
CREATE INDEX requests_parent ON requests (parent_id) WHERE parent_id IS NOT NULL;
CREATE UNIQUE INDEX requests_user_key ON requests (user_key) WHERE user_key IS NOT NULL;

-- One execution context in the ledger. A job execution is a run with a row in job_runs.
CREATE TABLE runs (
    id              {id} PRIMARY KEY,
    org_id          TEXT NOT NULL,
    status          TEXT NOT NULL,
    input           TEXT NOT NULL,
    output          TEXT,
    error           TEXT,
    metadata        TEXT,
    total_tasks     {int} NOT NULL,
    completed_tasks {int} NOT NULL,
    failed_tasks    {int} NOT NULL,
    created_at      {time} NOT NULL,
    updated_at      {time} NOT NULL,
    started_at      {time},
    completed_at    {time},
    duration_ms     {int}
);
CREATE INDEX runs_org ON runs (org_id, id);

-- A unit of work in a run. The epoch grows with each lease.
CREATE TABLE tasks (
    id             {id} PRIMARY KEY,
    run_id         {id} NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    parent_task_id {id},
    org_id         TEXT NOT NULL,
    type           TEXT NOT NULL,
    status         TEXT NOT NULL,
    input          TEXT NOT NULL,
    output         TEXT,
    error          TEXT,
    metadata       TEXT,
    retry_count    {int} NOT NULL,
    max_retries    {int} NOT NULL,
    queue_job_id   TEXT,
    epoch          {int} NOT NULL,
    created_at     {time} NOT NULL,
    updated_at     {time} NOT NULL,
    queued_at      {time},
    started_at     {time},
    completed_at   {time},
    duration_ms    {int}
);
CREATE INDEX tasks_run ON tasks (run_id, id);
CREATE INDEX tasks_org ON tasks (org_id, id);

-- Key, value and tags written in a run; the newest id of a key is its latest value.
CREATE TABLE run_data (
    id         {id} PRIMARY KEY,
    run_id     {id} NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    task_id    {id} NOT NULL,
    org_id     TEXT NOT NULL,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    tags       TEXT NOT NULL,
    metadata   TEXT,
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL
);
CREATE INDEX run_data_key ON run_data (run_id, key, id);

-- What the engine knows of a run that executes a job.
CREATE TABLE job_runs (
    run_id        {id} PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    request_id    {id} NOT NULL,
    definition_id {id} NOT NULL,
    schedule_key  TEXT NOT NULL,
    rank          {int} NOT NULL,
    job_state     TEXT NOT NULL,
    phase         TEXT NOT NULL,
    occupies_slot {bool} NOT NULL,
    pass          {int} NOT NULL,
    job_retries   {int} NOT NULL,
    retried       {int} NOT NULL,
    paused_count  {int} NOT NULL,
    task_runs     {int} NOT NULL,
    deadline_at   {time},
    current_task  TEXT,
    verdict       TEXT,
    skip_cleanup  {bool} NOT NULL
);
CREATE INDEX job_runs_request ON job_runs (request_id);
CREATE INDEX job_runs_slots ON job_runs (schedule_key) WHERE occupies_slot;
CREATE INDEX job_runs_deadline ON job_runs (deadline_at) WHERE deadline_at IS NOT NULL;

-- What the engine knows of a job's task: its latest record in the run.
CREATE TABLE job_tasks (
    run_id          {id} NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    task_type       TEXT NOT NULL,
    task_id         {id} NOT NULL,
    task_order      {int} NOT NULL,
    method          TEXT NOT NULL,
    allow_failure   {bool} NOT NULL,
    state           TEXT NOT NULL,
    pass            {int} NOT NULL,
    seq             {int} NOT NULL,
    exit_code       TEXT NOT NULL,
    error_code      TEXT NOT NULL,
    error_message   TEXT NOT NULL,
    failed_command  TEXT NOT NULL,
    failed_attempts {int} NOT NULL,
    retries         {int} NOT NULL,
    losses          {int} NOT NULL,
    deadline_at     {time},
    stop            TEXT,
    old_status      TEXT,
    old_error_code  TEXT,
    reused          {bool} NOT NULL,
    control         TEXT,
    ant_id          TEXT NOT NULL,
    ant_host        TEXT NOT NULL,
    warnings        TEXT,
    stdout          TEXT,
    started_at      {time},
    ended_at        {time},
    PRIMARY KEY (run_id, task_type)
);

-- Tasks that wait for an ant or worker, by what can do them. Claiming takes from the front.
CREATE TABLE ready_tasks (
    queue      TEXT NOT NULL,
    rank       {int} NOT NULL,
    task_id    {id} NOT NULL,
    run_id     {id} NOT NULL,
    timeout_ms {int} NOT NULL,
    PRIMARY KEY (queue, rank, task_id)
);
CREATE INDEX ready_tasks_task ON ready_tasks (task_id);

-- Time-limited rights to work on a task's current attempt.
CREATE TABLE leases (
    task_id     {id} PRIMARY KEY,
    run_id      {id} NOT NULL,
    epoch       {int} NOT NULL,
    holder      TEXT NOT NULL,
    expires_at  {time} NOT NULL,
    deadline_at {time},
    started_at  {time} NOT NULL
);
CREATE INDEX leases_expiry ON leases (expires_at);
CREATE INDEX leases_deadline ON leases (deadline_at) WHERE deadline_at IS NOT NULL;

-- Attempts that are over, one accepted outcome each.
CREATE TABLE attempts (
    task_id       {id} NOT NULL,
    epoch         {int} NOT NULL,
    run_id        {id} NOT NULL,
    retry         {int} NOT NULL,
    holder        TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    exit_code     TEXT NOT NULL,
    error_message TEXT NOT NULL,
    started_at    {time} NOT NULL,
    ended_at      {time} NOT NULL,
    PRIMARY KEY (task_id, epoch)
);

-- Events to be sent at a time. One of each kind per subject and detail.
CREATE TABLE timers (
    kind    TEXT NOT NULL,
    subject {id} NOT NULL,
    detail  TEXT NOT NULL,
    due_at  {time} NOT NULL,
    PRIMARY KEY (subject, kind, detail)
);
CREATE INDEX timers_due ON timers (due_at);

-- Effects towards the outside, carried out from here and safe to repeat.
CREATE TABLE outbox (
    id       {id} PRIMARY KEY,
    kind     TEXT NOT NULL,
    payload  TEXT NOT NULL,
    attempts {int} NOT NULL,
    due_at   {time} NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at);

-- Stored outputs. Small logs are kept inline and commit with the outcome of their attempt.
CREATE TABLE artifacts (
    id             {id} PRIMARY KEY,
    org_id         TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    request_id     {id},
    run_id         {id},
    task_id        {id},
    epoch          {int},
    task_type      TEXT NOT NULL,
    kind           TEXT NOT NULL,
    name           TEXT NOT NULL,
    object_key     TEXT,
    inline_text    TEXT,
    content_type   TEXT NOT NULL,
    size_bytes     {int} NOT NULL,
    sha256         TEXT NOT NULL,
    artifact_order {int} NOT NULL,
    artifact_group TEXT NOT NULL,
    metadata       TEXT,
    tags           TEXT,
    deleted        {bool} NOT NULL,
    expires_at     {time} NOT NULL,
    created_at     {time} NOT NULL,
    updated_at     {time} NOT NULL,
    CHECK ((object_key IS NULL) <> (inline_text IS NULL))
);
CREATE INDEX artifacts_run ON artifacts (run_id, task_id);
CREATE INDEX artifacts_sha256 ON artifacts (sha256) WHERE kind <> 'LOGS';
