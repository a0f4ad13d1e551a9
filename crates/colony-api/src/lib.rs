//! Public JSON types of both APIs, and a thin client.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`jobs`] | the shapes of the Jobs API (`formicary-api` 6) |
//! | [`client`] | a client for the Jobs API |
//!
//! The types are a promise to users. They are apart from rows and wire messages; the server
//! converts by hand.

pub mod client;
pub mod jobs;
