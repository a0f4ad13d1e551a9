//! What can go wrong, while opening and afterwards.

mod driver;

use std::sync::Arc;
use std::time::Duration;

use crate::migrate::MigrateError;

pub(crate) use driver::is_transport;

/// An error of either database client.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// SQLite's.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL's. Its own text says only "db error", so the server's message is shown.
    #[error("{}", postgres_message(.0))]
    Postgres(tokio_postgres::Error),
    /// The server is there, but says nothing.
    #[error("the server did not answer within {} ms", .0.as_millis())]
    Silent(Duration),
    /// The file that is open is not the one at its path any more.
    #[error(
        "the database file is gone or was replaced while it was open: put it back, or stop the \
         program and restore a backup"
    )]
    Moved,
}

impl From<tokio_postgres::Error> for DriverError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

fn postgres_message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

/// Why a transaction did not happen. Messages read after "failed to …".
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A statement was refused.
    #[error("run the statement `{statement}`")]
    Statement {
        /// The beginning of the statement.
        statement: String,
        /// The database's reason.
        #[source]
        source: Arc<DriverError>,
    },
    /// A statement broke a rule of the schema: a key that exists, a parent that does not.
    #[error("keep the rule `{rule}` of the schema in the statement `{statement}`")]
    Rule {
        /// The beginning of the statement.
        statement: String,
        /// The name of the constraint, or what SQLite says about it.
        rule: String,
        /// The database's reason.
        #[source]
        source: Arc<DriverError>,
    },
    /// A parameter cannot be stored.
    #[error("bind parameter {parameter} of the statement `{statement}`: {problem}")]
    Parameter {
        /// The beginning of the statement.
        statement: String,
        /// The parameter as in the statement.
        parameter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A stored value makes no sense.
    #[error("read column `{column}` of the statement `{statement}`: {problem}")]
    Value {
        /// The beginning of the statement.
        statement: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A statement that must give one row gave another number.
    #[error("get exactly one row from the statement `{statement}`: it gave {rows}")]
    RowCount {
        /// The beginning of the statement.
        statement: String,
        /// How many rows it gave.
        rows: usize,
    },
    /// A statement after one that failed in the same transaction.
    #[error("go on in a transaction in which a statement has failed")]
    TransactionFailed,
    /// The transaction could not begin or commit; nothing of it was stored.
    #[error("{step} a transaction")]
    Transaction {
        /// "begin" or "commit".
        step: &'static str,
        /// The database's reason.
        #[source]
        source: Arc<DriverError>,
    },
    /// Others were changing the same rows, over and over.
    #[error("finish a transaction: it collided with others {attempts} times")]
    Conflict {
        /// How often it was tried.
        attempts: u32,
    },
    /// The database cannot be reached; nothing was stored.
    #[error("reach the database")]
    Unreachable {
        /// The reason, when the client gave one.
        #[source]
        source: Option<Arc<DriverError>>,
    },
    /// The connection was lost while committing: the change may or may not be stored.
    #[error(
        "learn whether a transaction was committed: the connection was lost meanwhile: {reason}"
    )]
    OutcomeUnknown {
        /// What the client said; several closures may share it.
        reason: String,
    },
    /// The closure panicked; nothing of it was stored.
    #[error("run a transaction: it panicked: {0}")]
    Panicked(String),
    /// Another queen has taken the database over; nothing was stored, and nothing will be.
    #[error("write to the database: another queen has taken it over")]
    TakenOver,
    /// The store is closed.
    #[error("use the store: it is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed a little later without any change.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::Unreachable { .. } => true,
            Self::Statement { source, .. } | Self::Transaction { source, .. } => {
                source.is_unavailable()
            }
            Self::Rule { .. }
            | Self::Parameter { .. }
            | Self::Value { .. }
            | Self::RowCount { .. }
            | Self::TransactionFailed
            | Self::OutcomeUnknown { .. }
            | Self::Panicked(_)
            | Self::TakenOver
            | Self::Closed => false,
        }
    }

    /// Whether the database as a whole is to blame, and neither the call nor its rows: it is away,
    /// silent, full, read-only, busy, taken over or closed. With [`StoreError::OutcomeUnknown`] the
    /// change may be stored all the same.
    pub fn is_unavailable(&self) -> bool {
        let is_lost = matches!(
            self,
            Self::OutcomeUnknown { .. } | Self::TakenOver | Self::Closed
        );
        is_lost || self.is_retryable()
    }

    /// What is wrong, in words that everybody may see; reads after "the database …".
    pub fn outage(&self) -> &'static str {
        match self {
            Self::Unreachable { source: None } => "cannot be reached",
            Self::Statement { source, .. }
            | Self::Transaction { source, .. }
            | Self::Unreachable {
                source: Some(source),
            } => source.outage(),
            Self::OutcomeUnknown { .. } => {
                "was lost while committing: it may or may not have stored the change"
            }
            Self::TakenOver => "was taken over by another queen",
            Self::Closed => "is closed: the queen is about to end",
            Self::Conflict { .. } => "is too busy",
            Self::Rule { .. }
            | Self::Parameter { .. }
            | Self::Value { .. }
            | Self::RowCount { .. }
            | Self::TransactionFailed
            | Self::Panicked(_) => "cannot be read or written",
        }
    }
}

/// The beginning of a statement on one line, for messages.
pub(crate) fn excerpt(sql: &str) -> String {
    const LONGEST: usize = 120;
    let mut line = String::new();
    for word in sql.split_whitespace() {
        if line.len() + word.len() > LONGEST {
            line.push('…');
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Why a store could not be opened. Messages read after "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database is not there, not writable, or not a database.
    #[error("open the database {database}: {advice}")]
    Database {
        /// Which database, without a password.
        database: String,
        /// What to do.
        advice: String,
        /// The reason.
        #[source]
        source: Box<DriverError>,
    },
    /// The URL asks for something that is not there yet.
    #[error("open the database {database}: {advice}")]
    Unsupported {
        /// Which database, without a password.
        database: String,
        /// What to do.
        advice: &'static str,
    },
    /// The schema could not be brought up to date.
    #[error("open the database {database}")]
    Migrate {
        /// Which database, without a password.
        database: String,
        /// The reason, and what to do.
        #[source]
        source: MigrateError,
    },
    /// Another store has it exclusively.
    #[error(
        "open the database {database}: it is in use by {holder}; stop that one first, or give this \
         one another --data-dir or --database-url"
    )]
    Locked {
        /// Which database, without a password.
        database: String,
        /// Who has it, as far as known.
        holder: String,
    },
    /// The directory or file of the database cannot be used.
    #[error("open the database {database}: {advice}")]
    File {
        /// Which database.
        database: String,
        /// What to do.
        advice: String,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
}
