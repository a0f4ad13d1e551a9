//! The services that tests need.

use crate::command::{Failure, say};
use crate::postgres::Postgres;

/// All services, running until dropped.
pub(crate) struct Services {
    postgres: Postgres,
}

impl Services {
    /// Installs what is missing, starts everything, and waits until it can be used.
    pub(crate) fn start() -> Result<Self, Failure> {
        let postgres = Postgres::start()?;
        say(&format!("==> PostgreSQL at {}", postgres.url()));
        Ok(Self { postgres })
    }

    /// The environment variables by which commands find the services.
    pub(crate) fn variables(&self) -> [(&'static str, String); 1] {
        [("COLONY_TEST_POSTGRES_URL", self.postgres.url())]
    }
}
