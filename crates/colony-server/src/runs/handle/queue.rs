//! The work queue: claiming, renewing, reporting. An addition to the reference API.

use std::time::Duration;

use colony_api::runs::{Claimed, ClaimedTask, Held, Leases, ReportResult, Reported};
use colony_core::id::TaskId;
use colony_engine::ledger as engine;
use colony_engine::ledger::{ChangeTask, Claim, Command, Heartbeat, LedgerError, Outcome, TaskRow};

use super::once::{perform, respond, stored};
use super::task::{ITEMS, lease_of, task_change};
use super::{Answer, Call};
use crate::runs::check::{Fields, Length, NAME};
use crate::runs::refusal::Refusal;
use crate::runs::render::{View, spliced};
use crate::runs::splice::Raw;
use crate::runs::state::RunsState;

/// Tasks in one claim.
const LIMIT: (i64, i64, i64) = (1, 1000, 1);

/// A token of a lease. A text that is none stands for a lease that never was.
const TOKEN: Length = Length(0, 255);

/// Milliseconds that a claim waits.
const WAIT_MS: (i64, i64, i64) = (0, 60_000, 0);

/// Milliseconds that a lease lasts.
const LEASE_MS: (i64, i64, i64) = (100, 3_600_000, 30_000);

/// A number within its bounds; absurd ones are clamped, and named.
fn clamped(
    fields: &mut Fields,
    name: &str,
    (minimum, maximum, default): (i64, i64, i64),
    clamped: &mut Vec<String>,
) -> i64 {
    let Some(value) = fields.any_integer(name) else {
        return default;
    };
    let used = value.clamp(minimum, maximum);
    if used != value {
        clamped.push(name.to_owned());
    }
    used
}

fn millis(value: i64) -> Duration {
    Duration::from_millis(value.unsigned_abs())
}

/// A claim as it was sent, and what of it was out of bounds.
struct Wanted {
    kinds: Vec<String>,
    worker_id: Option<String>,
    limit: i64,
    wait_ms: i64,
    lease_ms: i64,
    clamped: Vec<String>,
}

fn wanted(fields: &mut Fields) -> Wanted {
    let mut kinds = fields.required_texts("types", Length(1, 100), NAME);
    kinds.sort_unstable();
    kinds.dedup();
    let mut out_of_bounds = Vec::new();
    Wanted {
        kinds,
        worker_id: fields.text("workerId", NAME),
        limit: clamped(fields, "limit", LIMIT, &mut out_of_bounds),
        wait_ms: clamped(fields, "waitMs", WAIT_MS, &mut out_of_bounds),
        lease_ms: clamped(fields, "leaseMs", LEASE_MS, &mut out_of_bounds),
        clamped: out_of_bounds,
    }
}

/// POST `/tasks/claim`.
pub(super) async fn claim(state: &RunsState, mut call: Call) -> Answer {
    let Wanted {
        kinds,
        worker_id,
        limit,
        wait_ms,
        lease_ms,
        clamped,
    } = call.look(wanted).await?;
    let claim = Claim {
        org_id: call.org_id.clone(),
        kinds,
        worker_id: worker_id.unwrap_or_else(|| "worker".to_owned()),
        limit: u32::try_from(limit).unwrap_or(1),
        lease: millis(lease_ms),
        wait: millis(wait_ms),
        key: call.key,
    };
    let view = call.view;
    let render = move |tasks: Vec<engine::ClaimedTask>| {
        let claimed = Claimed {
            tasks: tasks
                .into_iter()
                .map(|task| claimed_task(view, task))
                .collect(),
            limit,
            wait_ms,
            lease_ms,
            clamped: clamped.clone(),
        };
        (200, spliced(&claimed))
    };
    let nothing = render.clone();
    let once = call.once()?;
    let key_ended = async {
        match wait_ms {
            0 => std::future::pending().await,
            _ => call.key_ended(state).await,
        }
    };
    let answered = tokio::select! {
        // An answer that is there is given: its tasks are leased.
        biased;
        answered = async {
            match once {
                Some(once) => {
                    let render = move |tasks| stored(render(tasks));
                    let answered = state.ledger().claim_once(claim, once, render).await;
                    answered.map(respond)
                }
                None => {
                    let claimed = state.ledger().claim(claim).await;
                    claimed.map(|tasks| respond(render(tasks)))
                }
            }
        } => answered,
        () = key_ended => return Err(Refusal::BadKey),
        () = state.closing.cancelled() => Ok(respond(nothing(Vec::new()))),
    };
    answered.map_err(|error| call.refuse(error, "Task"))
}

fn claimed_task(view: View, task: engine::ClaimedTask) -> ClaimedTask<Raw> {
    ClaimedTask {
        lease_token: task.attempt().to_string(),
        lease_expires_at: view.time(task.expires_at),
        task: view.task(task.row),
    }
}

/// POST `/tasks/heartbeat`.
pub(super) async fn heartbeat(state: &RunsState, mut call: Call) -> Answer {
    let look = |fields: &mut Fields| {
        let tokens = fields.required_texts("leaseTokens", Length(0, 1000), TOKEN);
        (
            tokens,
            clamped(fields, "leaseMs", LEASE_MS, &mut Vec::new()),
        )
    };
    let (tokens, lease_ms) = call.look(look).await?;
    // A token that is none stands for a lease that never was.
    let nobody = TaskId::new(Default::default());
    let beat = Heartbeat {
        org_id: call.org_id.clone(),
        leases: tokens.iter().map(|token| lease_of(token, nobody)).collect(),
        lease: millis(lease_ms),
    };
    let view = call.view;
    let render = move |outcome: &Outcome| match outcome {
        Outcome::Leases(leases) => {
            let held = leases.iter().zip(&tokens).map(|(held, token)| Held {
                lease_token: token.clone(),
                renewed: !held.stop,
                lease_expires_at: held.expires_at.map(|time| view.time(time)),
                status: held.status,
                stop: held.stop,
            });
            let leases = held.collect();
            (200, spliced(&Leases { leases }))
        }
        other => unreachable!("a heartbeat gives leases, not {other:?}"),
    };
    let refuse = |error| call.refuse(error, "Task");
    perform(state, &call, Command::Heartbeat(beat), render, refuse).await
}

/// A report, with the id of its task as given.
fn reported(fields: &mut Fields, org_id: &str) -> Option<(ChangeTask, String)> {
    let task = fields.required_uuid::<TaskId>("taskId");
    let change = task_change(fields);
    let token = fields.text("leaseToken", TOKEN);
    let (id, given) = task?;
    let item = ChangeTask {
        org_id: org_id.to_owned(),
        id,
        change,
        lease: token.map(|token| lease_of(&token, id)),
    };
    Some((item, given))
}

/// POST `/tasks/report`.
pub(super) async fn report(state: &RunsState, mut call: Call) -> Answer {
    let org_id = call.org_id.clone();
    let look = move |fields: &mut Fields| {
        fields.required_objects("reports", ITEMS, |fields| reported(fields, &org_id))
    };
    let items = call.look(look).await?;
    let (items, given): (Vec<ChangeTask>, Vec<String>) = items.into_iter().flatten().unzip();
    let render = move |outcome: &Outcome| match outcome {
        Outcome::Reported(results) => {
            let results = results.iter().zip(&given);
            let results = results.map(|(result, id)| report_result(result, id));
            let results = results.collect();
            (200, spliced(&Reported { results }))
        }
        other => unreachable!("a report gives tasks, not {other:?}"),
    };
    let refuse = |error| call.refuse(error, "Task");
    perform(state, &call, Command::Report(items), render, refuse).await
}

fn report_result(result: &Result<TaskRow, LedgerError>, id: &str) -> ReportResult {
    let (status, error) = match result {
        Ok(row) => (Some(row.status), None),
        Err(LedgerError::LeaseLost(row)) => {
            (Some(row.status), Some("Lease is not current".to_owned()))
        }
        Err(LedgerError::OwnedByJob(row)) => (
            Some(row.status),
            Some("Task belongs to a job: only the holder of its lease may change it".to_owned()),
        ),
        Err(LedgerError::Missing { .. }) => (None, Some(format!("Task not found: {id}"))),
        Err(_) => (None, Some("Internal server error".to_owned())),
    };
    ReportResult {
        task_id: id.to_owned(),
        accepted: error.is_none(),
        status,
        error,
    }
}
