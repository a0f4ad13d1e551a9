//! Which of the requests that were found may run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use colony_core::error_code;
use colony_core::id::DefinitionId;
use colony_core::job::{JobError, TaskRun};
use colony_core::schedule::Need;
use colony_store::StoreError;
use colony_store::request::RequestRow;

use crate::compile::Compiled;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::isolate::Subject;
use crate::readiness::needs_of;
use crate::runs::{Pass, Readiness};

use super::Found;

/// Definitions ready to be run, or why they are not.
pub(crate) type Versions = BTreeMap<DefinitionId, Result<Arc<Compiled>, EngineError>>;

/// A request that was looked at.
pub(super) struct Looked {
    pub(super) row: RequestRow,
    pub(super) compiled: Arc<Compiled>,
    pub(super) earlier: BTreeMap<String, TaskRun>,
    pub(super) needs: Vec<Need>,
}

/// What was found, request by request.
#[derive(Default)]
pub(super) struct Sorted<'a> {
    pub(super) guilty: Vec<(Subject, EngineError)>,
    pub(super) passes: Vec<(Subject, Pass)>,
    /// Those that may run, by schedule key.
    pub(super) looked: BTreeMap<&'a str, Vec<Looked>>,
    /// Keys of which some were not looked at.
    pub(super) cut: BTreeSet<&'a str>,
}

impl<'a> Sorted<'a> {
    pub(super) fn of(
        engine: &Engine,
        found: &'a Found,
        versions: &Versions,
    ) -> Result<Self, EngineError> {
        let mut sorted = Self::default();
        for (key, due) in &found.due {
            let mut ready = 0;
            for (id, row) in due {
                // To look closer is dear: one more than there are slots, who is told that it waits.
                if ready > found.slots(key, row) {
                    sorted.cut.insert(key);
                    break;
                }
                let subject = Subject::Request(*id);
                match look_closer(engine, found, versions, row.as_ref()) {
                    Ok(Ok(request)) => {
                        ready += 1;
                        sorted.looked.entry(key).or_default().push(request);
                    }
                    Ok(Err(readiness)) => {
                        sorted.passes.push((subject, Pass { id: *id, readiness }));
                    }
                    Err(error) if error.is_about_rows() => sorted.guilty.push((subject, error)),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(sorted)
    }
}

/// What a request asks for, or why it is passed over.
fn look_closer(
    engine: &Engine,
    found: &Found,
    versions: &Versions,
    row: Result<&RequestRow, &StoreError>,
) -> Result<Result<Looked, Readiness>, EngineError> {
    let row = row.map_err(|error| EngineError::Unreadable(error.reason()))?;
    let id = found.version(row);
    let compiled = match versions.get(&id) {
        Some(Ok(compiled)) => Arc::clone(compiled),
        Some(Err(EngineError::Store(error))) => return Err(error.clone().into()),
        Some(Err(error)) if error.is_about_rows() => {
            let error = JobError::new(error_code::VALIDATION, error.to_string());
            return Ok(Err(Readiness::Refused(error)));
        }
        Some(Err(_)) | None => {
            return Err(EngineError::not_found("readable definition", id));
        }
    };
    let earlier = match found.earlier.get(&row.id) {
        Some(Ok(earlier)) => earlier.clone(),
        Some(Err(error)) => return Err(EngineError::Unreadable(error.reason())),
        None => BTreeMap::new(),
    };
    let needs = needs_of(engine, row, &compiled)?;
    Ok(needs
        .map(|needs| Looked {
            row: row.clone(),
            compiled,
            earlier,
            needs,
        })
        .map_err(Readiness::Refused))
}
