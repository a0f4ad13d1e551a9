//! Health (`formicary-api` 6.10, 7.4).

use axum::extract::State;
use axum::http::StatusCode;
use colony_api::jobs::{Health, Monitored, ServiceStatus, Time};
use colony_core::time::Timestamp;

use crate::health::{PartReport, Report};
use crate::jobs::answer::{self, Answer};
use crate::state::ServerState;

pub(super) async fn health(State(state): State<ServerState>) -> Answer {
    let report = state.health.look().await;
    Ok(shown(&report, state.engine.now()))
}

/// The answer that tells what a look found.
pub(super) fn shown(report: &Report, now: Timestamp) -> axum::response::Response {
    let status = match report.is_healthy() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let parts = report.parts.iter().map(|part| service(part, now));
    let health = Health {
        overall_status: service(&report.overall, now),
        dependent_service_statuses: parts.collect(),
    };
    answer::json(status, &health)
}

fn service(part: &PartReport, now: Timestamp) -> ServiceStatus {
    let counts = part.counts;
    ServiceStatus {
        monitored: Monitored {
            name: part.name.to_owned(),
        },
        consecutive_failures: counts.consecutive_failures,
        consecutive_success: counts.consecutive_success,
        total_failures: counts.total_failures,
        total_success: counts.total_success,
        health_error: part.problem.clone(),
        last_check: Time(now),
    }
}
