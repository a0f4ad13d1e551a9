//! Following a run as server-sent events. An addition to the reference API.
//!
//! Each event carries a whole run or task. Its id is where to resume: a client that reconnects with
//! `Last-Event-ID` gets what changed since; an event may come twice, none is left out.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use colony_core::time::Timestamp;
use colony_engine::ledger::{LedgerError, LedgerEventKind, RunWatch};
use futures_util::StreamExt as _;

use super::{Answer, Call};
use crate::runs::render::{View, text};
use crate::runs::state::RunsState;

/// How often to show that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// GET `/runs/{id}/events`.
pub(super) async fn follow(state: &RunsState, call: Call) -> Answer {
    let resume = (call.headers.get("last-event-id"))
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Timestamp::from_millis);
    let run_id = call.run_id()?;
    let watch = state
        .ledger()
        .watch_run(&call.org_id, run_id, resume)
        .await
        .map_err(|error| call.refuse(error, "Run"))?;
    let (view, closing) = (call.view, state.closing.clone());
    let key_ended = call.key_ended(state);
    let events = futures_util::stream::unfold(watch, move |mut watch| {
        let closing = closing.clone();
        async move {
            let chunk = closing
                .run_until_cancelled(next_chunk(&mut watch, view))
                .await?;
            // A failure ends the stream; the client resumes.
            let chunk = chunk.ok()?;
            Some((Ok::<_, std::convert::Infallible>(chunk), watch))
        }
    });
    let events = events.take_until(Box::pin(key_ended));
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn next_chunk(watch: &mut RunWatch, view: View) -> Result<Bytes, LedgerError> {
    let Ok(event) = tokio::time::timeout(KEEP_ALIVE, watch.next()).await else {
        return Ok(Bytes::from_static(b": still here\n\n"));
    };
    let event = event?;
    let id = event.cursor.as_millis();
    let (name, data) = match event.kind {
        LedgerEventKind::Run(row) => ("run", text(&view.run(*row))),
        LedgerEventKind::Task(row) => ("task", text(&view.task(*row))),
    };
    Ok(format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into())
}
