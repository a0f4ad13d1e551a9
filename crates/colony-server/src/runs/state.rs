//! What every request of the Runs API needs.

use std::sync::Arc;

use colony_core::time::Clock;
use colony_engine::ledger::Ledger;
use tokio_util::sync::CancellationToken;

use super::limit::Limiter;
use super::settings::{AuthMode, RunsApiSettings};
use crate::edge::Edge;
use crate::health::Health;

/// Shared by all requests. Cheap to clone.
#[derive(Clone)]
pub struct RunsState {
    pub(super) inner: Arc<Inner>,
    /// Cancelled when the server is about to stop: whoever waits is answered at once.
    pub(super) closing: CancellationToken,
    /// What is in front of the handlers.
    pub(super) edge: Edge,
    pub(super) health: Arc<Health>,
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
        let health = Arc::new(Health::new(ledger.store().clone()));
        let limiter = Limiter::new(settings.rate_limit);
        let inner = Inner {
            ledger,
            settings,
            limiter,
            clock,
        };
        Ok(Self {
            inner: Arc::new(inner),
            health,
            closing: CancellationToken::new(),
            edge: Edge::default(),
        })
    }

    /// The same, as part of a server that says when it is about to stop.
    pub(crate) fn behind(mut self, edge: Edge, closing: CancellationToken) -> Self {
        self.edge = edge;
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

    /// Origins of browsers that may call.
    pub(crate) fn origins(&self) -> &[String] {
        &self.inner.settings.cors_origins
    }

    /// The same, for a server that needs more than its database.
    pub(crate) fn with_health(mut self, health: Arc<Health>) -> Self {
        self.health = health;
        self
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    pub(super) fn settings(&self) -> &RunsApiSettings {
        &self.inner.settings
    }
}
