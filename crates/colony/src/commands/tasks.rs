//! `colony tasks`: tasks of the Runs API.

mod batch;

use std::time::Duration;

use colony_api::runs::{ChangeTask, NewTask, Task};

use super::runs::{find, page_query, pairs, show_id, show_list};
use super::{Common, block_on, json};
use crate::cli::{TasksCommand, TasksCreateArgs, TasksGetArgs, TasksListArgs, TasksUpdateArgs};
use crate::client::show;
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;

pub(super) fn tasks(command: &TasksCommand, common: &Common) -> Result<Exit, Problem> {
    match command {
        TasksCommand::List(args) => list(args, common),
        TasksCommand::Get(args) => get(args, common),
        TasksCommand::Create(args) => create(args, common),
        TasksCommand::Batch(args) => batch::batch(args, common),
        TasksCommand::Update(args) => update(args, common),
    }
}

fn list(args: &TasksListArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.page.client, common)?;
    let mut query = page_query(&args.page, args.limit, args.sort_by.as_str());
    query.extend(args.run.map(|run| ("runId", run.to_string())));
    query.extend(args.status.map(|status| ("status", status.to_string())));
    block_on(async {
        let page = ledger.client.list_tasks(&pairs(&query)).await;
        let (rows, total) = page.map_err(|error| ledger.problem(error))?.into_rows();
        show_list(&rows, total, &args.page, show::tasks)
    })
}

fn get(args: &TasksGetArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.client, common)?;
    let id = args.id.to_string();
    block_on(async {
        let task = match args.wait {
            true => ledger.end(&id).await?,
            false => {
                let task = ledger.client.task(&id, Duration::ZERO).await;
                task.map_err(|error| ledger.problem(error))?
            }
        };
        show_task(&task, args.json)?;
        Ok(match args.wait {
            true => task.status.into(),
            false => Exit::Completed,
        })
    })
}

fn show_task(task: &Task, as_json: bool) -> Result<(), Problem> {
    match as_json {
        true => output::exact(&super::to_json(task)?),
        false => output::data(&show::task(task)),
    }
    Ok(())
}

fn create(args: &TasksCreateArgs, common: &Common) -> Result<Exit, Problem> {
    let new = NewTask {
        run_id: args.run.to_string(),
        parent_task_id: args.parent.map(|parent| parent.to_string()),
        kind: args.kind.clone(),
        input_data: json::read("--input", &args.input).or_bad_input()?,
        metadata: json::object("--metadata", args.metadata.as_deref()).or_bad_input()?,
        max_retries: args.max_retries,
        priority: args.priority,
        delay_ms: args.delay.map(millis),
        dedupe_key: args.dedupe_key.clone(),
    };
    let ledger = find(&args.client, common)?;
    block_on(async {
        let created = ledger.client.create_task(&new).await;
        let task = created.map_err(|error| ledger.problem(error))?;
        if !args.wait {
            return show_id(&task, &task.id, args.json);
        }
        output::talk(&format!("waiting for task {}", task.id));
        let task = ledger.end(&task.id).await?;
        show_task(&task, args.json)?;
        Ok(task.status.into())
    })
}

fn update(args: &TasksUpdateArgs, common: &Common) -> Result<Exit, Problem> {
    let results = &args.results;
    let change = ChangeTask {
        status: args.status,
        output_data: json::optional("--output", results.output.as_deref()).or_bad_input()?,
        error_data: json::optional("--error", results.error.as_deref()).or_bad_input()?,
        metadata: json::object("--metadata", results.metadata.as_deref()).or_bad_input()?,
        delay_ms: args.delay.map(millis),
        ..ChangeTask::default()
    };
    super::check_change(change == ChangeTask::default())?;
    let ledger = find(&args.client, common)?;
    block_on(async {
        let changed = ledger
            .client
            .change_task(&args.id.to_string(), &change)
            .await;
        let task = changed.map_err(|error| ledger.problem(error))?;
        if args.json {
            return show_id(&task, &task.id, true);
        }
        output::talk(&format!("task {} is {}", task.id, task.status));
        Ok(Exit::Completed)
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
