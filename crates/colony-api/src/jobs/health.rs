//! Health of the server (`formicary-api` 6.10).

use serde::{Deserialize, Serialize};

use crate::jobs::Time;

/// Answer of `GET /api/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The worst of all.
    pub overall_status: ServiceStatus,
    /// Each dependency, by name.
    pub dependent_service_statuses: Vec<ServiceStatus>,
}

/// Results of checking one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceStatus {
    /// What is checked.
    pub monitored: Monitored,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// Successes since the last failure.
    pub consecutive_success: u64,
    /// Failures since the start.
    pub total_failures: u64,
    /// Successes since the start.
    pub total_success: u64,
    /// Why the last check failed; null when it did not.
    pub health_error: Option<String>,
    /// When it was checked.
    pub last_check: Time,
}

/// The name of what is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Monitored {
    /// Such as `database`.
    pub name: String,
}
