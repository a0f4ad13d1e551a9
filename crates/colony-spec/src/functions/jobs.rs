//! Asking for and submitting jobs (`job-definitions` 5.9).

use std::sync::Arc;

use colony_template::{Functions, Rest};
use serde_json::Value;

use crate::data::value_text;
use crate::host::{Session, Submission};

const STATES: [&str; 9] = [
    "PENDING",
    "READY",
    "STARTED",
    "EXECUTING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "PAUSED",
    "MANUAL_APPROVAL_REQUIRED",
];

pub(super) fn add(functions: &mut Functions, session: &Arc<Session>) {
    let shared = Arc::clone(session);
    functions.add(
        "CountByJobTypeAndState",
        move |job_type: String, states: Rest<String>| {
            let count = count(&shared, &job_type, &states.0);
            i64::try_from(count).unwrap_or(i64::MAX)
        },
    );
    let shared = Arc::clone(session);
    functions.add(
        "SubmitJob",
        move |job_type: String, description: String, extra: Rest<String>| {
            let call = call_text("SubmitJob", &[&job_type, &description], &extra.0);
            enabled(&shared, &call, || {
                let submission = submission(&job_type, description.clone(), pairs(&extra.0));
                shared.host.submit(&submission).unwrap_or_default()
            })
        },
    );
    let shared = Arc::clone(session);
    functions.add(
        "SubmitJobsFromJSON",
        move |job_type: String, json: String, extra: Rest<String>| {
            let call = call_text("SubmitJobsFromJSON", &[&job_type, &json], &extra.0);
            enabled(&shared, &call, || {
                submit_all(&shared, &job_type, &json, &extra.0)
            })
        },
    );
}

fn enabled(session: &Session, call: &str, make: impl FnOnce() -> String) -> String {
    if !session.host.is_enabled() {
        return String::new();
    }
    session.once(call, make)
}

/// The call as text that is equal only for equal calls.
fn call_text(name: &str, fixed: &[&str], extra: &[String]) -> String {
    let args: Vec<&str> = fixed
        .iter()
        .copied()
        .chain(extra.iter().map(String::as_str))
        .collect();
    format!("{name}{}", Value::from(args))
}

fn count(session: &Session, job_type: &str, states: &[String]) -> u64 {
    let states: Vec<String> = states
        .iter()
        .flat_map(|list| list.split(','))
        .map(|state| state.trim().to_uppercase())
        .filter(|state| !state.is_empty())
        .collect();
    let all_known = states.iter().all(|state| STATES.contains(&state.as_str()));
    if !all_known || !session.host.is_enabled() {
        return 0;
    }
    session.host.count_requests(job_type, &states)
}

/// One request per object of a JSON array; ids joined by newlines.
fn submit_all(session: &Session, job_type: &str, json: &str, extra: &[String]) -> String {
    let Ok(Value::Array(items)) = serde_json::from_str(json) else {
        return String::new();
    };
    let mut ids = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let number = index + 1;
        let mut description = format!("{job_type} item {number}");
        let mut params = Vec::new();
        for (name, value) in item.as_object().into_iter().flatten() {
            match name.as_str() {
                "_description" => description = value_text(value),
                _ => params.push((name.clone(), value_text(value))),
            }
        }
        params.extend(pairs(extra));
        match session
            .host
            .submit(&submission(job_type, description, params))
        {
            Ok(id) => ids.push(id),
            Err(cause) => {
                return format!("ERROR:SubmitJob failed for {job_type} item {number}: {cause}");
            }
        }
    }
    ids.join("\n")
}

/// `K=V` strings; those without `=` or with an empty key are skipped.
fn pairs(extra: &[String]) -> Vec<(String, String)> {
    extra
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Separates the reserved parameters; of equal names the last wins.
fn submission(job_type: &str, description: String, pairs: Vec<(String, String)>) -> Submission {
    let mut submission = Submission {
        job_type: job_type.to_owned(),
        description,
        ..Submission::default()
    };
    for (name, value) in pairs {
        match name.as_str() {
            "_user_key" => submission.user_key = Some(value).filter(|key| !key.is_empty()),
            "_parent_id" => submission.parent_id = Some(value).filter(|id| !id.is_empty()),
            _ => {
                submission.params.retain(|(known, _)| *known != name);
                submission.params.push((name, value));
            }
        }
    }
    submission
}
