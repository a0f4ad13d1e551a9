//! The way of a request: caller, rate limit, body, route, endpoint.
//!
//! It differs from `foreman-api` 1.2 in that the body comes after the caller: a stranger is answered
//! from the head alone. To a caller the answers are the same.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::routing::any;
use serde_json::json;

use super::auth::{self, Caller};
use super::handle::{self, Call};
use super::query::{Query, decode_path};
use super::refusal::{Refusal, answer};
use super::render::View;
use super::settings::AuthMode;
use super::state::RunsState;
use super::{body, cors, openapi, routes};
use crate::edge::connections::Seat;
use crate::health::DATABASE;

/// The routes of the Runs API, to be merged with those of others. Serve it with
/// `into_make_service_with_connect_info::<SocketAddr>()`, so that strangers are told apart.
pub fn router(state: RunsState) -> Router {
    let mut router = Router::new();
    for path in ["/api/v1", "/api/v1/", "/api/v1/{*rest}"] {
        router = router.route(path, any(serve));
    }
    for path in ["/health", "/health/", "/api/v1/health"] {
        router = router.route(path, any(health));
    }
    router
        .route("/api/openapi.json", any(openapi::json))
        .route("/api/docs", any(openapi::page))
        .with_state(state)
}

/// The Runs API alone: every other path is unknown.
pub fn standalone(state: RunsState) -> Router {
    router(state.clone()).fallback_service(any(serve).with_state(state))
}

async fn serve(State(state): State<RunsState>, request: Request) -> Response<Body> {
    let origin = cors::origin(state.settings(), request.headers());
    if request.method() == Method::OPTIONS && !state.settings().cors_origins.is_empty() {
        return cors::preflight(request.headers(), origin);
    }
    let mut response = answer_request(&state, request).await;
    if let Some(origin) = origin {
        cors::allow(response.headers_mut(), origin);
    }
    response
}

async fn answer_request(state: &RunsState, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let caller = auth::authenticate(state, &head.headers).await;
    let counted_as = counted_as(state, &caller, &head);
    let limiter = &state.inner.limiter;
    let standing = limiter.count(&counted_as, state.inner.clock.now());
    let answered = match standing {
        Some(standing) if standing.is_over => Ok(too_many()),
        Some(_) | None => match admit(state, &head, caller) {
            Err(refusal) => Ok(refusal.response()),
            Ok(caller) => answer_caller(state, caller, head, body).await,
        },
    };
    match (answered, standing) {
        (Ok(mut response), Some(standing)) => {
            standing.write(response.headers_mut());
            response
        }
        (Ok(response), None) => response,
        // A request without a body that can be used does not count.
        (Err(refusal), _) => {
            limiter.forget(&counted_as);
            refusal.response()
        }
    }
}

/// Who may go on, decided by the head alone.
fn admit(
    state: &RunsState,
    head: &Parts,
    caller: Result<Caller, Refusal>,
) -> Result<Caller, Refusal> {
    let below = head.uri.path().strip_prefix("/api/v1/");
    let first = below.and_then(|path| path.split('/').next());
    if !matches!(first, Some("runs" | "tasks" | "config")) {
        return Err(Refusal::unknown_route());
    }
    let caller = caller?;
    if let Some(seat) = head.extensions.get::<Arc<Seat>>() {
        seat.recognize();
    }
    let is_open = state.settings().auth == AuthMode::Off;
    (state.edge.names).check(head, is_open, state.origins())?;
    Ok(caller)
}

/// Answers a caller. An error is about the body.
async fn answer_caller(
    state: &RunsState,
    caller: Caller,
    head: Parts,
    body: Body,
) -> Result<Response<Body>, Refusal> {
    let method = match head.method {
        Method::HEAD => Method::GET,
        method => method,
    };
    let mut share = state.edge.share();
    let parsed = if method == Method::GET || method == Method::DELETE {
        None
    } else {
        let timeout = Duration::from_millis(state.settings().body_timeout_ms);
        Some(body::read(&mut share, &head.headers, body, timeout).await?)
    };
    let target = Target {
        method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
    };
    let answered = dispatch(state, target, parsed, caller).await;
    let answer = answered.unwrap_or_else(Refusal::response);
    // The answer shares what was sent until it has gone out.
    Ok(answer.map(|body| share.held_by(body)))
}

/// What a request is aimed at.
struct Target {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
}

async fn dispatch(
    state: &RunsState,
    target: Target,
    parsed: Option<body::Parsed>,
    caller: Caller,
) -> Result<Response<Body>, Refusal> {
    let path = target.path.strip_prefix("/api/v1").unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let parts: Option<Vec<String>> = path.split('/').skip(1).map(decode_path).collect();
    let parts = parts.ok_or(Refusal::BadPath)?;
    let (route, parts) =
        routes::find(target.method.as_str(), &parts).ok_or_else(Refusal::unknown_route)?;
    let view = View::new(state.settings(), &target.headers);
    let call = Call {
        org_id: caller.org_id,
        key: caller.key,
        view,
        parts,
        query: Query::parse(&target.query),
        path: target.path,
        headers: target.headers,
        body: parsed,
        request_sha256: None,
    };
    handle::call(state, route.endpoint, call).await
}

/// As whom a request is counted: the key once it was recognized, else the address.
fn counted_as(state: &RunsState, caller: &Result<Caller, Refusal>, head: &Parts) -> String {
    let key = caller.as_ref().ok();
    let key = key.and_then(|caller| caller.counted_as.clone());
    key.unwrap_or_else(|| {
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
        address(state, &head.headers, peer.map(|info| info.0.ip()))
    })
}

/// The address of a caller; a forwarded one counts only behind a known proxy.
fn address(state: &RunsState, headers: &HeaderMap, peer: Option<IpAddr>) -> String {
    let proxies = &state.settings().trusted_proxies;
    let known = |address: &IpAddr| proxies.contains(address);
    let forwarded = (headers.get("x-forwarded-for"))
        .filter(|_| peer.as_ref().is_some_and(known))
        .and_then(|value| value.to_str().ok())
        .and_then(|list| {
            (list.rsplit(','))
                .filter_map(|address| address.trim().parse::<IpAddr>().ok())
                .find(|address| !known(address))
        });
    (forwarded.or(peer)).map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

fn too_many() -> Response<Body> {
    let text = "Too many requests from this IP, please try again later.";
    let body = json!({ "error": text }).to_string();
    answer(StatusCode::TOO_MANY_REQUESTS, body)
}

/// Whether the server can work (`foreman-api` 10.2).
async fn health(State(state): State<RunsState>, request: Request) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Refusal::unknown_route().response();
    }
    let report = state.health.look().await;
    let word = match report.is_healthy() {
        true => "healthy",
        false => "unhealthy",
    };
    let database = match report.has_database() {
        true => "connected",
        false => "disconnected",
    };
    let mut services = json!({ "database": database });
    let sick = report.parts.iter().filter(|part| part.name != DATABASE);
    for part in sick {
        if let Some(problem) = &part.problem {
            services[part.name] = json!(problem);
        }
    }
    if state.settings().redis.host.is_some() {
        services["redis"] = json!("configured");
    }
    let mut body = json!({
        "status": word,
        "timestamp": state.inner.clock.now(),
        "environment": state.settings().environment,
        "services": services,
    });
    if let Some(problem) = &report.overall.problem {
        body["problem"] = json!(problem);
    }
    let status = match report.is_healthy() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = answer(status, body.to_string());
    let no_store = axum::http::HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}
