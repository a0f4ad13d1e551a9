//! What an ant is told when it is made.

use std::path::PathBuf;
use std::time::Duration;

use colony_reaper::ReaperCommand;
use colony_wire::Environment;

use crate::environment;
use crate::run_as::RunAs;

/// Settings of an ant.
#[derive(Debug, Clone)]
pub struct AntConfig {
    /// Name of the ant, unique among live ants.
    pub ant_id: String,
    /// Host it runs on, as shown to people.
    pub host: String,
    /// Tags it satisfies, lower case.
    pub tags: Vec<String>,
    /// How many attempts it runs at once.
    pub capacity: u32,
    /// Directory of the attempts' directories. Only one ant uses it at a time.
    pub work_root: PathBuf,
    /// Variables that every command sees, before those of its order.
    pub environment: Environment,
    /// How to start the processes that start the commands and let nothing of them outlive its
    /// attempt.
    pub reaper: ReaperCommand,
    /// As whom commands run; none = as this process.
    pub run_as: Option<RunAs>,
    /// Bounds on sizes.
    pub limits: Limits,
    /// Bounds on times.
    pub periods: Periods,
}

impl AntConfig {
    /// An ant with default settings. Of this process's own environment its commands see `PATH`,
    /// `HOME`, `LANG` and `TZ`.
    pub fn new(
        ant_id: impl Into<String>,
        work_root: impl Into<PathBuf>,
        reaper: ReaperCommand,
    ) -> Self {
        Self {
            ant_id: ant_id.into(),
            host: "localhost".to_owned(),
            tags: Vec::new(),
            capacity: 4,
            work_root: work_root.into(),
            environment: environment::inherited(),
            reaper,
            run_as: None,
            limits: Limits::default(),
            periods: Periods::default(),
        }
    }

    /// Lets commands see these variables of this process, where they are set.
    #[must_use]
    pub fn pass_environment<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        environment::pass(&mut self.environment, names);
        self
    }
}

/// Bounds on what one attempt may produce or unpack.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Output kept of one attempt, in bytes; the rest is dropped (`job-definitions` 10.5).
    pub output_bytes: u64,
    /// What the dependencies of one attempt may unpack to, in bytes.
    pub unpacked_bytes: u64,
    /// How many files they may unpack to.
    pub unpacked_files: usize,
    /// What is taken from a porter for one archive, in bytes.
    pub collected_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output_bytes: 64 << 20,
            unpacked_bytes: 8 << 30,
            unpacked_files: 200_000,
            collected_bytes: 64 << 30,
        }
    }
}

/// How long the ant waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Periods {
    /// Between the soft and the hard stop of a command.
    pub stop_grace: Duration,
    /// How long running attempts may go on after the ant was told to shut down.
    pub drain_grace: Duration,
    /// Limit of `after_script` in a cancelled attempt.
    pub cancel_cleanup: Duration,
    /// After which a report that was not acknowledged is sent again.
    pub report_repeat: Duration,
    /// How long output waits for more before it is sent.
    pub log_flush: Duration,
    /// First pause after something could not be done because the host is short of descriptors,
    /// processes, memory or disk. It doubles, up to 30 s.
    pub want_pause: Duration,
    /// For how long storing what an attempt made is tried again on such a host.
    pub want_patience: Duration,
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            stop_grace: Duration::from_secs(5),
            drain_grace: Duration::from_secs(30),
            cancel_cleanup: Duration::from_secs(30),
            report_repeat: Duration::from_secs(2),
            log_flush: Duration::from_millis(50),
            want_pause: Duration::from_secs(1),
            want_patience: Duration::from_secs(600),
        }
    }
}
