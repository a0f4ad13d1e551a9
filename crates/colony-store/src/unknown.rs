//! The news that nobody knows what became of a transaction.

use tokio::sync::watch;

/// Tells of transactions whose outcome is unknown. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Unknown {
    count: watch::Sender<u64>,
}

impl Default for Unknown {
    fn default() -> Self {
        Self {
            count: watch::Sender::new(0),
        }
    }
}

impl Unknown {
    /// It has happened.
    pub(crate) fn tell(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    pub(crate) fn listen(&self) -> UnknownOutcomes {
        UnknownOutcomes {
            count: self.count.subscribe(),
        }
    }
}

/// Hears of transactions whose outcome is unknown: see
/// [`Store::unknown_outcomes`](crate::Store::unknown_outcomes).
#[derive(Debug, Clone)]
pub struct UnknownOutcomes {
    count: watch::Receiver<u64>,
}

impl UnknownOutcomes {
    /// Waits for one that was not heard of here; several at once are one. Never returns once the
    /// store is gone.
    pub async fn next(&mut self) {
        if self.count.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
