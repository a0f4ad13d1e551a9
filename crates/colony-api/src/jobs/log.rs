//! Log lines of a request; our addition to the API.

use serde::{Deserialize, Serialize};

/// A line that a task wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The task.
    pub task: String,
    /// Number of the attempt, from 0.
    pub retry: u32,
    /// RFC 3339.
    pub time: String,
    /// `stdout`, `stderr` or `system`.
    pub stream: String,
    /// The text without its line break.
    pub text: String,
    /// The line was cut because of its length and goes on in the next one.
    pub partial: bool,
}

/// A part of a request's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Give it back to go on after these lines; null before the first output.
    pub cursor: Option<String>,
    /// The request is finished and there is nothing after these lines.
    pub done: bool,
}
