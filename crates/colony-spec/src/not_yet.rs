//! What definitions may say and nothing carries out yet: one table, from which `check`, `apply` and
//! the API warn and from which a fan-out is refused. A feature that is built leaves the table, and
//! with that its warnings.

use colony_core::method::Method;

/// Methods that some ant or worker does.
pub const METHODS: [Method; 2] = [Method::Shell, Method::Worker];

/// A member that is accepted and has no effect yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotYet {
    /// Where it stands in a job or a task, parts joined by `/`.
    pub member: &'static str,
    /// What is so without it.
    pub meanwhile: &'static str,
}

const fn entry(member: &'static str, meanwhile: &'static str) -> NotYet {
    NotYet { member, meanwhile }
}

const KEPT: &str = "requests are kept for ever";
const NO_CONTAINER: &str = "there are no containers";
const NO_CHILD: &str = "no job is started";
const NO_RESOURCE: &str = "nothing is waited for or held";

/// Members of a job (`job-definitions` 2).
pub const OF_JOBS: &[NotYet] = &[
    entry("cron_trigger", "the job starts only when it is submitted"),
    entry("notify", "nobody is told"),
    entry("public_plugin", "other organizations do not see the job"),
    entry("resources", NO_RESOURCE),
    entry("retention_days_for_cancelled", KEPT),
    entry("retention_days_for_completed", KEPT),
    entry("retention_days_for_failed", KEPT),
    entry("triggers", "the job starts only when it is submitted"),
    entry("webhook", "no event is sent"),
];

/// Members of a task (`job-definitions` 3).
pub const OF_TASKS: &[NotYet] = &[
    entry("affinity", NO_CONTAINER),
    entry("approval_policy", "nobody can approve"),
    entry("artifact_ids", "no artifact is fetched by its id"),
    entry("artifact_key_prefix", "keys of artifacts are generated"),
    entry("artifacts/expire_after", "artifacts are kept for ever"),
    entry("artifacts/expires_after", "artifacts are kept for ever"),
    entry("artifacts_dir", NO_CONTAINER),
    entry("await_forked_tasks", NO_CHILD),
    entry("cache", "nothing is kept between runs"),
    entry("cache_dir", NO_CONTAINER),
    entry("container", NO_CONTAINER),
    entry("cost_factor", "costs are not counted"),
    entry("debug", "the log is as always"),
    entry("dependent_artifact_ids", "no artifact is fetched by its id"),
    entry("fan_out", "the task fails when it is its turn"),
    entry("fork_job_type", NO_CHILD),
    entry("fork_job_version", NO_CHILD),
    entry("headers", "no HTTP call is made"),
    entry("helper", NO_CONTAINER),
    entry("helper_environment", NO_CONTAINER),
    entry("host_network", NO_CONTAINER),
    entry("job_version", NO_CHILD),
    entry("messaging_reply_queue", "no message is sent"),
    entry("messaging_request_queue", "no message is sent"),
    entry("network_mode", NO_CONTAINER),
    entry("node_selector", NO_CONTAINER),
    entry("node_tolerations", NO_CONTAINER),
    entry("pod_annotations", NO_CONTAINER),
    entry("pod_labels", NO_CONTAINER),
    entry("privileged", NO_CONTAINER),
    entry("query", "no HTTP call is made"),
    entry("resources", NO_RESOURCE),
    entry("services", NO_CONTAINER),
    entry("sub_workflow", NO_CHILD),
    entry("webhook", "no event is sent"),
];

/// Targets of `on_completed`, `on_failed` and `on_exit_code` (`job-definitions` 6.4).
pub const TARGETS: &[NotYet] = &[entry(
    "WAIT_FOR_APPROVAL",
    "nobody can approve, and the job waits until it is restarted or cancelled",
)];

/// Functions of templates (`job-definitions` 5.6).
pub const FUNCTIONS: &[NotYet] = &[
    entry("CountByJobTypeAndState", "it gives 0"),
    entry("SubmitJob", "it submits nothing and gives an empty text"),
    entry(
        "SubmitJobsFromJSON",
        "it submits nothing and gives an empty text",
    ),
];

impl NotYet {
    /// The warning about it.
    pub(crate) fn warning(self) -> String {
        format!(
            "`{}` is not carried out yet: {}",
            self.member.replace('/', "."),
            self.meanwhile
        )
    }
}

/// Why a task with a fan-out is not run: it must run once for each element, not once.
pub fn fan_out_refusal(task: &crate::Task) -> Option<String> {
    task.fan_out.as_ref().map(|_| {
        format!(
            "task `{}` has a fan_out, which is not carried out yet; remove it, or make one task \
             for each element",
            task.task_type
        )
    })
}
