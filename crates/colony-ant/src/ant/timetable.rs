//! When the ant's loop has to do what.

use std::time::Duration;

use tokio::time::Instant;

/// The alarms of the loop; none = not due at all.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    pub(super) heartbeat: Option<Instant>,
    pub(super) repeat: Option<Instant>,
    /// When running attempts are stopped.
    pub(super) hard_stop: Option<Instant>,
    /// When nothing is waited for any more.
    pub(super) give_up: Option<Instant>,
}

impl Timetable {
    /// The next alarm.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.heartbeat, self.repeat, self.hard_stop, self.give_up]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Sets an alarm that is not set.
pub(super) fn arm(alarm: &mut Option<Instant>, after: Duration) {
    alarm.get_or_insert_with(|| Instant::now() + after);
}

/// Whether an alarm is due; clears it if so.
pub(super) fn take_due(alarm: &mut Option<Instant>) -> bool {
    alarm.take_if(|at| *at <= Instant::now()).is_some()
}
