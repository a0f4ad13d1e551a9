//! Public JSON types of both APIs, and thin clients.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`jobs`] | the shapes of the Jobs API (`formicary-api` 6) |
//! | [`client`] | a client for the Jobs API |
//! | [`runs`] | the shapes of the Runs API (`foreman-api` 6, 7) and of its work queue |
//! | [`runs_client`] | a client for the Runs API |
//! | [`worker`] | a worker that runs a command for each task that it claims |
//!
//! The types are a promise to users. They are apart from rows and wire messages; the server
//! converts by hand.

pub mod client;
pub mod jobs;
pub mod runs;
pub mod runs_client;
pub mod worker;
