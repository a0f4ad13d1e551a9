//! One connection and its prepared statements.

use colony_core::text::with_causes;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::connect::{BackendId, Server, answered};
use super::failure::Failure;
use super::fence::{self, FenceEpoch};
use super::replan::{Replan, RowsHandled};
use super::rows::to_rows;
use super::transaction::TransactionId;
use super::types::Arg;
use super::unsent::{Unsent, in_order};
use crate::error::{DriverError, StoreError, excerpt};
use crate::row::Row;
use crate::takeover::Takeover;

/// How many prepared statements a connection keeps before it starts anew.
const STATEMENT_CACHE: usize = 1024;

/// How many statements may wait to be sent: they take memory on both sides.
const UNSENT_MAX: usize = 256;

/// How long a server that refused a connection is not asked again by closures that have waited.
const REFUSAL_COUNTS: Duration = Duration::from_secs(1);

/// A connection that comes back after it was lost.
pub(crate) struct Session {
    server: Server,
    /// Sets a new connection up.
    settings: String,
    pub(super) runtime: Runtime,
    pub(super) link: Option<Link>,
    /// Whether the server is in a transaction.
    pub(super) begun: bool,
    /// The number of the transaction, once the server has told it.
    pub(super) xid: Option<TransactionId>,
    /// The process of the server in which it is.
    pub(super) backend: Option<BackendId>,
    /// What goes before the next statement; sent together with it.
    pub(super) unsent: Vec<Unsent>,
    pub(super) failure: Option<Failure>,
    number: usize,
    /// When connecting failed, if it did the last time.
    refused_at: Option<Instant>,
    /// How long an answer may take.
    pub(super) patience: Duration,
    /// What every transaction begins with, and who hears that it was refused.
    pub(super) fence: Option<(FenceEpoch, Takeover)>,
    /// Shared with the other writers.
    pub(super) rows: RowsHandled,
}

pub(super) struct Link {
    pub(super) client: Client,
    /// The process of the server that serves it.
    pub(super) backend: BackendId,
    pub(super) replan: Replan,
    statements: HashMap<String, Statement>,
}

impl Session {
    pub(super) fn new(server: Server, settings: impl Into<String>, number: usize) -> Self {
        Self {
            // Who migrates has all the time; see `be_impatient`.
            patience: Duration::MAX,
            server,
            settings: settings.into(),
            runtime: runtime(),
            link: None,
            begun: false,
            xid: None,
            backend: None,
            unsent: Vec::new(),
            failure: None,
            number,
            refused_at: None,
            fence: None,
            rows: RowsHandled::default(),
        }
    }

    /// From now on the connection counts as lost when an answer takes too long.
    pub(super) fn be_impatient(&mut self) {
        self.patience = self.server.reply_timeout();
    }

    /// From now on transactions fail when another store has taken the database over.
    pub(super) fn set_fence(&mut self, epoch: FenceEpoch, takeover: Takeover) {
        self.fence = Some((epoch, takeover));
        // A new connection is prepared for it.
        self.disconnect();
    }

    /// Plans follow what all who share this number do.
    pub(super) fn share_rows(&mut self, rows: &RowsHandled) {
        self.rows = rows.clone();
    }

    /// The number of this session, which tells its waiting times apart from those of others.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Makes sure that there is a connection.
    pub(super) fn connect(&mut self) -> Result<(), DriverError> {
        if self
            .link
            .as_ref()
            .is_none_or(|link| link.client.is_closed())
        {
            self.link = None;
            let fence = self.fence.as_ref().map(|(epoch, _)| epoch.settings());
            let settings = format!("{}{}", self.settings, fence.unwrap_or_default());
            let connected = self.server.connect(&settings);
            let connected = self.runtime.block_on(connected);
            self.note(connected.as_ref().err());
            let connected = connected?;
            self.link = Some(Link {
                client: connected.client,
                backend: connected.backend,
                replan: Replan::new(&self.rows),
                statements: HashMap::new(),
            });
        }
        Ok(())
    }

    /// Notes whether connecting failed; the log hears of the first failure and of its end.
    fn note(&mut self, refusal: Option<&DriverError>) {
        match (self.refused_at, refusal) {
            (None, Some(error)) => {
                tracing::error!("the database cannot be reached: {}", with_causes(&error));
            }
            (Some(_), None) => tracing::warn!("the database is reached again"),
            _ => {}
        }
        self.refused_at = refusal.map(|_| Instant::now());
    }

    /// Whether there is a connection, as far as known.
    pub(super) fn is_connected(&self) -> bool {
        let link = self.link.as_ref();
        link.is_some_and(|link| !link.client.is_closed())
    }

    /// Whether the last try to connect failed, a moment ago.
    pub(super) fn is_refused(&self) -> bool {
        let at = self.refused_at;
        at.is_some_and(|at| at.elapsed() < REFUSAL_COUNTS)
    }

    /// Drops the connection.
    pub(super) fn disconnect(&mut self) {
        self.link = None;
    }

    /// Waits for answers, but not for ever.
    pub(super) fn wait<T>(&self, answers: impl Future<Output = T>) -> Result<T, DriverError> {
        let limit = self.patience;
        let limited = async { tokio::time::timeout(limit, answers).await };
        let answers = self.runtime.block_on(limited);
        answers.map_err(|_| DriverError::Silent(limit))
    }

    /// Runs a statement; returns the number of rows changed, or given when it gives rows.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Arg<'_>]) -> Result<u64, StoreError> {
        let statement = self.prepare(sql, params)?;
        self.run(sql, async |client| {
            client.execute_raw(&statement, params).await
        })
    }

    /// Takes a statement to be run with the next one that is waited for.
    pub(crate) fn send(&mut self, sql: &str, params: &[Arg<'_>]) -> Result<(), StoreError> {
        let statement = self.prepare(sql, params)?;
        self.unsent.push(Unsent::Statement {
            sql: excerpt(sql),
            statement,
            params: params.iter().map(Arg::to_kept).collect(),
        });
        if self.unsent.len() >= UNSENT_MAX {
            self.run(sql, async |_| Ok(()))?;
        }
        Ok(())
    }

    /// Sends what is left, and waits for the answers.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        match self.unsent.is_empty() {
            true => Ok(()),
            false => self.run("SELECT 1", async |_| Ok(())),
        }
    }

    /// Runs a statement; returns its rows.
    pub(crate) fn query(&mut self, sql: &str, params: &[Arg<'_>]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql, params)?;
        let params: Vec<&(dyn ToSql + Sync)> = params
            .iter()
            .map(|param| param as &(dyn ToSql + Sync))
            .collect();
        let rows = self.run(sql, async |client| client.query(&statement, &params).await)?;
        to_rows(sql, &statement, &rows)
    }

    /// Runs several statements without parameters.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.run(sql, async |client| client.batch_execute(sql).await)
    }

    /// Sends everything that is unsent and then a statement, and waits for all of it.
    fn run<T>(
        &mut self,
        sql: &str,
        statement: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let Some(link) = &self.link else {
            return Err(StoreError::Unreachable { source: None });
        };
        self.begun = true;
        let unsent = std::mem::take(&mut self.unsent);
        let last = statement(&link.client);
        let told = Cell::new(None);
        let answers = self.wait(in_order(&link.client, &unsent, &told, last));
        self.xid = self.xid.or(told.get());
        let (refused, result) = match answers {
            Ok(answers) => answers,
            Err(silence) => {
                let error = self.refused(sql, silence);
                // What it says later is not understood any more.
                self.disconnect();
                return Err(error);
            }
        };
        match refused {
            Some((index, error)) => Err(self.refused_unsent(&unsent[index], error.into())),
            None => result.map_err(|error| self.refused(sql, error.into())),
        }
    }

    fn client(&self) -> Result<&Client, StoreError> {
        let link = self.link.as_ref();
        link.map(|link| &link.client)
            .ok_or(StoreError::Unreachable { source: None })
    }

    fn prepare(&mut self, sql: &str, params: &[Arg<'_>]) -> Result<Statement, StoreError> {
        let known = self.link.as_ref().and_then(|link| link.statements.get(sql));
        let statement = match known {
            Some(statement) => statement.clone(),
            None => self.prepare_anew(sql)?,
        };
        let most = params.iter().map(Arg::rows).max();
        self.rows.add(most.unwrap_or(1));
        let (wanted, given) = (statement.params().len(), params.len());
        if wanted != given {
            return Err(StoreError::Parameter {
                statement: excerpt(sql),
                parameter: format!("${}", wanted.min(given) + 1),
                problem: format!("the statement has {wanted} parameters, {given} were given"),
            });
        }
        Ok(statement)
    }

    fn prepare_anew(&mut self, sql: &str) -> Result<Statement, StoreError> {
        let prepared = answered(self.patience, self.client()?.prepare(sql));
        let prepared = self.runtime.block_on(prepared);
        let statement = prepared.map_err(|error| {
            let is_silent = matches!(error, DriverError::Silent(_));
            let error = self.refused(sql, error);
            if is_silent {
                self.disconnect();
            }
            error
        })?;
        let Some(link) = &mut self.link else {
            return Err(StoreError::Unreachable { source: None });
        };
        if link.statements.len() >= STATEMENT_CACHE {
            link.statements.clear();
        }
        link.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn refused(&mut self, sql: &str, error: DriverError) -> StoreError {
        let failure = Failure::of(&error);
        self.failure = Some(failure);
        let statement = excerpt(sql);
        let rule = match &error {
            DriverError::Postgres(error) => broken_rule(error),
            DriverError::Sqlite(_) | DriverError::Silent(_) | DriverError::Moved => None,
        };
        let source = Arc::new(error);
        match rule {
            Some(rule) => StoreError::Rule {
                statement,
                rule,
                source,
            },
            None => StoreError::Statement { statement, source },
        }
    }

    /// As [`Session::refused`], for what was sent without waiting.
    pub(super) fn refused_unsent(&mut self, unsent: &Unsent, error: DriverError) -> StoreError {
        if let (Unsent::Begin(_), DriverError::Postgres(refusal), Some((_, takeover))) =
            (unsent, &error, &self.fence)
            && fence::is_refusal(refusal)
        {
            takeover.tell("another queen has taken the database over");
            self.failure = Some(Failure::TakenOver);
            return StoreError::TakenOver;
        }
        self.refused(unsent.text(), error)
    }
}

/// The rule of the schema that a refusal names.
fn broken_rule(error: &tokio_postgres::Error) -> Option<String> {
    error
        .as_db_error()
        .filter(|db| db.code().code().starts_with("23"))
        .map(|db| db.constraint().unwrap_or(db.message()).to_owned())
}

/// A runtime on the calling thread, for one connection.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .expect("the system has file descriptors for a runtime at start")
}
