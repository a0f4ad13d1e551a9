//! Health (`formicary-api` 6.10, 7.4).
//!
//! The database is asked when somebody asks: an idle queen runs no queries.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use colony_api::jobs::{Health, Monitored, ServiceStatus, Time};
use colony_core::time::Timestamp;
use colony_store::StoreError;

use crate::jobs::answer::{self, Answer};
use crate::state::ServerState;

/// How long the database may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Results of checks since the start.
#[derive(Debug, Default)]
pub struct Monitor(Mutex<Counts>);

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    consecutive_failures: u64,
    consecutive_success: u64,
    total_failures: u64,
    total_success: u64,
}

impl Monitor {
    fn count(&self, healthy: bool) -> Counts {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if healthy {
            counts.total_success += 1;
            counts.consecutive_success += 1;
            counts.consecutive_failures = 0;
        } else {
            counts.total_failures += 1;
            counts.consecutive_failures += 1;
            counts.consecutive_success = 0;
        }
        *counts
    }
}

pub(super) async fn health(State(state): State<ServerState>) -> Answer {
    let problem = check_database(&state).await.err();
    let counts = state.monitor.count(problem.is_none());
    let now = state.engine.now();
    let status = match problem {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let health = Health {
        overall_status: service("Health-Monitor", counts, problem.clone(), now),
        dependent_service_statuses: vec![service("database", counts, problem, now)],
    };
    Ok(answer::json(status, &health))
}

/// Reads something. The problem names no internals.
async fn check_database(state: &ServerState) -> Result<(), String> {
    let check = state.engine.store().read(|tx| {
        tx.query_one("SELECT COUNT(*) FROM organizations", &[])?;
        Ok::<_, StoreError>(())
    });
    match tokio::time::timeout(CHECK_TIMEOUT, check).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::error!("the database is not healthy: failed to {error}");
            Err("the database cannot be read".to_owned())
        }
        Err(_) => Err(format!(
            "the database did not answer within {} s",
            CHECK_TIMEOUT.as_secs()
        )),
    }
}

fn service(name: &str, counts: Counts, problem: Option<String>, now: Timestamp) -> ServiceStatus {
    ServiceStatus {
        monitored: Monitored {
            name: name.to_owned(),
        },
        consecutive_failures: counts.consecutive_failures,
        consecutive_success: counts.consecutive_success,
        total_failures: counts.total_failures,
        total_success: counts.total_success,
        health_error: problem,
        last_check: Time(now),
    }
}
