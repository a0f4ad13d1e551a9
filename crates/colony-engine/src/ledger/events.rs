//! Following a run: every change of it and of its tasks, with ids that allow resuming.
//!
//! A watcher is told of changes as they happen and looks at the rows when it begins, when it fell
//! behind, and now and then in case another queen changed something. An event carries the whole
//! object, so one that comes twice does no harm; after a break some may.

use std::collections::HashMap;
use std::time::Duration;

use colony_core::id::{RunId, TaskId};
use colony_core::time::Timestamp;
use colony_store::ledger::{RunRow, TaskRow, run, task};
use std::collections::VecDeque;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::error::{LedgerError, Missing};
use super::handle::Ledger;
use super::signals::Change;

/// A change may be committed a little after another with a later time.
const OVERLAP: Duration = Duration::from_secs(5);

/// How often to look at the rows without being told.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

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
    seen_run: Option<RunRow>,
    seen_tasks: HashMap<TaskId, TaskRow>,
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
            seen_run: None,
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
            match tokio::time::timeout(LOOK_AGAIN, self.changes.recv()).await {
                Ok(Ok(Change::Task(row))) => self.see_task((*row).clone()),
                Ok(Ok(Change::Run)) => self.look_at_run().await?,
                Ok(Ok(Change::Job) | Err(RecvError::Lagged(_) | RecvError::Closed)) | Err(_) => {
                    self.look().await?;
                }
            }
        }
    }

    /// Looks at all that changed since shortly before the cursor. The run is told of last, so that
    /// who stops at its end has seen its tasks.
    async fn look(&mut self) -> Result<(), LedgerError> {
        let overlap = i64::try_from(OVERLAP.as_millis()).unwrap_or(i64::MAX);
        let since = Timestamp::from_millis(self.cursor.as_millis().saturating_sub(overlap));
        let run = self.find_run().await?;
        let run_id = self.run_id;
        let rows = self.ledger.store();
        let rows = rows.read(move |tx| task::changed_tasks(tx, run_id, since));
        for row in rows.await? {
            self.see_task(row);
        }
        self.see_run(run);
        Ok(())
    }

    async fn look_at_run(&mut self) -> Result<(), LedgerError> {
        let row = self.find_run().await?;
        if row.status.is_terminal() {
            // Its tasks may have changed meanwhile, too.
            return self.look().await;
        }
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
        if self.seen_run.as_ref() != Some(&row) {
            self.seen_run = Some(row.clone());
            self.push(row.updated_at, LedgerEventKind::Run(Box::new(row)));
        }
    }

    fn see_task(&mut self, row: TaskRow) {
        let news = (self.seen_tasks.get(&row.id))
            .is_none_or(|seen| *seen != row && seen.updated_at <= row.updated_at);
        if news {
            self.seen_tasks.insert(row.id, row.clone());
            self.push(row.updated_at, LedgerEventKind::Task(Box::new(row)));
        }
    }

    fn push(&mut self, at: Timestamp, kind: LedgerEventKind) {
        self.cursor = self.cursor.max(at);
        let cursor = self.cursor;
        self.ready.push_back(LedgerEvent { cursor, kind });
    }
}
