-- The ledger, the job side of it, and what the queen's loops live on.
-- Times are milliseconds since 1970, JSON is text, ids are time-ordered UUIDs.

CREATE TABLE organizations (
    id         {text} PRIMARY KEY,
    name       {text} NOT NULL,
    created_at {time} NOT NULL
){strict};

CREATE TABLE users (
    id          {id} PRIMARY KEY,
    org_id      {text} NOT NULL REFERENCES organizations (id),
    username    {text} NOT NULL UNIQUE,
    name        {text} NOT NULL,
    email       {text} NOT NULL,
    roles       {text} NOT NULL,
    permissions {text} NOT NULL,
    active      {bool} NOT NULL,
    created_at  {time} NOT NULL,
    updated_at  {time} NOT NULL
){strict};

-- Tokens of users and ants, keys of organizations: only hashes are kept.
CREATE TABLE tokens (
    id         {id} PRIMARY KEY,
    kind       {text} NOT NULL CHECK (kind IN ('user', 'ant', 'key')),
    org_id     {text} NOT NULL REFERENCES organizations (id),
    user_id    {id} REFERENCES users (id),
    name       {text} NOT NULL,
    sha256     {text} NOT NULL UNIQUE,
    active     {bool} NOT NULL,
    expires_at {time},
    created_at {time} NOT NULL
){strict};

-- Every saved version of every definition; at most one is active per organization and type.
CREATE TABLE definitions (
    id              {id} PRIMARY KEY,
    org_id          {text} NOT NULL,
    user_id         {text} NOT NULL,
    job_type        {text} NOT NULL,
    version         {int} NOT NULL,
    sem_version     {text} NOT NULL,
    raw_yaml        {text} NOT NULL,
    description     {text} NOT NULL,
    url             {text} NOT NULL,
    platform        {text} NOT NULL,
    tags            {text} NOT NULL,
    methods         {text} NOT NULL,
    cron_trigger    {text} NOT NULL,
    public_plugin   {bool} NOT NULL,
    max_concurrency {int} NOT NULL,
    active          {bool} NOT NULL,
    deleted         {bool} NOT NULL,
    disabled        {bool} NOT NULL,
    created_at      {time} NOT NULL,
    updated_at      {time} NOT NULL,
    UNIQUE (org_id, job_type, version)
){strict};
CREATE UNIQUE INDEX definitions_active ON definitions (org_id, job_type) WHERE active;

-- Someone's wish to run a definition. `eligible` rows are due and wait for the scheduler.
CREATE TABLE requests (
    id                {id} PRIMARY KEY,
    org_id            {text} NOT NULL,
    user_id           {text} NOT NULL,
    parent_id         {id},
    schedule_key      {text} NOT NULL,
    definition_id     {id} NOT NULL REFERENCES definitions (id),
    job_type          {text} NOT NULL,
    job_version       {text} NOT NULL,
    job_state         {text} NOT NULL,
    eligible          {bool} NOT NULL,
    job_priority      {int} NOT NULL,
    user_key          {text},
    description       {text} NOT NULL,
    platform          {text} NOT NULL,
    job_group         {text} NOT NULL,
    timeout_ms        {int} NOT NULL,
    schedule_attempts {int} NOT NULL,
    retried           {int} NOT NULL,
    paused_count      {int} NOT NULL,
    cron_triggered    {bool} NOT NULL,
    hard_restart      {bool} NOT NULL,
    cascade_cancel    {bool} NOT NULL,
    error_code        {text} NOT NULL,
    error_message     {text} NOT NULL,
    current_task      {text} NOT NULL,
    run_id            {id},
    last_run_id       {id},
    params            {json} NOT NULL,
    quick_search      {text} NOT NULL,
    scheduled_at      {time} NOT NULL,
    created_at        {time} NOT NULL,
    updated_at        {time} NOT NULL,
    ended_at          {time},
    CHECK ((job_state IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (ended_at IS NOT NULL))
){clustered};
CREATE INDEX requests_eligible ON requests (schedule_key, job_priority DESC, id) WHERE eligible;
CREATE INDEX requests_updated ON requests (org_id, updated_at);
CREATE INDEX requests_parent ON requests (parent_id) WHERE parent_id IS NOT NULL;
CREATE UNIQUE INDEX requests_user_key ON requests (user_key) WHERE user_key IS NOT NULL;

-- One execution context in the ledger. A job execution is a run with a row in job_runs.
CREATE TABLE runs (
    id              {id} PRIMARY KEY,
    org_id          {text} NOT NULL,
    status          {text} NOT NULL,
    input           {json} NOT NULL,
    output          {json},
    error           {json},
    metadata        {json},
    total_tasks     {int} NOT NULL,
    completed_tasks {int} NOT NULL,
    failed_tasks    {int} NOT NULL,
    created_at      {time} NOT NULL,
    updated_at      {time} NOT NULL,
    started_at      {time},
    completed_at    {time},
    duration_ms     {int}
){clustered};
CREATE INDEX runs_org ON runs (org_id, id);

-- A unit of work in a run. The epoch grows with each lease.
CREATE TABLE tasks (
    id             {id} PRIMARY KEY,
    run_id         {id} NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    parent_task_id {id},
    org_id         {text} NOT NULL,
    type           {text} NOT NULL,
    status         {text} NOT NULL,
    input          {json} NOT NULL,
    output         {json},
    error          {json},
    metadata       {json},
    retry_count    {int} NOT NULL,
    max_retries    {int} NOT NULL,
    queue_job_id   {text},
    epoch          {int} NOT NULL,
    created_at     {time} NOT NULL,
    updated_at     {time} NOT NULL,
    queued_at      {time},
    started_at     {time},
    completed_at   {time},
    duration_ms    {int}
){clustered};
CREATE INDEX tasks_run ON tasks (run_id, id);
CREATE INDEX tasks_org ON tasks (org_id, id);

-- Key, value and tags written in a run; the newest id of a key is its latest value.
CREATE TABLE run_data (
    id         {id} PRIMARY KEY,
    run_id     {id} NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    task_id    {id} NOT NULL,
    org_id     {text} NOT NULL,
    key        {text} NOT NULL,
    value      {json} NOT NULL,
    tags       {json} NOT NULL,
    metadata   {json},
    created_at {time} NOT NULL,
    updated_at {time} NOT NULL
){clustered};
CREATE INDEX run_data_key ON run_data (run_id, key, id);

-- What the engine knows of a run that executes a job.
CREATE TABLE job_runs (
    run_id        {id} PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    request_id    {id} NOT NULL,
    definition_id {id} NOT NULL,
    schedule_key  {text} NOT NULL,
    rank          {int} NOT NULL,
    job_state     {text} NOT NULL,
    phase         {text} NOT NULL,
    occupies_slot {bool} NOT NULL,
    pass          {int} NOT NULL,
    job_retries   {int} NOT NULL,
    retried       {int} NOT NULL,
    paused_count  {int} NOT NULL,
    task_runs     {int} NOT NULL,
    deadline_at   {time},
    current_task  {text},
    verdict       {json},
    skip_cleanup  {bool} NOT NULL
){clustered};
CREATE INDEX job_runs_deadline ON job_runs (deadline_at) WHERE deadline_at IS NOT NULL;

-- How many runs of a schedule key hold a slot: the sum of job_runs.occupies_slot, kept with each change.
CREATE TABLE slots (
    schedule_key {text} PRIMARY KEY,
    taken        {int} NOT NULL
){clustered};

-- What the engine knows of a job's task: its latest record in the run.
CREATE TABLE job_tasks (
    run_id          {id} NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    task_type       {text} NOT NULL,
    task_id         {id} NOT NULL,
    task_order      {int} NOT NULL,
    method          {text} NOT NULL,
    allow_failure   {bool} NOT NULL,
    state           {text} NOT NULL,
    pass            {int} NOT NULL,
    seq             {int} NOT NULL,
    exit_code       {text} NOT NULL,
    error_code      {text} NOT NULL,
    error_message   {text} NOT NULL,
    failed_command  {text} NOT NULL,
    failed_attempts {int} NOT NULL,
    retries         {int} NOT NULL,
    losses          {int} NOT NULL,
    deadline_at     {time},
    stop            {text},
    old_status      {text},
    old_error_code  {text},
    reused          {bool} NOT NULL,
    control         {json},
    ant_id          {text} NOT NULL,
    ant_host        {text} NOT NULL,
    warnings        {json},
    stdout          {json},
    started_at      {time},
    ended_at        {time},
    PRIMARY KEY (run_id, task_type)
){clustered};

-- Tasks that wait for an ant or worker, by what can do them. Claiming takes from the front.
CREATE TABLE ready_tasks (
    queue      {text} NOT NULL,
    rank       {int} NOT NULL,
    task_id    {id} NOT NULL,
    run_id     {id} NOT NULL,
    timeout_ms {int} NOT NULL,
    PRIMARY KEY (queue, rank, task_id)
){clustered};
CREATE INDEX ready_tasks_task ON ready_tasks (task_id);

-- Time-limited rights to work on a task's current attempt.
CREATE TABLE leases (
    task_id     {id} PRIMARY KEY,
    run_id      {id} NOT NULL,
    epoch       {int} NOT NULL,
    holder      {text} NOT NULL,
    expires_at  {time} NOT NULL,
    deadline_at {time},
    started_at  {time} NOT NULL
){clustered};
CREATE INDEX leases_expiry ON leases (expires_at);
CREATE INDEX leases_deadline ON leases (deadline_at) WHERE deadline_at IS NOT NULL;

-- Attempts that are over, one accepted outcome each.
CREATE TABLE attempts (
    task_id       {id} NOT NULL,
    epoch         {int} NOT NULL,
    run_id        {id} NOT NULL,
    retry         {int} NOT NULL,
    holder        {text} NOT NULL,
    outcome       {text} NOT NULL,
    exit_code     {text} NOT NULL,
    error_message {text} NOT NULL,
    started_at    {time} NOT NULL,
    ended_at      {time} NOT NULL,
    PRIMARY KEY (task_id, epoch)
){clustered};

-- Events to be sent at a time. One of each kind per subject and detail.
CREATE TABLE timers (
    kind    {text} NOT NULL,
    subject {id} NOT NULL,
    detail  {text} NOT NULL,
    due_at  {time} NOT NULL,
    PRIMARY KEY (subject, kind, detail)
){clustered};
CREATE INDEX timers_due ON timers (due_at);

-- Effects towards the outside, carried out from here and safe to repeat.
CREATE TABLE outbox (
    id       {id} PRIMARY KEY,
    kind     {text} NOT NULL,
    payload  {json} NOT NULL,
    attempts {int} NOT NULL,
    due_at   {time} NOT NULL
){strict};
CREATE INDEX outbox_due ON outbox (due_at);

-- Stored outputs. Small logs are kept inline and commit with the outcome of their attempt.
CREATE TABLE artifacts (
    id             {id} PRIMARY KEY,
    org_id         {text} NOT NULL,
    user_id        {text} NOT NULL,
    request_id     {id},
    run_id         {id},
    task_id        {id},
    epoch          {int},
    task_type      {text} NOT NULL,
    kind           {text} NOT NULL,
    name           {text} NOT NULL,
    object_key     {text},
    inline_text    {text},
    content_type   {text} NOT NULL,
    size_bytes     {int} NOT NULL,
    sha256         {text} NOT NULL,
    artifact_order {int} NOT NULL,
    artifact_group {text} NOT NULL,
    metadata       {json},
    tags           {json},
    deleted        {bool} NOT NULL,
    expires_at     {time} NOT NULL,
    created_at     {time} NOT NULL,
    updated_at     {time} NOT NULL,
    CHECK ((object_key IS NULL) <> (inline_text IS NULL))
){strict};
CREATE INDEX artifacts_run ON artifacts (run_id);
CREATE INDEX artifacts_task ON artifacts (task_id);
CREATE INDEX artifacts_sha256 ON artifacts (sha256) WHERE kind <> 'LOGS';
