//! The handle that HTTP and command line hold.

use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{IdSource, RunDataId, RunId, TaskId};
use colony_core::time::{Clock, Timestamp};
use colony_store::ledger::block::Counted;
use colony_store::ledger::data::{DataQuery, FoundData};
use colony_store::ledger::list::{self, LedgerList};
use colony_store::ledger::{DataRow, RunRow, TaskRow, run, task};
use colony_store::{Page, Store};
use tokio::task::JoinSet;

use super::change::{ChangeTask, Changed, Changes, RunChange, change_run, change_tasks};
use super::claim::{Claim, ClaimedTask};
use super::counting::Counting;
use super::create::{CreateRun, CreateTasks, CreatedTask, NewTasks, create_runs, create_tasks};
use super::data::{Delete, WriteData, delete_data, query_data, tag_data, write_data};
use super::desk::{Answer, Desk, DeskBell, Wish};
use super::error::{LedgerError, Missing};
use super::keys::KeyCache;
use super::lane::Lane;
use super::release::{Heartbeat, HeldLease, renew};
use super::signals::Signals;
use super::upkeep::{self, Alarm, Following};
use crate::engine::Engine;
use crate::jump::Follower;

/// How often a wait for a task's end looks at the row without being told: another queen of the
/// same database may have changed it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The use-cases of the Runs API. Cheap to clone; its loops end with its last handle.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    signals: Signals,
    keys: KeyCache,
    jobs: Option<Engine>,
    runs: Lane<RunRow, RunRow>,
    tasks: Lane<NewTasks, Vec<CreatedTask>>,
    changes: Lane<Changes, Changed>,
    data: Lane<DataRow, DataRow>,
    counting: Counting,
    _loops: JoinSet<()>,
}

impl Ledger {
    /// Starts a ledger without jobs on the current runtime.
    pub fn start(store: Store, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        Self::start_with(store, clock, ids, None)
    }

    /// Starts the ledger of an engine on the current runtime: workers may claim job tasks, and
    /// whoever follows a job's run is told what the engine does.
    pub fn of_engine(engine: &Engine) -> Self {
        let (clock, ids) = (Arc::clone(&engine.clock), Arc::clone(&engine.ids));
        let ledger = Self::start_with(engine.store.clone(), clock, ids, Some(engine.clone()));
        engine.serve_ledger(ledger.signals().clone());
        ledger
    }

    fn start_with(
        store: Store,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        jobs: Option<Engine>,
    ) -> Self {
        let (bell, receiver) = DeskBell::new();
        let signals = Signals::new(bell, Alarm::new());
        let mut loops = JoinSet::new();
        let desk = Desk::new(
            store.clone(),
            Arc::clone(&clock),
            signals.clone(),
            jobs.clone(),
            receiver,
        );
        loops.spawn(desk.run());
        let following = match &jobs {
            Some(engine) => Following::Engine(engine.clone()),
            None => Following::Alone(Follower::new(
                store.clone(),
                Arc::clone(&clock),
                Arc::clone(&ids),
            )),
        };
        loops.spawn(upkeep::run(
            store.clone(),
            Arc::clone(&clock),
            signals.clone(),
            following,
        ));
        let counting = Counting::start(store.clone(), &mut loops);
        let created = signals.clone();
        let tasks = Lane::start(
            store.clone(),
            create_tasks,
            |new: &NewTasks| new.tasks.len(),
            move |tasks: &Vec<CreatedTask>| {
                let new = tasks.iter().filter(|task| !task.existed);
                created.tasks_changed(new.map(|task| &task.row));
            },
        );
        let changed = signals.clone();
        let changes = Lane::start(
            store.clone(),
            change_tasks,
            |changes: &Changes| changes.items.len(),
            move |tasks: &Changed| changed.tasks_changed(tasks.iter().flatten()),
        );
        Self {
            inner: Arc::new(Inner {
                runs: Lane::start(store.clone(), create_runs, |_| 1, |_| {}),
                data: Lane::start(store.clone(), write_data, |_| 1, |_| {}),
                tasks,
                counting,
                changes,
                jobs,
                store,
                clock,
                ids,
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
        // Those under a lease that prove to be job tasks go to the engine afterwards.
        let leased: Vec<Option<ChangeTask>> = match &self.inner.jobs {
            Some(_) => items.iter().map(under_lease).collect(),
            None => Vec::new(),
        };
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
        if let Some(engine) = &self.inner.jobs {
            for (result, item) in changed.iter_mut().zip(leased) {
                if let (Err(LedgerError::OwnedByJob(_)), Some(item)) = (&*result, item) {
                    *result = engine.change_job_task(item, now).await;
                    if let Err(error) = result
                        && error.is_unavailable()
                    {
                        // The caller asks again for all of them.
                        return Err(std::mem::replace(error, LedgerError::Closed));
                    }
                }
            }
        }
        Ok(changed)
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

    pub(super) fn jobs(&self) -> Option<&Engine> {
        self.inner.jobs.as_ref()
    }

    /// The database, for what has no use-case: health.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(super) fn ids(&self) -> Arc<dyn IdSource> {
        Arc::clone(&self.inner.ids)
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.clock)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    pub(super) fn keys(&self) -> &KeyCache {
        &self.inner.keys
    }
}

fn under_lease(item: &ChangeTask) -> Option<ChangeTask> {
    item.lease.is_some().then(|| item.clone())
}
