//! Nested objects (`job-definitions` 4).

use std::time::Duration;

use crate::decode::fields::Fields;
use crate::model::{
    ApprovalPolicy, Artifacts, Backoff, Cache, ExtractConfig, FanOut, NameValue, RateLimit,
    Resource, SubWorkflow, TimeoutAction, Trigger, TriggerAuth, Webhook,
};

const BACKOFF_MAX_DEFAULT: Duration = Duration::from_secs(10);
const BACKOFF_FACTOR_DEFAULT: f64 = 2.0;

pub(crate) fn webhook(fields: Fields<'_, '_>) -> Webhook {
    Webhook {
        url: fields.text("url"),
        headers: fields.text_map("headers"),
        query: fields.text_map("query"),
    }
}

pub(crate) fn resource(fields: Fields<'_, '_>) -> Resource {
    let extract = fields.object("extract_config", |extract| ExtractConfig {
        properties: extract.texts("properties"),
        context_prefix: extract.text("context_prefix"),
    });
    Resource {
        resource_type: fields.text("resource_type"),
        description: fields.text("description"),
        platform: fields.text("platform"),
        category: fields.text("category"),
        tags: fields.texts("tags"),
        value: fields.integer("value").unwrap_or(1),
        extract_config: extract.unwrap_or_default(),
    }
}

pub(crate) fn backoff(fields: Fields<'_, '_>) -> Backoff {
    let max = fields.duration("max");
    Backoff {
        min: fields.duration("min"),
        max: if max.is_zero() {
            BACKOFF_MAX_DEFAULT
        } else {
            max
        },
        factor: fields
            .number("factor")
            .filter(|factor| *factor > 0.0)
            .unwrap_or(BACKOFF_FACTOR_DEFAULT),
        jitter: fields.flag("jitter"),
    }
}

pub(crate) fn sub_workflow(fields: Fields<'_, '_>) -> SubWorkflow {
    SubWorkflow {
        input_params: fields.objects("input_params", name_value),
        output_variables: fields.objects("output_variables", name_value),
        wait_for_completion: fields.flag("wait_for_completion"),
    }
}

fn name_value(fields: Fields<'_, '_>) -> NameValue {
    NameValue {
        name: fields.text("name"),
        value: fields.text("value"),
    }
}

pub(crate) fn fan_out(fields: Fields<'_, '_>) -> FanOut {
    FanOut {
        source: fields.text("source"),
        item_var: fields.text("item_var"),
        max_parallel: fields.count("max_parallel"),
        fail_fast: fields.flag("fail_fast"),
        fork_job_type: fields.text("fork_job_type"),
        fork_job_version: fields.text("fork_job_version"),
    }
}

pub(crate) fn approval_policy(fields: Fields<'_, '_>) -> ApprovalPolicy {
    ApprovalPolicy {
        min_approvals: fields.integer("min_approvals").unwrap_or(1),
        allowed_roles: fields.comma_list("allowed_roles"),
        allowed_users: fields.comma_list("allowed_users"),
        require_unanimous: fields.flag("require_unanimous"),
        sla_deadline: fields.duration("sla_deadline"),
        timeout_action: timeout_action(&fields),
        escalation_recipients: fields.comma_list("escalation_recipients"),
        escalation_message: fields.text("escalation_message"),
    }
}

fn timeout_action(fields: &Fields<'_, '_>) -> TimeoutAction {
    let known = fields.known("timeout_action");
    let text = known.map(|_| fields.text("timeout_action"));
    match text.as_deref().map(str::trim) {
        None | Some("" | "ESCALATE") => TimeoutAction::Escalate,
        Some("AUTO_APPROVE") => TimeoutAction::AutoApprove,
        Some("AUTO_REJECT") => TimeoutAction::AutoReject,
        Some(other) => {
            let message = format!("approval_policy.timeout_action `{other}` is not supported");
            let help = "write AUTO_APPROVE, AUTO_REJECT or ESCALATE";
            fields.refuse("timeout_action", message, help);
            TimeoutAction::Escalate
        }
    }
}

pub(crate) fn artifacts(fields: Fields<'_, '_>) -> Artifacts {
    Artifacts {
        paths: fields.texts("paths"),
        when: fields.text("when"),
        expires_after: expiry(&fields),
    }
}

pub(crate) fn cache(fields: Fields<'_, '_>) -> Cache {
    let mut key = fields.text("key");
    let mut key_paths = fields.texts("key_paths");
    // Published definitions write `keys`: a list means `key_paths`, a text means `key` (F20).
    match fields.known("keys") {
        Some(keys) if !keys.items().is_empty() && key_paths.is_empty() => {
            key_paths = fields.texts("keys");
        }
        Some(keys) if keys.items().is_empty() && key.is_empty() => key = fields.text("keys"),
        _ => {}
    }
    Cache {
        paths: fields.texts("paths"),
        key,
        key_paths,
        expires_after: expiry(&fields),
    }
}

fn expiry(fields: &Fields<'_, '_>) -> Duration {
    let written = if fields.has("expires_after") {
        "expires_after"
    } else {
        "expire_after"
    };
    fields.duration(written)
}

pub(crate) fn trigger(fields: Fields<'_, '_>) -> Trigger {
    Trigger {
        kind: fields.text("type"),
        name: fields.text("name"),
        path: fields.text("path"),
        auth: fields.object("auth", |auth| TriggerAuth {
            method: auth.text("method"),
            secret_config: auth.text("secret_config"),
            header: auth.text("header"),
        }),
        mode: fields.text("mode"),
        bucket: fields.text("bucket"),
        prefix: fields.text("prefix"),
        suffix: fields.text("suffix"),
        poll_interval: fields.duration("poll_interval"),
        topic: fields.text("topic"),
        group: fields.text("group"),
        shared: fields.flag("shared"),
        params: fields.text_map("params"),
        filter: fields.text("filter"),
        dedup_key: fields.text("dedup_key"),
        rate_limit: fields.object("rate_limit", |limit| RateLimit {
            max: limit.integer("max").unwrap_or_default(),
            window: limit.duration("window"),
        }),
    }
}
