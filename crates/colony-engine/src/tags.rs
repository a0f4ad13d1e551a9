//! Tags that are templates: they are rendered when a task becomes ready, with the parameters and what
//! earlier tasks exported.

use std::borrow::Cow;

use colony_core::plan::TaskPlan;
use colony_spec::Task;
use colony_store::Tx;
use colony_store::context;
use colony_store::job_run::JobRunRow;
use colony_store::request::{self, RequestRow};

use crate::advance::queue_of;
use crate::compile::Compiled;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::order::JobData;

/// Printed by templates for a value that is missing.
const NO_VALUE: &str = "<no value>";

fn is_template(tag: &str) -> bool {
    tag.contains("{{")
}

/// Whether what a task asks of ants depends on the request.
pub(crate) fn are_templates(task: &TaskPlan) -> bool {
    task.tags.iter().any(|tag| is_template(tag))
}

/// The task without the tags that are not known yet.
pub(crate) fn known(task: &TaskPlan) -> Cow<'_, TaskPlan> {
    if !are_templates(task) {
        return Cow::Borrowed(task);
    }
    let mut task = task.clone();
    task.tags.retain(|tag| !is_template(tag));
    Cow::Owned(task)
}

/// The task with the tags of a request. A tag without a value is left out here: its task is refused
/// when it is rendered itself.
fn rendered(task: &TaskPlan, data: &JobData) -> TaskPlan {
    let mut tags = Vec::new();
    for tag in &task.tags {
        match is_template(tag) {
            false => tags.push(tag.clone()),
            true => tags.extend(data.text(tag).iter().flat_map(|text| words(text))),
        }
    }
    tags.sort();
    tags.dedup();
    TaskPlan {
        tags,
        ..task.clone()
    }
}

/// A template may stand for one tag, for none, or for a list.
fn words(text: &str) -> Vec<String> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let words = text
        .split(',')
        .map(|word| word.trim().trim_matches(['"', '\'']));
    words
        .filter(|word| !word.is_empty() && !word.contains(NO_VALUE))
        .map(str::to_lowercase)
        .collect()
}

/// The first task with templates for tags that nobody serves with what is known before the job
/// starts.
pub(crate) fn unserved(
    engine: &Engine,
    request: &RequestRow,
    compiled: &Compiled,
    is_served: impl Fn(&str) -> bool,
) -> Result<Option<TaskPlan>, EngineError> {
    let mut tasks = (compiled.plan.tasks.iter())
        .filter(|task| are_templates(task))
        .peekable();
    if tasks.peek().is_none() {
        return Ok(None);
    }
    let data = JobData::of_request(engine, request, compiled)?;
    let mut tasks = tasks.map(|task| rendered(task, &data));
    Ok(tasks.find(|task| !is_served(&queue_of(task))))
}

/// The queue of a task that is ready in a run.
pub(crate) fn queue_in_run(
    tx: &mut Tx<'_>,
    engine: &Engine,
    run: &JobRunRow,
    task: &TaskPlan,
) -> Result<String, EngineError> {
    if !are_templates(task) {
        return Ok(queue_of(task));
    }
    let request = request::find_request(tx, run.request_id)?
        .ok_or_else(|| EngineError::not_found("request", run.request_id))?;
    let compiled = engine.definitions.load(tx, run.definition_id)?;
    let contexts = context::contexts_of_run(tx, run.run_id)?;
    let data = JobData::of_request(engine, &request, &compiled)?.with_contexts(contexts);
    Ok(queue_of(&rendered(task, &data)))
}

/// Why a rendered task is not run: nobody knows what ant it asks for.
pub(crate) fn refusal(task: &Task) -> Option<String> {
    let tag = task.tags.iter().find(|tag| tag.contains(NO_VALUE))?;
    Some(format!(
        "the tag `{tag}` of task `{}` has no value: give the parameter that its template names, or \
         a default with `or`",
        task.task_type
    ))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_template_stands_for_any_number_of_tags() {
        for (text, expected) in [
            ("GPU", &["gpu"][..]),
            (" ", &[]),
            ("[a, \"B\"]", &["a", "b"]),
            ("<no value>", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }
}
