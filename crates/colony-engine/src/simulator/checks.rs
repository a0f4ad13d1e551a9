//! What holds after every transaction, and what holds at rest.

use std::collections::{BTreeMap, BTreeSet};

use colony_core::id::{AttemptRef, DefinitionId, RequestId, RunId, TaskId};
use colony_core::method::Method;
use colony_core::time::Timestamp;
use colony_store::request::RequestRow;
use colony_store::{StoreError, Tx, timer};
use uuid::Uuid;

use super::ants::short;
use super::people::name;
use super::world::World;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Record {
    before: Snapshot,
    /// Reports and changes that were accepted.
    accepted: BTreeSet<AttemptRef>,
    /// Runs whose cancel was acknowledged.
    cancelled: BTreeSet<RunId>,
    /// Requests without a run whose cancel was acknowledged.
    cancelled_waiting: BTreeSet<RequestId>,
    /// Runs whose request was restarted while they were suspended: nothing more comes of them.
    abandoned: BTreeSet<RunId>,
    leased: BTreeSet<AttemptRef>,
    /// Until when holders were told that their leases last.
    renewed: BTreeMap<AttemptRef, Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    state: String,
    run_id: Option<RunId>,
    eligible: bool,
    unserved: bool,
    user_key: bool,
    key: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    request_id: RequestId,
    definition_id: DefinitionId,
    phase: String,
    state: String,
    pass: u32,
    slot: bool,
    key: String,
    deadline: bool,
    skip_cleanup: bool,
    counts: (i64, i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Task {
    run_id: RunId,
    name: String,
    state: String,
    pass: u32,
    epoch: i64,
    queue_key: Option<String>,
    deadline: Option<Timestamp>,
    timed_out: bool,
}

/// The rows.
#[derive(Debug, Default)]
struct Snapshot {
    requests: BTreeMap<RequestId, Request>,
    runs: BTreeMap<RunId, Run>,
    tasks: BTreeMap<TaskId, Task>,
    leases: BTreeMap<TaskId, (i64, RunId, String)>,
    queue: Vec<(TaskId, RunId, String)>,
    timers: BTreeSet<(String, Uuid, String)>,
    slots: BTreeMap<String, i64>,
    ended: BTreeMap<TaskId, i64>,
}

impl Snapshot {
    fn read(tx: &mut Tx<'_>) -> Result<Self, StoreError> {
        let mut this = Self::default();
        for row in tx.query(
            "SELECT id, job_state, run_id, eligible, unserved IS NOT NULL, user_key IS NOT NULL, \
             schedule_key, error_message FROM requests",
            &[],
        )? {
            let request = Request {
                state: row.get(1)?,
                run_id: row.get(2)?,
                eligible: row.get(3)?,
                unserved: row.get(4)?,
                user_key: row.get(5)?,
                key: row.get(6)?,
                reason: row.get(7)?,
            };
            this.requests.insert(row.get(0)?, request);
        }
        for row in tx.query(
            "SELECT id, request_id, definition_id, phase, job_state, pass, occupies_slot, \
             schedule_key, deadline_at IS NOT NULL, skip_cleanup, total_tasks, completed_tasks, \
             failed_tasks FROM runs",
            &[],
        )? {
            let run = Run {
                request_id: row.get(1)?,
                definition_id: row.get(2)?,
                phase: row.get(3)?,
                state: row.get(4)?,
                pass: row.get(5)?,
                slot: row.get(6)?,
                key: row.get(7)?,
                deadline: row.get(8)?,
                skip_cleanup: row.get(9)?,
                counts: (row.get(10)?, row.get(11)?, row.get(12)?),
            };
            this.runs.insert(row.get(0)?, run);
        }
        this.read_tasks(tx)?;
        for row in tx.query("SELECT kind, subject, detail FROM timers", &[])? {
            this.timers.insert((row.get(0)?, row.get(1)?, row.get(2)?));
        }
        for row in tx.query("SELECT schedule_key, taken FROM slots", &[])? {
            this.slots.insert(row.get(0)?, row.get(1)?);
        }
        Ok(this)
    }

    fn read_tasks(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for row in tx.query(
            "SELECT id, run_id, job_task, job_state, pass, epoch, queue_key, \
             deadline_at, COALESCE(stop = 'task_timed_out', FALSE) FROM tasks",
            &[],
        )? {
            let task = Task {
                run_id: row.get(1)?,
                name: row.get(2)?,
                state: row.get(3)?,
                pass: row.get(4)?,
                epoch: row.get(5)?,
                queue_key: row.get(6)?,
                deadline: row.get(7)?,
                timed_out: row.get(8)?,
            };
            self.tasks.insert(row.get(0)?, task);
        }
        for row in tx.query("SELECT task_id, epoch, run_id, holder FROM leases", &[])? {
            let lease = (row.get(1)?, row.get(2)?, row.get(3)?);
            self.leases.insert(row.get(0)?, lease);
        }
        for row in tx.query("SELECT task_id, run_id, key FROM queue", &[])? {
            self.queue.push((row.get(0)?, row.get(1)?, row.get(2)?));
        }
        for row in tx.query(
            "SELECT task_id, COUNT(*) FROM attempts GROUP BY task_id",
            &[],
        )? {
            self.ended.insert(row.get(0)?, row.get(1)?);
        }
        Ok(())
    }

    /// What changed, for people.
    fn changes(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, request) in &self.requests {
            if before.requests.get(id) != Some(request) {
                let (eligible, unserved) = (request.eligible, request.unserved);
                let mut line = format!("{} {}", name(*id), request.state);
                line.push_str(if eligible { " eligible" } else { "" });
                line.push_str(if unserved { " unserved" } else { "" });
                if !request.reason.is_empty() {
                    line.push_str(&format!(" ({})", request.reason));
                }
                lines.push(line);
            }
        }
        for (id, run) in &self.runs {
            if before.runs.get(id) != Some(run) {
                let of = name(run.request_id);
                let (phase, state, pass) = (&run.phase, &run.state, run.pass);
                lines.push(format!(
                    "run {} of {of}: {phase} {state} pass {pass}",
                    number(id.uuid())
                ));
            }
        }
        for (id, task) in &self.tasks {
            let lease = self.leases.get(id);
            if before.tasks.get(id) != Some(task) || before.leases.get(id) != lease {
                let run = number(task.run_id.uuid());
                let mut line = format!(
                    "#{} run {run} task {} {}",
                    number(id.uuid()),
                    task.name,
                    task.state
                );
                if let Some((epoch, _, holder)) = lease {
                    line.push_str(&format!(" leased .{epoch} by {holder}"));
                }
                if let Some(key) = &task.queue_key {
                    line.push_str(&format!(" waits in {key}"));
                }
                lines.push(line);
            }
        }
        for timer in &self.timers {
            if !before.timers.contains(timer) {
                let (kind, subject, detail) = timer;
                lines.push(format!("timer {kind} {} {detail}", number(*subject)));
            }
        }
        lines
    }
}

fn number(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

fn is_over(state: &str) -> bool {
    matches!(state, "COMPLETED" | "FAILED" | "CANCELLED")
}

impl World {
    /// An outcome of an attempt was accepted.
    pub(super) fn accepted(&mut self, attempt: AttemptRef) {
        if !self.record.accepted.insert(attempt) {
            self.fail(format!("two outcomes of {} were accepted", short(attempt)));
        }
    }

    /// A holder was told that its leases last.
    pub(super) fn renewed(&mut self, attempts: &[AttemptRef], expires_at: Timestamp) {
        let until = attempts.iter().map(|attempt| (*attempt, expires_at));
        self.record.renewed.extend(until);
    }

    /// The clock was set: nobody remembers times.
    pub(super) fn forget_times(&mut self) {
        self.record.renewed.clear();
    }

    /// A lease was ended because nobody renewed it.
    pub(super) fn lost(&mut self, attempt: AttemptRef) {
        let until = self.record.renewed.get(&attempt);
        if until.is_some_and(|at| *at > self.engine.now()) {
            self.fail(format!("{} is lost though it was renewed", short(attempt)));
        }
    }

    pub(super) fn cancelled(&mut self, id: RequestId) {
        let request = self.record.before.requests.get(&id);
        match request.and_then(|request| request.run_id) {
            Some(run_id) => self.record.cancelled.insert(run_id),
            None => self.record.cancelled_waiting.insert(id),
        };
        let run = request.and_then(|request| self.record.before.runs.get(&request.run_id?));
        // Its end is decided already.
        let ends = run.is_some_and(|run| matches!(run.phase.as_str(), "stopping" | "cleaning"));
        if !ends && request.is_some_and(|request| !is_over(&request.state)) {
            self.fail(format!("{} goes on after its cancel", name(id)));
        }
    }

    /// All requests, also those of which nobody knows that they are stored.
    pub(super) fn all_requests(&self) -> Vec<RequestId> {
        self.record.before.requests.keys().copied().collect()
    }

    pub(super) fn restarted(&mut self, row: &RequestRow) {
        self.record.cancelled_waiting.remove(&row.id);
        self.record.before.requests.remove(&row.id);
        if !row.job_state.is_terminal() {
            self.record.abandoned.extend(row.run_id);
        }
    }

    /// Checks the rows after a transaction.
    pub(super) fn check(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let now = Snapshot::read(tx)?;
        for line in now.changes(&self.record.before) {
            self.tell(format!("    {line}"));
        }
        let mut faults = Vec::new();
        self.check_tasks(&now, &mut faults);
        self.check_queue(&now, &mut faults);
        self.check_runs(&now, &mut faults);
        self.check_requests(&now, &mut faults);
        self.check_starts(&now, &mut faults);
        check_counts(tx, &mut faults)?;
        self.record.before = now;
        if let Some(fault) = faults.into_iter().next() {
            self.fail(fault);
        }
        Ok(())
    }

    fn check_tasks(&self, now: &Snapshot, faults: &mut Vec<String>) {
        for (id, task) in &now.tasks {
            let what = format!("#{} ({})", number(id.uuid()), task.name);
            let lease = now.leases.get(id);
            if (task.state == "EXECUTING") != lease.is_some() {
                faults.push(format!("{what} is {}, its lease: {lease:?}", task.state));
            }
            if lease
                .is_some_and(|(epoch, run_id, _)| *epoch != task.epoch || *run_id != task.run_id)
            {
                faults.push(format!("{what} has another lease than its row says"));
            }
            let over = now.ended.get(id).copied().unwrap_or(0);
            if over + i64::from(lease.is_some()) != task.epoch {
                faults.push(format!(
                    "{what} had {} leases, {over} are recorded as over",
                    task.epoch
                ));
            }
            let delayed = ("task_due".to_owned(), task.run_id.uuid(), task.name.clone());
            if (task.state == "DELAYED") != now.timers.contains(&delayed) {
                faults.push(format!(
                    "{what} is {}, and its timer is not as that says",
                    task.state
                ));
            }
            let before = self.record.before.tasks.get(id);
            let early = task.deadline.is_some_and(|at| at > self.engine.now());
            if early && task.timed_out && before.is_some_and(|before| !before.timed_out) {
                faults.push(format!("{what} is stopped before its time is over"));
            }
            let waits = now
                .runs
                .get(&task.run_id)
                .is_some_and(|run| run.phase != "suspended");
            if task.state == "READY" && waits && task.queue_key.is_none() {
                faults.push(format!("{what} is READY and waits nowhere"));
            }
            if task.state != "READY" && task.queue_key.is_some() {
                faults.push(format!("{what} is {} and waits in a queue", task.state));
            }
        }
        for id in now.leases.keys().filter(|id| !now.tasks.contains_key(id)) {
            faults.push(format!("a lease of nothing: {id}"));
        }
    }

    fn check_queue(&self, now: &Snapshot, faults: &mut Vec<String>) {
        let mut queued = BTreeMap::new();
        for (id, run_id, key) in &now.queue {
            let task = now.tasks.get(id);
            if task.and_then(|task| task.queue_key.as_ref()) != Some(key) {
                let state = task.map(|task| &task.state);
                faults.push(format!(
                    "#{} ({state:?}) is in queue {key}, not by its row",
                    number(id.uuid())
                ));
            }
            if task.is_some_and(|task| task.run_id != *run_id) || queued.insert(id, key).is_some() {
                faults.push(format!(
                    "#{} is in the queue twice or with another run",
                    number(id.uuid())
                ));
            }
        }
        for (id, task) in &now.tasks {
            if task.queue_key.is_some() && !queued.contains_key(id) {
                faults.push(format!(
                    "#{} is not in the queue that its row names",
                    number(id.uuid())
                ));
            }
        }
    }

    fn check_runs(&self, now: &Snapshot, faults: &mut Vec<String>) {
        let mut taken: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, run) in &now.runs {
            let what = format!("run {} ({})", number(id.uuid()), run.phase);
            let ended = run.phase == "ended";
            let busy = !ended && run.phase != "suspended";
            *taken.entry(&run.key).or_default() += i64::from(run.slot);
            if run.slot != busy {
                faults.push(format!("{what} occupies a slot: {}", run.slot));
            }
            if ended != is_over(&run.state) {
                faults.push(format!("{what} is {}", run.state));
            }
            let tasks = || now.tasks.values().filter(|task| task.run_id == *id);
            // One that was paused in an earlier pass and not reached since stays so.
            let open = tasks().any(|task| !is_over(&task.state) && task.pass == run.pass);
            if ended && (open || run.deadline) {
                faults.push(format!("{what} has open tasks or a deadline"));
            }
            let timers = now
                .timers
                .iter()
                .filter(|(_, subject, _)| *subject == id.uuid());
            let retry = timers.clone().any(|(kind, ..)| kind == "job_retry_due");
            if (run.phase == "retrying") != retry {
                faults.push(format!("{what} and its timer differ: {retry}"));
            }
            if ended && timers.count() > 0 {
                faults.push(format!("{what} has timers"));
            }
            let before = self.record.before.runs.get(id);
            if before.is_some_and(|before| before.phase == "ended" && before != run) {
                faults.push(format!("{what} changed after its end"));
            }
            if ended && before.is_none_or(|before| before.phase != "ended") {
                self.check_clean_up(*id, run, now, faults);
            }
            let count = |state: &str| {
                let count = tasks().filter(|task| task.state == state).count();
                i64::try_from(count).unwrap_or(0)
            };
            let total = i64::try_from(tasks().count()).unwrap_or(0);
            // A task that runs again is counted again when it ends.
            let (counted, completed, failed) = run.counts;
            let wrong =
                counted != total || completed < count("COMPLETED") || failed < count("FAILED");
            if wrong {
                faults.push(format!("{what} counts {:?}, has {total} tasks", run.counts));
            }
        }
        for (key, n) in &now.slots {
            if taken.get(key.as_str()).copied().unwrap_or(0) != *n {
                faults.push(format!(
                    "{n} slots of {key} are taken, by {:?} runs",
                    taken.get(key.as_str())
                ));
            }
        }
    }

    /// Clean-up runs before a run ends.
    fn check_clean_up(&self, id: RunId, run: &Run, now: &Snapshot, faults: &mut Vec<String>) {
        let abandoned = self.record.abandoned.contains(&id);
        let Some(compiled) = self.definition(run.definition_id).filter(|_| !abandoned) else {
            return;
        };
        for planned in compiled.plan.tasks.iter().filter(|task| task.always_run) {
            let mut tasks = now.tasks.values();
            let task = tasks.find(|task| task.run_id == id && task.name == planned.name);
            let cleaned = task.is_some_and(|task| {
                let ran = planned.method == Method::Manual
                    || task.deadline.is_some()
                    || task.state == "COMPLETED";
                task.pass == run.pass && ran
            });
            if !cleaned && !run.skip_cleanup {
                faults.push(format!(
                    "run {} ends without clean-up {}",
                    number(id.uuid()),
                    planned.name
                ));
            }
        }
    }

    fn check_requests(&self, now: &Snapshot, faults: &mut Vec<String>) {
        for (id, request) in &now.requests {
            let what = format!("{} ({})", name(*id), request.state);
            let run = request.run_id.and_then(|id| now.runs.get(&id));
            let phase = run.map_or("none", |run| run.phase.as_str());
            let timer = ("request_due".to_owned(), id.uuid(), String::new());
            let timer = now.timers.contains(&timer);
            let fits = match request.state.as_str() {
                "PENDING" | "PAUSED" => {
                    let ways = [request.eligible, request.unserved, timer];
                    let ways = ways.into_iter().filter(|way| *way).count();
                    ways == 1 && matches!(phase, "none" | "suspended")
                }
                "EXECUTING" => matches!(phase, "walking" | "stopping" | "cleaning" | "retrying"),
                "MANUAL_APPROVAL_REQUIRED" => phase == "suspended",
                "CANCELLED" => !matches!(phase, "walking" | "retrying" | "suspended"),
                _ => matches!(phase, "none" | "ended"),
            };
            let waits = matches!(request.state.as_str(), "PENDING" | "PAUSED");
            if !fits || (!waits && (request.eligible || request.unserved || timer)) {
                faults.push(format!(
                    "{what} with run {phase}, eligible {}, unserved {}, timer {timer}",
                    request.eligible, request.unserved
                ));
            }
            if is_over(&request.state) && request.user_key {
                faults.push(format!("{what} holds its key"));
            }
            let before = self.record.before.requests.get(id);
            if before.is_some_and(|before| is_over(&before.state) && before.state != request.state)
            {
                faults.push(format!("{what} has ended before in another way"));
            }
            let started = self.record.cancelled_waiting.contains(id) && request.run_id.is_some();
            if started {
                faults.push(format!("{what} runs after its cancel"));
            }
        }
        for (id, run) in &now.runs {
            let request = now.requests.get(&run.request_id);
            let current = request.is_some_and(|request| request.run_id == Some(*id));
            if !current && !matches!(run.phase.as_str(), "ended" | "cleaning" | "stopping") {
                faults.push(format!(
                    "run {} ({}) is nobody's",
                    number(id.uuid()),
                    run.phase
                ));
            }
        }
    }

    /// Nothing but clean-up starts after a cancel.
    fn check_starts(&mut self, now: &Snapshot, faults: &mut Vec<String>) {
        for (id, (epoch, run_id, _)) in &now.leases {
            let epoch = colony_core::id::Epoch(*epoch);
            let attempt = AttemptRef {
                task_id: *id,
                epoch,
            };
            if !self.record.leased.insert(attempt) || !self.record.cancelled.contains(run_id) {
                continue;
            }
            let run = now.runs.get(run_id);
            let compiled = run.and_then(|run| self.definition(run.definition_id));
            let task = now.tasks.get(id).map_or("", |task| &task.name);
            let planned = compiled.and_then(|compiled| compiled.plan.task(task));
            if !planned.is_some_and(|task| task.always_run) {
                faults.push(format!("{} starts after its cancel", short(attempt)));
            }
        }
    }

    /// Nothing is to be done any more until time passes: that must be so by the rows as well.
    pub(super) fn check_rest(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.check_rooms();
        let wakes = self.engine.nudges.timers_wake_at();
        let due = timer::next_due(tx)?;
        if let Some(due) = due.filter(|due| wakes.is_none_or(|at| at > *due)) {
            self.fail(format!(
                "something is due at {due}, the timers wake at {wakes:?}"
            ));
        }
        let now: Timestamp = self.engine.now();
        if due.is_some_and(|due| due <= now) {
            self.fail("something is due at rest".to_owned());
        }
        let snapshot = Snapshot::read(tx)?;
        let ants = self.engine.ants.rooms();
        for (id, _, key) in &snapshot.queue {
            let served = ants.iter().any(|ant| ant.serves(key) && ant.free > 0);
            if served || key.starts_with("worker") || key == "render" {
                self.fail(format!(
                    "#{} waits in {key}, and nobody comes",
                    number(id.uuid())
                ));
            }
        }
        for (id, request) in snapshot
            .requests
            .iter()
            .filter(|(_, request)| request.eligible)
        {
            let taken = snapshot.slots.get(&request.key).copied().unwrap_or(0);
            if taken == 0 && !request.reason.contains("disabled") {
                let reason = &request.reason;
                self.fail(format!(
                    "{} waits while no slot is taken ({reason})",
                    name(*id)
                ));
            }
            if request.reason.is_empty() {
                let waits_behind = snapshot.requests.values().any(|other| {
                    other.eligible && other.key == request.key && !other.reason.is_empty()
                });
                if !waits_behind {
                    self.fail(format!("{} waits without a reason", name(*id)));
                }
            }
        }
        Ok(())
    }

    /// Everything was cancelled and is over.
    pub(super) fn check_end(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let now = Snapshot::read(tx)?;
        for (id, request) in &now.requests {
            if !is_over(&request.state) {
                self.fail(format!("{} is {} at the end", name(*id), request.state));
            }
        }
        let left = (now.leases.len(), now.queue.len(), now.timers.len());
        if left != (0, 0, 0) {
            self.fail(format!(
                "leases, queue, timers at the end: {left:?} {:?}",
                now.timers
            ));
        }
        if let Some((id, run)) = now.runs.iter().find(|(_, run)| run.phase != "ended") {
            self.fail(format!(
                "run {} is {} at the end",
                number(id.uuid()),
                run.phase
            ));
        }
        Ok(())
    }
}

/// The numbers of rows that triggers keep are those of the rows.
fn check_counts(tx: &mut Tx<'_>, faults: &mut Vec<String>) -> Result<(), StoreError> {
    for table in ["runs", "tasks"] {
        let sql = format!(
            "SELECT org_id, status, CAST(SUM(n) AS BIGINT) AS n FROM ( \
                SELECT org_id, status, n FROM ledger_counts WHERE kind = '{table}' \
                UNION ALL SELECT org_id, status, -1 FROM {table} \
             ) AS counts GROUP BY org_id, status HAVING SUM(n) <> 0"
        );
        for row in tx.query(&sql, &[])? {
            let (org, status, n): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            faults.push(format!(
                "{table} of {org} that are {status} are counted wrongly by {n}"
            ));
        }
    }
    Ok(())
}
