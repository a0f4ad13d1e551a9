//! The way of a request (`foreman-api` 1.2): body, rate limit, caller, route, endpoint.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::routing::any;
use serde_json::json;

use super::auth::{self, Caller};
use super::handle::{self, Call};
use super::limit::Standing;
use super::query::{Query, decode_path};
use super::refusal::{Refusal, answer};
use super::render::View;
use super::state::RunsState;
use super::{body, cors, openapi, routes};

/// The routes of the Runs API, to be merged with those of others. Serve it with
/// `into_make_service_with_connect_info::<SocketAddr>()`, so that strangers are told apart.
pub fn router(state: RunsState) -> Router {
    let mut router = Router::new();
    for below in ["runs", "tasks", "config"] {
        let path = format!("/api/v1/{below}");
        router = router
            .route(&path, any(serve))
            .route(&format!("{path}/"), any(serve))
            .route(&format!("{path}/{{*rest}}"), any(serve));
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
    let (parts, request_body) = request.into_parts();
    let method = match parts.method {
        Method::HEAD => Method::GET,
        ref method => method.clone(),
    };
    let parsed = if method == Method::GET || method == Method::DELETE {
        None
    } else {
        let timeout = Duration::from_millis(state.settings().body_timeout_ms);
        match body::read(&parts.headers, request_body, timeout).await {
            Ok(parsed) => Some(parsed),
            Err(refusal) => return refusal.response(),
        }
    };
    let caller = auth::authenticate(state, &parts.headers).await;
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|info| info.0.ip());
    let standing = count(state, &caller, &parts.headers, peer);
    let mut response = match standing {
        Some(standing) if standing.is_over => too_many(),
        Some(_) | None => {
            let target = Target {
                method,
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                headers: parts.headers,
            };
            match dispatch(state, target, parsed, caller).await {
                Ok(response) => response,
                Err(refusal) => refusal.response(),
            }
        }
    };
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    response
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
    caller: Result<Caller, Refusal>,
) -> Result<Response<Body>, Refusal> {
    let path = target.path.strip_prefix("/api/v1").unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut raw_parts = path.split('/').skip(1);
    let protected = matches!(raw_parts.next(), Some("runs" | "tasks" | "config"));
    if !protected {
        return Err(Refusal::unknown_route());
    }
    let caller = caller?;
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
    };
    handle::call(state, route.endpoint, call).await
}

fn count(
    state: &RunsState,
    caller: &Result<Caller, Refusal>,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> Option<Standing> {
    let key = caller
        .as_ref()
        .ok()
        .and_then(|caller| caller.counted_as.clone());
    let counted = key.unwrap_or_else(|| address(state, headers, peer));
    state.inner.limiter.count(counted, state.inner.clock.now())
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
    let healthy = state.ledger().is_healthy().await;
    let (word, database) = if healthy {
        ("healthy", "connected")
    } else {
        ("unhealthy", "disconnected")
    };
    let mut services = json!({ "database": database });
    if state.settings().redis.host.is_some() {
        services["redis"] = json!("configured");
    }
    let body = json!({
        "status": word,
        "timestamp": state.inner.clock.now(),
        "environment": state.settings().environment,
        "services": services,
    });
    let status = if healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = answer(status, body.to_string());
    let no_store = axum::http::HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}
