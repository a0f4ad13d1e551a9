//! Why a request waits, in the words that people read.

use std::fmt;

use super::Need;
use crate::plan::DEFAULT_MAX_CONCURRENCY;

/// Why a request is not launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Its definition is disabled or deleted.
    Closed {
        /// The job type.
        job_type: String,
        /// `disabled` or `deleted`.
        word: &'static str,
    },
    /// All slots of its definition are in use.
    NoSlot {
        /// How many there are.
        max: u32,
        /// Nobody set that number.
        is_default: bool,
    },
    /// No ant can do one of its tasks.
    NoAnt(Need),
    /// Others come first, for a moment.
    Turn,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { job_type, word } => write!(f, "definition {job_type} is {word}"),
            // People meet the bound without ever having set it: it is named, and its origin.
            Self::NoSlot { max, is_default } => {
                write!(
                    f,
                    "waits for a free slot: {max} of {max} in use (max_concurrency"
                )?;
                match is_default {
                    true => write!(f, ", {DEFAULT_MAX_CONCURRENCY} unless set)"),
                    false => f.write_str(")"),
                }
            }
            Self::NoAnt(Need { task, method, tags }) => {
                write!(f, "no ant offers {method}")?;
                if !tags.is_empty() {
                    write!(f, " with tags {}", tags.join(", "))?;
                }
                write!(f, ", which task {task} needs")
            }
            Self::Turn => f.write_str("waits for its turn"),
        }
    }
}
