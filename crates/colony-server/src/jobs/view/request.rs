//! Requests (`formicary-api` 6.4).

use colony_api::jobs::{JobExecution, JobRequest, Nanos, Time};
use colony_store::request::RequestRow;

use super::{id_text, organization};

pub(in crate::jobs) fn request(row: &RequestRow, execution: Option<JobExecution>) -> JobRequest {
    JobRequest {
        id: row.id.to_string(),
        parent_id: id_text(row.parent_id),
        // Without one, or once it is free again, any unique text will do.
        user_key: row.user_key.clone().unwrap_or_else(|| row.id.to_string()),
        job_definition_id: row.definition_id.to_string(),
        job_execution_id: id_text(row.run_id),
        last_job_execution_id: id_text(row.last_run_id),
        organization_id: organization(&row.org_id, &row.user_id),
        user_id: row.user_id.clone(),
        permissions: 0,
        description: row.description.clone(),
        platform: row.platform.clone(),
        job_type: row.job_type.clone(),
        job_version: row.job_version.clone(),
        job_state: row.job_state,
        job_group: row.job_group.clone(),
        job_priority: row.job_priority,
        timeout: Nanos::from_millis(row.timeout_ms),
        schedule_attempts: row.schedule_attempts,
        retried: row.retried,
        paused_count: row.paused_count,
        cron_triggered: row.cron_triggered,
        quick_search: row.quick_search.clone(),
        error_code: row.error_code.clone(),
        error_message: row.error_message.clone(),
        current_task: row.current_task.clone(),
        scheduled_at: Time(row.scheduled_at),
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
        hard_restart: row.hard_restart,
        cascade_cancel: row.cascade_cancel,
        execution,
        // Stored from an object.
        params: serde_json::from_str(&row.params).unwrap_or_default(),
    }
}
