//! `colony submit`: ask a running queen to run a stored definition.

use anyhow::Context as _;
use colony_api::jobs::{JobRequest, SubmitRequest};

use super::{Common, params};
use crate::cli::SubmitArgs;
use crate::client::{self, Lines, Queen};
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::settings::Profile;

pub(super) fn submit(args: &SubmitArgs, common: &Common) -> Result<Exit, Problem> {
    let settings = common.settings(args.client.flags(), Profile::Queen)?;
    let params = params::parse(&args.params).or_bad_input()?;
    let queen = Queen::find(&settings)?;
    let request = SubmitRequest {
        job_type: args.job_type.clone(),
        params: Some(params),
        ..SubmitRequest::default()
    };
    super::block_on(submit_and_wait(&queen, &request, args))
}

async fn submit_and_wait(
    queen: &Queen,
    request: &SubmitRequest,
    args: &SubmitArgs,
) -> Result<Exit, Problem> {
    let client = &queen.client;
    let submitted = client.submit(request).await.map_err(client::problem)?;
    if !args.wait && !args.follow {
        show(&submitted, args.json)?;
        return Ok(Exit::Completed);
    }
    let id = &submitted.id;
    if args.follow {
        output::talk(&format!(
            "{} is request {id}",
            output::plain(&submitted.job_type)
        ));
        let lines = Lines {
            task: true,
            time: false,
        };
        client::follow(client, id, None, true, lines).await?;
    }
    let ended = client::end(client, id).await?;
    show(&ended, args.json)?;
    let (state, job) = (ended.job_state, output::plain(&ended.job_type));
    let message = output::plain(&ended.error_message);
    match message.as_str() {
        "" => output::talk(&format!("{job} {state}")),
        message => output::talk(&format!("{job} {state}: {message}")),
    }
    Ok(state.into())
}

/// The id, or everything.
fn show(request: &JobRequest, as_json: bool) -> Result<(), Problem> {
    if as_json {
        let text = serde_json::to_string(request).context("failed to write a request as JSON")?;
        output::exact(&text);
    } else {
        output::data(&request.id);
    }
    Ok(())
}
