//! What is sent without waiting for its answer, and the wait for all answers together.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio_postgres::{Client, Statement};

use super::connect::last_value;
use super::transaction::TransactionId;
use super::types::{Arg, KeptArg};

/// Something that is sent without waiting for the answer.
pub(super) enum Unsent {
    /// The words that begin a transaction. They may ask for its number.
    Begin(String),
    Statement {
        sql: String,
        statement: Statement,
        params: Vec<KeptArg>,
    },
}

impl Unsent {
    /// Runs it; notes the number of the transaction when it is told.
    async fn run(
        &self,
        client: &Client,
        xid: &Cell<Option<TransactionId>>,
    ) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Begin(words) => {
                let told = client.simple_query(words).await?;
                xid.set(last_value(&told).map(TransactionId));
                Ok(())
            }
            Self::Statement {
                statement, params, ..
            } => {
                let params: Vec<Arg<'_>> = params.iter().map(KeptArg::as_arg).collect();
                client.execute_raw(statement, &params).await.map(drop)
            }
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Begin(words) => words,
            Self::Statement { sql, .. } => sql,
        }
    }
}

/// Sends all of `unsent` and then `last` before it waits for any answer. Gives the first refusal
/// among the former, which makes the server refuse what follows.
pub(super) async fn in_order<T>(
    client: &Client,
    unsent: &[Unsent],
    xid: &Cell<Option<TransactionId>>,
    last: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> (
    Option<(usize, tokio_postgres::Error)>,
    Result<T, tokio_postgres::Error>,
) {
    let mut runs: Vec<_> = (unsent.iter())
        .map(|one| Box::pin(one.run(client, xid)))
        .collect();
    let mut last = pin!(last);
    // A future sends when it is polled first.
    let mut answers: Vec<_> = runs.iter().map(|_| None).collect();
    let mut answer = None;
    poll_fn(|context| {
        for (run, answer) in runs.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(done) = run.as_mut().poll(context)
            {
                *answer = Some(done);
            }
        }
        if answer.is_none()
            && let Poll::Ready(done) = last.as_mut().poll(context)
        {
            answer = Some(done);
        }
        match answer.is_some() && answers.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    let refused =
        (answers.into_iter().enumerate()).find_map(|(index, answer)| Some((index, answer?.err()?)));
    let answer = answer.expect("the wait ends when every answer is there");
    (refused, answer)
}
