//! What tests of several crates share. A dev-dependency only.
//!
//! - [`both_databases!`] runs each test on SQLite and on PostgreSQL, on a fresh [`TestStore`].
//! - [`TestPostgres`] is a fresh database on the server that `cargo xtask test` starts.
//! - [`TestProxy`] is a wire to a server that a test can cut.
//! - [`wait_for`] is the one place where tests wait.

mod postgres;
mod proxy;
mod store;
mod wait;

pub use postgres::TestPostgres;
pub use proxy::{CommitFate, TestProxy, Wire};
pub use store::TestStore;
pub use wait::{block_on, wait_for, wait_for_async};
