//! Following a run: every change of it and of its tasks, with ids that allow resuming.
//!
//! A watcher is told of changes as they happen. It looks at the rows when it begins and when it
//! fell behind, a page at a time, and keeps no row: a hash of each tells what is new. At rest it
//! does nothing. An event carries the whole object, so one that comes twice does no harm; after a
//! break some may.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use colony_core::id::{RunId, TaskId};
use colony_core::time::Timestamp;
use colony_store::ledger::{RunRow, TaskRow, run, task};
use tokio::sync::broadcast;

use super::error::{LedgerError, Missing};
use super::handle::Ledger;
use super::signals::Change;

/// A change may be committed a little after another with a later time.
const OVERLAP: Duration = Duration::from_secs(5);

/// How often to look at the rows without being told, where another queen may have changed them.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Tasks that are read, and held until they are told of, at once.
const PAGE: u32 = 64;

/// What changed.
#[derive(Debug, Clone, PartialEq)]
pub enum LedgerEventKind {
    /// The run.
    Run(Box<RunRow>),
    /// A task of it.
    Task(Box<TaskRow>),
}

/// A change of a run or of one of its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerEvent {
    /// Where to resume after it.
    pub cursor: Timestamp,
    /// What changed.
    pub kind: LedgerEventKind,
}

/// Follows a run.
pub struct RunWatch {
    ledger: Ledger,
    org_id: String,
    run_id: RunId,
    changes: broadcast::Receiver<Change>,
    ready: VecDeque<LedgerEvent>,
    cursor: Timestamp,
    looking: Option<Look>,
    seen_run: u64,
    seen_tasks: HashMap<TaskId, Seen>,
}

/// A look at the rows that is under way.
struct Look {
    /// As it was at the beginning. Told of last, so that who stops at its end has seen its tasks.
    run: RunRow,
    /// Changes from then on.
    since: Timestamp,
    /// The last task that was looked at.
    after: TaskId,
    /// Until then all changes will have been told of.
    until: Timestamp,
}

/// What was told of a task last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    updated_at: Timestamp,
    hash: u64,
}

impl Ledger {
    /// Follows a run: first its present state or, given the cursor of the last event that was
    /// seen, what changed since; then each change as it happens.
    ///
    /// # Errors
    ///
    /// The run is missing, or the database failed.
    pub async fn watch_run(
        &self,
        org_id: &str,
        run_id: RunId,
        resume: Option<Timestamp>,
    ) -> Result<RunWatch, LedgerError> {
        let mut watch = RunWatch {
            ledger: self.clone(),
            org_id: org_id.to_owned(),
            run_id,
            // Before looking, so that no change is missed.
            changes: self.signals().watch_run(run_id),
            ready: VecDeque::new(),
            cursor: resume.unwrap_or_default(),
            looking: None,
            seen_run: 0,
            seen_tasks: HashMap::new(),
        };
        watch.look().await?;
        Ok(watch)
    }
}

impl RunWatch {
    /// The next event. Waits for it as long as it takes.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn next(&mut self) -> Result<LedgerEvent, LedgerError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if let Some(look) = self.looking.take() {
                self.look_on(look).await?;
                continue;
            }
            match self.change().await {
                Some(Change::Task(row)) => self.see_task(&row),
                Some(Change::Run) => self.look_at_run().await?,
                Some(Change::Job) | None => self.look().await?,
            }
        }
    }

    /// The next change that this process tells of; none when some were missed or may have been.
    async fn change(&mut self) -> Option<Change> {
        if self.ledger.store().is_exclusive() {
            return self.changes.recv().await.ok();
        }
        let change = tokio::time::timeout(LOOK_AGAIN, self.changes.recv()).await;
        change.ok()?.ok()
    }

    /// Begins to look at all that changed since shortly before the cursor.
    async fn look(&mut self) -> Result<(), LedgerError> {
        let overlap = i64::try_from(OVERLAP.as_millis()).unwrap_or(i64::MAX);
        // Before the first row is read: what changes later is told of by its own event.
        let until = self.ledger.now();
        self.looking = Some(Look {
            run: self.find_run().await?,
            since: Timestamp::from_millis(self.cursor.as_millis().saturating_sub(overlap)),
            after: TaskId::new(Default::default()),
            until,
        });
        Ok(())
    }

    /// Looks at one page. The cursor stays until the last one, or who resumes would miss the rest.
    async fn look_on(&mut self, mut look: Look) -> Result<(), LedgerError> {
        let (run_id, since, after) = (self.run_id, look.since, look.after);
        let page = self
            .ledger
            .store()
            .read(move |tx| task::changed_tasks(tx, run_id, since, after, PAGE));
        let page = page.await?;
        for row in &page {
            self.see_task_at(row, self.cursor);
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => {
                look.after = last.id;
                self.looking = Some(look);
            }
            Some(_) | None => {
                let newest = self.seen_tasks.values().map(|seen| seen.updated_at).max();
                let newest = newest.unwrap_or_default().max(look.run.updated_at);
                self.cursor = self.cursor.max(newest.min(look.until));
                self.see_run(look.run);
            }
        }
        Ok(())
    }

    async fn look_at_run(&mut self) -> Result<(), LedgerError> {
        let row = self.find_run().await?;
        if row.status.is_terminal() {
            // Its tasks may have changed meanwhile, too.
            return self.look().await;
        }
        self.cursor = self.cursor.max(row.updated_at);
        self.see_run(row);
        Ok(())
    }

    async fn find_run(&self) -> Result<RunRow, LedgerError> {
        let (org_id, run_id) = (self.org_id.clone(), self.run_id);
        let found = self.ledger.store();
        let found = found.read(move |tx| run::find_run(tx, &org_id, run_id));
        found.await?.ok_or(LedgerError::missing(Missing::Run))
    }

    fn see_run(&mut self, row: RunRow) {
        let hash = hash_of(&row);
        if self.seen_run != hash {
            self.seen_run = hash;
            self.push(LedgerEventKind::Run(Box::new(row)), self.cursor);
        }
    }

    fn see_task(&mut self, row: &TaskRow) {
        self.cursor = self.cursor.max(row.updated_at);
        self.see_task_at(row, self.cursor);
    }

    fn see_task_at(&mut self, row: &TaskRow, cursor: Timestamp) {
        let new = Seen {
            updated_at: row.updated_at,
            hash: hash_of(row),
        };
        let seen = self.seen_tasks.get(&row.id);
        if seen.is_none_or(|seen| *seen != new && seen.updated_at <= new.updated_at) {
            self.seen_tasks.insert(row.id, new);
            self.push(LedgerEventKind::Task(Box::new(row.clone())), cursor);
        }
    }

    fn push(&mut self, kind: LedgerEventKind, cursor: Timestamp) {
        self.ready.push_back(LedgerEvent { cursor, kind });
    }
}

fn hash_of(row: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish()
}
