//! Run data: writing, tagging, deleting (`foreman-api` 7.9 to 7.12).

use std::collections::BTreeMap;

use colony_core::id::{RunDataId, RunId, TaskId};
use colony_core::ledger::update_tags;
use colony_core::time::Timestamp;
use colony_store::ledger::data::{self, DataQuery, FoundData};
use colony_store::ledger::{DataRow, run, task};
use colony_store::{Page, Text, Tx};

use super::error::{LedgerError, Missing};
use super::lanes::Outs;

/// An entry to be written.
#[derive(Debug, Clone)]
pub struct WriteData {
    /// Owner.
    pub org_id: String,
    /// The run.
    pub run_id: RunId,
    /// The task that writes it.
    pub task_id: TaskId,
    /// Its name.
    pub key: String,
    /// JSON.
    pub value: Text,
    /// Stored as given.
    pub tags: Vec<String>,
    /// A JSON object.
    pub metadata: Option<Text>,
}

impl WriteData {
    pub(super) fn row(self, id: RunDataId, now: Timestamp) -> DataRow {
        DataRow {
            id,
            run_id: self.run_id,
            task_id: self.task_id,
            org_id: self.org_id,
            key: self.key,
            value: self.value,
            tags: self.tags,
            metadata: self.metadata,
            created_at: now,
            updated_at: now,
        }
    }
}

pub(super) fn write_data(tx: &mut Tx<'_>, entries: &[DataRow]) -> Outs<DataRow> {
    let mut run_ids: Vec<RunId> = entries.iter().map(|entry| entry.run_id).collect();
    run_ids.sort_unstable();
    run_ids.dedup();
    let mut task_ids: Vec<TaskId> = entries.iter().map(|entry| entry.task_id).collect();
    task_ids.sort_unstable();
    task_ids.dedup();
    let owners = run::owners_of_runs(tx, &run_ids)?;
    let tasks = task::runs_of_tasks(tx, &task_ids)?;
    let checked: Vec<Result<(), LedgerError>> = (entries.iter())
        .map(|entry| check(entry, &owners, &tasks))
        .collect();
    let accepted: Vec<DataRow> = (entries.iter().zip(&checked))
        .filter(|(_, checked)| checked.is_ok())
        .map(|(entry, _)| entry.clone())
        .collect();
    data::insert_data(tx, &accepted)?;
    Ok((entries.iter().zip(checked))
        .map(|(entry, checked)| checked.map(|()| entry.clone()))
        .collect())
}

fn check(
    entry: &DataRow,
    owners: &BTreeMap<RunId, String>,
    tasks: &BTreeMap<TaskId, RunId>,
) -> Result<(), LedgerError> {
    if owners.get(&entry.run_id) != Some(&entry.org_id) {
        return Err(LedgerError::missing(Missing::Run));
    }
    if tasks.get(&entry.task_id) != Some(&entry.run_id) {
        return Err(LedgerError::missing(Missing::Task));
    }
    Ok(())
}

/// The run must be there and belong to the organization.
pub(super) fn check_run(tx: &mut Tx<'_>, org_id: &str, id: RunId) -> Result<(), LedgerError> {
    match run::owners_of_runs(tx, &[id])?.get(&id) {
        Some(owner) if owner == org_id => Ok(()),
        Some(_) | None => Err(LedgerError::missing(Missing::Run)),
    }
}

/// Entries of a run, which must belong to the organization.
pub(super) fn query_data(
    tx: &mut Tx<'_>,
    org_id: &str,
    run_id: RunId,
    query: &DataQuery,
) -> Result<Page<FoundData>, LedgerError> {
    let page = data::query_data(tx, run_id, query)?;
    // An entry belongs to whom its run belongs to.
    if page.rows.first().is_none_or(|entry| entry.org_id != org_id) {
        check_run(tx, org_id, run_id)?;
    }
    Ok(page)
}

pub(super) fn tag_data(
    tx: &mut Tx<'_>,
    org_id: &str,
    (run_id, id): (RunId, RunDataId),
    (add, remove): (&[String], &[String]),
    now: Timestamp,
) -> Result<DataRow, LedgerError> {
    let entry = data::lock_data(tx, org_id, run_id, id)?;
    let mut entry = entry.ok_or(LedgerError::missing(Missing::Data))?;
    entry.tags = update_tags(&entry.tags, add, remove);
    entry.updated_at = now;
    data::set_tags(tx, &entry)?;
    Ok(entry)
}

/// What to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delete {
    /// One entry.
    Entry(RunDataId),
    /// All entries of a key.
    Key(String),
}

pub(super) fn delete_data(
    tx: &mut Tx<'_>,
    org_id: &str,
    run_id: RunId,
    delete: &Delete,
) -> Result<u64, LedgerError> {
    check_run(tx, org_id, run_id)?;
    let deleted = match delete {
        Delete::Entry(id) => data::delete_entry(tx, run_id, *id)?,
        Delete::Key(key) => data::delete_key(tx, run_id, key)?,
    };
    match deleted {
        0 => Err(LedgerError::missing(Missing::Match)),
        deleted => Ok(deleted),
    }
}
