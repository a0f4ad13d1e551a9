//! Logs of runs: of attempts that are over from where they are stored, of running ones from memory.
//!
//! Lines are in the CRI log format, `<time> <stream> <F|P> <text>`.

mod live;
mod page;

pub(crate) use live::LiveLogs;
pub use page::{LogCursor, LogLine, LogPage, LogQuery};
