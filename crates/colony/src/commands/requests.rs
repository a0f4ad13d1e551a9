//! `colony get`, `list`, `logs`, `cancel` and `restart`: looking at requests and steering them.

use colony_api::client::ListRequests;

use super::{Common, block_on, to_json};
use crate::cli::{CancelArgs, GetArgs, ListArgs, LogsArgs, RestartArgs};
use crate::client::{self, Lines, Queen};
use crate::exit::{Exit, Problem};
use crate::output;
use crate::settings::{Flags, Profile};

pub(super) fn get(args: &GetArgs, common: &Common) -> Result<Exit, Problem> {
    let queen = find(args.client.flags(), common)?;
    block_on(async {
        let request = queen.client.job_request(&args.id).await;
        let request = request.map_err(client::problem)?;
        if args.json {
            output::exact(&to_json(&request)?);
        } else {
            output::data(&client::details(&request));
        }
        Ok(Exit::Completed)
    })
}

pub(super) fn list(args: &ListArgs, common: &Common) -> Result<Exit, Problem> {
    let queen = find(args.client.flags(), common)?;
    let query = ListRequests {
        job_type: args.job_type.clone(),
        job_state: args.state.as_ref().map(|state| state.to_uppercase()),
        order: vec!["created_at desc".to_owned()],
        page_size: args.limit,
        ..ListRequests::default()
    };
    block_on(async {
        let page = queen.client.job_requests(&query).await;
        let page = page.map_err(client::problem)?;
        if args.json {
            output::exact(&to_json(&page.records)?);
            return Ok(Exit::Completed);
        }
        output::data(&client::requests(&page.records));
        let shown = u64::try_from(page.records.len()).unwrap_or(u64::MAX);
        if shown < page.total_records {
            let all = page.total_records;
            output::talk(&format!("{shown} of {all}; --limit shows more"));
        }
        Ok(Exit::Completed)
    })
}

pub(super) fn logs(args: &LogsArgs, common: &Common) -> Result<Exit, Problem> {
    let queen = find(args.client.flags(), common)?;
    let lines = Lines {
        task: args.task.is_none(),
        time: args.timestamps,
    };
    block_on(async {
        let task = args.task.as_deref();
        client::follow(&queen.client, &args.id, task, args.follow, lines).await?;
        Ok(Exit::Completed)
    })
}

pub(super) fn cancel(args: &CancelArgs, common: &Common) -> Result<Exit, Problem> {
    let queen = find(args.client.flags(), common)?;
    block_on(async {
        let cancelled = queen.client.cancel(&args.id).await;
        cancelled.map_err(client::problem)?;
        output::talk(&format!("asked to cancel {}", args.id));
        Ok(Exit::Completed)
    })
}

pub(super) fn restart(args: &RestartArgs, common: &Common) -> Result<Exit, Problem> {
    let queen = find(args.client.flags(), common)?;
    block_on(async {
        let restarted = queen.client.restart(&args.id, args.hard, "").await;
        restarted.map_err(client::problem)?;
        output::talk(&format!("{} is in the queue again", args.id));
        Ok(Exit::Completed)
    })
}

fn find(flags: Flags, common: &Common) -> Result<Queen, Problem> {
    let settings = common.settings(flags, Profile::Queen)?;
    Queen::find(&settings)
}
