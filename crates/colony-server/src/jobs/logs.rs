//! Log lines of a request; our addition to the API.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use colony_api::jobs::{LogLine, LogPage};
use colony_engine::{Caller, LogCursor, LogQuery};

use crate::jobs::answer::{self, Answer};
use crate::jobs::error::ApiError;
use crate::jobs::query::{Name, Query};
use crate::jobs::requests::WAIT_MAX;
use crate::state::ServerState;

/// The next lines. With `wait_ms` it answers as soon as there are some, or the request is finished.
pub(super) async fn page(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
    query: Query,
) -> Answer {
    let logs = LogQuery {
        task: query
            .get("task")
            .filter(|task| !task.is_empty())
            .map(str::to_owned),
        cursor: query.get("cursor").map(cursor).transpose()?,
        wait: query.wait(WAIT_MAX)?,
    };
    let at_once = LogQuery {
        wait: Duration::ZERO,
        ..logs.clone()
    };
    let page = tokio::select! {
        page = state.engine.read_log(&caller, &id, logs) => page?,
        () = state.closing.cancelled() => state.engine.read_log(&caller, &id, at_once).await?,
    };
    answer::ok(&view(page))
}

fn cursor(text: &str) -> Result<LogCursor, ApiError> {
    LogCursor::parse(text).ok_or_else(|| {
        let message = format!("`{text}` is no cursor; leave it out, or take it from an answer");
        ApiError::invalid("cursor", message)
    })
}

fn view(page: colony_engine::LogPage) -> LogPage {
    let lines = page.lines.into_iter().map(|line| LogLine {
        task: line.task,
        retry: line.retry,
        time: line.time,
        stream: line.stream,
        text: line.text,
        partial: line.partial,
    });
    LogPage {
        lines: lines.collect(),
        cursor: page.cursor.map(LogCursor::to_text),
        done: page.done,
    }
}
