//! Shapes of the Jobs API (`formicary-api` 6), in the words of its JSON.
//!
//! Every member is always present in output unless its documentation says otherwise.

mod artifact;
mod definition;
mod error;
mod execution;
mod health;
mod log;
mod page;
mod parts;
mod request;
mod scalar;
mod task;

pub use artifact::Artifact;
pub use definition::{JobDefinition, Warning};
pub use error::{ErrorBody, ErrorDetail};
pub use execution::{Context, JobExecution, TaskExecution};
pub use health::{Health, Monitored, ServiceStatus};
pub use log::{LogLine, LogPage};
pub use page::Page;
pub use parts::{
    ApprovalPolicy, Backoff, ExtractConfig, FanOut, NameValue, Notify, RateLimit, Resource,
    SubWorkflow, Trigger, TriggerAuth, Webhook,
};
pub use request::{JobRequest, SubmitRequest};
pub use scalar::{DurationInput, Nanos, Time};
pub use task::TaskDefinition;
