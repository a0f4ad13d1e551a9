//! `colony worker`.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::runs::RunsClientArgs;
use crate::settings::{self, Flags};

const HELP: &str = "\
The command gets the task's input as JSON on stdin, and COLONY_TASK_ID, COLONY_RUN_ID,
COLONY_TASK_TYPE, COLONY_ATTEMPT (1, 2, …), COLONY_WORKER_ID and COLONY_URL in its environment.

  exit 0      the task is completed; stdout is its output: JSON if it is JSON, else a text
  other exit  the task is tried again while it has retries left, then failed; its error has the
              exit code and the end of stderr

A task that is cancelled, or whose lease is lost, is stopped: SIGTERM to the whole process group,
SIGKILL 5 s later. SIGTERM and Ctrl-C claim nothing more and let running tasks end within the grace
time; a second one stops them at once. What did not end is given back for another worker.

Examples:
  colony worker --type resize -- ./resize.sh
  colony worker --type add --concurrency 8 -- jq '{sum: (.numbers | add)}'";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct WorkerArgs {
    /// Type of the tasks that it does; may be repeated.
    #[arg(long = "type", value_name = "TYPE", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) types: Vec<String>,
    /// How many tasks it does at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) concurrency: u16,
    /// How long a task is its own without a sign of life.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = lease)]
    pub(crate) lease: Duration,
    /// How long to wait before a failed task is tried again.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = super::duration)]
    pub(crate) retry_delay: Duration,
    /// End after so many tasks.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: Option<u64>,
    /// End after one task.
    #[arg(long, conflicts_with = "max")]
    pub(crate) once: bool,
    /// What it is called [default: worker-PID].
    #[arg(long, value_name = "ID")]
    pub(crate) worker_id: Option<String>,
    /// How long running tasks may go on at the end [default: 30s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) drain_grace: Option<String>,
    #[command(flatten)]
    pub(crate) client: RunsClientArgs,
    /// The program that does a task, and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

impl WorkerArgs {
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = self.client.flags();
        let grace = self.drain_grace.as_ref();
        flags.set(&settings::DRAIN_GRACE, "--drain-grace", grace);
        flags
    }
}

/// As long as the server lets a lease be.
fn lease(text: &str) -> Result<Duration, String> {
    let lease = super::duration(text)?;
    match (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&lease) {
        true => Ok(lease),
        false => Err("give a duration from 100ms to 1h".to_owned()),
    }
}
