//! What happens around each handler: faults, indented JSON, authentication.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::auth;
use crate::edge::connections::Seat;
use crate::health::Report;
use crate::jobs::answer::JSON;
use crate::jobs::error::{ApiError, Class};
use crate::jobs::health;
use crate::runs::RunsState;
use crate::state::{Auth, ServerState};

/// How long a token may be looked up before the health of the database is doubted.
const TOKEN_PATIENCE: Duration = Duration::from_millis(100);

/// A handler that panics answers 500; the connection and the others live on.
pub(super) async fn catch_panics(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(http.path = %path, "a handler panicked");
            ApiError::internal().into_response()
        }
    }
}

/// Finds out who calls before anything else is looked at, and refuses what a foreign page caused,
/// and HEAD, which no route has. Nothing of a body is read before.
pub(super) async fn authenticate(
    State(state): State<ServerState>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let asks_for_health = head.uri.path() == "/api/health";
    let known = tokio::select! {
        biased;
        known = auth::authenticate(&state, &head.headers) => known,
        report = outage(&state, asks_for_health) => return health::shown(&report, state.engine.now()),
    };
    match known {
        Ok(caller) => head.extensions.insert(caller),
        Err(error) => return ApiError::from(error).into_response(),
    };
    if let Some(seat) = head.extensions.get::<Arc<Seat>>() {
        seat.recognize();
    }
    let origins = state.runs.as_ref().map_or(&[][..], RunsState::origins);
    let is_open = state.auth == Auth::Off;
    if let Err(foreign) = state.edge.names.check(&head, is_open, origins) {
        return ApiError::from(foreign).into_response();
    }
    if head.method == Method::HEAD {
        return no_method().await;
    }
    next.run(Request::from_parts(head, body)).await
}

/// Whoever asks for the health of a server hears in time that its database is away, although the
/// token cannot be looked up then. Never resolves otherwise.
async fn outage(state: &ServerState, asks_for_health: bool) -> Arc<Report> {
    if asks_for_health {
        tokio::time::sleep(TOKEN_PATIENCE).await;
        let report = state.health.look().await;
        if !report.has_database() {
            return report;
        }
    }
    std::future::pending().await
}

/// Answer of unknown paths.
pub(super) async fn no_route() -> Response {
    ApiError::new(Class::NoRoute, "Not Found").into_response()
}

/// Answer of known paths to unknown methods.
pub(super) async fn no_method() -> Response {
    ApiError::new(Class::NoMethod, "Method Not Allowed").into_response()
}

/// Indents JSON when the query contains `pretty`.
pub(super) async fn indent(request: Request, next: Next) -> Response {
    let wanted = wants_indent(request.uri());
    let response = next.run(request).await;
    if !wanted || response.headers().get(CONTENT_TYPE) != Some(&JSON) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // Our own answer, already in memory.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return ApiError::internal().into_response();
    };
    let text = indented(&bytes);
    head.headers
        .insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    Response::from_parts(head, Body::from(text))
}

fn wants_indent(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair == "pretty" || pair.starts_with("pretty="))
    })
}

/// The same JSON on many lines, two spaces a level. Members keep their order.
fn indented(json: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut bytes = json.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if in_string {
            text.push(byte);
            match byte {
                b'\\' => text.extend(bytes.next()),
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                text.push(byte);
            }
            b'{' | b'[' => {
                text.push(byte);
                if !matches!(bytes.peek(), Some(b'}' | b']')) {
                    depth += 1;
                    new_line(&mut text, depth);
                }
            }
            b'}' | b']' => {
                if !matches!(text.last(), Some(b'{' | b'[')) {
                    depth -= 1;
                    new_line(&mut text, depth);
                }
                text.push(byte);
            }
            b',' => {
                text.push(byte);
                new_line(&mut text, depth);
            }
            b':' => text.extend(b": "),
            byte => text.push(byte),
        }
    }
    text
}

fn new_line(text: &mut Vec<u8>, depth: usize) {
    text.push(b'\n');
    text.extend(std::iter::repeat_n(b' ', depth * 2));
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_answer() {
        async fn broken() -> &'static str {
            panic!("a secret of this test");
        }
        let router: Router = Router::new()
            .route("/", get(broken))
            .layer(from_fn(catch_panics));
        let response = TowerToHyperService::new(router)
            .call(Request::new(Body::empty()))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            text.contains("Internal") && !text.contains("secret"),
            "{text}"
        );
    }

    #[test]
    fn indenting_changes_white_space_only() {
        for value in [
            json!({}),
            json!([]),
            json!({"a": [], "b": {}, "c": [1, 2, {"d": "x\"y\\"}], "e": "{[,:]}", "f": null}),
            json!([[[]], [{}], ["é\n"]]),
            json!("text"),
        ] {
            let expected = serde_json::to_string_pretty(&value).unwrap();
            let actual = indented(value.to_string().as_bytes());
            assert_eq!(String::from_utf8(actual).unwrap(), expected);
        }
    }
}
