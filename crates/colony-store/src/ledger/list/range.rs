//! Where the rows of a list are: each order is cut into parts that an index holds in that order.
//!
//! Conditions are written so that there is one index to choose, whatever a planner guesses about
//! tables that it knows too little of: `status || ''` and `COALESCE(run_id, run_id)` are columns
//! that no index begins with, `started_at + 0` is an order that no index has.

use colony_core::id::RunId;
use uuid::Uuid;

use super::{SortBy, Table};
use crate::error::StoreError;
use crate::ledger::count::Totals;
use crate::row::Row;
use crate::tx::Tx;
use crate::value::Param;

/// Whose rows are listed.
pub(super) enum Scope<'a> {
    /// All of an organization.
    Organization { org_id: &'a str, totals: &'a Totals },
    /// The tasks of a run, looked at one by one.
    Run { run_id: RunId },
    /// The tasks of a run by the index on statuses, between its first and its last.
    LargeRun {
        org_id: &'a str,
        run_id: RunId,
        ids: (Uuid, Uuid),
    },
}

impl Scope<'_> {
    fn params(&self) -> Vec<Param<'static>> {
        let text = |text: &str| Param::Text(text.to_owned().into());
        match self {
            Self::Organization { org_id, .. } => vec![text(org_id)],
            Self::Run { run_id } => vec![Param::Id(run_id.uuid())],
            Self::LargeRun {
                org_id,
                run_id,
                ids: (first, last),
            } => {
                let ids = [run_id.uuid(), *first, *last].map(Param::Id);
                std::iter::once(text(org_id)).chain(ids).collect()
            }
        }
    }
}

/// A part of an order: ranges of an index that are merged.
pub(super) struct Part {
    /// A condition for each range.
    ranges: Vec<String>,
    /// What the ranges are sorted by; `id` comes after it.
    column: Option<&'static str>,
    direction: &'static str,
    /// What the conditions name.
    params: Vec<Param<'static>>,
}

/// Up to this offset whole rows are read on the way: fewer statements, and few rows too many.
const NEAR: u64 = 100;

/// With at most so many rows of a status, all of their index entries are sorted by the start.
const SORTED_MAX: u64 = 50_000;

/// Statuses whose rows have been started, as a rule.
const STARTED: &[&str] = &["running", "completed", "failed", "cancelled"];

/// Statuses whose rows have ended, as a rule.
const ENDED: &[&str] = &["completed", "failed", "cancelled"];

/// The parts of an order, first to last. Unset times count as the latest.
pub(super) fn parts(
    scope: &Scope<'_>,
    status: Option<&'static str>,
    sort_by: SortBy,
    ascending: bool,
) -> Vec<Part> {
    let direction = if ascending { "ASC" } else { "DESC" };
    let part = |ranges, column| Part {
        ranges,
        column,
        direction,
        params: scope.params(),
    };
    let mut parts = match sort_by {
        SortBy::Created => vec![part(vec![all(scope, status)], None)],
        SortBy::Started => {
            let sorted = is_sorted(scope, status);
            let column = if sorted {
                "started_at + 0"
            } else {
                "started_at"
            };
            vec![
                part(started(scope, status, sorted), Some(column)),
                part(unset(scope, status, "started_at", STARTED), None),
            ]
        }
        SortBy::Completed => vec![
            part(completed(scope, status), Some("completed_at")),
            part(unset(scope, status, "completed_at", ENDED), None),
        ],
    };
    if !ascending {
        parts.reverse();
    }
    parts.retain(|part| !part.ranges.is_empty());
    parts
}

/// The rows of a list, as the index on ids has them.
fn all(scope: &Scope<'_>, status: Option<&str>) -> String {
    match (scope, status) {
        (Scope::Organization { .. }, None) => "org_id = $1".to_owned(),
        (Scope::Organization { .. }, Some(status)) => of_status(status),
        (Scope::Run { .. }, None) => "run_id = $1".to_owned(),
        (Scope::Run { .. }, Some(status)) => {
            format!("run_id = $1 AND status || '' = '{status}'")
        }
        (Scope::LargeRun { .. }, status) => format!(
            "{} AND id >= $3 AND id <= $4 AND COALESCE(run_id, run_id) = $2",
            of_status(status.unwrap_or_default())
        ),
    }
}

fn of_status(status: &str) -> String {
    format!("org_id = $1 AND status = '{status}'")
}

/// Whether the starts of a status are sorted, rather than its rows found among all starts.
fn is_sorted(scope: &Scope<'_>, status: Option<&str>) -> bool {
    match (scope, status) {
        (Scope::Organization { totals, .. }, Some(status)) => totals.of(Some(status)) <= SORTED_MAX,
        (Scope::Organization { .. }, None) => false,
        (Scope::Run { .. } | Scope::LargeRun { .. }, _) => true,
    }
}

fn started(scope: &Scope<'_>, status: Option<&'static str>, sorted: bool) -> Vec<String> {
    let found_among_all = match (scope, status) {
        (Scope::Organization { .. }, Some(status)) if !sorted => {
            Some(format!("org_id = $1 AND status || '' = '{status}'"))
        }
        _ => None,
    };
    let rows = found_among_all.unwrap_or_else(|| all(scope, status));
    vec![format!("{rows} AND started_at IS NOT NULL")]
}

fn completed(scope: &Scope<'_>, status: Option<&'static str>) -> Vec<String> {
    let set = |rows: String| format!("{rows} AND completed_at IS NOT NULL");
    match scope {
        Scope::Organization { totals, .. } => {
            statuses(totals, status).map(of_status).map(set).collect()
        }
        Scope::Run { .. } | Scope::LargeRun { .. } => vec![set(all(scope, status))],
    }
}

/// Rows without a time. Where the status promises one, an index of their own has them.
fn unset(
    scope: &Scope<'_>,
    status: Option<&'static str>,
    column: &str,
    promised: &[&str],
) -> Vec<String> {
    let Scope::Organization { totals, .. } = scope else {
        return vec![format!("{} AND {column} IS NULL", all(scope, status))];
    };
    let range = |status: &str| {
        let rows = format!("{} AND {column} IS NULL", of_status(status));
        match promised.contains(&status) {
            true => format!("{rows} AND status IN ('{}')", promised.join("', '")),
            false => rows,
        }
    };
    statuses(totals, status).map(range).collect()
}

fn statuses<'t>(totals: &'t Totals, only: Option<&'static str>) -> impl Iterator<Item = &'t str> {
    (totals.statuses()).filter(move |status| only.is_none_or(|only| only == *status))
}

impl Part {
    /// How many rows it has. Counted, but in the index alone.
    pub(super) fn count(&self, tx: &mut Tx<'_>, table: &Table) -> Result<u64, StoreError> {
        let table = table.name;
        let mut total = 0;
        for range in &self.ranges {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE {range}");
            let rows = tx.query_params(&sql, &self.params)?;
            let count: i64 = rows.first().map_or(Ok(0), |row| row.get(0))?;
            total += count.unsigned_abs();
        }
        Ok(total)
    }

    /// Its rows from an offset on.
    pub(super) fn rows(
        &self,
        tx: &mut Tx<'_>,
        table: &Table,
        (offset, limit): (u64, u64),
    ) -> Result<Vec<Row>, StoreError> {
        let mut params = self.params.clone();
        let mut page = format!("LIMIT {limit}");
        if offset > 0 {
            params.push(Param::Int(i64::try_from(offset).unwrap_or(i64::MAX)));
            page.push_str(&format!(" OFFSET ${}", params.len()));
        }
        let order = match self.column {
            Some(column) => format!("{column} {0}, id {0}", self.direction),
            None => format!("id {}", self.direction),
        };
        if let ([range], true) = (self.ranges.as_slice(), offset <= NEAR) {
            let (columns, table) = (table.columns, table.name);
            let sql =
                format!("SELECT {columns} FROM {table} WHERE {range} ORDER BY {order} {page}");
            return tx.query_params(&sql, &params);
        }
        let sql = format!("{} ORDER BY {order} {page}", self.ids(table));
        let found = tx.query_params(&sql, &params)?;
        let ids: Vec<Uuid> = found
            .iter()
            .map(|row| row.get(0))
            .collect::<Result<_, _>>()?;
        whole(tx, table, &ids)
    }

    /// A statement that gives the ids, and what they are sorted by.
    fn ids(&self, table: &Table) -> String {
        let column = self.column.map(|column| format!(", {column}"));
        let column = column.unwrap_or_default();
        let ids = |range: &String| {
            let table = table.name;
            format!("SELECT id{column} FROM {table} WHERE {range}")
        };
        let ranges: Vec<String> = self.ranges.iter().map(ids).collect();
        ranges.join(" UNION ALL ")
    }
}

/// Whole rows in the order of `ids`.
fn whole(tx: &mut Tx<'_>, table: &Table, ids: &[Uuid]) -> Result<Vec<Row>, StoreError> {
    let (columns, table) = (table.columns, table.name);
    let sql = format!("SELECT {columns} FROM {table} WHERE id IN ({{list}})");
    let mut rows = std::collections::HashMap::new();
    for row in tx.query_list(&sql, &[], ids)? {
        rows.insert(row.get::<Uuid>(0)?, row);
    }
    Ok(ids.iter().filter_map(|id| rows.remove(id)).collect())
}
