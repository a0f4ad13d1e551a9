//! Tags that are templates: they are rendered when a task becomes ready, with the parameters and what
//! earlier tasks exported.

use colony_core::plan::TaskPlan;
use colony_spec::Task;

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

/// The task with the tags of a request. A tag without a value is left out here: its task is refused
/// when it is rendered itself.
pub(crate) fn rendered(task: &TaskPlan, data: &JobData) -> TaskPlan {
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
