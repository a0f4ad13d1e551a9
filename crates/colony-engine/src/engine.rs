//! The engine: what it is made of, and its life.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use colony_core::id::{IdSource, UserId};
use colony_core::method::Method;
use colony_core::time::{Clock, Timestamp};
use colony_store::Store;
use object_store::ObjectStore;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::ant::Ants;
use crate::compile::Definitions;
use crate::event::{RunEvent, RunEventKind};
use crate::jump::Follower;
use crate::ledger::Signals;
use crate::log::LiveLogs;
use crate::nudge::Nudges;
use crate::waiter::Waiters;
use crate::{offers, scheduler, timers};

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
    /// Who waits at the Runs API, once it is served.
    ledger: Arc<OnceLock<Signals>>,
    rng: Arc<Mutex<StdRng>>,
    events: broadcast::Sender<RunEvent>,
}

impl Engine {
    /// An engine at rest. Nothing is scheduled before [`Engine::start`].
    pub fn new(parts: EngineParts) -> Self {
        let (events, _) = broadcast::channel(EVENTS_BUFFERED);
        let (store, clock) = (parts.store.clone(), Arc::clone(&parts.clock));
        Self {
            follower: Arc::new(Follower::new(store, clock, Arc::clone(&parts.ids))),
            store: parts.store,
            objects: parts.objects,
            clock: parts.clock,
            ids: parts.ids,
            definitions: Arc::new(Definitions::new(parts.settings.default_method)),
            live_logs: Arc::new(LiveLogs::new(parts.settings.live_log_dir.clone())),
            waiters: Arc::default(),
            settings: Arc::new(parts.settings),
            nudges: Arc::new(Nudges::new()),
            ants: Arc::default(),
            ledger: Arc::default(),
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(parts.seed))),
            events,
        }
    }

    /// Starts the loops. They end when the returned set is dropped or shut down.
    pub fn start(&self) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        loops.spawn(scheduler::run(self.clone()));
        loops.spawn(timers::run(self.clone()));
        loops.spawn(offers::run(self.clone()));
        loops
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

    /// The Runs API is served from here on: its callers are told what jobs do.
    pub(crate) fn serve_ledger(&self, signals: Signals) {
        // A second one, as tests have, looks at the rows now and then.
        let _ = self.ledger.set(signals);
    }

    pub(crate) fn ledger_signals(&self) -> Option<&Signals> {
        self.ledger.get()
    }

    pub(crate) fn rng(&self) -> MutexGuard<'_, StdRng> {
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
