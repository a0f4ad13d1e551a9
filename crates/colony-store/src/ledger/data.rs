//! Run data: writing, finding, tagging, deleting.

use colony_core::id::{RunDataId, RunId};
use colony_core::ledger::{DataFilter, KeyPattern};
use colony_core::time::Timestamp;

use super::row::{DATA_COLUMNS, DataRow, data};
use crate::error::StoreError;
use crate::list::Page;
use crate::params;
use crate::tx::Tx;
use crate::value::{Json, Param};

/// Stores new entries.
///
/// # Errors
///
/// The database's.
pub fn insert_data(tx: &mut Tx<'_>, entries: &[DataRow]) -> Result<(), StoreError> {
    let tags: Vec<String> = entries.iter().map(|entry| tags_text(&entry.tags)).collect();
    let rows: Vec<(&DataRow, &String)> = entries.iter().zip(&tags).collect();
    tx.send_rows(
        "INSERT INTO run_data (id, run_id, task_id, org_id, key, value, tags, metadata, \
         created_at, updated_at) \
         VALUES {rows: id, id, id, text, text, text, text, text, int, int}",
        &[],
        &rows,
        |(entry, tags)| {
            params![
                &entry.id,
                &entry.run_id,
                &entry.task_id,
                &entry.org_id,
                &entry.key,
                &entry.value,
                *tags,
                &entry.metadata,
                &entry.created_at,
                &entry.updated_at,
            ]
        },
    )?;
    Ok(())
}

fn tags_text(tags: &[String]) -> String {
    serde_json::to_string(tags).unwrap_or_else(|_| "[]".to_owned())
}

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

/// What a query looks at before it has chosen its page.
struct Candidate {
    id: RunDataId,
    key: String,
    updated_at: Timestamp,
}

/// The entries of a run that a query wants.
///
/// The index narrows by the filters of keys; the rest is decided on keys and tags alone, and only
/// the page is read whole.
///
/// # Errors
///
/// The database's.
pub fn query_data(
    tx: &mut Tx<'_>,
    run_id: RunId,
    query: &DataQuery,
) -> Result<Page<DataRow>, StoreError> {
    let mut found = candidates(tx, run_id, &query.filter)?;
    // Newest first, which is also the order of ties.
    found.sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.id));
    if !query.include_all {
        let mut seen = std::collections::HashSet::new();
        let latest: Vec<bool> = (found.iter())
            .map(|candidate| seen.insert(candidate.key.as_str()))
            .collect();
        drop(seen);
        let mut latest = latest.into_iter();
        found.retain(|_| latest.next().unwrap_or(false));
    }
    sort(&mut found, query);
    let ids: Vec<RunDataId> = (found.iter().skip(query.offset).take(query.limit))
        .map(|candidate| candidate.id)
        .collect();
    Ok(Page {
        rows: entries(tx, &ids)?,
        total: found.len() as u64,
    })
}

fn sort(found: &mut [Candidate], query: &DataQuery) {
    use std::cmp::Ordering;
    let ordered = |ordering: Ordering| {
        if query.ascending {
            ordering
        } else {
            ordering.reverse()
        }
    };
    // Stable, so ties stay newest first.
    match query.sort_by {
        DataSort::Created if query.ascending => found.reverse(),
        DataSort::Created => {}
        DataSort::Updated => found.sort_by(|a, b| ordered(a.updated_at.cmp(&b.updated_at))),
        DataSort::Key => found.sort_by(|a, b| ordered(a.key.as_bytes().cmp(b.key.as_bytes()))),
    }
}

fn candidates(
    tx: &mut Tx<'_>,
    run_id: RunId,
    filter: &DataFilter,
) -> Result<Vec<Candidate>, StoreError> {
    let with_tags = filter.has_tag_filter();
    let tags = if with_tags { ", tags" } else { "" };
    let mut params = vec![Param::from(&run_id)];
    let narrow = narrow(filter, &mut params);
    let sql = format!("SELECT id, key, updated_at{tags} FROM run_data WHERE run_id = $1{narrow}");
    let mut found = Vec::new();
    for row in &tx.query_params(&sql, &params)? {
        let key: &str = row.get(1)?;
        if !filter.matches_key(key) {
            continue;
        }
        if with_tags && !filter.matches_tags(&row.get::<Json<Vec<String>>>(3)?.0) {
            continue;
        }
        found.push(Candidate {
            id: row.get(0)?,
            key: key.to_owned(),
            updated_at: row.get(2)?,
        });
    }
    Ok(found)
}

/// The most conditions on keys that are left to the index; more are cheaper to check on each row.
const NARROW_MAX: usize = 64;

/// Conditions that every matching key fulfils, for the index.
fn narrow(filter: &DataFilter, params: &mut Vec<Param<'_>>) -> String {
    if !filter.has_key_filter() {
        return String::new();
    }
    let exact = (filter.key.iter()).chain(filter.keys.iter().flatten());
    let pattern = filter.pattern.as_ref().map(KeyPattern::literal_prefix);
    let prefixes = (filter.key_prefixes.iter().flatten().cloned()).chain(pattern);
    let prefixes: Vec<String> = prefixes.collect();
    let exact: Vec<&String> = exact.collect();
    let anything = prefixes.iter().any(String::is_empty);
    if anything || exact.len() + prefixes.len() > NARROW_MAX {
        return String::new();
    }
    let mut conditions = Vec::new();
    for key in exact {
        params.push(Param::Text(key.clone().into()));
        conditions.push(format!("key = ${}", params.len()));
    }
    for prefix in prefixes {
        let end = successor(&prefix);
        params.push(Param::Text(prefix.into()));
        let from = params.len();
        match end {
            None => conditions.push(format!("key >= ${from}")),
            Some(end) => {
                params.push(Param::Text(end.into()));
                conditions.push(format!("(key >= ${from} AND key < ${})", from + 1));
            }
        }
    }
    if conditions.is_empty() {
        return " AND 1 = 0".to_owned();
    }
    format!(" AND ({})", conditions.join(" OR "))
}

/// The smallest text that is greater than every text with this prefix. Both databases compare
/// bytes of UTF-8, which is the order of characters.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // `char::from_u32` has a gap at the surrogates.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// Whole entries in the order of `ids`.
fn entries(tx: &mut Tx<'_>, ids: &[RunDataId]) -> Result<Vec<DataRow>, StoreError> {
    let sql = format!("SELECT {DATA_COLUMNS} FROM run_data WHERE id IN ({{list}})");
    let mut rows = std::collections::HashMap::new();
    for row in &tx.query_list(&sql, &[], ids)? {
        let entry = data(row)?;
        rows.insert(entry.id, entry);
    }
    Ok(ids.iter().filter_map(|id| rows.remove(id)).collect())
}

/// An entry of a run, locked until the end of the transaction.
///
/// # Errors
///
/// The database's.
pub fn lock_data(
    tx: &mut Tx<'_>,
    org_id: &str,
    run_id: RunId,
    id: RunDataId,
) -> Result<Option<DataRow>, StoreError> {
    let lock = tx.for_update();
    let sql = format!(
        "SELECT {DATA_COLUMNS} FROM run_data WHERE id = $1 AND run_id = $2 AND org_id = $3{lock}"
    );
    tx.query_opt(&sql, &[&id, &run_id, &org_id])?
        .as_ref()
        .map(data)
        .transpose()
}

/// Stores the tags of an entry.
///
/// # Errors
///
/// The database's.
pub fn set_tags(tx: &mut Tx<'_>, entry: &DataRow) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE run_data SET tags = $2, updated_at = $3 WHERE id = $1",
        &[&entry.id, &tags_text(&entry.tags), &entry.updated_at],
    )?;
    Ok(())
}

/// Deletes one entry of a run; returns how many that were.
///
/// # Errors
///
/// The database's.
pub fn delete_entry(tx: &mut Tx<'_>, run_id: RunId, id: RunDataId) -> Result<u64, StoreError> {
    tx.execute(
        "DELETE FROM run_data WHERE id = $1 AND run_id = $2",
        &[&id, &run_id],
    )
}

/// Deletes all entries of a key of a run; returns how many that were.
///
/// # Errors
///
/// The database's.
pub fn delete_key(tx: &mut Tx<'_>, run_id: RunId, key: &str) -> Result<u64, StoreError> {
    tx.execute(
        "DELETE FROM run_data WHERE run_id = $1 AND key = $2",
        &[&run_id, &key],
    )
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn successors_of_prefixes() {
        for (prefix, expected) in [
            ("a", Some("b")),
            ("sensor.", Some("sensor/")),
            ("\u{D7FF}", Some("\u{E000}")),
            ("a\u{10FFFF}", Some("b")),
            ("\u{10FFFF}", None),
            ("", None),
        ] {
            assert_eq!(successor(prefix).as_deref(), expected, "{prefix}");
        }
    }
}
