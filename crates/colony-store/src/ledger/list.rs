//! Pages of runs and tasks (`foreman-api` 7.4, 7.8).

use colony_core::id::RunId;

use super::row::{RUN_COLUMNS, RunRow, TASK_COLUMNS, TaskRow, run, task};
use crate::error::StoreError;
use crate::list::Page;
use crate::row::{Row, readable};
use crate::tx::Tx;
use crate::value::Param;

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// Creation; the order of ids.
    #[default]
    Created,
    /// Start; rows without one count as the latest.
    Started,
    /// End; rows without one count as the latest.
    Completed,
}

/// A wanted page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerList {
    /// Owner.
    pub org_id: String,
    /// Only tasks of this run.
    pub run_id: Option<RunId>,
    /// Only rows with exactly this status.
    pub status: Option<String>,
    /// Order.
    pub sort_by: SortBy,
    /// Smallest first.
    pub ascending: bool,
    /// Rows to skip.
    pub offset: i64,
    /// At most so many rows.
    pub limit: i64,
}

/// A page of runs.
///
/// # Errors
///
/// The database's.
pub fn list_runs(tx: &mut Tx<'_>, list: &LedgerList) -> Result<Page<RunRow>, StoreError> {
    page(tx, "runs", RUN_COLUMNS, list, run)
}

/// A page of tasks.
///
/// # Errors
///
/// The database's.
pub fn list_tasks(tx: &mut Tx<'_>, list: &LedgerList) -> Result<Page<TaskRow>, StoreError> {
    page(tx, "tasks", TASK_COLUMNS, list, task)
}

fn page<T>(
    tx: &mut Tx<'_>,
    table: &str,
    columns: &str,
    list: &LedgerList,
    from_row: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let mut conditions = String::from("org_id = $1");
    let mut params = vec![Param::from(&list.org_id)];
    if let Some(run_id) = &list.run_id {
        params.push(Param::from(run_id));
        conditions.push_str(&format!(" AND run_id = ${}", params.len()));
    }
    if let Some(status) = &list.status {
        params.push(Param::from(status));
        conditions.push_str(&format!(" AND status = ${}", params.len()));
    }
    let count = format!("SELECT COUNT(*) FROM {table} WHERE {conditions}");
    let counted = tx.query_params(&count, &params)?;
    let total: i64 = counted.first().map_or(Ok(0), |row| row.get(0))?;
    let order = order_by(list);
    let (limit, offset) = (list.limit, list.offset);
    let select = format!(
        "SELECT {columns} FROM {table} WHERE {conditions} \
         ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    );
    let rows = tx.query_params(&select, &params)?;
    Ok(Page {
        rows: readable(&rows, from_row)?,
        total: u64::try_from(total).unwrap_or(0),
    })
}

/// Unset times come first in descending order, last in ascending.
fn order_by(list: &LedgerList) -> String {
    let direction = if list.ascending { "ASC" } else { "DESC" };
    let nulls = if list.ascending { "LAST" } else { "FIRST" };
    let column = match list.sort_by {
        SortBy::Created => return format!("id {direction}"),
        SortBy::Started => "started_at",
        SortBy::Completed => "completed_at",
    };
    format!("{column} {direction} NULLS {nulls}, id {direction}")
}
