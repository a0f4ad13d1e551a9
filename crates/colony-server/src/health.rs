//! Whether the server can do its work: what both APIs answer about their health.
//!
//! Everything is looked at when somebody asks, and never otherwise: an idle queen runs no queries.
//! Those who ask at the same time share one look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use colony_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a look may take. Whoever asks wants to know within a second.
const PATIENCE: Duration = Duration::from_millis(800);

/// The name of the part that every server has.
pub(crate) const DATABASE: &str = "database";

/// Tells what is wrong, without secrets; may block.
type Check = dyn Fn() -> Result<(), String> + Send + Sync;

type Flight = watch::Receiver<Option<Arc<Report>>>;

/// Looks after the parts that a server needs.
pub struct Health {
    store: Store,
    parts: Vec<(&'static str, Arc<Check>)>,
    flight: Mutex<Option<Flight>>,
    counts: Mutex<BTreeMap<&'static str, Counts>>,
}

/// Results of looks since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) consecutive_failures: u64,
    pub(crate) consecutive_success: u64,
    pub(crate) total_failures: u64,
    pub(crate) total_success: u64,
}

/// What a look found.
#[derive(Debug)]
pub(crate) struct Report {
    /// All parts together.
    pub(crate) overall: PartReport,
    /// Each of them; the database is the first.
    pub(crate) parts: Vec<PartReport>,
}

/// What a look found of one part.
#[derive(Debug, Clone)]
pub(crate) struct PartReport {
    pub(crate) name: &'static str,
    pub(crate) counts: Counts,
    /// What is wrong.
    pub(crate) problem: Option<String>,
}

impl Report {
    pub(crate) fn is_healthy(&self) -> bool {
        self.overall.problem.is_none()
    }

    pub(crate) fn has_database(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.all(|part| part.name != DATABASE || part.problem.is_none())
    }
}

impl Health {
    /// Of a server that needs its database.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            parts: Vec::new(),
            flight: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Of one that needs something else, too. The check may block; its error says what is wrong and
    /// is shown to everybody.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.parts.push((name, Arc::new(check)));
        self
    }

    /// Looks at everything, or waits for a look that is under way.
    pub(crate) async fn look(self: &Arc<Self>) -> Arc<Report> {
        let mut flight = self.join();
        let report = flight.wait_for(Option::is_some).await;
        let report = report.ok().and_then(|report| report.clone());
        // The task that looks ends early only with the runtime.
        report.unwrap_or_else(|| Arc::new(self.report(vec![(DATABASE, Err("unknown".to_owned()))])))
    }

    fn join(self: &Arc<Self>) -> Flight {
        let mut flight = lock(&self.flight);
        if let Some(flight) = &*flight {
            return flight.clone();
        }
        let (sender, receiver) = watch::channel(None);
        *flight = Some(receiver.clone());
        let this = Arc::clone(self);
        // In a task of its own: whoever asked may go away, others wait for it.
        tokio::spawn(async move {
            let report = Arc::new(this.look_alone().await);
            *lock(&this.flight) = None;
            // Everybody may have gone away.
            let _ = sender.send(Some(report));
        });
        receiver
    }

    async fn look_alone(&self) -> Report {
        let deadline = Instant::now() + PATIENCE;
        let start = |(name, check): &(&'static str, Arc<Check>)| {
            let (name, check) = (*name, Arc::clone(check));
            (name, tokio::task::spawn_blocking(move || check()))
        };
        let looks: Vec<_> = self.parts.iter().map(start).collect();
        let mut found = vec![(DATABASE, self.look_at_database(deadline).await)];
        for (name, look) in looks {
            found.push((name, ended(look, deadline).await));
        }
        self.report(found)
    }

    /// Reads and writes something.
    async fn look_at_database(&self, deadline: Instant) -> Result<(), String> {
        let probe = self.store.write(|tx| {
            tx.query_one("SELECT COUNT(*) FROM organizations", &[])?;
            tx.execute(
                "INSERT INTO settings (name, value) VALUES ('health', '1') ON CONFLICT (name) \
                 DO UPDATE SET value = CAST(1 - CAST(settings.value AS BIGINT) AS TEXT)",
                &[],
            )?;
            Ok::<_, StoreError>(())
        });
        match tokio::time::timeout_at(deadline, probe).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the database {}", error.outage())),
            Err(_) => Err(too_slow("the database")),
        }
    }

    fn report(&self, found: Vec<(&'static str, Result<(), String>)>) -> Report {
        let problems: Vec<&str> = found
            .iter()
            .filter_map(|(_, found)| found.as_ref().err().map(String::as_str))
            .collect();
        let all = match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        };
        Report {
            overall: self.count("Health-Monitor", all),
            parts: (found.into_iter())
                .map(|(name, found)| self.count(name, found))
                .collect(),
        }
    }

    fn count(&self, name: &'static str, found: Result<(), String>) -> PartReport {
        let mut counts = lock(&self.counts);
        let counts = counts.entry(name).or_default();
        let problem = found.err();
        match &problem {
            None => {
                counts.total_success += 1;
                counts.consecutive_success += 1;
                counts.consecutive_failures = 0;
            }
            Some(problem) => {
                counts.total_failures += 1;
                counts.consecutive_failures += 1;
                counts.consecutive_success = 0;
                // Once: whoever watches may ask every second.
                if counts.consecutive_failures == 1 {
                    tracing::error!(part = name, "not healthy: {problem}");
                }
            }
        }
        PartReport {
            name,
            counts: *counts,
            problem,
        }
    }
}

async fn ended(look: JoinHandle<Result<(), String>>, deadline: Instant) -> Result<(), String> {
    match tokio::time::timeout_at(deadline, look).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err("it cannot be looked at".to_owned()),
        Err(_) => Err(too_slow("the file system")),
    }
}

fn too_slow(what: &str) -> String {
    format!("{what} did not answer within {} ms", PATIENCE.as_millis())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
