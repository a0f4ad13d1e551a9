//! The queen's HTTP side.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`state`] | what every handler works with |
//! | [`auth`] | who a request comes from |
//! | [`jobs`] | the Jobs API under `/api` |
//! | [`runs`] | the Runs API under `/api/v1` |
//! | [`serve`](mod@serve) | connections, limits of time, shutdown |
//!
//! Handlers translate: use-cases are in `colony-engine`, shapes in `colony-api`.

pub mod auth;
pub mod jobs;
pub mod runs;
pub mod serve;
pub mod state;

pub use serve::serve;
pub use state::{Auth, ServerState};

/// Everything that the queen answers.
pub fn router(state: ServerState) -> axum::Router {
    let runs = state.runs.clone();
    let runs = runs.map(|runs| runs::router(runs.ending_with(state.closing.clone())));
    let jobs = jobs::router(state);
    match runs {
        Some(runs) => jobs.merge(runs),
        None => jobs,
    }
}
