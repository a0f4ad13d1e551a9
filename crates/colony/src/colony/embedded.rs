//! The ant inside of a queen: the same messages as a remote one, over two channels.

use std::sync::Arc;

use anyhow::Context as _;
use colony_ant::{Ant, AntConfig, AntError, DirectObjects, Link, Periods, ReaperCommand, Shutdown};
use colony_engine::{AntLink, Engine, EngineError};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::Colony;
use crate::settings::{AntSettings, Settings};

/// Its name. A restarted queen knows by it whose leases nobody holds any more.
const ANT_ID: &str = "embedded";

/// Messages on their way in each direction, beside those per attempt.
const MESSAGES: usize = 256;

/// Messages to the ant for each attempt that it may run.
const MESSAGES_PER_ATTEMPT: usize = 8;

/// An ant at work, and the side of the queen that listens to it.
pub(super) struct EmbeddedAnt {
    shutdown: Shutdown,
    /// None once it was seen to have ended.
    ant: Option<JoinHandle<Result<(), AntError>>>,
    served: JoinHandle<Result<(), EngineError>>,
}

impl EmbeddedAnt {
    pub(super) fn start(
        colony: &Colony,
        ant: &AntSettings,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let attempts = usize::try_from(ant.capacity).unwrap_or(usize::MAX);
        let (to_ant, from_queen) = mpsc::channel(MESSAGES + MESSAGES_PER_ATTEMPT * attempts);
        let (to_queen, from_ant) = mpsc::channel(MESSAGES);
        let objects = DirectObjects::new(Arc::clone(&colony.objects));
        let worker = Ant::new(
            AntConfig {
                run_as: colony.run_as.clone(),
                ..config(ant, settings)
            },
            Link {
                to_queen,
                from_queen,
            },
            Arc::new(objects),
            Arc::clone(&colony.clock),
            Arc::clone(&colony.ids),
        );
        let shutdown = Shutdown::new();
        let link = AntLink {
            from_ant,
            to_ant,
            embedded: true,
        };
        Ok(Self {
            ant: Some(tokio::spawn(worker.run(shutdown.clone()))),
            served: tokio::spawn(serve(colony.engine.clone(), link)),
            shutdown,
        })
    }

    /// Resolves when the ant ends without having been asked.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let Some(ant) = &mut self.ant else {
            return std::future::pending().await;
        };
        let ended = finished(ant.await);
        self.ant = None;
        match ended {
            Ok(()) => anyhow::anyhow!("the ant inside this process ended by itself"),
            Err(error) => error,
        }
    }

    /// Lets it drain; once `hurry` resolves, no longer.
    pub(super) async fn end(self, hurry: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.shutdown.drain();
        let ended = match self.ant {
            Some(ant) => finished(drained(ant, &self.shutdown, hurry).await),
            None => Ok(()),
        };
        // The ant's end of the link is closed: the other side takes back what is left and ends.
        let served = self
            .served
            .await
            .context("the queen's side of the ant broke")?;
        served.context("failed to take back the leases of the ant")?;
        ended
    }
}

/// Waits for an ant that was told to end.
async fn drained<T>(
    mut ant: JoinHandle<T>,
    shutdown: &Shutdown,
    hurry: impl Future<Output = ()>,
) -> Result<T, JoinError> {
    tokio::select! {
        ended = &mut ant => ended,
        () = hurry => {
            shutdown.now();
            ant.await
        }
    }
}

async fn serve(engine: Engine, link: AntLink) -> Result<(), EngineError> {
    engine.serve_ant(link).await
}

fn finished(ended: Result<Result<(), AntError>, JoinError>) -> anyhow::Result<()> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(super::failed_to(
            error,
            "the ant inside this process failed",
        )),
        Err(error) => Err(anyhow::Error::new(error).context("the ant inside this process broke")),
    }
}

fn config(ant: &AntSettings, settings: &Settings) -> AntConfig {
    let reaper = ReaperCommand::of_this_program();
    let names = ant.environment.iter().map(String::as_str);
    let mut config = AntConfig {
        tags: ant.tags.clone(),
        capacity: ant.capacity,
        periods: Periods {
            drain_grace: settings.drain_grace,
            ..Periods::default()
        },
        ..AntConfig::new(ANT_ID, &ant.work_dir, reaper).pass_environment(names)
    };
    // Who names a secret of this process means it.
    for name in &ant.environment {
        if let Ok(value) = crate::secrets::variable(name) {
            config.environment.insert(name.clone(), value);
        }
    }
    config
}
