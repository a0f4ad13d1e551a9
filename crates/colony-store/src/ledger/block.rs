//! Stretches of ids with the number of rows of each status in them (`ledger_blocks`), so that a
//! place far inside a list is found without a walk along all rows before it.
//!
//! A stretch is counted once, by [`count_blocks`]; from then on triggers of the database keep it,
//! whatever changes its rows. The newest rows, which change most, are in none.

use uuid::Uuid;

use super::count;
use crate::error::StoreError;
use crate::tx::{Dialect, Tx};

/// Rows of a stretch when it is counted.
const BLOCK: u64 = 4096;

/// The newest rows of an organization are in no stretch: about so many.
const NEWEST: u64 = 8192;

/// At most so many stretches are counted in one transaction, which others wait for.
const BLOCKS_AT_ONCE: u64 = 4;

/// The statuses of runs and tasks: columns of `ledger_blocks`.
const STATUSES: [&str; 7] = [
    "cancelled",
    "completed",
    "failed",
    "pending",
    "queued",
    "retrying",
    "running",
];

/// Where to begin reading for a place in a list that is sorted by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// Behind this row.
    pub(super) after: Uuid,
    /// So many rows of the list from there.
    pub(super) offset: u64,
}

/// Finds the stretch with the row at `place` (0 is the oldest) of all rows or those of a status;
/// behind all stretches, the last of them. None when the oldest row is as near.
pub(super) fn start(
    tx: &mut Tx<'_>,
    table: &str,
    org_id: &str,
    status: Option<&str>,
    place: u64,
) -> Result<Option<Start>, StoreError> {
    let (mut after, mut before) = (None, 0);
    for (last, rows) in blocks(tx, table, org_id, status)? {
        if before + rows > place {
            break;
        }
        (after, before) = (Some(last), before + rows);
    }
    Ok(after.map(|after| Start {
        after,
        offset: place.saturating_sub(before),
    }))
}

/// The ends of stretches, and how many rows of that status or of all are in each.
fn blocks(
    tx: &mut Tx<'_>,
    table: &str,
    org_id: &str,
    status: Option<&str>,
) -> Result<Vec<(Uuid, u64)>, StoreError> {
    let all = STATUSES.join(" + ");
    let column = status.unwrap_or(&all);
    let sql = format!(
        "SELECT last_id, CAST(SUM({column}) AS BIGINT) FROM ledger_blocks \
         WHERE org_id = $1 AND kind = $2 GROUP BY last_id ORDER BY last_id"
    );
    let rows = tx.query(&sql, &[&org_id, &table])?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get::<i64>(1)?.unsigned_abs())))
        .collect()
}

fn last(tx: &mut Tx<'_>, table: &str, org_id: &str) -> Result<Option<Uuid>, StoreError> {
    let sql = "SELECT last_id FROM ledger_blocks WHERE org_id = $1 AND kind = $2 \
               ORDER BY last_id DESC LIMIT 1";
    let row = tx.query_opt(sql, &[&org_id, &table])?;
    row.map(|row| row.get(0)).transpose()
}

/// A table whose rows are counted in stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Runs.
    Runs,
    /// Tasks.
    Tasks,
}

impl Counted {
    fn table(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Tasks => "tasks",
        }
    }
}

/// How many stretches of an organization's rows can be counted.
///
/// # Errors
///
/// The database's.
pub fn uncounted_blocks(
    tx: &mut Tx<'_>,
    counted: Counted,
    org_id: &str,
) -> Result<u64, StoreError> {
    let table = counted.table();
    let total = count::totals(tx, table, org_id)?.of(None);
    let blocks = blocks(tx, table, org_id, None)?;
    let counted = blocks.iter().map(|(_, rows)| rows).sum();
    let uncounted = total.saturating_sub(counted);
    Ok(uncounted.saturating_sub(NEWEST) / BLOCK)
}

/// Counts some of the oldest stretches that are not counted yet. Returns whether there are more.
///
/// # Errors
///
/// The database's. On PostgreSQL also that a transaction which changes rows does not end soon.
pub fn count_blocks(tx: &mut Tx<'_>, counted: Counted, org_id: &str) -> Result<bool, StoreError> {
    let table = counted.table();
    lock(tx)?;
    let blocks = uncounted_blocks(tx, counted, org_id)?;
    let mut after = last(tx, table, org_id)?.unwrap_or(Uuid::nil());
    for _ in 0..blocks.min(BLOCKS_AT_ONCE) {
        let sql = format!(
            "SELECT id FROM {table} WHERE {} ORDER BY org_id, id LIMIT 1 OFFSET {}",
            behind(tx.dialect(), None),
            BLOCK - 1
        );
        let Some(row) = tx.query_opt(&sql, &[&org_id, &after])? else {
            return Ok(false);
        };
        let last: Uuid = row.get(0)?;
        count_block(tx, table, org_id, (after, last))?;
        after = last;
    }
    Ok(blocks > BLOCKS_AT_ONCE)
}

/// Waits until nobody else has changed rows without having committed, and keeps others from it.
/// SQLite has one writer.
fn lock(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    match tx.dialect() {
        Dialect::Sqlite => Ok(()),
        Dialect::Postgres => {
            // Who waits for long may be waited for.
            tx.execute("SET LOCAL lock_timeout = '100ms'", &[])?;
            // As the triggers name it: "colo" in ASCII, and a number for this purpose.
            tx.query("SELECT pg_advisory_xact_lock(1668246639, 7)", &[])
                .map(drop)
        }
    }
}

fn count_block(
    tx: &mut Tx<'_>,
    table: &str,
    org_id: &str,
    (after, last): (Uuid, Uuid),
) -> Result<(), StoreError> {
    let count = |status: &str| {
        format!(
            "(SELECT COUNT(*) FROM {table} WHERE org_id = $1 AND status = '{status}' \
             AND id > $3 AND id <= $4)"
        )
    };
    let sql = format!(
        "INSERT INTO ledger_blocks (org_id, kind, last_id, part, {}) VALUES ($1, $2, $4, 0, {})",
        STATUSES.join(", "),
        STATUSES.map(count).join(", ")
    );
    tx.execute(&sql, &[&org_id, &table, &after, &last])?;
    Ok(())
}

/// The rows behind `$2` of the organization `$1`, in words that begin in the right place of one
/// index: for PostgreSQL the columns before the id stay part of the order (`list/range.rs`).
pub(super) fn behind(dialect: Dialect, status: Option<&str>) -> String {
    match (dialect, status) {
        (Dialect::Sqlite, None) => "org_id = $1 AND id > $2".to_owned(),
        (Dialect::Sqlite, Some(status)) => {
            format!("org_id = $1 AND status = '{status}' AND id > $2")
        }
        (Dialect::Postgres, None) => "(org_id, id) > ($1, $2) AND org_id <= $1".to_owned(),
        (Dialect::Postgres, Some(status)) => {
            format!("org_id = $1 AND (status, id) > ('{status}', $2) AND status <= '{status}'")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use colony_core::state::{RunStatus, TaskStatus};

    use super::STATUSES;

    #[test]
    fn each_status_has_a_column() {
        let runs = RunStatus::ALL.iter().map(|status| status.as_str());
        let tasks = TaskStatus::ALL.iter().map(|status| status.as_str());
        let all: BTreeSet<&str> = runs.chain(tasks).collect();
        assert_eq!(all, BTreeSet::from(STATUSES));
    }
}
