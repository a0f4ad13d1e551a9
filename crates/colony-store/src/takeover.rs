//! The news that another queen has taken the database over.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

/// Told once, heard by all who ask, now or later. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Takeover {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    reason: OnceLock<String>,
    told: Notify,
}

impl Takeover {
    /// It has happened; the first reason counts.
    pub(crate) fn tell(&self, reason: impl Into<String>) {
        if self.inner.reason.set(reason.into()).is_ok() {
            self.inner.told.notify_waiters();
        }
    }

    /// Whether it has happened.
    pub(crate) fn is_told(&self) -> bool {
        self.inner.reason.get().is_some()
    }

    /// Waits for it; gives the reason.
    pub(crate) async fn heard(&self) -> String {
        loop {
            let told = self.inner.told.notified();
            if let Some(reason) = self.inner.reason.get() {
                return reason.clone();
            }
            told.await;
        }
    }
}
