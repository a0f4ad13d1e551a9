//! The queen's HTTP side.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`state`] | what every handler works with |
//! | [`auth`] | who a request comes from |
//! | [`health`] | whether the server can do its work |
//! | [`jobs`] | the Jobs API under `/api` |
//! | [`runs`] | the Runs API under `/api/v1` |
//! | [`serve`](mod@serve) | connections, limits of time, shutdown |
//!
//! Handlers translate: use-cases are in `colony-engine`, shapes in `colony-api`.

use std::sync::Arc;

pub mod auth;
pub mod health;
pub mod jobs;
mod outage;
pub mod runs;
pub mod serve;
pub mod state;

pub use serve::serve;
pub use state::{Auth, ServerState};

/// Everything that the queen answers.
pub fn router(state: ServerState) -> axum::Router {
    let runs = state.runs.clone();
    let runs = runs.map(|runs| {
        let runs = runs.ending_with(state.closing.clone());
        runs::router(runs.with_health(Arc::clone(&state.health)))
    });
    let jobs = jobs::router(state);
    match runs {
        Some(runs) => jobs.merge(runs),
        None => jobs,
    }
}
