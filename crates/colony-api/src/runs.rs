//! The JSON of the Runs API (`foreman-api` 6 and 7) and of its work queue.
//!
//! JSON values of users have the type parameter `J`: a parsed value for clients, raw text for the
//! server, which shows values as they were stored.

mod list;
mod object;
mod queue;
mod request;

pub use list::{DataPage, Deleted, ErrorBody, ErrorItem, List, Pagination};
pub use object::{Run, RunData, Task, Time};
pub use queue::{
    BatchCreated, BatchRequest, ClaimRequest, Claimed, ClaimedTask, HeartbeatRequest, Held, Leases,
    ReportItem, ReportRequest, ReportResult, Reported,
};
pub use request::{ChangeRun, ChangeTags, ChangeTask, NewData, NewRun, NewTask};
