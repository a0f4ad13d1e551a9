//! Parts of definitions (`formicary-api` 6.3).

use colony_api::jobs::{
    Backoff, ExtractConfig, NameValue, Nanos, Notify, RateLimit, Resource, SubWorkflow, Trigger,
    TriggerAuth, Webhook,
};
use colony_spec::model;
use serde_json::{Map, Value};

pub(super) fn backoff(backoff: &model::Backoff) -> Backoff {
    Backoff {
        min: Nanos::from(backoff.min),
        max: Nanos::from(backoff.max),
        factor: backoff.factor,
        jitter: backoff.jitter,
    }
}

pub(super) fn notify(notify: &model::Notify) -> Notify {
    Notify {
        recipients: notify.recipients.clone(),
        when: notify.when.clone(),
    }
}

pub(super) fn variables(variables: &model::Variables) -> Map<String, Value> {
    let owned = variables
        .iter()
        .map(|(name, value)| (name.to_owned(), value.clone()));
    owned.collect()
}

/// Always an object; an empty one when none is needed.
pub(super) fn resource(resource: Option<&model::Resource>) -> Resource {
    let Some(resource) = resource else {
        return Resource::default();
    };
    Resource {
        resource_type: resource.resource_type.clone(),
        description: resource.description.clone(),
        platform: resource.platform.clone(),
        category: resource.category.clone(),
        tags: resource.tags.clone(),
        value: resource.value,
        extract_config: ExtractConfig {
            properties: resource.extract_config.properties.clone(),
            context_prefix: resource.extract_config.context_prefix.clone(),
        },
    }
}

pub(super) fn webhook(webhook: &model::Webhook) -> Webhook {
    Webhook {
        url: webhook.url.clone(),
        headers: webhook.headers.clone(),
        query: webhook.query.clone(),
    }
}

pub(super) fn sub_workflow(sub_workflow: &model::SubWorkflow) -> SubWorkflow {
    SubWorkflow {
        input_params: sub_workflow.input_params.iter().map(name_value).collect(),
        output_variables: sub_workflow
            .output_variables
            .iter()
            .map(name_value)
            .collect(),
        wait_for_completion: sub_workflow.wait_for_completion,
    }
}

fn name_value(pair: &model::NameValue) -> NameValue {
    NameValue {
        name: pair.name.clone(),
        value: pair.value.clone(),
    }
}

pub(super) fn trigger(trigger: &model::Trigger) -> Trigger {
    Trigger {
        kind: trigger.kind.clone(),
        name: trigger.name.clone(),
        path: trigger.path.clone(),
        auth: trigger.auth.as_ref().map(|auth| TriggerAuth {
            method: auth.method.clone(),
            secret_config: auth.secret_config.clone(),
            header: auth.header.clone(),
        }),
        mode: trigger.mode.clone(),
        bucket: trigger.bucket.clone(),
        prefix: trigger.prefix.clone(),
        suffix: trigger.suffix.clone(),
        poll_interval: Nanos::from(trigger.poll_interval),
        topic: trigger.topic.clone(),
        group: trigger.group.clone(),
        shared: trigger.shared,
        params: trigger.params.clone(),
        filter: trigger.filter.clone(),
        dedup_key: trigger.dedup_key.clone(),
        rate_limit: trigger.rate_limit.as_ref().map(|limit| RateLimit {
            max: limit.max,
            window: Nanos::from(limit.window),
        }),
    }
}
