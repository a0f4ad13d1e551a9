//! What every handler works with.

use std::sync::Arc;

use colony_core::time::Timestamp;
use colony_engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::runs::RunsState;

/// Whether callers must show a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// Every call needs one.
    #[default]
    On,
    /// Everybody is the admin. For a trusted machine only.
    Off,
}

/// What every handler works with. Cheap to clone.
#[derive(Clone)]
pub struct ServerState {
    /// The use-cases.
    pub engine: Engine,
    /// Whether callers must show a token.
    pub auth: Auth,
    /// When the server started.
    pub started_at: Timestamp,
    /// Address under which people reach this server, for links; none = links without a host.
    pub external_url: Option<Arc<str>>,
    /// What the server needs to do its work.
    pub health: Arc<Health>,
    /// The Runs API, when it is served.
    pub runs: Option<RunsState>,
    /// Cancelled when the server is about to stop: long polls answer at once.
    pub closing: CancellationToken,
}

impl ServerState {
    /// The state of a server that starts now.
    pub fn new(engine: Engine, auth: Auth) -> Self {
        Self {
            started_at: engine.now(),
            auth,
            external_url: None,
            health: Arc::new(Health::new(engine.store().clone())),
            runs: None,
            closing: CancellationToken::new(),
            engine,
        }
    }
}
