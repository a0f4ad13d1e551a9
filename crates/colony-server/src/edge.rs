//! The edge: what is decided about connections and calls before a handler sees them.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `limits` | how much of the server callers may take |
//! | `connections` | who may connect, and who has to leave for others |
//! | `linger` | what happens to a body that nobody reads to its end |
//! | `budget` | how much memory the bodies of running calls may take |
//! | `body` | reading a body within its bounds |
//! | `names` | whether a call is meant for this server, and by whom it was caused |
//! | `rarely` | how often a repeated warning is logged |
//!
//! A stranger is answered from the head of its call alone.

pub(crate) mod body;
pub(crate) mod budget;
pub(crate) mod connections;
mod encoding;
pub(crate) mod limits;
pub(crate) mod linger;
pub(crate) mod names;
pub(crate) mod rarely;

use std::net::SocketAddr;
use std::sync::Arc;

use budget::{Budget, Share};
use limits::ServerLimits;
use names::Names;

/// What both APIs share in front of their handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Edge {
    /// What this server is called.
    pub(crate) names: Arc<Names>,
    budget: Arc<Budget>,
}

impl Edge {
    /// Of a server at that address, which has these names as well.
    pub(crate) fn new(
        limits: &ServerLimits,
        hosts: &[String],
        address: Option<SocketAddr>,
    ) -> Self {
        Self {
            names: Arc::new(Names::new(hosts, address)),
            budget: Arc::new(Budget::new(limits.bodies_bytes_max)),
        }
    }

    /// A share of the memory for bodies, for one call; empty at first.
    pub(crate) fn share(&self) -> Share {
        Share::of(Arc::clone(&self.budget))
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self::new(&ServerLimits::default(), &[], None)
    }
}
