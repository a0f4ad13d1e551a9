//! Definitions (`formicary-api` 6.1).

use colony_api::jobs::{JobDefinition, Nanos, Time};
use colony_engine::Compiled;

use super::{organization, parts, task};

pub(in crate::jobs) fn definition(compiled: &Compiled) -> JobDefinition {
    let (row, text) = (&compiled.row, &compiled.definition);
    let notify = text.notify.iter();
    JobDefinition {
        id: row.id.to_string(),
        job_type: row.job_type.clone(),
        sem_version: row.sem_version.clone(),
        url: row.url.clone(),
        user_id: row.user_id.clone(),
        organization_id: organization(&row.org_id, &row.user_id),
        description: row.description.clone(),
        platform: row.platform.clone(),
        cron_trigger: row.cron_trigger.clone(),
        timeout: Nanos::from(text.timeout),
        pause_time: Nanos::from(text.pause_time),
        retry: text.retry,
        hard_reset_after_retries: text.hard_reset_after_retries,
        delay_between_retries: Nanos::from(text.delay_between_retries),
        retry_backoff_policy: text.retry_backoff_policy.as_ref().map(parts::backoff),
        max_concurrency: row.max_concurrency,
        retention_days_for_failed: text.retention_days_for_failed.unwrap_or(0),
        retention_days_for_completed: text.retention_days_for_completed.unwrap_or(0),
        retention_days_for_cancelled: text.retention_days_for_cancelled.unwrap_or(0),
        disabled: row.disabled,
        public_plugin: row.public_plugin,
        required_params: text.required_params.clone(),
        tags: row.tags.clone(),
        methods: row.methods.clone(),
        tasks: (text.tasks.iter().enumerate())
            .map(|(order, task)| task::task(row, order, task))
            .collect(),
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
        job_variables: parts::variables(&text.job_variables),
        notify: (!text.notify.is_empty()).then(|| {
            notify
                .map(|(channel, notify)| (channel.clone(), parts::notify(notify)))
                .collect()
        }),
        resources: parts::resource(text.resources.as_ref()),
        triggers: text.triggers.iter().map(parts::trigger).collect(),
        warnings: Vec::new(),
    }
}
