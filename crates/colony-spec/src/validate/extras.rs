//! Rules about recipients, triggers and variables, and warnings about names that lead nowhere.

use std::collections::HashSet;

use crate::model::{Trigger, Variables, is_template};
use crate::suggest::nearest;
use crate::validate::Check;
use crate::validate::task::is_known;

const TRIGGERS_MAX: usize = 5;
const VARIABLE_CHARS_MAX: usize = 1_000_000;

impl Check<'_> {
    pub(super) fn recipients(&mut self) {
        let Some(email) = self.definition.notify.get("email") else {
            return;
        };
        for (index, address) in email.recipients.iter().enumerate() {
            let path = format!("notify/email/recipients/{index}");
            if address.trim().is_empty() {
                self.error(
                    &path,
                    "email is not specified",
                    "write an address or remove the item",
                );
            } else if !is_template(address) && !looks_like_email(address.trim()) {
                let help = format!("`{address}` is no address such as name@example.org");
                self.error(&path, "email is not valid", help);
            }
        }
    }

    pub(super) fn triggers(&mut self) {
        let triggers = &self.definition.triggers;
        let mut names = HashSet::new();
        for (index, trigger) in triggers.iter().enumerate() {
            let path = format!("triggers/{index}");
            let name = &trigger.name;
            if name.is_empty() {
                let help = "give each trigger a `name` that is unique in the job";
                self.error(&path, format!("trigger {} has no name", index + 1), help);
            } else if !names.insert(name) {
                let help = "names of triggers must be unique in the job";
                self.error(
                    &format!("{path}/name"),
                    format!("duplicate trigger `{name}`"),
                    help,
                );
            }
            if let Some((member, message, help)) = trigger_fault(trigger) {
                self.error(&format!("{path}/{member}"), message, help);
            }
        }
        if triggers.len() > TRIGGERS_MAX {
            let message = format!("number of triggers cannot exceed {TRIGGERS_MAX}");
            self.error("triggers", message, "remove triggers or split the job");
        }
    }

    pub(super) fn variables(&mut self) {
        let job = self.definition;
        self.variables_of("job_variables", &job.job_variables);
        for (index, task) in job.tasks.iter().enumerate() {
            self.variables_of(&format!("tasks/{index}/variables"), &task.variables);
        }
    }

    fn variables_of(&mut self, path: &str, variables: &Variables) {
        for (name, value) in variables.iter() {
            let path = format!("{path}/{name}");
            let length = match value {
                serde_json::Value::Null => {
                    let message = format!("property for `{name}` cannot be nil");
                    self.error(&path, message, "give it a value; \"\" is the empty text");
                    continue;
                }
                serde_json::Value::String(text) => text.chars().count(),
                other => other.to_string().chars().count(),
            };
            if length > VARIABLE_CHARS_MAX {
                let message = format!("value of `{name}` is too big");
                let help = format!("at most {VARIABLE_CHARS_MAX} characters are allowed");
                self.error(&path, message, help);
            }
        }
    }

    /// Warns of `dependencies` and `await_forked_tasks` that name no task.
    pub(super) fn references(&mut self) {
        let job = self.definition;
        let names: Vec<&str> = job.tasks.iter().map(|t| t.task_type.as_str()).collect();
        if names.iter().any(|name| is_template(name)) {
            return;
        }
        for (index, task) in job.tasks.iter().enumerate() {
            for (field, list) in [
                ("dependencies", &task.dependencies),
                ("await_forked_tasks", &task.await_forked_tasks),
            ] {
                for (item, name) in list.iter().enumerate() {
                    if names.contains(&name.as_str()) || !is_known(name) {
                        continue;
                    }
                    let message = format!(
                        "task `{}` names `{name}` in {field} but it's not defined",
                        task.task_type
                    );
                    let help = match nearest(name, names.iter().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("the task will fail; tasks are {}", names.join(", ")),
                    };
                    self.warn(&format!("tasks/{index}/{field}/{item}"), message, help);
                }
            }
        }
    }
}

/// The member at fault, the rule and what to do.
fn trigger_fault(trigger: &Trigger) -> Option<(&'static str, String, &'static str)> {
    let name = &trigger.name;
    let lacks = |member: &'static str, help| {
        Some((member, format!("trigger `{name}` has no {member}"), help))
    };
    let limit_fault = trigger
        .rate_limit
        .as_ref()
        .is_some_and(|limit| limit.max <= 0 || limit.window.is_zero());
    if limit_fault {
        let message = format!("trigger `{name}` has an invalid rate_limit");
        return Some(("rate_limit", message, "`max` and `window` must be above 0"));
    }
    match trigger.kind.as_str() {
        "webhook" => webhook_fault(trigger),
        "s3" if trigger.bucket.is_empty() => lacks("bucket", "an s3 trigger needs `bucket`"),
        "s3" if !matches!(trigger.mode.as_str(), "" | "poll" | "notification") => {
            let message = format!("trigger `{name}` has unknown mode `{}`", trigger.mode);
            Some(("mode", message, "modes are poll and notification"))
        }
        "s3" if trigger.mode == "notification" && trigger.topic.is_empty() => {
            lacks("topic", "mode notification needs `topic`")
        }
        "queue" if trigger.topic.is_empty() => lacks("topic", "a queue trigger needs `topic`"),
        "s3" | "queue" => None,
        "" => lacks("type", "types are webhook, s3 and queue"),
        kind if is_template(kind) => None,
        kind => {
            let message = format!("trigger `{name}` has unknown type `{kind}`");
            Some(("type", message, "types are webhook, s3 and queue"))
        }
    }
}

fn webhook_fault(trigger: &Trigger) -> Option<(&'static str, String, &'static str)> {
    let auth = trigger.auth.as_ref()?;
    let name = &trigger.name;
    let help = "methods are hmac_sha256, bearer_token and api_key_header";
    match auth.method.as_str() {
        "hmac_sha256" | "bearer_token" | "api_key_header" => {}
        method if is_template(method) => {}
        method => {
            let message = format!("trigger `{name}` has unknown auth method `{method}`");
            return Some(("auth", message, help));
        }
    }
    auth.secret_config.is_empty().then(|| {
        let message = format!("trigger `{name}` has no secret_config");
        ("auth", message, "name the job config that holds the secret")
    })
}

/// One `@`, text before it, and a dotted host after it.
fn looks_like_email(address: &str) -> bool {
    let Some((user, host)) = address.split_once('@') else {
        return false;
    };
    let host_is_fine =
        !host.is_empty() && !host.contains('@') && host.split('.').all(|part| !part.is_empty());
    !user.is_empty() && host_is_fine && !address.contains(char::is_whitespace)
}
