//! What the jobs are that are run.

use std::fmt::Write as _;
use std::time::Duration;

/// When a measurement has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(600);

/// How many submit at once.
pub(crate) const CALLERS: usize = 16;

/// One task.
pub(crate) const ONE: &str = "
job_type: one
max_concurrency: 1000000
tasks:
- task_type: a
  method: SHELL
  script: ['true']
";

/// Tasks of a chain.
pub(crate) const CHAIN_TASKS: usize = 50;

/// A job of tasks one after the other.
pub(crate) fn chain(command: &str) -> String {
    let mut text = "job_type: chain\ntasks:\n".to_owned();
    for n in 1..=CHAIN_TASKS {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "- task_type: t{n}\n  method: SHELL\n  script: ['{command}']\n"
        );
        if n < CHAIN_TASKS {
            let _ = writeln!(text, "  on_completed: t{}", n + 1);
        }
    }
    text
}
