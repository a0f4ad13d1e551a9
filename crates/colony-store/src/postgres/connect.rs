//! Where the server is, and how to connect to it.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use crate::config::Database;
use crate::error::{DriverError, OpenError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long sent data may stay unacknowledged before the connection counts as lost.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// A server and a database on it.
#[derive(Clone)]
pub(crate) struct Server {
    config: Config,
    /// The URL without its password.
    name: String,
}

/// A connection that is moved by a runtime.
pub(super) struct Connected {
    pub(super) client: Client,
    moving: JoinHandle<()>,
}

impl Connected {
    /// Returns when the connection is lost.
    pub(super) async fn closed(&mut self) {
        let _ = (&mut self.moving).await;
    }
}

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let name = Database::Postgres {
            url: url.to_owned(),
        }
        .to_string();
        let mut config = match url.parse::<Config>() {
            Ok(config) => config,
            Err(source) => {
                return Err(OpenError::Database {
                    database: name,
                    advice: "--database-url is malformed; write it as \
                             postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters \
                             of the password percent-encoded"
                        .to_owned(),
                    source: Box::new(DriverError::Postgres(source)),
                });
            }
        };
        if config.get_ssl_mode() == SslMode::Require {
            return Err(OpenError::Unsupported {
                database: name,
                advice: "sslmode=require: TLS to PostgreSQL is not supported yet; use \
                         sslmode=disable over a private network or a local TLS proxy",
            });
        }
        super::password::supply(&mut config);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("colony");
        }
        Ok(Self { config, name })
    }

    /// The URL without its password.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Connects; the connection is moved by the runtime that this is called on.
    pub(super) async fn connect(&self) -> Result<Connected, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        // Its error also reaches whoever waits for an answer.
        let moving = tokio::spawn(async move { drop(connection.await) });
        Ok(Connected { client, moving })
    }

    pub(super) fn open_error(&self, error: tokio_postgres::Error) -> OpenError {
        OpenError::Database {
            database: self.name.clone(),
            advice: advice(&error).to_owned(),
            source: Box::new(DriverError::Postgres(error)),
        }
    }
}

fn advice(error: &tokio_postgres::Error) -> &'static str {
    match error.code() {
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            "the server has no such database; make it with `createdb`, or correct the name in --database-url"
        }
        Some(code)
            if *code == SqlState::INVALID_PASSWORD
                || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
        {
            "the server refused this user; correct the user name and password in --database-url"
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => {
            "the server has no free connection; raise its max_connections or close others"
        }
        Some(_) => "the server refused; see the reason below",
        None => {
            "the server cannot be reached; check that it runs and that the host and port in \
             --database-url are right"
        }
    }
}
