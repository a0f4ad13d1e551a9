//! What is noted about an attempt while it goes on, and how failures are put into words.

use std::collections::BTreeMap;

use colony_core::time::Timestamp;
use colony_wire::{Failure, Timings};

use crate::artifacts::Extra;

/// Warnings kept of one attempt, at most.
const WARNINGS_MAX: usize = 100;

/// Notes for the report.
#[derive(Debug)]
pub(super) struct Record {
    /// Of the first command that failed.
    pub(super) exit_code: Option<i32>,
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
    /// Stdout of `script` commands.
    pub(super) stdout: Vec<String>,
    /// Stdout of all commands, as files of the archive.
    pub(super) stdout_files: Vec<Extra>,
    pub(super) timings: Timings,
}

impl Record {
    pub(super) fn new(received_at: Timestamp) -> Self {
        Self {
            exit_code: None,
            outputs: BTreeMap::new(),
            warnings: Vec::new(),
            stdout: Vec::new(),
            stdout_files: Vec::new(),
            timings: Timings {
                received_at,
                ..Timings::default()
            },
        }
    }

    pub(super) fn warn(&mut self, text: String) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(text);
        }
    }
}

/// A failure in words, for warnings and the log.
pub(super) fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Exited { code, command } => format!("`{command}` exited with {code}"),
        Failure::Signalled { signal, command } => {
            format!("`{command}` was ended by signal {signal}")
        }
        Failure::TimedOut {
            phase,
            timeout_ms,
            command,
        } => format!(
            "{phase} took longer than {timeout_ms} ms (context deadline exceeded) in `{command}`"
        ),
        Failure::CouldNotStart { message }
        | Failure::Dependencies { message }
        | Failure::Artifacts { message } => message.clone(),
    }
}

/// A failure in words, with the part of the attempt where it happened.
pub(super) fn describe_in(part: &str, failure: &Failure) -> String {
    format!("{part}: {}", describe(failure))
}
