//! What every request of the Runs API needs.

use std::sync::Arc;

use colony_core::time::Clock;
use colony_engine::ledger::Ledger;
use tokio_util::sync::CancellationToken;

use super::limit::Limiter;
use super::settings::{AuthMode, RunsApiSettings};

/// Shared by all requests. Cheap to clone.
#[derive(Clone)]
pub struct RunsState {
    pub(super) inner: Arc<Inner>,
    /// Cancelled when the server is about to stop: whoever waits is answered at once.
    pub(super) closing: CancellationToken,
}

pub(super) struct Inner {
    pub(super) ledger: Ledger,
    pub(super) settings: RunsApiSettings,
    pub(super) limiter: Limiter,
    pub(super) clock: Arc<dyn Clock>,
}

/// Settings that make no sense together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("serve the Runs API: {0}")]
pub struct SettingsError(String);

impl RunsState {
    /// Ready to serve.
    ///
    /// # Errors
    ///
    /// The settings make no sense.
    pub fn new(
        ledger: Ledger,
        settings: RunsApiSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SettingsError> {
        for name in [&settings.queues.tasks, &settings.queues.results] {
            if name.contains(':') {
                let problem = format!("the queue name `{name}` must not contain `:`");
                return Err(SettingsError(problem));
            }
        }
        let limiter = Limiter::new(settings.rate_limit);
        let inner = Inner {
            ledger,
            settings,
            limiter,
            clock,
        };
        Ok(Self {
            inner: Arc::new(inner),
            closing: CancellationToken::new(),
        })
    }

    /// The same, for a server that says when it is about to stop.
    pub(crate) fn ending_with(mut self, closing: CancellationToken) -> Self {
        self.closing = closing;
        self
    }

    /// Whether callers must show a key although there is none yet. False when that is unknown.
    pub async fn lacks_keys(&self) -> bool {
        let settings = self.settings();
        let wants_keys = settings.auth == AuthMode::On
            && settings.static_key.is_none()
            && !settings.trust_well_formed_keys;
        wants_keys && matches!(self.ledger().has_keys().await, Ok(false))
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    pub(super) fn settings(&self) -> &RunsApiSettings {
        &self.inner.settings
    }
}
