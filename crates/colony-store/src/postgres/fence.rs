//! The fence: only the queen that took the database last may write.
//!
//! Whoever takes the lock raises an epoch, which is a row. Each writing transaction of the store
//! begins with a look at it and fails when it is not its own. So that no transaction slips through
//! between the look and its commit, it shares an advisory lock until its end, which is held
//! exclusively while the epoch is raised: it lives in the server's memory and costs no write, however
//! many connections share it. All of it travels with the words that begin the transaction, so it
//! takes no round trip. The lock of a connection that was cut tells nothing; the epoch does.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect::answered;
use crate::error::DriverError;

/// How long the steps may take: transactions of a frozen queen are ended by the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for transactions of whoever had the database before. Statements that follow see what
/// those have committed.
const RAISE: [&str; 3] = [
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    "SELECT pg_advisory_xact_lock(1668246639, 3)",
    "INSERT INTO settings (name, value) VALUES ('queen_epoch', '1') ON CONFLICT (name) \
     DO UPDATE SET value = CAST(CAST(settings.value AS BIGINT) + 1 AS TEXT)",
];

const EPOCH: &str = "SELECT CAST(value AS BIGINT) FROM settings WHERE name = 'queen_epoch'";

/// The number of a queen's time with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FenceEpoch(i64);

/// Shuts out who wrote before, for good.
pub(super) async fn raise(client: &Client) -> Result<FenceEpoch, DriverError> {
    for sql in RAISE {
        answered(PATIENCE, client.batch_execute(sql)).await?;
    }
    let epoch = current(client).await?;
    answered(PATIENCE, client.batch_execute("COMMIT")).await?;
    Ok(epoch)
}

/// The epoch of who took the database last.
pub(super) async fn current(client: &Client) -> Result<FenceEpoch, DriverError> {
    let row = answered(PATIENCE, client.query_one(EPOCH, &[])).await?;
    Ok(FenceEpoch(row.try_get(0)?))
}

impl FenceEpoch {
    /// Words for a new connection, so that the look costs no planning.
    pub(super) fn settings(self) -> String {
        let Self(epoch) = self;
        format!(
            "; PREPARE fence_lock AS SELECT pg_advisory_xact_lock_shared(1668246639, 3); \
             PREPARE fence_look AS SELECT 1 / COUNT(*) FROM settings \
             WHERE name = 'queen_epoch' AND value = '{epoch}'"
        )
    }
}

/// Words that follow the beginning of a transaction. They fail when the epoch is another: SQL has
/// no word for that but a division by zero.
pub(super) const LOOK: &str = "; EXECUTE fence_lock; EXECUTE fence_look";

/// Whether words between statements were refused by the fence. They divide nothing else.
pub(super) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::DIVISION_BY_ZERO)
}
