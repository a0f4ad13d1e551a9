//! Rules about job-level fields.

use std::collections::HashMap;

use crate::cron::has_cron_shape;
use crate::model::is_template;
use crate::validate::{Check, TASKS_MAX};

impl Check<'_> {
    pub(super) fn job_texts(&mut self) {
        let job = self.definition;
        if job.job_type.is_empty() {
            let help = "add a line `job_type: <name>` at the top";
            self.error("job_type", "jobType is not specified", help);
        }
        self.limit("job_type", &job.job_type, 100, "jobType is too big");
        if job.job_type.contains(':') && !is_template(&job.job_type) {
            let help = "`:` separates type and version in requests; use `-` or `.`";
            self.error("job_type", "jobType must not contain `:`", help);
        }
        self.limit("url", &job.url, 200, "URL is too big");
        self.limit(
            "description",
            &job.description,
            4000,
            "description is too big",
        );
        for (index, task) in job.tasks.iter().enumerate() {
            let path = format!("tasks/{index}/description");
            self.limit(&path, &task.description, 4000, "description is too big");
        }
        self.limit("platform", &job.platform, 100, "platform is too big");
        self.limit("tasks", &job.tags(), 1000, "tags size is too big");
    }

    pub(super) fn plugin(&mut self) {
        let job = self.definition;
        if !job.public_plugin {
            return;
        }
        if job.job_type.split('.').count() < 3 && !is_template(&job.job_type) {
            let message = "the plugin jobType must start organization bundle id such as \
                           io.formicary.test-job or com.xyz.test-job";
            self.error(
                "job_type",
                message,
                "a plugin has at least three parts joined by dots",
            );
        }
        if is_template(&job.sem_version) {
            return;
        }
        if let Some(message) = plugin_version_fault(&job.sem_version) {
            let help = "write major.minor[.patch] such as 1.0, 1.2.3, 1.0-dev or 1.2.3-rc1";
            self.error("sem_version", message, help);
        }
    }

    pub(super) fn cron(&mut self) {
        let cron = &self.definition.cron_trigger;
        if cron.is_empty() || is_template(cron) || has_cron_shape(cron) {
            return;
        }
        let message = format!("cron expression `{cron}` is invalid");
        let help = "write 5 fields (minute hour day month weekday), 6 (with year), \
                    7 (seconds first, year last), or a macro such as @daily";
        self.error("cron_trigger", message, help);
    }

    pub(super) fn task_list(&mut self) {
        let job = self.definition;
        let name = &job.job_type;
        if job.tasks.is_empty() {
            let help = "add `tasks:` with at least one item that has a `task_type`";
            self.error(
                "tasks",
                format!("tasks are not specified for `{name}`"),
                help,
            );
        }
        if job.tasks.len() > TASKS_MAX {
            let message = format!("number of tasks cannot exceed {TASKS_MAX} `{name}`");
            let found = self
                .root
                .get("tasks")
                .map_or(0, |tasks| tasks.items().len());
            let help = format!("found {found}; split the job and use FORK_JOB");
            self.error(&format!("tasks/{TASKS_MAX}"), message, help);
            return;
        }
        self.duplicate_tasks();
    }

    fn duplicate_tasks(&mut self) {
        let mut seen = HashMap::new();
        for (index, task) in self.definition.tasks.iter().enumerate() {
            let name = &task.task_type;
            if name.is_empty() || is_template(name) {
                continue;
            }
            let path = format!("tasks/{index}/task_type");
            let line = self.root.place(&path);
            if let Some(first) = seen.insert(name, line) {
                let (line, _) = crate::span::line_and_column(self.source, first.start);
                let help =
                    format!("`{name}` is already on line {line}; give each task its own name");
                self.error(&path, format!("duplicate tasks of type `{name}`"), help);
            }
        }
    }
}

/// What is wrong with the version of a public plugin (`job-definitions` 15.3).
fn plugin_version_fault(version: &str) -> Option<String> {
    let parts: Vec<&str> = version.split('.').collect();
    let [leading @ .., last] = parts.as_slice() else {
        return None;
    };
    let is_numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if leading.is_empty() {
        Some(format!("no major/minor plugin version `{version}`"))
    } else if !leading.iter().all(|part| is_numeric(part)) {
        Some(format!(
            "non-numeric major/minor plugin version `{version}`"
        ))
    } else if !is_numeric(last) && !is_pre_release(last) {
        Some(format!("bad last digit in plugin version `{version}`"))
    } else {
        None
    }
}

/// `<digits>[-](dev|rc)[-][<digits>]`
fn is_pre_release(part: &str) -> bool {
    let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
    let has_digits = rest.len() < part.len();
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let Some(rest) = rest.strip_prefix("dev").or_else(|| rest.strip_prefix("rc")) else {
        return false;
    };
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    has_digits && rest.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugin_versions() {
        for (version, expected) in [
            ("1.0", None),
            ("1.2.3-rc1", None),
            ("1.0-dev", None),
            ("1.0dev", None),
            ("", Some("no major/minor")),
            ("1", Some("no major/minor")),
            ("a.0", Some("non-numeric")),
            ("1.x", Some("bad last digit")),
            ("1.rc1", Some("bad last digit")),
        ] {
            let fault = plugin_version_fault(version);
            let agrees = match expected {
                None => fault.is_none(),
                Some(start) => fault.as_deref().is_some_and(|f| f.starts_with(start)),
            };
            assert!(agrees, "{version}: {fault:?}");
        }
    }
}
