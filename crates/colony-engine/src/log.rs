//! Logs of runs: of attempts that are over from where they are stored, of running ones from what
//! the queen keeps of their output until then.
//!
//! Both are the same text, so that an offset means the same place in either: who follows a log
//! reads every line once, whatever happens between two pages.
//! Lines are in the CRI log format, `<time> <stream> <F|P> <text>`.

mod cursor;
mod live;
mod page;
mod spool;
mod stored;

pub use cursor::LogCursor;
pub(crate) use live::LiveLogs;
pub use page::{LogLine, LogPage, LogQuery};
