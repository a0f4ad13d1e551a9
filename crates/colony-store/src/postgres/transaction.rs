//! The transaction on a connection: its beginning, its end, and what became of it.
//!
//! A connection that is lost between `COMMIT` and its answer leaves it open whether the transaction
//! was stored. The server knows: each writing transaction asks for its number, in the words that begin
//! it, and the number is known before `COMMIT` is sent. It is looked up on a new connection, and the
//! transaction is done, or it is run again.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::connect::{BackendId, answered, last_value};
use super::failure::Failure;
use super::fence;
use super::replan::DISCARD;
use super::session::Session;
use super::unsent::{Unsent, in_order};
use crate::error::{DriverError, StoreError};
use crate::job::Mode;

/// How long the server is asked what became of a transaction.
const OUTCOME_MAX: Duration = Duration::from_secs(10);

/// How soon it is asked again: a process of the server takes a moment to end.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The number that the server gives to a transaction; it never comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TransactionId(pub(super) u64);

/// How a commit ended.
pub(super) enum Commit {
    Done,
    /// Nothing was stored.
    Refused(Failure, StoreError),
    /// Perhaps stored; see [`Session::outcome`].
    Unknown(DriverError, Option<Lost>),
}

/// A transaction whose commit was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    xid: TransactionId,
    backend: BackendId,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    RolledBack,
    /// The server does not say.
    Unknown,
}

impl Session {
    /// Starts a transaction; nothing is sent before its first statement is waited for.
    pub(super) fn begin(&mut self, begin: &'static str, mode: Mode) {
        self.begun = false;
        self.xid = None;
        self.backend = self.link.as_ref().map(|link| link.backend);
        self.failure = None;
        let fence = self.fence.as_ref().map_or("", |_| fence::LOOK);
        let number = match mode {
            Mode::Read => "",
            Mode::Write => "; SELECT pg_current_xact_id()",
        };
        let discard = match &mut self.link {
            Some(link) if mode == Mode::Write => link.replan.is_due(&self.rows),
            Some(_) | None => false,
        };
        let discard = if discard { DISCARD } else { "" };
        let words = format!("{discard}{begin}{fence}{number}");
        self.unsent = vec![Unsent::Begin(words)];
    }

    /// Why a statement of the transaction failed, if one did.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Sends what is left, and commits.
    pub(super) fn commit(&mut self, mode: Mode) -> Commit {
        let is_statement = |unsent: &Unsent| matches!(unsent, Unsent::Statement { .. });
        if !self.begun && !self.unsent.iter().any(is_statement) {
            return Commit::Done;
        }
        if mode == Mode::Write && self.xid.is_none() {
            // Not before its number is known.
            if let Err(error) = self.settle() {
                self.roll_back();
                return Commit::Refused(self.failure.unwrap_or(Failure::Final), error);
            }
        }
        let Some(link) = &self.link else {
            return Commit::Refused(Failure::Lost, StoreError::Unreachable { source: None });
        };
        let lost = self.lost();
        let unsent = std::mem::take(&mut self.unsent);
        let commit = link.client.batch_execute("COMMIT");
        let told = Cell::new(None);
        let answers = self.wait(in_order(&link.client, &unsent, &told, commit));
        self.begun = false;
        let (refused, committed) = match answers {
            Ok(answers) => answers,
            Err(silence) => return Commit::Unknown(silence, lost),
        };
        // When a statement was refused, the server has rolled back instead.
        let sent = refused.map(|(index, error)| (Some(index), error));
        let Some((index, error)) = sent.or(committed.err().map(|error| (None, error))) else {
            return Commit::Done;
        };
        let error = DriverError::Postgres(error);
        match (Failure::of(&error), index) {
            (Failure::Lost, _) => Commit::Unknown(error, lost),
            (failure, Some(index)) => {
                let error = self.refused_unsent(&unsent[index], error);
                Commit::Refused(self.failure.unwrap_or(failure), error)
            }
            (failure, None) => Commit::Refused(failure, refused_commit(error)),
        }
    }

    pub(super) fn roll_back(&mut self) {
        self.unsent.clear();
        if std::mem::take(&mut self.begun) && self.batch("ROLLBACK").is_err() {
            // The server rolls back what a lost connection left.
            self.disconnect();
        }
    }

    fn batch(&mut self, sql: &str) -> Result<(), DriverError> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        let answer = answered(self.patience, link.client.batch_execute(sql));
        self.runtime.block_on(answer)
    }

    fn lost(&self) -> Option<Lost> {
        let (xid, backend) = self.xid.zip(self.backend)?;
        Some(Lost { xid, backend })
    }

    /// Leaves a lost connection before its transaction was to be committed. Its process may not have
    /// noticed, and holds locks for which the next try would wait: it is ended, if that can be done
    /// at once.
    pub(super) fn abandon(&mut self) {
        let lost = self.lost();
        self.xid = None;
        self.disconnect();
        if let Some(lost) = lost
            && self.connect().is_ok()
        {
            // The next try finds out what is wrong.
            let _ = self.ask(lost);
        }
    }

    /// Asks on a new connection what became of a transaction, for as long as that is bearable.
    pub(super) fn outcome(&mut self, lost: Lost) -> Outcome {
        let deadline = Instant::now() + OUTCOME_MAX;
        loop {
            if self.connect().is_ok() {
                match self.ask(lost) {
                    Ok(Some(outcome)) => return outcome,
                    // Its process has not noticed yet that nobody listens.
                    Ok(None) => {}
                    Err(_) => self.disconnect(),
                }
            }
            if Instant::now() >= deadline {
                return Outcome::Unknown;
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn ask(&self, lost: Lost) -> Result<Option<Outcome>, DriverError> {
        let Some(link) = &self.link else {
            return Ok(None);
        };
        self.runtime
            .block_on(answered(self.patience, ask(&link.client, lost)))
    }
}

/// None when the transaction goes on; then its process is ended. A process that serves another
/// transaction by now is let alone.
async fn ask(client: &Client, lost: Lost) -> Result<Option<Outcome>, tokio_postgres::Error> {
    let Lost {
        xid: TransactionId(xid),
        backend: BackendId(pid),
    } = lost;
    let status = client
        .simple_query(&format!("SELECT pg_xact_status('{xid}')"))
        .await?;
    let status: Option<String> = last_value(&status);
    match status.as_deref() {
        Some("committed") => return Ok(Some(Outcome::Committed)),
        Some("aborted") => return Ok(Some(Outcome::RolledBack)),
        Some("in progress") => {}
        // Too long ago.
        Some(_) | None => return Ok(Some(Outcome::Unknown)),
    }
    // There the number is cut to 32 bits.
    let short = xid & u64::from(u32::MAX);
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE pid = {pid} AND backend_xid = '{short}'"
    );
    client.batch_execute(&end).await.map(|()| None)
}

pub(super) fn refused_commit(error: DriverError) -> StoreError {
    StoreError::Transaction {
        step: "commit",
        source: std::sync::Arc::new(error),
    }
}
