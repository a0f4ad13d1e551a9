//! The ant: what it is made of, and its life from lock to farewell.

mod hub;
mod timetable;

use std::sync::Arc;

use colony_core::id::IdSource;
use colony_core::time::Clock;
use colony_reaper::{ReaperCommand, Reapers};
use colony_wire::{AntMessage, Hello, QueenMessage, VERSION};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::attempt::{Crew, Wants};
use crate::config::AntConfig;
use crate::executor::Executor;
use crate::objects::Objects;
use crate::porter::Porters;
use crate::shell::ShellExecutor;
use crate::work_root::{WorkRoot, WorkRootError};
use colony_core::text::with_causes;
use hub::Hub;

/// The two directions to a queen. Bounded: a slow queen slows down the output of commands.
#[derive(Debug)]
pub struct Link {
    /// Where the ant's messages go.
    pub to_queen: mpsc::Sender<AntMessage>,
    /// Where the queen's messages come from.
    pub from_queen: mpsc::Receiver<QueenMessage>,
}

/// Why an ant could not work, or no longer can.
#[derive(Debug, thiserror::Error)]
pub enum AntError {
    /// Its directory cannot be used.
    #[error(transparent)]
    WorkRoot(#[from] WorkRootError),
    /// The process that cleans up after it does not start.
    #[error("start the reaper `{program}`")]
    Reaper {
        /// Its program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Commands cannot run as the user that they should run as.
    #[error("run commands as the user {user}: {problem}")]
    RunAs {
        /// The user.
        user: String,
        /// What is in the way.
        problem: String,
    },
    /// The queen is gone. What ran was stopped.
    #[error("the link to the queen is closed")]
    LinkClosed,
}

/// Tells an ant to end, in two steps. Clones tell the same ant.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// One that nobody asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// No new work; what runs may go on for the drain grace, then it is stopped and given back.
    pub fn drain(&self) {
        self.soft.cancel();
    }

    /// Stop what runs now and give it back.
    pub fn now(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }
}

/// A worker that runs attempts for one queen.
pub struct Ant {
    config: AntConfig,
    link: Link,
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    executors: Vec<Arc<dyn Executor>>,
}

impl Ant {
    /// An ant that can run SHELL tasks. Nothing happens before [`Ant::run`].
    pub fn new(
        config: AntConfig,
        link: Link,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            config,
            link,
            objects,
            clock,
            ids,
            executors: Vec::new(),
        }
    }

    /// Adds an executor. It is asked before those that were added earlier and before the shell.
    #[must_use]
    pub fn with_executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executors.insert(0, executor);
        self
    }

    /// Works until it is told to end or the queen is gone. When this returns, no process that it
    /// started is left.
    ///
    /// # Errors
    /// When the work root or the reaper cannot be used, and when the link closes.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), AntError> {
        let path = self.config.work_root.clone();
        let run_as = self.config.run_as.clone();
        if let Some(run_as) = &run_as {
            run_as.adapt(&mut self.config.environment);
        }
        let opening = tokio::task::spawn_blocking(move || WorkRoot::open(&path, run_as.as_ref()));
        let Ok(root) = opening.await else {
            return Err(AntError::LinkClosed);
        };
        let root = root?;
        let (reapers, yard) = (self.start_reapers(&root)?, root.yard());
        let result = match self.porters(&root, &reapers).await {
            Ok(porters) => {
                self.work(root, Arc::clone(&reapers), porters, shutdown)
                    .await
            }
            Err(error) => Err(error),
        };
        // Reapers still hold the lock on the work root.
        let _ = tokio::task::spawn_blocking(move || yard.clear()).await;
        reapers.dismiss().await;
        result
    }

    /// Reapers hold the lock on the work root: a lock belongs to the open file, so the next ant gets
    /// it only when this one and all that it started is gone.
    fn start_reapers(&self, root: &WorkRoot) -> Result<Arc<Reapers>, AntError> {
        let command = ReaperCommand {
            own_session: self.config.reaper.own_session || self.config.run_as.is_some(),
            ..self.config.reaper.clone()
        };
        let started = root.lock().and_then(|lock| {
            let reapers = Reapers::new(command.clone(), Some(lock))?;
            reapers.warm_up()?;
            Ok(reapers)
        });
        started.map_err(|source| AntError::Reaper {
            program: command.program.display().to_string(),
            source,
        })
    }

    /// Those that work among the files of another user, once it is seen that they can.
    async fn porters(
        &self,
        root: &WorkRoot,
        reapers: &Arc<Reapers>,
    ) -> Result<Option<Porters>, AntError> {
        let Some(run_as) = &self.config.run_as else {
            return Ok(None);
        };
        let porters = Porters::new(Arc::clone(reapers), run_as.clone());
        let reached = porters.reach(root.path()).await;
        reached.map_err(|error| AntError::RunAs {
            user: run_as.name.clone(),
            problem: with_causes(&error),
        })?;
        Ok(Some(porters))
    }

    async fn work(
        mut self,
        root: WorkRoot,
        reapers: Arc<Reapers>,
        porters: Option<Porters>,
        shutdown: Shutdown,
    ) -> Result<(), AntError> {
        let user = self.config.run_as.as_ref().map(|run_as| run_as.user);
        let shell = ShellExecutor::new(reapers, user);
        self.executors.push(Arc::new(shell));
        let hello = AntMessage::Hello(self.hello());
        let Link {
            to_queen,
            mut from_queen,
        } = self.link;
        if to_queen.send(hello).await.is_err() {
            return Err(AntError::LinkClosed);
        }
        let Some(heartbeat_ms) = welcome(&mut from_queen, &shutdown).await? else {
            return Ok(());
        };
        let crew = Arc::new(Crew {
            config: self.config,
            root,
            executors: self.executors,
            porters,
            objects: self.objects,
            clock: self.clock,
            ids: self.ids,
            to_queen,
            wants: Wants::default(),
        });
        Hub::new(crew, from_queen, heartbeat_ms).run(shutdown).await
    }

    fn hello(&self) -> Hello {
        let executors = self.executors.iter();
        Hello {
            version: VERSION,
            ant_id: self.config.ant_id.clone(),
            host: self.config.host.clone(),
            methods: executors
                .flat_map(|executor| executor.describe().methods)
                .copied()
                .collect(),
            tags: self.config.tags.clone(),
            capacity: self.config.capacity,
            running: Vec::new(),
        }
    }
}

/// Waits for the queen's answer: the heartbeat, or none when the ant is to end first.
async fn welcome(
    from_queen: &mut mpsc::Receiver<QueenMessage>,
    shutdown: &Shutdown,
) -> Result<Option<u64>, AntError> {
    loop {
        let message = tokio::select! {
            message = from_queen.recv() => message,
            () = shutdown.soft.cancelled() => return Ok(None),
        };
        match message {
            Some(QueenMessage::Welcome { heartbeat_ms }) => return Ok(Some(heartbeat_ms)),
            Some(message) => tracing::error!(?message, "the queen speaks before its welcome"),
            None => return Err(AntError::LinkClosed),
        }
    }
}
