//! What there is to schedule, in one state of the database.

use std::collections::{BTreeMap, BTreeSet};

use colony_core::id::{DefinitionId, RequestId};
use colony_core::job::TaskRun;
use colony_store::definition::{self, Flags};
use colony_store::request::RequestRow;
use colony_store::schedule::DueRequest;
use colony_store::{StoreError, Tx, job_run, schedule};

use super::BATCH;

/// What a look at some schedule keys has found.
#[derive(Default)]
pub(crate) struct Found {
    pub(super) due: BTreeMap<String, Vec<DueRequest>>,
    pub(super) taken: BTreeMap<String, u32>,
    pub(super) flags: BTreeMap<DefinitionId, Flags>,
    /// The newest version of a key.
    newest: BTreeMap<String, DefinitionId>,
    /// Completed tasks of the runs before, by request.
    pub(super) earlier: BTreeMap<RequestId, Result<BTreeMap<String, TaskRun>, StoreError>>,
}

impl Found {
    pub(crate) fn read(tx: &mut Tx<'_>, keys: &[String]) -> Result<Self, StoreError> {
        let mut found = Self {
            taken: job_run::slots_taken(tx, keys)?,
            ..Self::default()
        };
        for key in keys {
            let due = schedule::eligible_requests(tx, key, BATCH)?;
            found.due.insert(key.clone(), due);
        }
        let readable = || {
            found
                .due
                .values()
                .flatten()
                .filter_map(|(_, row)| row.as_ref().ok())
        };
        let ids: BTreeSet<DefinitionId> = readable().map(|row| row.definition_id).collect();
        let ids: Vec<DefinitionId> = ids.into_iter().collect();
        found.flags = definition::flags_of(tx, &ids)?;
        // Those that name no version and have not run yet move on to the newest.
        let moves = |row: &&RequestRow| {
            let flags = found.flags.get(&row.definition_id);
            let untouched = row.run_id.is_none() && row.last_run_id.is_none();
            untouched && row.job_version.is_empty() && flags.is_some_and(|flags| !flags.active)
        };
        let types = readable().filter(moves);
        let types: BTreeSet<(String, String)> = types
            .map(|row| (row.org_id.clone(), row.job_type.clone()))
            .collect();
        let types: Vec<(String, String)> = types.into_iter().collect();
        found.newest = definition::newest_versions(tx, &types)?;
        let again = readable().filter(|row| !row.hard_restart);
        let again: Vec<_> = again
            .filter_map(|row| Some((row.id, row.last_run_id?)))
            .collect();
        for (id, last) in again {
            let earlier = match job_run::reusable_tasks(tx, last) {
                Err(error) if !error.is_about_rows() => return Err(error),
                // One bad row keeps nobody else from running.
                earlier => earlier,
            };
            found.earlier.insert(id, earlier);
        }
        Ok(found)
    }

    /// How many requests of a key may be launched.
    pub(super) fn slots(&self, key: &str, row: &Result<RequestRow, StoreError>) -> u32 {
        let flags = row.as_ref().ok();
        let flags = flags.and_then(|row| self.flags.get(&row.definition_id));
        let taken = self.taken.get(key).copied().unwrap_or(0);
        flags.map_or(0, |flags| flags.max_concurrency.saturating_sub(taken))
    }

    /// The versions that requests will run.
    pub(crate) fn versions(&self) -> BTreeSet<DefinitionId> {
        let rows = self.due.values().flatten();
        let readable = rows.filter_map(|(_, row)| row.as_ref().ok());
        let known = readable.filter(|row| self.flags.contains_key(&row.definition_id));
        known.map(|row| self.version(row)).collect()
    }

    /// The version that a request will run: the pinned one, or the newest for a request that named no
    /// version and has not run yet (`job-definitions` 15.2).
    pub(super) fn version(&self, row: &RequestRow) -> DefinitionId {
        let untouched = row.run_id.is_none() && row.last_run_id.is_none();
        let active = self
            .flags
            .get(&row.definition_id)
            .is_none_or(|flags| flags.active);
        match self.newest.get(&row.schedule_key) {
            Some(newest) if !active && untouched && row.job_version.is_empty() => *newest,
            Some(_) | None => row.definition_id,
        }
    }
}
