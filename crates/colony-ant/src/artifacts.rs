//! Artifacts of a task: which files, and their archive (`job-definitions` 11.2).

mod pack;
mod select;

use std::error::Error;
use std::fmt::Write as _;

pub(crate) use pack::{Content, Extra, PackError, Packed, Zip, begin, pack, pack_bytes, pack_file};
pub(crate) use select::{ENTRIES_MAX, SelectError, select};

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
