//! The engine: what it is made of, and its life.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use colony_core::id::{IdSource, UserId};
use colony_core::method::Method;
use colony_core::time::{Clock, Timestamp};
use colony_store::Store;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use crate::ant::Ants;
use crate::compile::Definitions;
use crate::effects::{self, Effects};
use crate::event::{RunEvent, RunEventKind};
use crate::jump::Follower;
use crate::lane::{RunsLane, runs_lane};
use crate::ledger::{DeskBell, DeskMessages, Signals};
use crate::log::LiveLogs;
use crate::nudge::Nudges;
use crate::runs::Ground;
use crate::waiter::Waiters;
use crate::{dispatcher, render, scheduler, timers};

/// Events that a slow watcher may fall behind before it misses some.
const EVENTS_BUFFERED: usize = 4096;

/// What an engine works with.
pub struct EngineParts {
    /// The database.
    pub store: Store,
    /// Where artifacts and larger logs are.
    pub objects: Arc<dyn ObjectStore>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<dyn IdSource>,
    /// Seed of jitter and default delays.
    pub seed: u64,
    /// Numbers that may be set.
    pub settings: EngineSettings,
}

/// Numbers and words of an engine that may be set.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// How long a lease lasts without a heartbeat.
    pub lease_duration: Duration,
    /// How often ants send heartbeats while they work.
    pub heartbeat: Duration,
    /// Life time of artifacts that do not set one (`job-definitions` B).
    pub artifact_expiration: Duration,
    /// Method of a task that names neither method nor container.
    pub default_method: Method,
    /// Where output of running tasks is kept that is too long for memory.
    pub live_log_dir: PathBuf,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            heartbeat: Duration::from_secs(5),
            artifact_expiration: Duration::from_secs(1000 * 24 * 60 * 60),
            default_method: Method::Kubernetes,
            live_log_dir: std::env::temp_dir(),
        }
    }
}

/// Whose request it is: rows outside of the organization are as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The organization.
    pub org_id: String,
    /// The user, when there is one.
    pub user_id: Option<UserId>,
}

impl Caller {
    /// The user's id as the Jobs API writes it: empty without a user.
    pub(crate) fn user_text(&self) -> String {
        self.user_id.map(|id| id.to_string()).unwrap_or_default()
    }
}

/// The queen without its network side. Cheap to clone: its parts are shared.
#[derive(Clone)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) settings: Arc<EngineSettings>,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) nudges: Arc<Nudges>,
    pub(crate) ants: Arc<Ants>,
    pub(crate) live_logs: Arc<LiveLogs>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) follower: Arc<Follower>,
    pub(crate) ground: Arc<Ground>,
    pub(crate) runs: RunsLane,
    /// Who waits at the Runs API.
    pub(crate) signals: Signals,
    /// What claims and ready tasks say, until a ledger is served.
    desk_messages: Taken<DeskMessages>,
    /// What committed operations want done, until the loops are started.
    effects: Taken<mpsc::UnboundedReceiver<Effects>>,
    rng: Arc<Mutex<StdRng>>,
    events: broadcast::Sender<RunEvent>,
}

/// Something that is there to be taken once.
type Taken<T> = Arc<Mutex<Option<T>>>;

impl Engine {
    /// An engine at rest. Nothing is scheduled before [`Engine::start`].
    pub fn new(parts: EngineParts) -> Self {
        let (events, _) = broadcast::channel(EVENTS_BUFFERED);
        let (store, clock, ids) = (parts.store, parts.clock, parts.ids);
        let settings = Arc::new(parts.settings);
        let ground = Arc::new(Ground {
            definitions: Arc::new(Definitions::new(settings.default_method)),
            ids: Arc::clone(&ids),
            settings: Arc::clone(&settings),
            turns: Arc::default(),
        });
        let (runs, effects) = runs_lane(&store, &ground);
        let (bell, messages) = DeskBell::new();
        let nudges = Arc::new(Nudges::new());
        Self {
            follower: Arc::new(Follower::new(
                store.clone(),
                Arc::clone(&clock),
                Arc::clone(&ids),
            )),
            objects: parts.objects,
            definitions: Arc::clone(&ground.definitions),
            live_logs: Arc::new(LiveLogs::new(settings.live_log_dir.clone())),
            waiters: Arc::default(),
            signals: Signals::new(bell, Arc::clone(&nudges)),
            nudges,
            ants: Arc::default(),
            runs,
            ground,
            desk_messages: Arc::new(Mutex::new(Some(messages))),
            effects: Arc::new(Mutex::new(Some(effects))),
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(parts.seed))),
            events,
            store,
            clock,
            ids,
            settings,
        }
    }

    /// An engine for programs only: nobody submits jobs to it.
    pub(crate) fn of_ledger(store: Store, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        Self::new(EngineParts {
            store,
            objects: Arc::new(InMemory::new()),
            clock,
            ids,
            seed: 0,
            settings: EngineSettings::default(),
        })
    }

    /// Starts the loops. They end when the returned set is dropped or shut down.
    pub fn start(&self) -> JoinSet<()> {
        let mut loops = self.start_for_programs();
        loops.spawn(scheduler::run(self.clone()));
        loops.spawn(dispatcher::run(self.clone()));
        loops.spawn(render::run(self.clone()));
        loops
    }

    /// Starts what programs need, without jobs.
    pub(crate) fn start_for_programs(&self) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        if let Some(effects) = take(&self.effects) {
            loops.spawn(effects::run(self.clone(), effects));
        }
        loops.spawn(timers::run(self.clone()));
        loops.spawn(look_at_everything(self.clone()));
        loops
    }

    /// What claims and ready tasks say, for the first ledger that is served.
    pub(crate) fn take_desk_messages(&self) -> Option<DeskMessages> {
        take(&self.desk_messages)
    }

    /// What happens to runs from now on. A watcher that falls far behind misses events.
    pub fn watch(&self) -> broadcast::Receiver<RunEvent> {
        self.events.subscribe()
    }

    /// The database, for what has no use-case: health and statistics.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The time by this engine's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A seed for something that draws.
    pub(crate) fn seed(&self) -> u64 {
        self.rng().random()
    }

    fn rng(&self) -> MutexGuard<'_, StdRng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.events.receiver_count() > 0
    }

    pub(crate) fn tell(&self, request_id: colony_core::id::RequestId, kind: RunEventKind) {
        // Nobody listens: that is fine.
        let _ = self.events.send(RunEvent {
            request_id,
            at: self.now(),
            kind,
        });
        self.waiters.wake(request_id);
    }
}

/// After a transaction of which nobody knows whether it was stored, every loop looks at the rows, and
/// once more when the database has surely made up its mind.
async fn look_at_everything(engine: Engine) {
    let mut unknown = engine.store.unknown_outcomes();
    loop {
        unknown.next().await;
        for rest in [
            Duration::ZERO,
            Duration::from_secs(5),
            Duration::from_secs(30),
        ] {
            tokio::time::sleep(rest).await;
            engine.nudges.wake_all();
            if !rest.is_zero() {
                engine.take_back_unsent(rest).await;
            }
        }
    }
}

fn take<T>(taken: &Taken<T>) -> Option<T> {
    taken.lock().unwrap_or_else(PoisonError::into_inner).take()
}
