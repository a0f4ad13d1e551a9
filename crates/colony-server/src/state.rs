//! What every handler works with.

use std::net::SocketAddr;
use std::sync::Arc;

use colony_core::time::Timestamp;
use colony_engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::edge::Edge;
use crate::edge::limits::ServerLimits;
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
    /// How much of the server callers may take.
    pub limits: ServerLimits,
    /// Names of this server beside those of its address: `name`, or `name:port`.
    pub hosts: Vec<String>,
    /// Cancelled when the server is about to stop: long polls answer at once.
    pub closing: CancellationToken,
    /// What is in front of the handlers.
    pub(crate) edge: Edge,
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
            limits: ServerLimits::default(),
            hosts: Vec::new(),
            closing: CancellationToken::new(),
            edge: Edge::default(),
            engine,
        }
    }

    /// Ready for calls to a server at that address.
    pub(crate) fn at(mut self, address: Option<SocketAddr>) -> Self {
        self.edge = Edge::new(&self.limits, &self.hosts, address);
        self.runs = self.runs.map(|runs| {
            let runs = runs.behind(self.edge.clone(), self.closing.clone());
            runs.with_health(Arc::clone(&self.health))
        });
        self
    }
}
