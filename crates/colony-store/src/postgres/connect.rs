//! Where the server is, and how to connect to it.

use std::str::FromStr;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Refused, Wanted};
use crate::config::Database;
use crate::error::{DriverError, OpenError};

/// How long reaching the server may take, and separately its first answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long sent data may stay unacknowledged before the connection counts as lost.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// A connection on which nothing is said is looked after, so that its loss is noticed: after how
/// long, how often, and how many answers may be missing.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);

/// What the client library does when the URL says nothing.
const KEEPALIVE_UNSET: Duration = Duration::from_secs(2 * 60 * 60);

/// A server and a database on it.
#[derive(Clone)]
pub(crate) struct Server {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// The URL without its password.
    name: String,
    /// How long an answer may take.
    reply_timeout: Duration,
}

/// The number of a process of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BackendId(pub(super) i32);

/// Ends the first words on a connection.
const WHO: &str = "SELECT pg_backend_pid()";

/// A connection that is moved by a runtime.
pub(super) struct Connected {
    pub(super) client: Client,
    /// Who serves it.
    pub(super) backend: BackendId,
    moving: JoinHandle<()>,
}

impl Connected {
    /// Returns when the connection is lost.
    pub(super) async fn closed(&mut self) {
        let _ = (&mut self.moving).await;
    }
}

impl Server {
    pub(super) fn parse(url: &str, reply_timeout: Duration) -> Result<Self, OpenError> {
        let name = Database::Postgres {
            url: url.to_owned(),
        }
        .to_string();
        let (plain, wanted) = Wanted::take(url).map_err(|refused| no_tls(&name, refused))?;
        let mut config = match plain.parse::<Config>() {
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
        let tls = wanted.apply(&mut config);
        let tls = tls.map_err(|refused| no_tls(&name, refused))?;
        super::password::supply(&mut config);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
        }
        if config.get_keepalives_idle() == KEEPALIVE_UNSET {
            let (idle, interval, retries) = KEEPALIVE;
            config.keepalives_idle(idle);
            config.keepalives_interval(interval);
            config.keepalives_retries(retries);
        }
        if config.get_application_name().is_none() {
            config.application_name("colony");
        }
        Ok(Self {
            config,
            tls,
            name,
            reply_timeout,
        })
    }

    /// How long an answer may take before the connection counts as lost.
    pub(super) fn reply_timeout(&self) -> Duration {
        self.reply_timeout
    }

    /// The URL without its password.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Connects; the connection is moved by the runtime that this is called on. `settings` are
    /// the first words on it.
    pub(super) async fn connect(&self, settings: &str) -> Result<Connected, DriverError> {
        let limit = self.config.get_connect_timeout();
        let limit = limit.map_or(CONNECT_TIMEOUT, |limit| *limit);
        let (client, moving) = self.reach(limit).await?;
        let words = match settings {
            "" => WHO.to_owned(),
            settings => format!("{settings}; {WHO}"),
        };
        let told = answered(limit, client.simple_query(&words)).await?;
        let backend = last_value(&told).unwrap_or(0);
        Ok(Connected {
            client,
            backend: BackendId(backend),
            moving,
        })
    }

    /// Connects with TLS or without, as the URL says. The client's own limit ends before the server
    /// has said anything. The connection's error also reaches whoever waits for an answer.
    async fn reach(&self, limit: Duration) -> Result<(Client, JoinHandle<()>), DriverError> {
        let Some(tls) = &self.tls else {
            return plain(&self.config, limit).await;
        };
        match answered(limit, self.config.connect(tls.clone())).await {
            Ok((client, connection)) => {
                let moving = tokio::spawn(async move { drop(connection.await) });
                Ok((client, moving))
            }
            // Who only prefers TLS goes on without when it cannot be had.
            Err(DriverError::Postgres(error))
                if self.config.get_ssl_mode() == SslMode::Prefer
                    && tls::failure(&error).is_some() =>
            {
                plain(&self.config, limit).await
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn open_error(&self, error: DriverError) -> OpenError {
        OpenError::Database {
            database: self.name.clone(),
            advice: advice(&error).to_owned(),
            source: Box::new(error),
        }
    }
}

async fn plain(config: &Config, limit: Duration) -> Result<(Client, JoinHandle<()>), DriverError> {
    let (client, connection) = answered(limit, config.connect(NoTls)).await?;
    let moving = tokio::spawn(async move { drop(connection.await) });
    Ok((client, moving))
}

fn no_tls(name: &str, refused: Refused) -> OpenError {
    let database = name.to_owned();
    match refused {
        Refused::Mode => OpenError::Unsupported {
            database,
            advice: tls::MODES,
        },
        Refused::Roots(path, source) => OpenError::File {
            database,
            advice: format!(
                "cannot use the certificates of authorities in {}; give a PEM file with \
                 sslrootcert in --database-url",
                path.display()
            ),
            source,
        },
    }
}

/// The first value of the last row that words gave.
pub(super) fn last_value<T: FromStr>(told: &[SimpleQueryMessage]) -> Option<T> {
    let rows = told.iter().rev().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.take(1).find_map(|row| row.get(0)?.parse().ok())
}

/// An answer of the server, if it comes in time.
pub(super) async fn answered<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, DriverError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(DriverError::Postgres),
        Err(_) => Err(DriverError::Silent(limit)),
    }
}

fn advice(error: &DriverError) -> &'static str {
    if let DriverError::Postgres(error) = error {
        if let Some(failure) = tls::failure(error) {
            return tls::advice(failure);
        }
        let reason = std::error::Error::source(error).map(ToString::to_string);
        if reason.is_some_and(|reason| reason.contains("not support TLS")) {
            return "the server does not offer TLS: turn `ssl` on in its configuration, or use \
                    sslmode=disable over a private network";
        }
    }
    let code = match error {
        DriverError::Postgres(error) => error.code(),
        DriverError::Sqlite(_) | DriverError::Silent(_) | DriverError::Moved => None,
    };
    match code {
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
