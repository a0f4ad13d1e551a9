//! Whether a request may run: by its parameters, its definition, and the ants that are there.

use colony_core::error_code;
use colony_core::job::JobError;
use colony_core::method::Method;
use colony_core::plan::TaskPlan;
use colony_core::queue_key;
use colony_store::request::RequestRow;

use crate::ant::AntRoom;
use crate::compile::Compiled;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::order::JobData;
use crate::runs::Readiness;
use crate::tags;

/// Looks at a request before it is launched (`job-definitions` 8.2, steps 1 to 3). Templates are
/// rendered here, outside of any transaction.
pub(crate) fn readiness(
    engine: &Engine,
    request: &RequestRow,
    compiled: &Compiled,
    ants: &[AntRoom],
) -> Result<Readiness, EngineError> {
    let definition = &compiled.definition;
    let needs_ant = |task: &&TaskPlan| !matches!(task.method, Method::Manual | Method::Worker);
    let mut tasks = compiled.plan.tasks.iter().filter(needs_ant);
    let mut templates = tasks.clone().any(tags::are_templates);
    templates |= !definition.required_params.is_empty() || !definition.skip_if.is_empty();
    let data = match templates {
        true => Some(JobData::of_request(engine, request, compiled)?),
        false => None,
    };
    if let Some(error) = data.as_ref().and_then(|data| refusal(data, compiled)) {
        return Ok(Readiness::Refused(error));
    }
    let known = |task: &TaskPlan| match &data {
        Some(data) if tags::are_templates(task) => tags::rendered(task, data),
        Some(_) | None => task.clone(),
    };
    let unserved = tasks.find_map(|task| {
        let task = known(task);
        let key = queue_key::ant(task.method, &task.tags);
        let served = ants.iter().any(|ant| ant.serves(&key));
        (!served).then(|| (key, no_ant_for(&task)))
    });
    Ok(match unserved {
        Some((key, reason)) => Readiness::Unserved(key, reason),
        None => Readiness::Ready,
    })
}

/// Why the request must end without running: a required parameter is missing, or it is filtered.
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

fn no_ant_for(task: &TaskPlan) -> String {
    let tags = match task.tags.join(", ") {
        tags if tags.is_empty() => String::new(),
        tags => format!(" with tags {tags}"),
    };
    let (method, name) = (task.method, &task.name);
    format!("no ant offers {method}{tags}, which task {name} needs")
}
