//! Waiting for a request, with or without its output.

use std::time::Duration;

use colony_api::client::{Client, ClientError, LogsQuery};
use colony_api::jobs::{JobRequest, LogLine, LogPage};

use crate::exit::Problem;
use crate::output;

use super::connect::problem;

/// How long the queen may hold an answer back. Below what it allows itself.
pub(super) const WAIT: Duration = Duration::from_secs(25);

/// A queen that restarts may be away for this many tries, a second apart.
const TRIES: u32 = 30;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How lines of output are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines {
    /// Show the task before each line.
    pub(crate) task: bool,
    /// Show the time before each line.
    pub(crate) time: bool,
}

impl Lines {
    pub(crate) fn text(self, line: &LogLine) -> String {
        let mut text = String::new();
        if self.time {
            text.push_str(&format!("{} ", line.time));
        }
        if self.task {
            text.push_str(&format!("{} | ", output::plain(&line.task)));
        }
        text.push_str(&output::task_line(&line.text, output::data_has_color()));
        text
    }
}

/// Shows the output of a request, of one task or all: what there is, or also what comes until the
/// request ends.
pub(crate) async fn follow(
    client: &Client,
    id: &str,
    task: Option<&str>,
    to_the_end: bool,
    lines: Lines,
) -> Result<(), Problem> {
    let mut query = LogsQuery {
        task: task.map(str::to_owned),
        cursor: None,
        wait: if to_the_end { WAIT } else { Duration::ZERO },
    };
    loop {
        let page = patiently(
            async || client.log_page(id, &query).await,
            ClientError::is_retryable,
        );
        let page: LogPage = page.await.map_err(problem)?;
        for line in &page.lines {
            output::data(&lines.text(line));
        }
        if page.done || (!to_the_end && page.lines.is_empty()) {
            return Ok(());
        }
        query.cursor = page.cursor;
    }
}

/// Waits until a request is finished.
pub(crate) async fn end(client: &Client, id: &str) -> Result<JobRequest, Problem> {
    loop {
        let request = patiently(
            async || client.wait_for_request(id, WAIT).await,
            ClientError::is_retryable,
        );
        let request = request.await.map_err(problem)?;
        if request.job_state.is_terminal() {
            return Ok(request);
        }
    }
}

/// Calls again while the queen is away.
pub(super) async fn patiently<T, E>(
    call: impl AsyncFn() -> Result<T, E>,
    is_retryable: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let mut tries = 0;
    loop {
        match call().await {
            Err(error) if is_retryable(&error) && tries < TRIES => {
                if tries == 0 {
                    output::talk("the queen does not answer; waiting for it");
                }
                tries += 1;
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
            result => return result,
        }
    }
}
