//! Places in the log of a request.

use colony_core::id::{AttemptRef, Epoch, RunId};
use serde::{Deserialize, Serialize};

/// A place in the log of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCursor {
    pub(super) run_id: RunId,
    pub(super) attempt: AttemptRef,
    pub(super) offset: u64,
}

impl LogCursor {
    /// As text for an URL.
    pub fn to_text(self) -> String {
        format!(
            "{}/{}/{}/{}",
            self.run_id, self.attempt.task_id, self.attempt.epoch, self.offset
        )
    }

    /// From [`LogCursor::to_text`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let run_id = parts.next()?.parse().ok()?;
        let task_id = parts.next()?.parse().ok()?;
        let epoch = Epoch(parts.next()?.parse().ok()?);
        let offset = parts.next()?.parse().ok()?;
        Some(Self {
            run_id,
            attempt: AttemptRef { task_id, epoch },
            offset,
        })
    }
}
