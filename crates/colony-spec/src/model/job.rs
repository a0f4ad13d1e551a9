//! A job definition.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use colony_core::method::Method;
use serde::Serialize;

use crate::duration::as_nanos;
use crate::model::{Backoff, Resource, Task, Trigger, Variables, Webhook, is_template};

/// A job definition (`job-definitions` 2), as far as its text says it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Definition {
    /// Name, unique per tenant.
    pub job_type: String,
    /// The author's version.
    pub sem_version: String,
    /// Informational address.
    pub url: String,
    /// Free text.
    pub description: String,
    /// Platform given to tasks and used as a scope of error codes.
    pub platform: String,
    /// When it starts by itself.
    pub cron_trigger: String,
    /// Wall-clock limit.
    #[serde(serialize_with = "as_nanos")]
    pub timeout: Duration,
    /// Delay before a paused job is eligible again.
    #[serde(serialize_with = "as_nanos")]
    pub pause_time: Duration,
    /// Extra attempts of the job.
    pub retry: u32,
    /// Every how many retries everything runs again; 0 means never.
    pub hard_reset_after_retries: u32,
    /// Delay between attempts.
    #[serde(serialize_with = "as_nanos")]
    pub delay_between_retries: Duration,
    /// Growing delay between attempts; overrides the fixed one.
    pub retry_backoff_policy: Option<Backoff>,
    /// Requests of this type that may run at once; `None` when the text does not say.
    pub max_concurrency: Option<u32>,
    /// Days that failed requests are kept; `None` means 30, 0 or less means for ever.
    pub retention_days_for_failed: Option<i64>,
    /// Days that completed requests are kept; `None` means 7.
    pub retention_days_for_completed: Option<i64>,
    /// Days that cancelled requests are kept; `None` means 30.
    pub retention_days_for_cancelled: Option<i64>,
    /// Whether other tenants may use it.
    pub public_plugin: bool,
    /// Names that must have a value when a request is scheduled.
    pub required_params: Vec<String>,
    /// The tasks in document order.
    pub tasks: Vec<Task>,
    /// Variables of the job.
    pub job_variables: Variables,
    /// Who is told, by channel.
    pub notify: BTreeMap<String, Notify>,
    /// Resource held while the job runs.
    pub resources: Option<Resource>,
    /// Outside events that make requests.
    pub triggers: Vec<Trigger>,
    /// Where lifecycle events go.
    #[serde(skip)]
    pub webhook: Option<Webhook>,
    /// Template that finishes a request early when it renders to `true`.
    #[serde(skip)]
    pub skip_if: String,
    /// Whether the document is rendered at upload.
    #[serde(skip)]
    pub dynamic_template_tasks: bool,
    /// The method of tasks that name neither a method nor a container.
    #[serde(skip)]
    pub default_method: Method,
    /// The text that is stored and rendered at run time.
    #[serde(skip)]
    pub raw_yaml: String,
}

/// Recipients of a notification channel (`job-definitions` 13.1).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Notify {
    /// Addresses or channel names.
    pub recipients: Vec<String>,
    /// `always`, `onSuccess`, `onFailure`, `never`; empty means always.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub when: String,
}

impl Definition {
    /// The task of this type.
    pub fn task(&self, task_type: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.task_type == task_type)
    }

    /// The first task to run (`job-definitions` 6.2): the first that no other task points to and
    /// that has a successor or is the only one.
    pub fn first_task(&self) -> Option<&Task> {
        let only_one = self.tasks.len() == 1;
        self.unreferenced()
            .find(|task| only_one || self.has_successor(task))
    }

    /// Tasks that no other task points to, in document order.
    pub(crate) fn unreferenced(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|candidate| {
            !self.tasks.iter().any(|task| {
                task.task_type != candidate.task_type
                    && task.targets().any(|target| target == candidate.task_type)
            })
        })
    }

    /// Whether a task leads to another task, or may: a target that is a template is not known yet.
    pub(crate) fn has_successor(&self, task: &Task) -> bool {
        task.targets().any(|target| {
            let known = target != task.task_type && self.task(target).is_some();
            known || is_template(target)
        })
    }

    /// Tags of all tasks, sorted and joined by commas.
    pub fn tags(&self) -> String {
        let tags: BTreeSet<&str> = self
            .tasks
            .iter()
            .flat_map(|task| task.tags.iter().map(String::as_str))
            .collect();
        tags.into_iter().collect::<Vec<_>>().join(",")
    }

    /// Methods of all tasks, sorted and joined by `, `.
    pub fn methods(&self) -> String {
        let methods: BTreeSet<&str> = self.tasks.iter().map(|t| t.method.as_str()).collect();
        methods.into_iter().collect::<Vec<_>>().join(", ")
    }
}
