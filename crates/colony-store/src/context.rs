//! Run data written by job tasks, which the Jobs API calls contexts.

use std::collections::BTreeMap;

use colony_core::id::{RunDataId, RunId, TaskId};
use colony_core::time::Timestamp;
use serde_json::Value;

use crate::error::StoreError;
use crate::params;
use crate::row::Row;
use crate::tx::Tx;

/// A value that a task exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// Id of the entry.
    pub id: RunDataId,
    /// Task that wrote it.
    pub task_id: TaskId,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// When it was written.
    pub created_at: Timestamp,
}

/// A value to be written in a run, and the owner of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct NewContext {
    /// The run.
    pub run_id: RunId,
    /// Owner.
    pub org_id: String,
    /// The value.
    pub context: Context,
}

/// Writes values. Each hides earlier ones of the same key.
///
/// # Errors
///
/// The database refused it.
pub fn insert(tx: &mut Tx<'_>, contexts: &[NewContext]) -> Result<(), StoreError> {
    tx.send_rows(
        "INSERT INTO run_data (id, run_id, task_id, org_id, key, value, tags, created_at, \
         updated_at) VALUES {rows: id, id, id, text, text, text, text, int, int}",
        &[],
        contexts,
        |new| {
            let context = &new.context;
            params![
                &context.id,
                &new.run_id,
                &context.task_id,
                &new.org_id,
                &context.key,
                &context.value,
                "[]",
                &context.created_at,
                &context.created_at,
            ]
        },
    )
}

/// The latest value of each key in some runs. Runs without any are left out.
///
/// # Errors
///
/// The database's.
pub fn contexts_of_runs(
    tx: &mut Tx<'_>,
    ids: &[RunId],
) -> Result<BTreeMap<RunId, BTreeMap<String, Context>>, StoreError> {
    let rows = tx.query_list(
        "SELECT id, task_id, key, value, created_at, run_id FROM run_data \
         WHERE run_id IN ({list}) ORDER BY run_id, id",
        &[],
        ids,
    )?;
    let mut found = BTreeMap::<RunId, BTreeMap<String, Context>>::new();
    for row in &rows {
        let context = context(row)?;
        let of_run = found.entry(row.get(5)?).or_default();
        of_run.insert(context.key.clone(), context);
    }
    Ok(found)
}

/// The latest value of each key in a run.
///
/// # Errors
///
/// The database's.
pub fn contexts_of_run(
    tx: &mut Tx<'_>,
    run_id: RunId,
) -> Result<BTreeMap<String, Context>, StoreError> {
    let all = all_contexts(tx, run_id)?.into_iter();
    Ok(all.map(|context| (context.key.clone(), context)).collect())
}

/// Everything that was written in a run, oldest first.
///
/// # Errors
///
/// The database's.
pub fn all_contexts(tx: &mut Tx<'_>, run_id: RunId) -> Result<Vec<Context>, StoreError> {
    let rows = tx.query(
        "SELECT id, task_id, key, value, created_at FROM run_data WHERE run_id = $1 ORDER BY id",
        &[&run_id],
    )?;
    rows.iter().map(context).collect()
}

/// What one task of a run wrote, oldest first.
///
/// # Errors
///
/// The database's.
pub fn contexts_of_task(
    tx: &mut Tx<'_>,
    run_id: RunId,
    task_id: TaskId,
) -> Result<Vec<Context>, StoreError> {
    let rows = tx.query(
        "SELECT id, task_id, key, value, created_at FROM run_data \
         WHERE run_id = $1 AND task_id = $2 ORDER BY id",
        &[&run_id, &task_id],
    )?;
    rows.iter().map(context).collect()
}

fn context(row: &Row) -> Result<Context, StoreError> {
    let text: &str = row.get(3)?;
    // What callers of the Runs API write may be deeper than a value can be here: it stays text.
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    Ok(Context {
        id: row.get(0)?,
        task_id: row.get(1)?,
        key: row.get(2)?,
        value,
        created_at: row.get(4)?,
    })
}
