//! The handle that HTTP and command line hold.

use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{IdSource, RunDataId, RunId, TaskId};
use colony_core::time::{Clock, Timestamp};
use colony_store::ledger::block::Counted;
use colony_store::ledger::data::{DataQuery, FoundData};
use colony_store::ledger::list::{self, LedgerList};
use colony_store::ledger::{DataRow, RunRow, TaskRow, run, task};
use colony_store::{Lane, Page, Store};
use tokio::task::JoinSet;

use super::change::{ChangeTask, Changed, Changes, RunChange, change_run};
use super::claim::{Claim, ClaimedTask};
use super::counting::Counting;
use super::create::{CreateRun, CreateTasks, CreatedTask};
use super::data::{Delete, WriteData, delete_data, query_data, tag_data};
use super::desk::{Answer, Desk, DeskBell, Wish};
use super::error::{LedgerError, Missing};
use super::keys::KeyCache;
use super::lanes::{ChangeTasksLane, CreateRunsLane, CreateTasksLane, WriteDataLane};
use super::release::{Heartbeat, HeldLease, renew};
use super::signals::Signals;
use crate::engine::Engine;
use crate::isolate::Subject;
use crate::runs;

/// How often a wait for a task's end looks at the row without being told: another queen of the
/// same database may have changed it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The use-cases of the Runs API. Cheap to clone; its loops end with its last handle.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    signals: Signals,
    keys: KeyCache,
    runs: Lane<CreateRunsLane>,
    tasks: Lane<CreateTasksLane>,
    changes: Lane<ChangeTasksLane>,
    data: Lane<WriteDataLane>,
    counting: Counting,
    _loops: JoinSet<()>,
}

impl Ledger {
    /// Starts a ledger without jobs on the current runtime.
    pub fn start(store: Store, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        let engine = Engine::of_ledger(store, clock, ids);
        let loops = engine.start_for_programs();
        Self::with(&engine, loops)
    }

    /// Starts the ledger of an engine on the current runtime: workers may claim job tasks, and
    /// whoever follows a job's run is told what the engine does.
    pub fn of_engine(engine: &Engine) -> Self {
        Self::with(engine, JoinSet::new())
    }

    fn with(engine: &Engine, mut loops: JoinSet<()>) -> Self {
        let (signals, messages) = match engine.take_desk_messages() {
            Some(messages) => (engine.signals.clone(), messages),
            // A second one, as tests have, looks at the rows now and then.
            None => {
                let (bell, messages) = DeskBell::new();
                (engine.signals.with_bell(bell), messages)
            }
        };
        let desk = Desk::new(engine.clone(), signals.clone(), messages);
        loops.spawn(desk.run());
        let store = &engine.store;
        let counting = Counting::start(store.clone(), &mut loops);
        Self {
            inner: Arc::new(Inner {
                runs: store.lane(CreateRunsLane),
                tasks: store.lane(CreateTasksLane(signals.clone())),
                changes: store.lane(ChangeTasksLane(signals.clone())),
                data: store.lane(WriteDataLane),
                counting,
                engine: engine.clone(),
                signals,
                keys: KeyCache::default(),
                _loops: loops,
            }),
        }
    }

    /// Creates a run (7.1).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn create_run(&self, new: CreateRun) -> Result<RunRow, LedgerError> {
        let id = RunId::new(self.ids().next_uuid());
        self.inner.runs.run(new.row(id, self.now())).await
    }

    /// A run (7.2).
    ///
    /// # Errors
    ///
    /// It is missing, or the database failed.
    pub async fn run(&self, org_id: &str, id: RunId) -> Result<RunRow, LedgerError> {
        let org_id = org_id.to_owned();
        let found = self.store().read(move |tx| run::find_run(tx, &org_id, id));
        found.await?.ok_or(LedgerError::missing(Missing::Run))
    }

    /// Changes a run (7.3).
    ///
    /// # Errors
    ///
    /// It is missing or owned by a job, or the database failed.
    pub async fn change_run(
        &self,
        org_id: &str,
        id: RunId,
        change: RunChange,
    ) -> Result<RunRow, LedgerError> {
        let (org_id, now) = (org_id.to_owned(), self.now());
        let row = self
            .store()
            .write(move |tx| change_run(tx, &org_id, id, &change, now))
            .await?;
        self.signals().run_changed(id);
        Ok(row)
    }

    /// A page of runs (7.4).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn list_runs(&self, query: LedgerList) -> Result<Page<RunRow>, LedgerError> {
        let list = query.clone();
        let page = self.store().read(move |tx| list::list_runs(tx, &query));
        let page = page.await?;
        self.inner
            .counting
            .page_read(Counted::Runs, &list, page.total);
        Ok(page)
    }

    /// Creates tasks, all or none (7.5).
    ///
    /// # Errors
    ///
    /// A run or parent is missing, or the database failed.
    pub async fn create_tasks(&self, new: CreateTasks) -> Result<Vec<CreatedTask>, LedgerError> {
        let ids = self.ids();
        let rows = new.rows(|| TaskId::new(ids.next_uuid()), self.now());
        self.inner.tasks.run(rows).await
    }

    /// A task (7.6).
    ///
    /// # Errors
    ///
    /// It is missing, or the database failed.
    pub async fn task(&self, org_id: &str, id: TaskId) -> Result<TaskRow, LedgerError> {
        let org_id = org_id.to_owned();
        let found = self
            .store()
            .read(move |tx| task::find_task(tx, &org_id, id));
        found.await?.ok_or(LedgerError::missing(Missing::Task))
    }

    /// A task once it has ended, or as it is when the wait is over.
    ///
    /// # Errors
    ///
    /// It is missing, or the database failed.
    pub async fn wait_for_task(
        &self,
        org_id: &str,
        id: TaskId,
        wait: Duration,
    ) -> Result<TaskRow, LedgerError> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let watch = self.signals().watch_task(id);
            let changed = watch.notified();
            tokio::pin!(changed);
            // Before looking, so that no change is missed.
            changed.as_mut().enable();
            let row = self.task(org_id, id).await?;
            if row.status.is_terminal() || tokio::time::Instant::now() >= deadline {
                return Ok(row);
            }
            let again = match self.store().is_exclusive() {
                true => deadline,
                false => (tokio::time::Instant::now() + LOOK_AGAIN).min(deadline),
            };
            // Either way the row is looked at again.
            let _ = tokio::time::timeout_at(again, changed).await;
        }
    }

    /// Changes tasks, each with an outcome of its own (7.7).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn change_tasks(&self, items: Vec<ChangeTask>) -> Result<Changed, LedgerError> {
        let now = self.now();
        let items = Arc::new(items);
        let together = Arc::clone(&items);
        let together = Changes {
            items: together,
            now,
        };
        let mut changed = match self.inner.changes.run(together).await {
            Err(error) if error.is_about_rows() => self.change_each(&items, now).await,
            changed => changed?,
        };
        for (result, item) in changed.iter_mut().zip(items.iter()) {
            if let (Err(LedgerError::OwnedByJob(_)), Some(_)) = (&*result, item.lease) {
                *result = self.change_job_task(item.clone()).await?;
            }
        }
        Ok(changed)
    }

    /// Changes a job task for the holder of its lease. A job whose task cannot be changed, whoever asks,
    /// ends.
    async fn change_job_task(
        &self,
        item: ChangeTask,
    ) -> Result<Result<TaskRow, LedgerError>, LedgerError> {
        let (engine, id) = (self.engine(), item.id);
        match engine.perform(runs::Change { item }).await {
            Ok(changed) => Ok(changed),
            Err(error) if error.is_about_rows() => {
                engine.give_up(Subject::Task(id), &error).await?;
                Ok(Err(error.into()))
            }
            // The caller asks again for all of them.
            Err(error) => Err(error.into()),
        }
    }

    /// Changes each task alone, so that one that cannot be changed fails alone.
    async fn change_each(&self, items: &[ChangeTask], now: Timestamp) -> Changed {
        let mut changed = Vec::with_capacity(items.len());
        for item in items {
            let items = Arc::new(vec![item.clone()]);
            let alone = self.inner.changes.run(Changes { items, now }).await;
            changed.push(alone.and_then(|mut one| one.pop().unwrap_or(Err(LedgerError::Closed))));
        }
        changed
    }

    /// A page of tasks (7.8).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn list_tasks(&self, query: LedgerList) -> Result<Page<TaskRow>, LedgerError> {
        let list = query.clone();
        let page = self.store().read(move |tx| list::list_tasks(tx, &query));
        let page = page.await?;
        if list.run_id.is_none() {
            self.inner
                .counting
                .page_read(Counted::Tasks, &list, page.total);
        }
        Ok(page)
    }

    /// Claims tasks, waiting for the first one as long as the claim says.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedTask>, LedgerError> {
        let claim = Arc::new(claim);
        let wish = Wish::new(claim, None);
        match self.signals().bell.claim(wish).await? {
            Answer::Tasks(tasks) => Ok(tasks),
            Answer::Stored(_) => unreachable!("nothing is stored for a claim without a key"),
        }
    }

    /// Renews leases.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn heartbeat(&self, beat: Heartbeat) -> Result<Vec<HeldLease>, LedgerError> {
        let now = self.now();
        Ok(self.store().write(move |tx| renew(tx, &beat, now)).await?)
    }

    /// Writes an entry of run data (7.9).
    ///
    /// # Errors
    ///
    /// Run or task is missing, or the database failed.
    pub async fn write_data(&self, new: WriteData) -> Result<DataRow, LedgerError> {
        let id = RunDataId::new(self.ids().next_uuid());
        self.inner.data.run(new.row(id, self.now())).await
    }

    /// Finds entries of run data (7.10, 9).
    ///
    /// # Errors
    ///
    /// The run is missing, or the database failed.
    pub async fn query_data(
        &self,
        org_id: &str,
        run_id: RunId,
        query: DataQuery,
    ) -> Result<Page<FoundData>, LedgerError> {
        let org_id = org_id.to_owned();
        self.store()
            .read(move |tx| query_data(tx, &org_id, run_id, &query))
            .await
    }

    /// Changes the tags of an entry (7.11).
    ///
    /// # Errors
    ///
    /// It is missing, or the database failed.
    pub async fn tag_data(
        &self,
        org_id: &str,
        place: (RunId, RunDataId),
        (add, remove): (Vec<String>, Vec<String>),
    ) -> Result<DataRow, LedgerError> {
        let (org_id, now) = (org_id.to_owned(), self.now());
        self.store()
            .write(move |tx| tag_data(tx, &org_id, place, (&add, &remove), now))
            .await
    }

    /// Deletes entries of run data (7.12); returns how many.
    ///
    /// # Errors
    ///
    /// Nothing matches, or the database failed.
    pub async fn delete_data(
        &self,
        org_id: &str,
        run_id: RunId,
        delete: Delete,
    ) -> Result<u64, LedgerError> {
        let org_id = org_id.to_owned();
        self.store()
            .write(move |tx| delete_data(tx, &org_id, run_id, &delete))
            .await
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The database, for what has no use-case: health.
    pub fn store(&self) -> &Store {
        &self.inner.engine.store
    }

    pub(super) fn ids(&self) -> Arc<dyn IdSource> {
        Arc::clone(&self.inner.engine.ids)
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.engine.clock)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inner.engine.now()
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    pub(super) fn keys(&self) -> &KeyCache {
        &self.inner.keys
    }
}
