//! What clients need to know of this server (`foreman-api` 10.1).

use axum::body::Body;
use axum::http::Response;
use serde_json::{Value, json};

use super::ok;
use crate::runs::settings::RunsApiSettings;
use crate::runs::state::RunsState;

/// GET `/config`.
pub(super) fn whole(state: &RunsState) -> Response<Body> {
    let settings = state.settings();
    ok(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "environment": settings.environment,
        "redis": redis_value(settings),
        "queues": queues_value(settings),
    }))
}

/// GET `/config/redis`.
pub(super) fn redis(state: &RunsState) -> Response<Body> {
    ok(&redis_value(state.settings()))
}

/// GET `/config/queues`.
pub(super) fn queues(state: &RunsState) -> Response<Body> {
    ok(&queues_value(state.settings()))
}

fn redis_value(settings: &RunsApiSettings) -> Value {
    let redis = &settings.redis;
    let mut value = json!({
        "host": redis.host.as_deref().unwrap_or("localhost"),
        "port": redis.port.unwrap_or(6379),
    });
    if let Some(password) = &redis.password {
        value["password"] = json!(password.0);
    }
    if let Some(db) = redis.db {
        value["db"] = json!(db);
    }
    value
}

fn queues_value(settings: &RunsApiSettings) -> Value {
    json!({ "taskQueue": settings.queues.tasks, "resultQueue": settings.queues.results })
}
