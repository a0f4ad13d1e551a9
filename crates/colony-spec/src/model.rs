//! The typed form of a definition (`job-definitions` 2 to 4).
//!
//! Field names are those of the YAML and of the Jobs API; a `Duration` of zero means "not set".
//! In the structural view of a templated definition, text fields hold the template text.

mod job;
mod parts;
mod task;
mod variables;

pub use job::{Definition, Notify};
pub use parts::{
    ApprovalPolicy, Artifacts, Backoff, Cache, ExtractConfig, FanOut, NameValue, RateLimit,
    Resource, SubWorkflow, TimeoutAction, Trigger, TriggerAuth, Webhook,
};
pub use task::Task;
pub use variables::Variables;

/// Whether a text of the structural view is unknown until it is rendered.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}
