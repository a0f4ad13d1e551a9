//! Pages of runs and tasks (`foreman-api` 7.4, 7.8).
//!
//! No row is read that is not shown. The total is kept ([`count`]); the place of the page is found
//! in one index range for each part of the order (`range.rs`), from the end that is nearer;
//! whole rows are read by their ids.

mod range;
mod read;

use colony_core::id::RunId;
use colony_core::state::{RunStatus, TaskStatus};
use uuid::Uuid;

use super::row::{RUN_COLUMNS, RunRow, TASK_COLUMNS, TaskRow, run, task};
use super::{block, count};
use crate::error::StoreError;
use crate::list::Page;
use crate::row::{Row, readable};
use crate::tx::Tx;
use range::{Part, Scope, Wanted};

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

/// A table with pages.
struct Table {
    name: &'static str,
    columns: &'static str,
}

const RUNS: Table = Table {
    name: "runs",
    columns: RUN_COLUMNS,
};

const TASKS: Table = Table {
    name: "tasks",
    columns: TASK_COLUMNS,
};

/// A page of runs.
///
/// # Errors
///
/// The database's.
pub fn list_runs(tx: &mut Tx<'_>, list: &LedgerList) -> Result<Page<RunRow>, StoreError> {
    let status = list.status.as_deref().map(str::parse::<RunStatus>);
    let Ok(status) = status.transpose() else {
        return Ok(empty(0));
    };
    let totals = count::totals(tx, RUNS.name, &list.org_id)?;
    let status = status.map(RunStatus::as_str);
    let total = totals.of(status);
    let wanted = Wanted {
        dialect: tx.dialect(),
        scope: Scope::Organization {
            org_id: &list.org_id,
            totals: &totals,
        },
        status,
    };
    page(tx, &RUNS, list, &wanted, total, run)
}

/// A page of tasks.
///
/// # Errors
///
/// The database's.
pub fn list_tasks(tx: &mut Tx<'_>, list: &LedgerList) -> Result<Page<TaskRow>, StoreError> {
    let status = list.status.as_deref().map(str::parse::<TaskStatus>);
    let Ok(status) = status.transpose() else {
        return Ok(empty(0));
    };
    let status = status.map(TaskStatus::as_str);
    let Some(run_id) = list.run_id else {
        let totals = count::totals(tx, TASKS.name, &list.org_id)?;
        let total = totals.of(status);
        let wanted = Wanted {
            dialect: tx.dialect(),
            scope: Scope::Organization {
                org_id: &list.org_id,
                totals: &totals,
            },
            status,
        };
        return page(tx, &TASKS, list, &wanted, total, task);
    };
    let Some(tasks) = count::tasks_of_run(tx, &list.org_id, run_id)? else {
        return Ok(empty(0));
    };
    let wanted = Wanted {
        dialect: tx.dialect(),
        scope: scope_of_run(tx, list, run_id, status, tasks)?,
        status,
    };
    let total = match status {
        None => tasks,
        Some(_) => (wanted.parts(SortBy::Created, false).iter())
            .map(|part| part.count(tx, &TASKS))
            .sum::<Result<_, _>>()?,
    };
    page(tx, &TASKS, list, &wanted, total, task)
}

fn empty<T>(total: u64) -> Page<T> {
    Page {
        rows: Vec::new(),
        total,
    }
}

/// Runs with at most so many tasks are looked through row by row.
const SMALL_RUN: u64 = 2000;

/// How many entries of the index by status cost as much as a row.
const ENTRIES_PER_ROW: u64 = 10;

/// The tasks of a small run are looked at one by one. Of a large one with a filter, the entries of
/// that status from its first task to its last are, unless there are too many of other runs.
fn scope_of_run<'l>(
    tx: &mut Tx<'_>,
    list: &'l LedgerList,
    run_id: RunId,
    status: Option<&'static str>,
    tasks: u64,
) -> Result<Scope<'l>, StoreError> {
    if let (Some(status), true) = (status, tasks > SMALL_RUN) {
        let totals = count::totals(tx, TASKS.name, &list.org_id)?;
        if totals.of(Some(status)) <= tasks.saturating_mul(ENTRIES_PER_ROW)
            && let Some(ids) = ends_of_run(tx, run_id)?
        {
            return Ok(Scope::LargeRun {
                org_id: &list.org_id,
                run_id,
                ids,
            });
        }
    }
    Ok(Scope::Run { run_id })
}

/// The first and the last task of a run.
fn ends_of_run(tx: &mut Tx<'_>, run_id: RunId) -> Result<Option<(Uuid, Uuid)>, StoreError> {
    let end = |direction: &str| {
        format!("SELECT id FROM tasks WHERE run_id = $1 ORDER BY id {direction} LIMIT 1")
    };
    let first = tx.query_opt(&end("ASC"), &[&run_id])?;
    let last = tx.query_opt(&end("DESC"), &[&run_id])?;
    match (first, last) {
        (Some(first), Some(last)) => Ok(Some((first.get(0)?, last.get(0)?))),
        _ => Ok(None),
    }
}

fn page<T>(
    tx: &mut Tx<'_>,
    table: &Table,
    list: &LedgerList,
    wanted: &Wanted<'_>,
    total: u64,
    from_row: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let (offset, limit) = (list.offset.unsigned_abs(), list.limit.unsigned_abs());
    if offset >= total {
        return Ok(empty(total));
    }
    let limit = limit.min(total - offset);
    if let Some((part, place)) = inside(tx, table, list, wanted, (offset, limit, total))? {
        let mut rows = readable(&part.rows(tx, table, (place, limit))?, from_row)?;
        if !list.ascending {
            rows.reverse();
        }
        return Ok(Page { rows, total });
    }
    // From the end that is nearer.
    let backwards = offset > total / 2;
    let (ascending, offset) = match backwards {
        true => (!list.ascending, total - offset - limit),
        false => (list.ascending, offset),
    };
    let parts = wanted.parts(list.sort_by, ascending);
    let found = find(tx, table, &parts, (offset, limit))?;
    let mut rows = readable(&found, from_row)?;
    if backwards {
        rows.reverse();
    }
    Ok(Page { rows, total })
}

/// Up to so many rows from an end, stretches of ids are not looked at.
const NEAR_AN_END: u64 = 2000;

/// Where a page of a list by id begins that is far from both ends: smallest ids first, behind a
/// stretch whose rows are counted.
fn inside(
    tx: &mut Tx<'_>,
    table: &Table,
    list: &LedgerList,
    wanted: &Wanted<'_>,
    (offset, limit, total): (u64, u64, u64),
) -> Result<Option<(Part, u64)>, StoreError> {
    let rest = total - offset - limit;
    let Scope::Organization { org_id, .. } = wanted.scope else {
        return Ok(None);
    };
    if list.sort_by != SortBy::Created || offset.min(rest) <= NEAR_AN_END {
        return Ok(None);
    }
    let place = if list.ascending { offset } else { rest };
    let start = block::start(tx, table.name, org_id, wanted.status, place)?;
    let nearer = start.filter(|start| start.offset < offset.min(rest));
    Ok(nearer.map(|start| (wanted.behind(start.after), start.offset)))
}

/// Rows of a page over several parts, one after the other.
fn find(
    tx: &mut Tx<'_>,
    table: &Table,
    parts: &[Part],
    (mut offset, mut limit): (u64, u64),
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let found = part.rows(tx, table, (offset, limit))?;
        let is_last = index + 1 == parts.len();
        if limit == found.len() as u64 || is_last {
            rows.extend(found);
            break;
        }
        offset = match (found.len() as u64, offset) {
            // All that is left of this part is on the page.
            (1.., _) | (0, 0) => 0,
            (0, offset) => offset.saturating_sub(part.count(tx, table)?),
        };
        limit -= found.len() as u64;
        rows.extend(found);
    }
    Ok(rows)
}
