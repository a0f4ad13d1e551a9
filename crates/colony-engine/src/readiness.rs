//! Whether a request may run: by its parameters, its definition, and the ants that are there.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use colony_core::error_code;
use colony_core::job::JobError;
use colony_core::plan::TaskPlan;
use colony_core::queue_key;
use colony_core::schedule::{Ant, Need, Reason};
use colony_store::request::RequestRow;

use crate::ant::AntRoom;
use crate::compile::Compiled;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::order::JobData;
use crate::runs::Readiness;
use crate::tags;

/// As [`try_needs_of`]. A fault in a template engine must not take others down with it.
pub(crate) fn needs_of(
    engine: &Engine,
    request: &RequestRow,
    compiled: &Compiled,
) -> Result<Result<Vec<Need>, JobError>, EngineError> {
    let needs = catch_unwind(AssertUnwindSafe(|| try_needs_of(engine, request, compiled)));
    needs.unwrap_or_else(|_| {
        let message = "an internal error while rendering";
        Ok(Err(JobError::new(error_code::JOB_EXECUTE, message)))
    })
}

/// What a request asks of ants, or why it must end without running: a required parameter is missing, or
/// it is filtered (`job-definitions` 8.2, steps 1 and 3). Templates are rendered here, outside of any
/// transaction.
fn try_needs_of(
    engine: &Engine,
    request: &RequestRow,
    compiled: &Compiled,
) -> Result<Result<Vec<Need>, JobError>, EngineError> {
    let definition = &compiled.definition;
    let tasks = &compiled.plan.tasks;
    let mut templates = tasks.iter().any(tags::are_templates);
    templates |= !definition.required_params.is_empty() || !definition.skip_if.is_empty();
    let data = match templates {
        true => Some(JobData::of_request(engine, request, compiled)?),
        false => None,
    };
    if let Some(error) = data.as_ref().and_then(|data| refusal(data, compiled)) {
        return Ok(Err(error));
    }
    let need = |task: &TaskPlan| Need {
        task: task.name.clone(),
        method: task.method,
        tags: match &data {
            Some(data) if tags::are_templates(task) => words(&tags::rendered(task, data).tags),
            Some(_) | None => words(&task.tags),
        },
    };
    Ok(Ok(tasks.iter().map(need).collect()))
}

/// Tags as a key of the queue says them.
fn words(tags: &[String]) -> Vec<String> {
    let words = tags.iter().flat_map(|tag| tag.split(','));
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// Whether a request may run as soon as there is a slot.
pub(crate) fn readiness(
    engine: &Engine,
    request: &RequestRow,
    compiled: &Compiled,
) -> Result<Readiness, EngineError> {
    let needs = match needs_of(engine, request, compiled)? {
        Ok(needs) => needs,
        Err(error) => return Ok(Readiness::Refused(error)),
    };
    let ants = ants(&engine.ants.rooms());
    let unmet = needs.into_iter().find(|need| !need.is_met(&ants));
    Ok(unmet.map_or(Readiness::Ready, unserved))
}

/// No ant can do a task of it.
pub(crate) fn unserved(need: Need) -> Readiness {
    let key = queue_key::ant(need.method, &need.tags);
    Readiness::Unserved(key, Reason::NoAnt(need).to_string())
}

/// The ants that are there, as scheduling sees them.
pub(crate) fn ants(rooms: &[AntRoom]) -> Vec<Ant> {
    let ant = |room: &AntRoom| Ant {
        methods: room.methods.iter().copied().collect(),
        tags: (room.tags.iter())
            .map(|tag| tag.to_ascii_lowercase())
            .collect::<BTreeSet<_>>(),
    };
    rooms.iter().map(ant).collect()
}

fn refusal(data: &JobData, compiled: &Compiled) -> Option<JobError> {
    let missing = data.missing_params(compiled);
    if !missing.is_empty() {
        let message = format!(
            "required parameter(s) not configured: {} — set them via org configs or job parameters",
            missing.join(", ")
        );
        return Some(JobError::new(error_code::VALIDATION, message));
    }
    data.filtered_by(compiled).map(|expression| {
        let message = format!("job filtered due to {expression}");
        JobError::new(error_code::FILTERED_JOB, message)
    })
}
