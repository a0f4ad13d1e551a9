//! Restarting requests (`formicary-api` 5.2, 8.4).

use colony_core::id::DefinitionId;
use colony_core::state::JobState;
use colony_core::time::Timestamp;
use colony_store::Tx;
use colony_store::definition::{self, DefinitionRow};
use colony_store::job_run;
use colony_store::request::{self, RequestRow};

use crate::cancel::lock_own_request;
use crate::engine::{Caller, Engine};
use crate::error::EngineError;

impl Engine {
    /// Puts a finished, paused or waiting request back to the queue. Soft: what completed is
    /// reused. Hard: everything runs again, by default with the newest definition.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] for request or version, [`EngineError::Conflict`] while it is
    /// pending or running.
    pub async fn restart(
        &self,
        caller: &Caller,
        id: &str,
        hard: bool,
        version: &str,
    ) -> Result<(), EngineError> {
        let (caller, name, version) = (caller.clone(), id.to_owned(), version.to_owned());
        let now = self.now();
        let key = self
            .store
            .write(move |tx| {
                let request = lock_own_request(tx, &caller, &name)?;
                restart_locked(tx, &request, hard, &version, now)?;
                Ok::<_, EngineError>(request.schedule_key)
            })
            .await?;
        self.nudges.schedule([key]);
        Ok(())
    }
}

pub(crate) fn restart_locked(
    tx: &mut Tx<'_>,
    request: &RequestRow,
    hard: bool,
    version: &str,
    now: Timestamp,
) -> Result<(), EngineError> {
    // What completed has nothing left to repeat but everything.
    let hard = hard || request.job_state == JobState::Completed;
    match request.job_state {
        JobState::Pending | JobState::Ready | JobState::Started | JobState::Executing => {
            let state = request.job_state;
            return Err(EngineError::Conflict(format!(
                "request {} is {state}; only a finished, paused or waiting request can be \
                 restarted",
                request.id
            )));
        }
        JobState::Paused | JobState::ManualApprovalRequired => {
            if let Some(run_id) = request.run_id {
                job_run::abandon_run(tx, run_id, now)?;
            }
        }
        JobState::Completed | JobState::Failed | JobState::Cancelled => {}
    }
    let definition_id = definition_to_run(tx, request, hard, version)?;
    Ok(request::restart_request(
        tx,
        request.id,
        definition_id,
        hard,
        now,
    )?)
}

/// Soft keeps the pinned version, hard takes the newest; `version` overrides both.
fn definition_to_run(
    tx: &mut Tx<'_>,
    request: &RequestRow,
    hard: bool,
    version: &str,
) -> Result<DefinitionId, EngineError> {
    let newest = |tx: &mut Tx<'_>, sem_version: &str| {
        let (org_id, job_type) = (&request.org_id, &request.job_type);
        definition::find_definition_by_type(tx, org_id, job_type, sem_version)
    };
    let found: Option<DefinitionRow> = match version {
        "" if !hard => return Ok(request.definition_id),
        "" => newest(tx, "")?.or(definition::find_definition(tx, request.definition_id)?),
        "latest" => newest(tx, "")?,
        version => match version.parse::<DefinitionId>() {
            Ok(id) => definition::find_definition(tx, id)?
                .filter(|row| row.org_id == request.org_id && row.job_type == request.job_type),
            Err(_) => newest(tx, version)?,
        },
    };
    let row = found.ok_or_else(|| EngineError::not_found("version", version))?;
    Ok(row.id)
}
