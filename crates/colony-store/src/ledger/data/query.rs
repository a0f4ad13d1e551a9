//! Queries of run data (`foreman-api` 9).
//!
//! The database finds, counts and sorts where its conditions say all that the filter says. Else
//! keys and tags of what it lets through are looked at here. Either way only the page is read
//! whole, and its JSON stays text.

use colony_core::id::{RunDataId, RunId, TaskId};
use colony_core::ledger::DataFilter;
use colony_core::time::Timestamp;

use super::condition::{Condition, condition};
use crate::error::StoreError;
use crate::ledger::row::DATA_COLUMNS;
use crate::list::Page;
use crate::row::Row;
use crate::text::Text;
use crate::tx::{Dialect, Tx};
use crate::value::{Json, Param};

/// What matching entries are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataSort {
    /// Creation: the order of ids.
    #[default]
    Created,
    /// Last change of tags.
    Updated,
    /// Bytes of the key.
    Key,
}

/// A query of run data (`foreman-api` 9).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataQuery {
    /// Which entries.
    pub filter: DataFilter,
    /// Older entries of a key too.
    pub include_all: bool,
    /// Order.
    pub sort_by: DataSort,
    /// Smallest first.
    pub ascending: bool,
    /// Rows to skip.
    pub offset: usize,
    /// At most so many rows.
    pub limit: usize,
}

/// An entry as it is stored: to be shown, not to be looked into.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundData {
    /// Its id.
    pub id: RunDataId,
    /// Its run.
    pub run_id: RunId,
    /// The task that wrote it.
    pub task_id: TaskId,
    /// Owner.
    pub org_id: String,
    /// Its name.
    pub key: String,
    /// JSON.
    pub value: Text,
    /// JSON: a list of texts.
    pub tags: Text,
    /// A JSON object.
    pub metadata: Option<Text>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Last change of its tags.
    pub updated_at: Timestamp,
}

fn found(row: &Row) -> Result<FoundData, StoreError> {
    Ok(FoundData {
        id: row.get(0)?,
        run_id: row.get(1)?,
        task_id: row.get(2)?,
        org_id: row.get(3)?,
        key: row.get(4)?,
        value: row.get(5)?,
        tags: row.get(6)?,
        metadata: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}

/// How many columns an entry has.
const DATA_WIDTH: usize = 10;

/// The entries of a run that a query wants.
///
/// # Errors
///
/// The database's.
pub fn query_data(
    tx: &mut Tx<'_>,
    run_id: RunId,
    query: &DataQuery,
) -> Result<Page<FoundData>, StoreError> {
    let mut params = vec![Param::from(&run_id)];
    let condition = condition(&query.filter, tx.dialect(), &mut params);
    let matching = Matching { params, condition };
    if matching.condition.is_exact && tx.dialect() == Dialect::Postgres {
        return matching.page(tx, query);
    }
    let mut found = match matching.condition.is_exact {
        true => matching.found(tx, query)?,
        false => matching.looked_at(tx, query)?,
    };
    sort(&mut found, query);
    let ids: Vec<RunDataId> = (found.iter().skip(query.offset).take(query.limit))
        .map(|candidate| candidate.id)
        .collect();
    Ok(Page {
        rows: entries(tx, &ids)?,
        total: found.len() as u64,
    })
}

/// What the page is chosen from.
struct Candidate {
    id: RunDataId,
    updated_at: Timestamp,
    /// Empty unless it is sorted by.
    key: String,
}

/// Newest first is the order of ties.
fn sort(found: &mut [Candidate], query: &DataQuery) {
    use std::cmp::{Ordering, Reverse};
    let ordered = |ordering: Ordering| match query.ascending {
        true => ordering,
        false => ordering.reverse(),
    };
    found.sort_unstable_by(|a, b| {
        let newest = Reverse(a.id).cmp(&Reverse(b.id));
        match query.sort_by {
            DataSort::Created => ordered(a.id.cmp(&b.id)),
            DataSort::Updated => ordered(a.updated_at.cmp(&b.updated_at)).then(newest),
            DataSort::Key => ordered(a.key.as_bytes().cmp(b.key.as_bytes())).then(newest),
        }
    });
}

/// Entries of a run by a condition.
struct Matching<'q> {
    /// The run is the first.
    params: Vec<Param<'q>>,
    condition: Condition,
}

impl Matching<'_> {
    /// All that match, or the latest of each key, found by SQLite in the index alone.
    fn found(&self, tx: &mut Tx<'_>, query: &DataQuery) -> Result<Vec<Candidate>, StoreError> {
        let sorted_by = match query.sort_by {
            DataSort::Created => "",
            DataSort::Updated => ", updated_at",
            DataSort::Key => ", key",
        };
        let condition = &self.condition.sql;
        // Beside the greatest id SQLite gives the columns of its row.
        let (id, group) = match query.include_all {
            true => ("id", ""),
            false => ("MAX(id)", " GROUP BY key"),
        };
        let sql =
            format!("SELECT {id}{sorted_by} FROM run_data WHERE run_id = $1{condition}{group}");
        tx.query_params(&sql, &self.params)?
            .iter()
            .map(|row| {
                let mut candidate = Candidate {
                    id: row.get(0)?,
                    updated_at: Timestamp::from_millis(0),
                    key: String::new(),
                };
                match query.sort_by {
                    DataSort::Created => {}
                    DataSort::Updated => candidate.updated_at = row.get(1)?,
                    DataSort::Key => candidate.key = row.get(1)?,
                }
                Ok(candidate)
            })
            .collect()
    }

    /// All that match, or the latest of each key, by a look at the keys and tags of more.
    fn looked_at(&self, tx: &mut Tx<'_>, query: &DataQuery) -> Result<Vec<Candidate>, StoreError> {
        let filter = &query.filter;
        let with_tags = filter.has_tag_filter();
        let tags = if with_tags { ", tags" } else { "" };
        let condition = &self.condition.sql;
        let sql =
            format!("SELECT id, key, updated_at{tags} FROM run_data WHERE run_id = $1{condition}");
        let mut found = Vec::new();
        for row in &tx.query_params(&sql, &self.params)? {
            let key: &str = row.get(1)?;
            if !filter.matches_key(key) {
                continue;
            }
            if with_tags && !filter.matches_tags(&row.get::<Json<Vec<String>>>(3)?.0) {
                continue;
            }
            found.push(Candidate {
                id: row.get(0)?,
                updated_at: row.get(2)?,
                key: key.to_owned(),
            });
        }
        if !query.include_all {
            found.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.id));
            let mut seen = std::collections::HashSet::new();
            found.retain(|candidate| seen.insert(candidate.key.clone()));
        }
        Ok(found)
    }

    /// The page, found by PostgreSQL in one statement.
    fn page(&self, tx: &mut Tx<'_>, query: &DataQuery) -> Result<Page<FoundData>, StoreError> {
        let (limit, offset) = (query.limit, query.offset);
        let (order, condition) = (order(query), &self.condition.sql);
        let matching = format!("FROM run_data WHERE run_id = $1{condition}");
        let page = format!("ORDER BY {order} LIMIT {limit} OFFSET {offset}");
        let sql = match query.include_all {
            true => {
                format!("SELECT {DATA_COLUMNS}, (SELECT COUNT(*) {matching}) {matching} {page}")
            }
            false => format!(
                "WITH page AS MATERIALIZED (SELECT id, COUNT(*) OVER () AS total FROM \
                 (SELECT DISTINCT ON (key) id, key, updated_at {matching} \
                 ORDER BY key DESC, id DESC) AS latest {page}) \
                 SELECT {DATA_COLUMNS}, total FROM run_data JOIN page USING (id) ORDER BY {order}"
            ),
        };
        let rows = tx.query_params(&sql, &self.params)?;
        let total = match (rows.first(), offset) {
            (Some(row), _) => row.get(DATA_WIDTH)?,
            (None, 0) => 0,
            // Behind the last page.
            (None, _) => {
                let counted = if query.include_all {
                    "*"
                } else {
                    "DISTINCT key"
                };
                let sql = format!("SELECT COUNT({counted}) {matching}");
                let rows = tx.query_params(&sql, &self.params)?;
                rows.first().map_or(Ok(0), |row| row.get::<i64>(0))?
            }
        };
        Ok(Page {
            rows: rows.iter().map(found).collect::<Result<_, _>>()?,
            total: total.unsigned_abs(),
        })
    }
}

fn order(query: &DataQuery) -> String {
    let direction = if query.ascending { "ASC" } else { "DESC" };
    match query.sort_by {
        DataSort::Created => format!("id {direction}"),
        DataSort::Updated => format!("updated_at {direction}, id DESC"),
        DataSort::Key => format!("key {direction}, id DESC"),
    }
}

/// Whole entries in the order of `ids`.
fn entries(tx: &mut Tx<'_>, ids: &[RunDataId]) -> Result<Vec<FoundData>, StoreError> {
    let sql = format!("SELECT {DATA_COLUMNS} FROM run_data WHERE id IN ({{list}})");
    let mut rows = std::collections::HashMap::new();
    for row in tx.query_list(&sql, &[], ids)? {
        let entry = found(&row)?;
        rows.insert(entry.id, entry);
    }
    Ok(ids.iter().filter_map(|id| rows.remove(id)).collect())
}
