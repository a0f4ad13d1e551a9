//! `colony runs`: runs of the Runs API.

mod events;

use colony_api::runs::{ChangeRun, NewRun, ReportItem, ReportRequest, Task};
use colony_core::state::{RunStatus, TaskStatus};
use serde::Serialize;

use super::{Common, block_on, json};
use crate::cli::{
    PageArgs, RunsCancelArgs, RunsClientArgs, RunsCommand, RunsCreateArgs, RunsGetArgs,
    RunsListArgs, RunsUpdateArgs,
};
use crate::client::{Ledger, show};
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::settings::Profile;

/// Tasks that are looked for at a time.
const PAGE: &str = "100";

pub(super) fn runs(command: &RunsCommand, common: &Common) -> Result<Exit, Problem> {
    match command {
        RunsCommand::List(args) => list(args, common),
        RunsCommand::Get(args) => get(args, common),
        RunsCommand::Create(args) => create(args, common),
        RunsCommand::Update(args) => update(args, common),
        RunsCommand::Cancel(args) => cancel(args, common),
        RunsCommand::Events(args) => events::events(args, common),
    }
}

pub(super) fn find(args: &RunsClientArgs, common: &Common) -> Result<Ledger, Problem> {
    let settings = common.settings(args.flags(), Profile::Queen)?;
    Ledger::find(&settings, args)
}

/// The parameters of every list.
pub(super) fn page_query(
    page: &PageArgs,
    limit: u32,
    sort_by: &str,
) -> Vec<(&'static str, String)> {
    vec![
        ("limit", limit.to_string()),
        ("offset", page.offset.to_string()),
        ("sortBy", sort_by.to_owned()),
        ("sortOrder", page.order.as_str().to_owned()),
    ]
}

/// Parameters as the client takes them.
pub(super) fn pairs<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    query
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect()
}

/// Shows a page of a list.
pub(super) fn show_list<T: Serialize>(
    rows: &[T],
    total: u64,
    page: &PageArgs,
    as_text: impl Fn(&[T]) -> String,
) -> Result<Exit, Problem> {
    if page.json {
        output::exact(&super::to_json(&rows)?);
        return Ok(Exit::Completed);
    }
    output::data(&as_text(rows));
    let end = page.offset + rows.len() as u64;
    if end < total {
        output::talk(&format!(
            "{} of {total}; --limit and --offset {end} show more",
            rows.len()
        ));
    }
    Ok(Exit::Completed)
}

/// Shows what was made or changed: its id, or everything.
pub(super) fn show_id(value: &impl Serialize, id: &str, as_json: bool) -> Result<Exit, Problem> {
    match as_json {
        true => output::exact(&super::to_json(value)?),
        false => output::data(id),
    }
    Ok(Exit::Completed)
}

fn list(args: &RunsListArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.page.client, common)?;
    let mut query = page_query(&args.page, args.limit, args.sort_by.as_str());
    query.extend(args.status.map(|status| ("status", status.to_string())));
    block_on(async {
        let page = ledger.client.list_runs(&pairs(&query)).await;
        let (rows, total) = page.map_err(|error| ledger.problem(error))?.into_rows();
        show_list(&rows, total, &args.page, show::runs)
    })
}

fn get(args: &RunsGetArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.client, common)?;
    block_on(async {
        let run = ledger.client.run(&args.id.to_string()).await;
        let run = run.map_err(|error| ledger.problem(error))?;
        match args.json {
            true => output::exact(&super::to_json(&run)?),
            false => output::data(&show::run(&run)),
        }
        Ok(Exit::Completed)
    })
}

fn create(args: &RunsCreateArgs, common: &Common) -> Result<Exit, Problem> {
    let new = NewRun {
        input_data: json::read("--input", &args.input).or_bad_input()?,
        metadata: json::object("--metadata", args.metadata.as_deref()).or_bad_input()?,
    };
    let ledger = find(&args.client, common)?;
    block_on(async {
        let run = ledger.client.create_run(&new).await;
        let run = run.map_err(|error| ledger.problem(error))?;
        show_id(&run, &run.id, args.json)
    })
}

fn update(args: &RunsUpdateArgs, common: &Common) -> Result<Exit, Problem> {
    let results = &args.results;
    let change = ChangeRun {
        status: args.status,
        output_data: json::optional("--output", results.output.as_deref()).or_bad_input()?,
        error_data: json::optional("--error", results.error.as_deref()).or_bad_input()?,
        metadata: json::object("--metadata", results.metadata.as_deref()).or_bad_input()?,
    };
    super::check_change(change == ChangeRun::default())?;
    let ledger = find(&args.client, common)?;
    block_on(async {
        let run = ledger
            .client
            .change_run(&args.id.to_string(), &change)
            .await;
        let run = run.map_err(|error| ledger.problem(error))?;
        if !args.json {
            output::talk(&format!("run {} is {}", run.id, run.status));
            return Ok(Exit::Completed);
        }
        show_id(&run, &run.id, true)
    })
}

fn cancel(args: &RunsCancelArgs, common: &Common) -> Result<Exit, Problem> {
    let ledger = find(&args.client, common)?;
    let id = args.id.to_string();
    block_on(async {
        let change = ChangeRun {
            status: Some(RunStatus::Cancelled),
            ..ChangeRun::default()
        };
        let run = ledger.client.change_run(&id, &change).await;
        run.map_err(|error| ledger.problem(error))?;
        let tasks = cancel_tasks(&ledger, &id).await?;
        output::talk(&format!(
            "run {id} is cancelled; {tasks} of its tasks had not ended"
        ));
        Ok(Exit::Completed)
    })
}

/// Cancels what has not ended yet; returns how many that were.
async fn cancel_tasks(ledger: &Ledger, run: &str) -> Result<usize, Problem> {
    let mut cancelled = 0;
    for status in TaskStatus::ALL
        .iter()
        .filter(|status| !status.is_terminal())
    {
        loop {
            let query = [("runId", run), ("status", status.as_str()), ("limit", PAGE)];
            let page = ledger.client.list_tasks(&query).await;
            let (tasks, _) = page.map_err(|error| ledger.problem(error))?.into_rows();
            if tasks.is_empty() {
                break;
            }
            let cancel = |task: &Task| ReportItem {
                task_id: task.id.clone(),
                status: Some(TaskStatus::Cancelled),
                ..ReportItem::default()
            };
            let reports = tasks.iter().map(cancel).collect();
            let reported = ledger.client.report(&ReportRequest { reports }).await;
            let results = reported.map_err(|error| ledger.problem(error))?.results;
            if let Some(refused) = results.iter().find_map(|result| result.error.as_ref()) {
                return Err(anyhow::anyhow!("failed to cancel a task: {refused}").into());
            }
            cancelled += tasks.len();
        }
    }
    Ok(cancelled)
}
