//! One attempt, from its order to its report.
//!
//! ```text
//! open ─> before_script ─> dependencies ─> script ─> after_script ─> close ─> artifacts ─> report
//! ```
//!
//! The first failure decides the outcome and skips to `after_script`, which always runs, within a
//! short limit when the attempt was cancelled. An attempt that is abandoned stops where it is.

mod capture;
mod command;
mod finish;
mod phase;
mod shown;
mod stage;
mod upload;
mod want;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::{ArtifactId, IdSource};
use colony_core::method::Method;
use colony_core::time::Clock;
use colony_wire::{AntMessage, Environment, Failure, Order, Report};
use tokio::sync::mpsc;

use crate::config::AntConfig;
use crate::environment;
use crate::executor::{Executor, Place, Session};
use crate::log::{Log, LogSettings};
use crate::objects::Objects;
use crate::porter::Porters;
use crate::redact::Redactor;
use crate::stop::{Level, StopSignal};
use crate::work_root::{Site, WorkRoot};
use colony_core::text::with_causes;
use phase::Phase;
use stage::Record;
pub(crate) use want::{Wants, want_of};

/// What all attempts of an ant share.
pub(crate) struct Crew {
    pub(crate) config: AntConfig,
    pub(crate) root: WorkRoot,
    pub(crate) executors: Vec<Arc<dyn Executor>>,
    /// Those that work where commands run as another user.
    pub(crate) porters: Option<Porters>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) to_queen: mpsc::Sender<AntMessage>,
    pub(crate) wants: Wants,
}

impl Crew {
    fn artifact_id(&self) -> ArtifactId {
        ArtifactId::new(self.ids.next_uuid())
    }

    fn executor(&self, method: Method) -> Option<&Arc<dyn Executor>> {
        self.executors
            .iter()
            .find(|executor| executor.describe().methods.contains(&method))
    }
}

/// How an attempt is over for the ant.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The queen is to be told.
    Report(Box<Report>),
    /// The host was short of something: others may do it.
    GiveBack,
    /// It was stopped and nobody wants to know.
    Abandoned,
}

/// Why the work of an attempt did not come to its end.
#[derive(Debug)]
enum Trouble {
    Failed(Failure),
    Cancelled,
    Abandoned,
    /// The host is short of something.
    Want(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Runs an attempt.
pub(crate) async fn run(crew: Arc<Crew>, order: Box<Order>, stop: StopSignal) -> Ending {
    let mut attempt = Attempt::new(&crew, &order, stop);
    let ending = attempt.run().await;
    let site = attempt.site.clone();
    let is_left_alone = attempt.is_left_alone;
    drop(attempt);
    site.remove(is_left_alone).await;
    ending
}

/// An attempt that is being made.
struct Attempt<'c> {
    crew: &'c Crew,
    order: &'c Order,
    stop: StopSignal,
    site: Site,
    redactor: Arc<Redactor>,
    log: Log,
    environment: Environment,
    /// Commands that were begun, over all phases.
    commands: usize,
    /// Whether no process of it is left.
    is_left_alone: bool,
    record: Record,
}

impl<'c> Attempt<'c> {
    fn new(crew: &'c Crew, order: &'c Order, stop: StopSignal) -> Self {
        let site = crew.root.site(order.attempt);
        let base = &crew.config.environment;
        let (mut environment, refused) =
            environment::of_attempt(base, &order.environment, &site.temp());
        if let Some(run_as) = &crew.config.run_as {
            run_as.set_home(&mut environment, &site.work());
        }
        let redactor = Arc::default();
        let log = new_log(crew, order, &site, &redactor);
        let mut record = Record::new(crew.clock.now());
        for name in refused {
            record.warn(format!("the variable `{name}` cannot be set for a process"));
        }
        Self {
            crew,
            order,
            stop,
            site,
            redactor,
            log,
            environment,
            commands: 0,
            is_left_alone: true,
            record,
        }
    }

    async fn run(&mut self) -> Ending {
        let attempt = self.order.attempt;
        for warning in &self.order.warnings {
            self.record.warn(warning.clone());
        }
        let started = AntMessage::Started {
            attempt,
            at: self.crew.clock.now(),
        };
        // Without a queen there is no one to tell; the loop finds out for itself.
        let _ = self.crew.to_queen.send(started).await;
        let trouble = match self.open().await {
            Ok(mut session) => self.run_in(session.as_mut()).await,
            Err(trouble) => Err(trouble),
        };
        match trouble {
            Err(Trouble::Abandoned) => Ending::Abandoned,
            Err(Trouble::Want(why)) => self.give_back(&why).await,
            trouble => {
                self.crew.wants.over();
                self.finish(trouble.err()).await
            }
        }
    }

    /// Makes everything ready for the first command.
    async fn open(&mut self) -> Result<Box<dyn Session>, Trouble> {
        let could_not = |message| Failure::CouldNotStart { message };
        let redactor = Redactor::new(&self.order.secrets)
            .map_err(|error| could_not(format!("prepare to hide secrets: {error}")))?;
        self.redactor = Arc::new(redactor);
        self.log = new_log(self.crew, self.order, &self.site, &self.redactor);
        for warning in &self.order.warnings {
            self.log.notice(warning);
        }
        let method = self.order.method;
        let executor = self
            .crew
            .executor(method)
            .ok_or_else(|| could_not(format!("this ant has no executor for {method}")))?;
        let directory = self.directory();
        if let Err(error) = self.make_directories(&directory).await {
            let (name, why) = (directory.display(), with_causes(&*error));
            let message = format!("make the directory {name}: {why}");
            return Err(match want::is_want(&*error) {
                true => Trouble::Want(message),
                false => could_not(message).into(),
            });
        }
        let session = executor.open(Place { directory }).await;
        session.map_err(|error| match want::is_want(&error) {
            true => Trouble::Want(with_causes(&error)),
            false => could_not(with_causes(&error)).into(),
        })
    }

    async fn make_directories(&mut self, directory: &Path) -> Result<(), Box<dyn Error + Send>> {
        let boxed = |error| Box::new(error) as Box<dyn Error + Send>;
        self.site.make().await.map_err(boxed)?;
        if self.order.working_dir.is_none() {
            return Ok(());
        }
        match &self.crew.porters {
            Some(porters) => {
                let limit = Duration::from_millis(self.order.timeout_ms);
                let made = porters.make(directory, limit).await;
                made.map_err(|error| Box::new(error) as Box<dyn Error + Send>)
            }
            None => std::fs::create_dir_all(directory).map_err(boxed),
        }
    }

    /// Where commands run and where relative paths start.
    fn directory(&self) -> PathBuf {
        let work = self.site.work();
        match &self.order.working_dir {
            Some(directory) => work.join(directory),
            None => work,
        }
    }

    async fn run_in(&mut self, session: &mut dyn Session) -> Result<(), Trouble> {
        self.is_left_alone = false;
        let work = self.work(session).await;
        let cleaned = match &work {
            Err(Trouble::Abandoned | Trouble::Want(_)) => Ok(()),
            work => {
                let cancelled = matches!(work, Err(Trouble::Cancelled));
                self.clean_up(session, cancelled).await
            }
        };
        self.is_left_alone = session.close().await;
        cleaned?;
        work
    }

    /// The part that a failure ends.
    async fn work(&mut self, session: &mut dyn Session) -> Result<(), Trouble> {
        let limit = Duration::from_millis(self.order.timeout_ms);
        self.phase(session, Phase::BeforeScript, Level::Run, limit)
            .await?;
        self.record.timings.before_script_finished_at = Some(self.crew.clock.now());
        self.fetch_dependencies().await?;
        self.record.timings.dependencies_downloaded_at = Some(self.crew.clock.now());
        let script = self.phase(session, Phase::Script, Level::Run, limit).await;
        self.record.timings.script_finished_at = Some(self.crew.clock.now());
        script
    }

    /// `after_script`: changes nothing but the warnings.
    async fn clean_up(
        &mut self,
        session: &mut dyn Session,
        cancelled: bool,
    ) -> Result<(), Trouble> {
        let mut limit = Duration::from_millis(self.order.timeout_ms);
        if cancelled {
            limit = limit.min(self.crew.config.periods.cancel_cleanup);
        }
        let exit_code = self.record.exit_code;
        let end = self
            .phase(session, Phase::AfterScript, Level::Cancel, limit)
            .await;
        self.record.exit_code = exit_code;
        self.record.timings.after_script_finished_at = Some(self.crew.clock.now());
        match end {
            Err(Trouble::Failed(failure)) => {
                self.record
                    .warn(stage::describe_in("after_script", &failure));
                Ok(())
            }
            Err(Trouble::Want(why)) => {
                self.record.warn(format!("after_script: {why}"));
                Ok(())
            }
            other => other,
        }
    }
}

fn new_log(crew: &Crew, order: &Order, site: &Site, redactor: &Arc<Redactor>) -> Log {
    let settings = LogSettings {
        attempt: order.attempt,
        output_limit: crew.config.limits.output_bytes,
        flush_after: crew.config.periods.log_flush,
        file: site.file("console.log"),
    };
    Log::new(settings, Arc::clone(&crew.clock), Arc::clone(redactor))
}
