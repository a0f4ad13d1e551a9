//! Wiring: the parts of a colony inside this process, and how they end.
//!
//! ```text
//! open the store ── engine ── loops
//!                     └─ serve_ant ══ two channels ══ embedded ant ── reaper (own process)
//! ```
//!
//! The end goes the other way: loops stop, so that nothing new is leased; the ant drains, and what
//! it cannot finish is given back to the store; then the store closes.

mod embedded;
mod run_as;
mod sweeping;

use std::sync::Arc;

use anyhow::Context as _;
use colony_ant::RunAs;
use colony_core::id::{IdSource, MonotonicIds};
use colony_core::text::with_causes;
use colony_core::time::{Clock, SteadyClock, SystemClock};
use colony_engine::ledger::Ledger;
use colony_engine::{Engine, EngineParts, EngineSettings, ObjectSweeper};
use colony_server::runs::RunsState;
use colony_store::{Store, StoreConfig};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tokio::task::JoinSet;

use crate::clock_watch;
use crate::data_dir::make_work;
use crate::settings::Settings;
use embedded::EmbeddedAnt;

/// A colony that is open: its database is locked, nothing runs yet.
pub(crate) struct Colony {
    engine: Engine,
    objects: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    sweeper: ObjectSweeper,
    run_as: Option<RunAs>,
}

impl Colony {
    /// Makes the data directory and opens what is in it. Errors are the settings' fault.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let run_as = run_as::find(settings)?;
        settings.data_dir.create()?;
        let store = open_store(settings, true).await?;
        settings.data_dir.create_objects()?;
        if let (Some(ant), None) = (&settings.ant, &run_as) {
            make_work(&ant.work_dir)?;
        }
        let objects = LocalFileSystem::new_with_prefix(settings.data_dir.objects())
            .context("failed to open the object store in the data directory")?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        let objects: Arc<dyn ObjectStore> = Arc::new(objects);
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::new());
        let ids: Arc<dyn IdSource> = Arc::new(MonotonicIds::new(SystemClock));
        let engine = Engine::new(EngineParts {
            store,
            objects: Arc::clone(&objects),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            seed: rand::random(),
            settings: EngineSettings {
                default_method: settings.default_method,
                live_log_dir: settings.data_dir.path().to_owned(),
                ..EngineSettings::default()
            },
        });
        let sweeper = ObjectSweeper::new(&engine);
        sweeping::mark(&sweeper).await;
        Ok(Self {
            engine,
            objects,
            clock,
            ids,
            sweeper,
            run_as,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The Runs API over the same ledger.
    pub(crate) fn runs_api(&self, settings: &Settings) -> anyhow::Result<RunsState> {
        let ledger = Ledger::of_engine(&self.engine);
        RunsState::new(ledger, settings.runs_api.clone(), Arc::clone(&self.clock))
            .map_err(|error| failed_to(error, "failed"))
    }

    /// Starts the loops and the ant, when the settings want one.
    pub(crate) fn start(self, settings: &Settings) -> anyhow::Result<Running> {
        let ant = match &settings.ant {
            Some(ant) => Some(EmbeddedAnt::start(&self, ant, settings)?),
            None => None,
        };
        let mut loops = self.engine.start();
        loops.spawn(clock_watch::run(self.engine.clone()));
        loops.spawn(sweeping::run(self.sweeper, settings.data_dir.objects()));
        Ok(Running {
            engine: self.engine,
            loops,
            ant,
        })
    }
}

/// Opens the database, which may wait for a server, on a thread that may wait. The one way to open
/// a store in an async context. `exclusive` keeps other queens out.
pub(crate) async fn open_store(settings: &Settings, exclusive: bool) -> anyhow::Result<Store> {
    let config = StoreConfig {
        exclusive,
        postgres_writers: settings.database_writers,
        ..StoreConfig::new(settings.database.clone())
    };
    let opened = tokio::task::spawn_blocking(move || Store::open(&config)).await;
    let opened = opened.context("the opening of the database broke")?;
    opened.map_err(|error| failed_to(error, "failed"))
}

/// A colony at work.
pub(crate) struct Running {
    engine: Engine,
    loops: JoinSet<()>,
    ant: Option<EmbeddedAnt>,
}

impl Running {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Resolves with the reason when the ant ends by itself, which it should not. Never without
    /// an ant.
    pub(crate) async fn ant_failed(&mut self) -> anyhow::Error {
        match &mut self.ant {
            Some(ant) => ant.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Ends in good order. Running tasks have the grace time of the settings, unless `hurry`
    /// resolves first.
    pub(crate) async fn end(mut self, hurry: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.loops.shutdown().await;
        match self.ant.take() {
            Some(ant) => ant.end(hurry).await,
            None => Ok(()),
        }
    }
}

/// An error whose own text reads after "failed to …", behind what failed and before its causes.
fn failed_to(error: impl std::error::Error, what: &str) -> anyhow::Error {
    anyhow::Error::msg(format!("{what} to {}", with_causes(&error)))
}
