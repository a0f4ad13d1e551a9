//! A task of a job definition.

use std::collections::BTreeMap;
use std::time::Duration;

use colony_core::method::Method;
use serde::Serialize;
use serde_json::Value;

use crate::duration::as_nanos;
use crate::model::{
    ApprovalPolicy, Artifacts, Backoff, Cache, FanOut, Resource, SubWorkflow, Variables, Webhook,
};

/// A task (`job-definitions` 3): control flow, work and executor options side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Task {
    /// Name, unique in the job.
    pub task_type: String,
    /// Which executor does it.
    pub method: Method,
    /// Free text.
    pub description: String,
    /// Successor after COMPLETED.
    pub on_completed: String,
    /// Successor after FAILED.
    pub on_failed: String,
    /// Targets by exit code or state, keys upper-cased; holds `on_completed` and `on_failed` too.
    pub on_exit_code: BTreeMap<String, String>,
    /// Whether a final failure neither stops nor fails the job.
    pub allow_failure: bool,
    /// Whether it runs even after the job failed.
    pub always_run: bool,
    /// Whether a restart runs it again although it completed.
    pub allow_start_if_completed: bool,
    /// Template that skips the task when it renders to `true`.
    pub except: String,
    /// Extra attempts.
    pub retry: u32,
    /// Delay between attempts.
    #[serde(serialize_with = "as_nanos")]
    pub delay_between_retries: Duration,
    /// Growing delay between attempts.
    pub retry_backoff_policy: Option<Backoff>,
    /// Time limit.
    #[serde(serialize_with = "as_nanos")]
    pub timeout: Duration,
    /// What an ant must offer; lower-cased.
    pub tags: Vec<String>,
    /// Resource held while the task runs.
    pub resources: Option<Resource>,
    /// Where lifecycle events of the task go.
    pub webhook: Option<Webhook>,
    /// Who must approve a `MANUAL` task.
    pub approval_policy: Option<ApprovalPolicy>,
    /// One child per element of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fan_out: Option<FanOut>,

    /// Commands, or URLs for HTTP methods.
    pub script: Vec<String>,
    /// Commands before `script`.
    pub before_script: Vec<String>,
    /// Commands after `script`, in any case.
    pub after_script: Vec<String>,
    /// The single script item when `script` is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Variables of the task.
    pub variables: Variables,
    /// Environment of the commands.
    pub environment: BTreeMap<String, String>,
    /// Environment of the helper container.
    pub helper_environment: BTreeMap<String, String>,
    /// HTTP headers.
    pub headers: BTreeMap<String, String>,
    /// HTTP query parameters.
    pub query: BTreeMap<String, String>,
    /// Directory in which commands run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Whether stdout is collected for notifications.
    pub report_stdout: bool,
    /// Accepted and ignored.
    pub execute_command_without_shell: bool,
    /// Verbose executor log.
    pub debug: bool,

    /// Files to upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Artifacts>,
    /// Tasks whose artifacts are downloaded first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Artifacts that are downloaded first; also written `dependent_artifact_ids`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifact_ids: Vec<String>,
    /// Staging directory of artifacts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifacts_dir: String,
    /// Staging directory of the cache.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cache_dir: String,
    /// Replaces the generated part of the artifact key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_key_prefix: String,
    /// Directories kept between runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,

    /// `true` or `false` as text; empty when not written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_network: String,
    /// Docker network mode.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network_mode: String,
    /// Whether containers run privileged.
    pub privileged: bool,
    /// Overrides the computed cost factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_factor: Option<f64>,
    /// Container placement (3.4) as written: `name`, `container`, `helper`, `services`, `affinity`,
    /// `node_selector`, `node_tolerations`, `pod_labels`, `pod_annotations`.
    #[serde(flatten)]
    pub placement: BTreeMap<String, Value>,

    /// Job that `FORK_JOB` starts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fork_job_type: String,
    /// Version of that job; also written `job_version`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fork_job_version: String,
    /// Fork tasks that `AWAIT_FORKED_JOB` waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub await_forked_tasks: Vec<String>,
    /// Data to and from the child.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_workflow: Option<SubWorkflow>,
    /// Queue of `MESSAGING` requests.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub messaging_request_queue: String,
    /// Queue of `MESSAGING` replies.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub messaging_reply_queue: String,
    /// Task type under which a `WORKER` task waits for a claim; the `task_type` when empty (ours).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub worker_type: String,
}

impl Task {
    /// The map of successors with which the next task is chosen (`job-definitions` 6.5, input):
    /// `on_exit_code` with both states, and FAILED like COMPLETED when failure is allowed.
    pub fn routes(&self) -> BTreeMap<String, String> {
        let mut routes = self.on_exit_code.clone();
        if self.allow_failure
            && !routes.contains_key("FAILED")
            && let Some(next) = routes.get("COMPLETED").cloned()
        {
            routes.insert("FAILED".to_owned(), next);
        }
        routes
    }

    /// Every target that this task names, reserved words included.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        self.on_exit_code.values().map(String::as_str)
    }

    /// The commands to run: `script`, or else the `url`.
    pub fn commands(&self) -> Vec<String> {
        if self.script.is_empty() && !self.url.is_empty() {
            return vec![self.url.clone()];
        }
        self.script.clone()
    }

    /// The container members of the task as written, or JSON null.
    pub fn container(&self) -> &Value {
        self.placement.get("container").unwrap_or(&Value::Null)
    }
}
