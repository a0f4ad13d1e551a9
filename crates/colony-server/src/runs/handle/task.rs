//! Tasks (`foreman-api` 7.5 to 7.8).

use std::time::Duration;

use colony_core::id::{AttemptRef, Epoch, RunId, TaskId};
use colony_core::state::TaskStatus;
use colony_engine::ledger::{
    ChangeTask, Command, CreateTasks, LedgerError, Missing, Outcome, TaskChange, TaskSpec,
};

use super::once::perform;
use super::run::{list_query, pagination};
use super::{Answer, Call, ok};
use crate::runs::check::{Fields, Length, NAME};
use crate::runs::refusal::Refusal;
use crate::runs::render::spliced;
use crate::runs::state::RunsState;

/// The longest delay: a year.
const DELAY_MAX_MS: i64 = 365 * 24 * 60 * 60 * 1000;

/// The last priority of the queues that clients know.
const PRIORITY_MAX: i64 = 2_097_152;

/// The longest wait for a task's end.
const WAIT_MAX_MS: i64 = 60_000;

/// The most items in one request.
pub(super) const ITEMS: Length = Length(1, 1000);

/// A task as it was asked for, with its ids as given.
struct Wish {
    spec: Option<TaskSpec>,
    run_id: String,
    parent_id: String,
}

fn wish(fields: &mut Fields) -> Wish {
    let run = fields.required_uuid::<RunId>("runId");
    let parent = fields.uuid::<TaskId>("parentTaskId");
    let kind = fields.required_text("type", NAME);
    let input = fields.json("inputData");
    let metadata = fields.object("metadata");
    let max_retries = fields.integer("maxRetries", 0, 10).unwrap_or(3);
    let priority = fields.integer("priority", 0, PRIORITY_MAX).unwrap_or(0);
    let delay = delay(fields);
    let dedupe_key = fields.text("dedupeKey", NAME);
    let parent_id = parent.as_ref().map(|(_, text)| text.clone());
    let run_text = run.as_ref().map(|(_, text)| text.clone());
    Wish {
        spec: run.map(|(run_id, _)| TaskSpec {
            run_id,
            parent_task_id: parent.map(|(id, _)| id),
            kind,
            input,
            metadata,
            max_retries,
            priority,
            delay,
            dedupe_key,
        }),
        run_id: run_text.unwrap_or_default(),
        parent_id: parent_id.unwrap_or_default(),
    }
}

fn delay(fields: &mut Fields) -> Option<Duration> {
    let millis = fields.integer("delayMs", 0, DELAY_MAX_MS)?;
    Some(Duration::from_millis(millis.unsigned_abs()))
}

/// What is missing, with the id as given.
fn refuse(call: &Call, wishes: &[Wish], error: LedgerError) -> Refusal {
    let missing = match &error {
        LedgerError::Missing { what, item } => Some((*what, *item)),
        _ => None,
    };
    Refusal::of(error, call.view, || {
        let (what, item) = missing.unwrap_or((Missing::Run, 0));
        let wish = wishes.get(item);
        match what {
            Missing::Parent => {
                let id = wish.map_or("", |wish| wish.parent_id.as_str());
                format!("Parent task not found: {id}")
            }
            Missing::Run | Missing::Task | Missing::Data | Missing::Match => {
                let id = wish.map_or("", |wish| wish.run_id.as_str());
                format!("Run not found: {id}")
            }
        }
    })
}

/// POST `/tasks`.
pub(super) async fn create(state: &RunsState, mut call: Call) -> Answer {
    let mut wish = call.look(wish).await?;
    let command = Command::CreateTasks(CreateTasks {
        org_id: call.org_id.clone(),
        tasks: wish.spec.take().into_iter().collect(),
    });
    let view = call.view;
    let render = move |outcome: &Outcome| match outcome {
        Outcome::Tasks(tasks) => {
            let existed = tasks.iter().any(|task| task.existed);
            let row = tasks
                .first()
                .map(|task| spliced(&view.task(task.row.clone())));
            (if existed { 200 } else { 201 }, row.unwrap_or_default())
        }
        other => unreachable!("creating tasks gives tasks, not {other:?}"),
    };
    let wishes = [wish];
    perform(state, &call, command, render, |error| {
        refuse(&call, &wishes, error)
    })
    .await
}

/// POST `/tasks/batch`.
pub(super) async fn create_batch(state: &RunsState, mut call: Call) -> Answer {
    let look = |fields: &mut Fields| fields.required_objects("tasks", ITEMS, wish);
    let mut wishes = call.look(look).await?;
    let command = Command::CreateTasks(CreateTasks {
        org_id: call.org_id.clone(),
        tasks: (wishes.iter_mut())
            .filter_map(|wish| wish.spec.take())
            .collect(),
    });
    let view = call.view;
    let render = move |outcome: &Outcome| match outcome {
        Outcome::Tasks(tasks) => {
            let rows = tasks.iter().map(|task| view.task(task.row.clone()));
            let tasks = rows.collect();
            (201, spliced(&colony_api::runs::BatchCreated { tasks }))
        }
        other => unreachable!("creating tasks gives tasks, not {other:?}"),
    };
    perform(state, &call, command, render, |error| {
        refuse(&call, &wishes, error)
    })
    .await
}

impl Call {
    fn task_id(&self) -> Result<TaskId, Refusal> {
        self.part(0).parse().map_err(|_| self.unknown("Task"))
    }
}

/// GET `/tasks/{id}`.
pub(super) async fn get(state: &RunsState, mut call: Call) -> Answer {
    let wait = call.query.count("waitMs").unwrap_or(0).min(WAIT_MAX_MS);
    call.query.finish()?;
    let (id, ledger) = (call.task_id()?, state.ledger());
    let found = if wait == 0 {
        ledger.task(&call.org_id, id).await
    } else {
        let wait = Duration::from_millis(wait.unsigned_abs());
        tokio::select! {
            () = call.key_ended(state) => return Err(Refusal::BadKey),
            ended = ledger.wait_for_task(&call.org_id, id, wait) => ended,
            () = state.closing.cancelled() => ledger.task(&call.org_id, id).await,
        }
    };
    let row = found.map_err(|error| call.refuse(error, "Task"))?;
    Ok(ok(&call.view.task(row)))
}

/// The members that PATCH and reports share.
pub(super) fn task_change(fields: &mut Fields) -> TaskChange {
    let words: Vec<&str> = TaskStatus::ALL
        .iter()
        .map(|status| status.as_str())
        .collect();
    TaskChange {
        status: fields.word("status", &words),
        output: fields.clearable("outputData"),
        error: fields.clearable("errorData"),
        metadata: fields.object("metadata"),
        queue_job_id: fields.text("queueJobId", Length(0, 255)),
        delay: delay(fields),
    }
}

/// The lease of a token. Text that is none stands for a lease that never was.
pub(super) fn lease_of(token: &str, task_id: TaskId) -> AttemptRef {
    let never = AttemptRef {
        task_id,
        epoch: Epoch(-1),
    };
    let parse = |(id, epoch): (&str, &str)| {
        Some(AttemptRef {
            task_id: id.parse().ok()?,
            epoch: Epoch(epoch.parse().ok()?),
        })
    };
    token.rsplit_once('.').and_then(parse).unwrap_or(never)
}

/// PATCH `/tasks/{id}`.
pub(super) async fn change(state: &RunsState, mut call: Call) -> Answer {
    let look = |fields: &mut Fields| {
        let change = task_change(fields);
        (change, fields.text("leaseToken", Length(0, 255)))
    };
    let (change, in_body) = call.look(look).await?;
    let id = call.task_id()?;
    let in_header = (call.headers.get("x-lease-token"))
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let lease = in_body.or(in_header).map(|token| lease_of(&token, id));
    let item = ChangeTask {
        org_id: call.org_id.clone(),
        id,
        change,
        lease,
    };
    let changed = state.ledger().change_tasks(vec![item]).await;
    let changed = changed.and_then(|mut changed| changed.pop().unwrap_or(Err(LedgerError::Closed)));
    let row = changed.map_err(|error| call.refuse(error, "Task"))?;
    Ok(ok(&call.view.task(row)))
}

/// GET `/tasks`.
pub(super) async fn list(state: &RunsState, mut call: Call) -> Answer {
    let mut list = list_query(&call.org_id, &mut call.query);
    list.run_id = call.query.uuid("runId");
    call.query.finish()?;
    let page = state.ledger().list_tasks(list.clone()).await;
    let page = page.map_err(|error| call.refuse(error, "Task"))?;
    let rows = page
        .rows
        .into_iter()
        .map(|row| call.view.task(row))
        .collect();
    Ok(ok(&call.view.list(rows, pagination(&list, page.total))))
}
