//! The functions that definitions may call (`job-definitions` 5.6), beyond Go's built-ins.

mod jobs;
mod numbers;
mod texts;

use std::sync::Arc;

use colony_core::time::Timestamp;
use colony_template::Functions;
use jiff::tz::TimeZone;

use crate::host::Session;

/// Every function, bound to its outside.
pub(crate) fn functions(session: &Arc<Session>, now: Option<(Timestamp, TimeZone)>) -> Functions {
    let mut functions = Functions::new();
    texts::add(&mut functions, now);
    numbers::add(&mut functions, session);
    jobs::add(&mut functions, session);
    functions
}
