//! How many runs and tasks there are, without counting them: triggers of the database keep the
//! numbers in the transaction of the rows, whatever changes them (`migrations/0004_counts.sql`).

use std::collections::BTreeMap;

use colony_core::id::RunId;

use crate::error::StoreError;
use crate::tx::Tx;

/// The rows of an organization in one table, by status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals(BTreeMap<String, u64>);

impl Totals {
    /// Rows with that status, or all.
    pub fn of(&self, status: Option<&str>) -> u64 {
        match status {
            Some(status) => self.0.get(status).copied().unwrap_or(0),
            None => self.0.values().sum(),
        }
    }

    /// The statuses that some row has.
    pub fn statuses(&self) -> impl Iterator<Item = &str> {
        (self.0.iter()).filter_map(|(status, n)| (*n > 0).then_some(status.as_str()))
    }
}

/// The totals of an organization in the table `runs` or `tasks`.
///
/// # Errors
///
/// The database's.
pub fn totals(tx: &mut Tx<'_>, table: &str, org_id: &str) -> Result<Totals, StoreError> {
    let rows = tx.query(
        "SELECT status, CAST(SUM(n) AS BIGINT) FROM ledger_counts \
         WHERE org_id = $1 AND kind = $2 GROUP BY status",
        &[&org_id, &table],
    )?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, u64::try_from(row.get::<i64>(1)?).unwrap_or(0))))
        .collect::<Result<_, _>>()
        .map(Totals)
}

/// How many tasks a run of that organization has; none when there is no such run. Tasks are never
/// deleted, so as many as were ever created.
///
/// # Errors
///
/// The database's.
pub fn tasks_of_run(
    tx: &mut Tx<'_>,
    org_id: &str,
    run_id: RunId,
) -> Result<Option<u64>, StoreError> {
    let run = tx.query_opt(
        "SELECT total_tasks FROM runs WHERE id = $1 AND org_id = $2",
        &[&run_id, &org_id],
    )?;
    run.map(|run| Ok(u64::try_from(run.get::<i64>(0)?).unwrap_or(0)))
        .transpose()
}
