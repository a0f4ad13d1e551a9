//! The queen's HTTP side.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`state`] | what every handler works with |
//! | [`auth`] | who a request comes from |
//! | [`health`] | whether the server can do its work |
//! | [`jobs`] | the Jobs API under `/api` |
//! | [`runs`] | the Runs API under `/api/v1` |
//! | `edge` | what is decided about connections and calls before a handler sees them |
//! | [`serve`](mod@serve) | connections, limits of time, shutdown |
//!
//! Handlers translate: use-cases are in `colony-engine`, shapes in `colony-api`.

pub mod auth;
mod edge;
pub mod health;
pub mod jobs;
mod outage;
pub mod runs;
pub mod serve;
pub mod state;

pub use edge::limits::ServerLimits;
pub use serve::serve;
pub use state::{Auth, ServerState};

/// Everything that the queen answers.
pub fn router(state: ServerState) -> axum::Router {
    routed(state.at(None))
}

fn routed(state: ServerState) -> axum::Router {
    let runs = state.runs.clone().map(runs::router);
    let jobs = jobs::router(state);
    match runs {
        Some(runs) => jobs.merge(runs),
        None => jobs,
    }
}
