//! Artifacts of a task: which files, and their archive (`job-definitions` 11.2).

mod pack;
mod select;

pub(crate) use pack::{Content, Extra, PackError, Packed, Zip, begin, pack, pack_bytes, pack_file};
pub(crate) use select::{ENTRIES_MAX, SelectError, select};
