//! A lane: what concurrent callers want of one kind goes into one transaction.

use std::sync::Arc;

use colony_store::{Store, StoreError, Tx};
use tokio::sync::{mpsc, oneshot};

use super::error::LedgerError;

/// The most operations in one transaction: more would only make the first ones wait.
const GROUP_MAX: usize = 256;

/// As soon as a group weighs so much it is full: a caller with one row does not wait for many
/// callers with a thousand each.
const WEIGHT_MAX: usize = 1024;

/// Operations that may wait before callers wait too.
const QUEUE_LENGTH: usize = 4096;

/// What a transaction makes of each of its operations.
pub(super) type Outs<Out> = Result<Vec<Result<Out, LedgerError>>, StoreError>;

/// What a group of operations becomes.
type Run<Op, Out> = fn(&mut Tx<'_>, &[Op]) -> Outs<Out>;

/// How many rows an operation has.
type Weigh<Op> = fn(&Op) -> usize;

type Reply<Out> = oneshot::Sender<Result<Out, LedgerError>>;

/// Takes operations and groups those that wait together.
pub(super) struct Lane<Op, Out> {
    sender: mpsc::Sender<(Op, Reply<Out>)>,
}

impl<Op: Send + Sync + 'static, Out: Send + 'static> Lane<Op, Out> {
    /// Starts a lane. `weigh` tells how many rows an operation has. `after` is called with each result that was committed, also when its caller
    /// has gone away.
    pub(super) fn start(
        store: Store,
        run: Run<Op, Out>,
        weigh: Weigh<Op>,
        after: impl Fn(&Out) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(drive(store, receiver, (run, weigh), after));
        Self { sender }
    }

    /// Runs an operation, together with others.
    pub(super) async fn run(&self, op: Op) -> Result<Out, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.sender.send((op, reply)).await;
        sent.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }
}

async fn drive<Op: Send + Sync + 'static, Out: Send + 'static>(
    store: Store,
    mut receiver: mpsc::Receiver<(Op, Reply<Out>)>,
    (run, weigh): (Run<Op, Out>, Weigh<Op>),
    after: impl Fn(&Out) + Send + 'static,
) {
    while let Some((op, reply)) = receiver.recv().await {
        let mut weight = weigh(&op);
        let (mut ops, mut replies) = (vec![op], vec![reply]);
        while ops.len() < GROUP_MAX
            && weight < WEIGHT_MAX
            && let Ok((op, reply)) = receiver.try_recv()
        {
            weight += weigh(&op);
            ops.push(op);
            replies.push(reply);
        }
        let outs = commit(&store, Arc::new(ops), run).await;
        for (out, reply) in outs.into_iter().zip(replies) {
            if let Ok(out) = &out {
                after(out);
            }
            // The caller may have gone away; the outcome stands all the same.
            let _ = reply.send(out);
        }
    }
}

fn hits_all(error: &StoreError) -> bool {
    error.is_unavailable() && !matches!(error, StoreError::Conflict { .. })
}

/// One result for each operation. When the transaction of several fails, each gets one of its own,
/// so that only the guilty one fails.
async fn commit<Op: Send + Sync + 'static, Out: Send + 'static>(
    store: &Store,
    ops: Arc<Vec<Op>>,
    run: Run<Op, Out>,
) -> Vec<Result<Out, LedgerError>> {
    let all = Arc::clone(&ops);
    let grouped = store.write(move |tx| run(tx, &all)).await;
    match grouped {
        Ok(outs) => return outs,
        // It would fail for each of them, after as long a wait; and what may be stored already
        // must not be done again.
        Err(error) if ops.len() == 1 || hits_all(&error) => {
            let error = Arc::new(error);
            let shared = |_: &Op| Err(LedgerError::Shared(Arc::clone(&error)));
            return ops.iter().map(shared).collect();
        }
        Err(_) => {}
    }
    let mut outs = Vec::with_capacity(ops.len());
    for index in 0..ops.len() {
        let ops = Arc::clone(&ops);
        let alone = store
            .write(move |tx| run(tx, &ops[index..=index]))
            .await
            .map(|mut outs| outs.pop().unwrap_or(Err(LedgerError::Closed)));
        outs.push(alone.unwrap_or_else(|error| Err(error.into())));
    }
    outs
}
