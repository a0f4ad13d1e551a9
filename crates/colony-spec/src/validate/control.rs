//! Control characters: names, paths and commands reach environments, file systems, logs and
//! tables, which take such a character for something else or not at all.

use colony_core::text::{code_point, control_in_name, control_in_text};

use crate::model::{Definition, Task, is_template};
use crate::validate::Check;

/// What a text may hold.
#[derive(Clone, Copy)]
enum Kind {
    /// No control character.
    Name,
    /// Line breaks and tabs.
    Text,
    /// Anything but NUL.
    Command,
}

impl Kind {
    fn fault(self, text: &str) -> Option<char> {
        match self {
            // Templates may be written on several lines; what they give is looked at then.
            Self::Name if is_template(text) => control_in_text(text),
            Self::Name => control_in_name(text),
            Self::Text => control_in_text(text),
            Self::Command => text.chars().find(|letter| *letter == '\0'),
        }
    }
}

pub(super) const HELP: &str = "remove it: names, paths and descriptions hold no control characters";

/// A control character at a path within a job or task.
pub(super) struct Control {
    pub(super) path: String,
    pub(super) message: String,
}

/// Looks at texts, and keeps what is wrong with them.
#[derive(Default)]
struct Look {
    found: Vec<Control>,
}

impl Look {
    fn at(&mut self, kind: Kind, path: &str, text: &str) {
        if let Some(letter) = kind.fault(text) {
            let field = path.split('/').next().unwrap_or(path);
            self.found.push(Control {
                path: path.to_owned(),
                message: format!("{field} holds the control character {}", code_point(letter)),
            });
        }
    }

    fn each<'t>(&mut self, kind: Kind, path: &str, texts: impl IntoIterator<Item = &'t String>) {
        for (index, text) in texts.into_iter().enumerate() {
            self.at(kind, &format!("{path}/{index}"), text);
        }
    }

    fn keys<'t>(&mut self, path: &str, names: impl IntoIterator<Item = &'t str>) {
        for name in names {
            if Kind::Name.fault(name).is_some() {
                self.at(Kind::Name, path, name);
            }
        }
    }
}

fn in_job(job: &Definition) -> Vec<Control> {
    let mut look = Look::default();
    for (path, text) in [
        ("job_type", &job.job_type),
        ("sem_version", &job.sem_version),
        ("url", &job.url),
        ("platform", &job.platform),
        ("cron_trigger", &job.cron_trigger),
    ] {
        look.at(Kind::Name, path, text);
    }
    look.at(Kind::Text, "description", &job.description);
    look.at(Kind::Command, "skip_if", &job.skip_if);
    look.each(Kind::Name, "required_params", &job.required_params);
    let names = job.job_variables.iter().map(|(name, _)| name);
    look.keys("job_variables", names);
    look.found
}

/// Control characters in the texts of a task, as written or as rendered.
pub(super) fn in_task(task: &Task) -> Vec<Control> {
    let mut look = Look::default();
    for (path, text) in [
        ("task_type", &task.task_type),
        ("worker_type", &task.worker_type),
        ("working_dir", &task.working_dir),
        ("artifacts_dir", &task.artifacts_dir),
        ("cache_dir", &task.cache_dir),
        ("artifact_key_prefix", &task.artifact_key_prefix),
        ("host_network", &task.host_network),
        ("network_mode", &task.network_mode),
        ("fork_job_type", &task.fork_job_type),
        ("job_version", &task.fork_job_version),
        ("messaging_request_queue", &task.messaging_request_queue),
        ("messaging_reply_queue", &task.messaging_reply_queue),
    ] {
        look.at(Kind::Name, path, text);
    }
    look.at(Kind::Text, "description", &task.description);
    look.at(Kind::Command, "except", &task.except);
    for (path, texts) in [
        ("tags", &task.tags),
        ("dependencies", &task.dependencies),
        ("await_forked_tasks", &task.await_forked_tasks),
        ("artifact_ids", &task.artifact_ids),
    ] {
        look.each(Kind::Name, path, texts);
    }
    let artifacts = task.artifacts.iter();
    artifacts.for_each(|artifacts| look.each(Kind::Name, "artifacts/paths", &artifacts.paths));
    let caches = task.cache.iter();
    caches.for_each(|cache| look.each(Kind::Name, "cache/paths", &cache.paths));
    for (path, texts) in [
        ("before_script", &task.before_script),
        ("script", &task.script),
        ("after_script", &task.after_script),
    ] {
        look.each(Kind::Command, path, texts);
    }
    in_maps(task, &mut look);
    look.found
}

fn in_maps(task: &Task, look: &mut Look) {
    look.keys("variables", task.variables.iter().map(|(name, _)| name));
    for (path, map) in [
        ("environment", &task.environment),
        ("helper_environment", &task.helper_environment),
        ("headers", &task.headers),
        ("query", &task.query),
        ("on_exit_code", &task.on_exit_code),
    ] {
        look.keys(path, map.keys().map(String::as_str));
        for (name, value) in map {
            look.at(Kind::Command, &format!("{path}/{name}"), value);
        }
    }
}

impl Check<'_> {
    pub(super) fn control_characters(&mut self) {
        let job = self.definition;
        for found in in_job(job) {
            self.error(&found.path, found.message, HELP);
        }
        for (index, task) in job.tasks.iter().enumerate() {
            for found in in_task(task) {
                let path = format!("tasks/{index}/{}", found.path);
                self.error(&path, found.message, HELP);
            }
        }
    }
}
