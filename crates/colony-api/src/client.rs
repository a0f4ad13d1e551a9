//! A thin client for the Jobs API.
//!
//! | file | what it has |
//! | --- | --- |
//! | [`error`] | why a call failed |
//! | `http` | one call: send, check the status, decode |
//! | `definitions`, `requests`, `artifacts` | the calls, one method per endpoint |

mod artifacts;
mod definitions;
pub mod error;
pub(crate) mod http;
mod requests;

pub use definitions::SavedDefinition;
pub use error::{ApiFailure, ClientError};
pub use http::Client;
pub use requests::{ListRequests, LogsQuery};
