//! The Runs API under `/api/v1` (`foreman-api`), with a work queue of our own.
//!
//! A request goes through the steps of `foreman-api` 1.2 in `serve`, with the body later: caller,
//! rate limit, body, route, then a function of `handle`. Routes are one table, from which the
//! OpenAPI document is made as well.

mod auth;
mod body;
mod check;
mod cors;
mod handle;
mod json;
mod limit;
mod openapi;
mod query;
mod refusal;
mod render;
mod routes;
mod scan;
mod serve;
mod settings;
mod splice;
mod state;

pub use openapi::document;
pub use serve::{router, standalone};
pub use settings::{
    AuthMode, DataTotal, DialectSetting, ListEnvelope, QueueSettings, RateLimitSettings,
    RedisSettings, RunsApiSettings, StaticKey, TimestampsSetting,
};
pub use state::{RunsState, SettingsError};
