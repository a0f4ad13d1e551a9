//! Job-level fields (`job-definitions` 2).

use colony_core::method::Method;

use crate::decode::fields::{Fields, Findings};
use crate::decode::parts;
use crate::decode::task::decode_task;
use crate::model::{Definition, Notify};
use crate::validate::TASKS_MAX;
use crate::yaml::Node;

/// Concurrency of a definition that asks for none or less (`job-definitions` 2).
const MAX_CONCURRENCY_DEFAULT: u32 = 3;

/// Reads a whole definition.
pub(crate) fn decode_definition(
    root: &Node,
    default_method: Method,
    findings: &Findings<'_>,
) -> Definition {
    let job = Fields::of(root, "a job definition", findings);
    // One more than allowed, so that too many are seen; more would only take room.
    let tasks = job.items("tasks").iter().take(TASKS_MAX + 1);
    let tasks = tasks.map(|task| decode_task(task, default_method, findings));
    Definition {
        job_type: job.text("job_type").trim().to_owned(),
        sem_version: job.text("sem_version"),
        url: job.text("url"),
        description: job.text("description"),
        platform: job.text("platform"),
        cron_trigger: job.text("cron_trigger").trim().to_owned(),
        timeout: job.duration("timeout"),
        pause_time: job.duration("pause_time"),
        retry: job.count("retry"),
        hard_reset_after_retries: job.count("hard_reset_after_retries"),
        delay_between_retries: job.duration("delay_between_retries"),
        retry_backoff_policy: job.object("retry_backoff_policy", parts::backoff),
        max_concurrency: job.integer("max_concurrency").map(concurrency),
        retention_days_for_failed: job.integer("retention_days_for_failed"),
        retention_days_for_completed: job.integer("retention_days_for_completed"),
        retention_days_for_cancelled: job.integer("retention_days_for_cancelled"),
        public_plugin: job.flag("public_plugin"),
        required_params: job.texts("required_params"),
        tasks: tasks.collect(),
        job_variables: job.variables("job_variables"),
        notify: notify(&job),
        resources: job.object("resources", parts::resource),
        triggers: job.objects("triggers", parts::trigger),
        webhook: job.object("webhook", parts::webhook),
        skip_if: job.text("skip_if"),
        dynamic_template_tasks: job.flag("dynamic_template_tasks"),
        default_method,
        raw_yaml: String::new(),
    }
}

fn concurrency(written: i64) -> u32 {
    match u32::try_from(written) {
        Ok(0) | Err(_) if written <= 0 => MAX_CONCURRENCY_DEFAULT,
        Ok(number) => number,
        Err(_) => u32::MAX,
    }
}

/// Only the channels that exist; other keys of `notify` are ignored.
fn notify(job: &Fields<'_, '_>) -> std::collections::BTreeMap<String, Notify> {
    let channels = job.object("notify", |channels| {
        ["email", "slack"].map(|name| {
            let channel = channels.object(name, |channel| Notify {
                recipients: channel.texts("recipients"),
                when: channel.text("when"),
            });
            channel.map(|channel| (name.to_owned(), channel))
        })
    });
    channels.into_iter().flatten().flatten().collect()
}
