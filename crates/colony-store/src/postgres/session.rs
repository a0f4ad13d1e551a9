//! One connection, its prepared statements, and the transaction on it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::connect::Server;
use super::failure::Failure;
use super::types::{Arg, Encoded};
use crate::error::{DriverError, StoreError, excerpt};
use crate::row::{Cell, Columns, Row};

/// How many prepared statements a connection keeps before it starts anew.
const STATEMENT_CACHE: usize = 1024;

/// A connection that comes back after it was lost.
pub(crate) struct Session {
    server: Server,
    /// Sets a new connection up.
    settings: &'static str,
    runtime: Runtime,
    link: Option<Link>,
    /// Whether the server is in a transaction.
    begun: bool,
    /// What to say before the next statement; sent together with it.
    pending: Option<&'static str>,
    /// Statements that go out with the next one whose answer is waited for.
    sent: Vec<Sent>,
    failure: Option<Failure>,
    number: usize,
}

struct Link {
    client: Arc<Client>,
    statements: HashMap<String, Statement>,
}

/// A statement on its way: its text, and its answer when that has come.
struct Sent {
    sql: String,
    answer: Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>,
}

/// How a commit ended.
pub(super) enum Commit {
    Done,
    /// Nothing was stored.
    Refused(Failure, tokio_postgres::Error),
    /// Perhaps stored.
    Unknown(tokio_postgres::Error),
}

impl Session {
    pub(super) fn new(server: Server, settings: &'static str, number: usize) -> Self {
        Self {
            server,
            settings,
            runtime: runtime(),
            link: None,
            begun: false,
            pending: None,
            sent: Vec::new(),
            failure: None,
            number,
        }
    }

    /// The number of this session, which tells its waiting times apart from those of others.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Makes sure that there is a connection.
    pub(super) fn connect(&mut self) -> Result<(), tokio_postgres::Error> {
        if self
            .link
            .as_ref()
            .is_none_or(|link| link.client.is_closed())
        {
            self.link = None;
            let client = self.runtime.block_on(async {
                let client = self.server.connect().await?.client;
                client.batch_execute(self.settings).await.map(|()| client)
            })?;
            self.link = Some(Link {
                client: Arc::new(client),
                statements: HashMap::new(),
            });
        }
        Ok(())
    }

    /// Drops the connection.
    pub(super) fn disconnect(&mut self) {
        self.link = None;
    }

    /// Starts a transaction; nothing is sent before its first statement.
    pub(super) fn begin(&mut self, begin: &'static str) {
        self.begun = false;
        self.sent.clear();
        self.pending = Some(begin);
        self.failure = None;
    }

    /// Ends one savepoint and starts the next; sent with the next statement. When nothing was sent
    /// since the last one, that still serves.
    pub(super) fn next(&mut self, words: &'static str) {
        self.pending = self.pending.or(Some(words));
        self.failure = None;
    }

    /// Why a statement of the transaction failed, if one did.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    pub(super) fn commit(&mut self) -> Commit {
        if !self.begun {
            return Commit::Done;
        }
        let before = self.pending.take().unwrap_or_default();
        match self.batch(&format!("{before}; COMMIT")) {
            Ok(()) => Commit::Done,
            Err(error) => match Failure::of(&error) {
                Failure::Lost => Commit::Unknown(error),
                failure => Commit::Refused(failure, error),
            },
        }
    }

    pub(super) fn roll_back(&mut self) {
        // Their answers are of no interest any more.
        self.sent.clear();
        if self.begun && self.batch("ROLLBACK").is_err() {
            // The server rolls back what a lost connection left.
            self.disconnect();
        }
    }

    /// Takes what is to be said before a statement that is about to be sent.
    fn take_pending(&mut self) -> Option<&'static str> {
        self.begun = true;
        self.pending.take()
    }

    fn batch(&mut self, sql: &str) -> Result<(), tokio_postgres::Error> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        self.runtime.block_on(link.client.batch_execute(sql))
    }

    /// Runs a statement; returns the number of rows changed, or given when it gives rows.
    pub(crate) fn execute(&mut self, sql: &str, params: &[Arg<'_>]) -> Result<u64, StoreError> {
        let statement = self.prepare(sql, params)?;
        let before = self.take_pending();
        let sent = std::mem::take(&mut self.sent);
        let client = self.client()?;
        let (sent, result) = self.runtime.block_on(async {
            let run = client.execute_raw(&statement, params);
            let run = async {
                match before {
                    None => run.await,
                    Some(before) => {
                        let before = client.batch_execute(before);
                        tokio::try_join!(biased; before, run).map(|((), count)| count)
                    }
                }
            };
            tokio::join!(biased; answers(sent), run)
        });
        self.check_sent(sent)?;
        result.map_err(|error| self.refused(sql, error))
    }

    /// Runs a statement whose answer matters only if it is a refusal. It goes out together with
    /// the next one that is waited for; [`Session::settle`] tells the refusal at the latest.
    pub(crate) fn send(&mut self, sql: &str, params: &[Arg<'_>]) -> Result<(), StoreError> {
        let statement = self.prepare(sql, params)?;
        let params = (params.iter().zip(statement.params()))
            .map(|(param, ty)| Encoded::new(param, ty))
            .collect::<Result<Vec<Encoded>, _>>()
            .map_err(|error| StoreError::Parameter {
                statement: excerpt(sql),
                parameter: "a parameter".to_owned(),
                problem: error.to_string(),
            })?;
        let before = self.take_pending();
        let link = self.link.as_ref();
        let client = link.map(|link| Arc::clone(&link.client));
        let client = client.ok_or(StoreError::Unreachable { source: None })?;
        let mut answer = Box::pin(async move {
            let run = async { client.execute_raw(&statement, params).await.map(drop) };
            match before {
                None => run.await,
                Some(before) => {
                    let before = client.batch_execute(before);
                    tokio::try_join!(biased; before, run).map(drop)
                }
            }
        });
        // The first look at an answer puts the statement into the queue of the connection.
        let at_once = self.runtime.block_on(std::future::poll_fn(|context| {
            Poll::Ready(answer.as_mut().poll(context))
        }));
        match at_once {
            Poll::Ready(result) => result.map_err(|error| self.refused(sql, error)),
            Poll::Pending => {
                let sql = sql.to_owned();
                self.sent.push(Sent { sql, answer });
                Ok(())
            }
        }
    }

    /// Waits for the answers to all that was sent.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        let sent = std::mem::take(&mut self.sent);
        if sent.is_empty() {
            return Ok(());
        }
        let sent = self.runtime.block_on(answers(sent));
        self.check_sent(sent)
    }

    fn check_sent(
        &mut self,
        sent: Result<(), (String, tokio_postgres::Error)>,
    ) -> Result<(), StoreError> {
        sent.map_err(|(sql, error)| self.refused(&sql, error))
    }

    /// Runs a statement; returns its rows.
    pub(crate) fn query(&mut self, sql: &str, params: &[Arg<'_>]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql, params)?;
        let before = self.take_pending();
        let sent = std::mem::take(&mut self.sent);
        let client = self.client()?;
        let params: Vec<&(dyn ToSql + Sync)> = params
            .iter()
            .map(|param| param as &(dyn ToSql + Sync))
            .collect();
        let (sent, result) = self.runtime.block_on(async {
            let run = client.query(&statement, &params);
            let run = async {
                match before {
                    None => run.await,
                    Some(before) => {
                        let before = client.batch_execute(before);
                        tokio::try_join!(biased; before, run).map(|((), rows)| rows)
                    }
                }
            };
            tokio::join!(biased; answers(sent), run)
        });
        self.check_sent(sent)?;
        let rows = result.map_err(|error| self.refused(sql, error))?;
        to_rows(sql, &statement, &rows)
    }

    /// Runs several statements without parameters.
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.settle()?;
        self.client()?;
        let before = self.take_pending().unwrap_or_default();
        self.batch(&format!("{before}; {sql}"))
            .map_err(|error| self.refused(sql, error))
    }

    fn client(&self) -> Result<&Client, StoreError> {
        let link = self.link.as_ref();
        link.map(|link| link.client.as_ref())
            .ok_or(StoreError::Unreachable { source: None })
    }

    fn prepare(&mut self, sql: &str, params: &[Arg<'_>]) -> Result<Statement, StoreError> {
        let known = self.link.as_ref().and_then(|link| link.statements.get(sql));
        let statement = match known {
            Some(statement) => statement.clone(),
            None => self.prepare_anew(sql)?,
        };
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
        self.settle()?;
        // A refusal ends the transaction, so the savepoint must be there first. Before a
        // transaction it costs nothing.
        if self.begun
            && let Some(before) = self.pending.take()
        {
            self.batch(before)
                .map_err(|error| self.refused(sql, error))?;
        }
        let client = self.client()?;
        let statement = self
            .runtime
            .block_on(client.prepare(sql))
            .map_err(|error| self.refused(sql, error))?;
        let Some(link) = &mut self.link else {
            return Err(StoreError::Unreachable { source: None });
        };
        if link.statements.len() >= STATEMENT_CACHE {
            link.statements.clear();
        }
        link.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn refused(&mut self, sql: &str, error: tokio_postgres::Error) -> StoreError {
        let failure = Failure::of(&error);
        self.failure = Some(failure);
        let statement = excerpt(sql);
        let rule = error
            .as_db_error()
            .filter(|db| db.code().code().starts_with("23"))
            .map(|db| db.constraint().unwrap_or(db.message()).to_owned());
        let source = Box::new(DriverError::Postgres(error));
        match rule {
            Some(rule) => StoreError::Rule {
                statement,
                rule,
                source,
            },
            None => StoreError::Statement { statement, source },
        }
    }
}

/// Waits for all answers; the first refusal is the one that counts.
async fn answers(sent: Vec<Sent>) -> Result<(), (String, tokio_postgres::Error)> {
    let mut refusal = Ok(());
    for Sent { sql, answer } in sent {
        if let Err(error) = answer.await
            && refusal.is_ok()
        {
            refusal = Err((sql, error));
        }
    }
    refusal
}

/// A runtime on the calling thread, for one connection.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .expect("the system has file descriptors for a runtime at start")
}

fn to_rows(
    sql: &str,
    statement: &Statement,
    rows: &[tokio_postgres::Row],
) -> Result<Vec<Row>, StoreError> {
    let names = statement.columns().iter();
    let columns = Arc::new(Columns {
        statement: excerpt(sql),
        names: names.map(|column| column.name().to_owned()).collect(),
    });
    rows.iter()
        .map(|row| {
            let cells = (0..row.len())
                .map(|index| {
                    row.try_get::<_, Cell>(index)
                        .map_err(|error| unreadable(&columns, index, &error))
                })
                .collect::<Result<Vec<Cell>, _>>()?;
            Ok(Row::new(Arc::clone(&columns), cells))
        })
        .collect()
}

fn unreadable(columns: &Columns, index: usize, error: &tokio_postgres::Error) -> StoreError {
    let reason = std::error::Error::source(error).map(ToString::to_string);
    StoreError::Value {
        statement: columns.statement.clone(),
        column: columns.names[index].clone(),
        problem: reason.unwrap_or_else(|| error.to_string()),
    }
}
