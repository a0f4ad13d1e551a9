//! Requests (`formicary-api` 7.2).

use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use colony_api::jobs::{JobRequest, Page};
use colony_core::state::JobState;
use colony_engine::Caller;
use colony_store::{Compare, Filter, ListQuery};

use crate::jobs::answer::{self, Answer};
use crate::jobs::body;
use crate::jobs::error::Class;
use crate::jobs::query::{Name, Query};
use crate::jobs::submit;
use crate::jobs::view;
use crate::state::ServerState;

/// Longest wait of a long poll.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// Words for several states in filters.
const GROUPS: [(&str, &[JobState]); 3] = [
    ("RUNNING", &[JobState::Executing, JobState::Started]),
    ("WAITING", &WAITING),
    (
        "DONE",
        &[JobState::Completed, JobState::Failed, JobState::Cancelled],
    ),
];

const WAITING: [JobState; 4] = [
    JobState::Pending,
    JobState::Paused,
    JobState::Ready,
    JobState::ManualApprovalRequired,
];

pub(super) async fn submit(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let whole = body::read(&state, request, body::JSON_BYTES_MAX, Class::TooLarge).await?;
    let submit = submit::checked(body::json(&whole.bytes)?)?;
    let row = state.engine.submit(&caller, submit).await?;
    Ok(answer::json(
        StatusCode::CREATED,
        &view::request(&row, None),
    ))
}

pub(super) async fn list(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    query: Query,
) -> Answer {
    let mut list = query.list()?;
    if list.order.is_empty() {
        list.order = default_order(&list);
    }
    list.filters = list.filters.into_iter().map(expand_group).collect();
    let (page, page_size) = (list.page, list.page_size);
    let found = state.engine.list_requests(&caller, list).await?;
    let records: Vec<JobRequest> = found
        .rows
        .iter()
        .map(|row| view::request(row, None))
        .collect();
    answer::ok(&Page::new(records, found.total, page, page_size))
}

/// Waiting requests in the order in which they are picked, others by their last change.
fn default_order(list: &ListQuery) -> Vec<(String, bool)> {
    let waiting = list.filters.iter().any(|filter| {
        filter.field == "job_state"
            && filter.compare == Compare::Equal
            && (filter.value == "WAITING" || WAITING.iter().any(|s| s.as_str() == filter.value))
    });
    let order: &[(&str, bool)] = match waiting {
        true => &[("job_priority", true), ("created_at", false)],
        false => &[("updated_at", true)],
    };
    let owned = order.iter().map(|(name, down)| ((*name).to_owned(), *down));
    owned.collect()
}

/// Groups become lists of their states; other words are compared as they are.
fn expand_group(filter: Filter) -> Filter {
    let group = |word: &str| GROUPS.iter().find(|(name, _)| *name == word);
    let words = |states: &mut dyn Iterator<Item = JobState>| {
        states.map(JobState::as_str).collect::<Vec<_>>().join(",")
    };
    if filter.field != "job_state" {
        return filter;
    }
    let (compare, value) = match (filter.compare, group(&filter.value)) {
        (Compare::Equal, Some((_, states))) => (Compare::OneOf, words(&mut states.iter().copied())),
        (Compare::NotEqual, Some((_, states))) => {
            let others = JobState::ALL.iter().filter(|state| !states.contains(state));
            (Compare::OneOf, words(&mut others.copied()))
        }
        (Compare::OneOf, _) => {
            let parts = filter.value.split(',').map(|word| match group(word) {
                Some((_, states)) => words(&mut states.iter().copied()),
                None => word.to_owned(),
            });
            (Compare::OneOf, parts.collect::<Vec<_>>().join(","))
        }
        (compare, _) => (compare, filter.value),
    };
    Filter {
        compare,
        value,
        ..filter
    }
}

/// With `wait_ms` it answers when the request is finished, or at the end of the wait.
pub(super) async fn view(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
    query: Query,
) -> Answer {
    let wait = query.wait(WAIT_MAX)?;
    if !wait.is_zero() {
        tokio::select! {
            ended = state.engine.wait_ended(&caller, &id, wait) => ended?,
            () = state.closing.cancelled() => {}
        }
    }
    let (row, execution) = state.engine.find_request(&caller, &id).await?;
    let execution = execution.map(|execution| view::execution(&execution, &state));
    answer::ok(&view::request(&row, execution))
}

pub(super) async fn cancel(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
) -> Answer {
    state.engine.cancel(&caller, &id).await?;
    answer::empty()
}

pub(super) async fn restart(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
    query: Query,
) -> Answer {
    let hard = query.get("hard") == Some("true");
    let version = query.get("version").unwrap_or("");
    state.engine.restart(&caller, &id, hard, version).await?;
    answer::empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_filter(compare: Compare, value: &str) -> Filter {
        Filter {
            field: "job_state".to_owned(),
            compare,
            value: value.to_owned(),
        }
    }

    #[test]
    fn groups_of_states_become_lists() {
        use Compare::{Equal, NotEqual, OneOf};
        for (compare, value, expected) in [
            (Equal, "RUNNING", (OneOf, "EXECUTING,STARTED")),
            (Equal, "DONE", (OneOf, "COMPLETED,FAILED,CANCELLED")),
            (Equal, "FAILED", (Equal, "FAILED")),
            (Equal, "running", (Equal, "running")),
            (OneOf, "RUNNING,FAILED", (OneOf, "EXECUTING,STARTED,FAILED")),
            (
                NotEqual,
                "DONE",
                (
                    OneOf,
                    "PENDING,READY,STARTED,EXECUTING,PAUSED,MANUAL_APPROVAL_REQUIRED",
                ),
            ),
        ] {
            let expected = state_filter(expected.0, expected.1);
            assert_eq!(
                expand_group(state_filter(compare, value)),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn waiting_requests_are_listed_as_they_are_picked() {
        for (value, first) in [
            ("WAITING", "job_priority"),
            ("PENDING", "job_priority"),
            ("DONE", "updated_at"),
        ] {
            let list = ListQuery {
                filters: vec![state_filter(Compare::Equal, value)],
                ..ListQuery::default()
            };
            assert_eq!(default_order(&list)[0].0, first, "{value}");
        }
        assert_eq!(default_order(&ListQuery::default())[0].0, "updated_at");
    }
}
