//! Run data: writing, finding, tagging, deleting.

mod condition;
mod query;

use colony_core::id::{RunDataId, RunId};

use super::row::{DATA_COLUMNS, DataRow, data};
use crate::error::StoreError;
use crate::params;
use crate::tx::Tx;

pub use query::{DataQuery, DataSort, FoundData, query_data};

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
    tx.send(
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
