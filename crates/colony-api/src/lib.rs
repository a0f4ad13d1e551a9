//! Public JSON types of both APIs and a thin client.
//!
//! - [`runs`]: the types of the Runs API (`/api/v1/runs`, `/tasks`) and its work queue.
//! - [`client`]: typed calls of the Runs API.
//! - [`worker`]: a worker that runs a command for each task that it claims.

pub mod client;
pub mod runs;
pub mod worker;
