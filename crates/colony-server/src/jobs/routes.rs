//! Every route with its permission: the one table of the Jobs API (`formicary-api` 4, 7).

use axum::Router;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, post};

use crate::jobs::{artifacts, definitions, health, layers, logs, requests};
use crate::state::ServerState;

/// What a caller of a route must be allowed to do: an action on a resource. So far every valid
/// token is an admin's, who may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Such as `JobRequest`.
    pub resource: &'static str,
    /// Such as `Submit`.
    pub action: &'static str,
}

/// A route of the Jobs API. There is none without a permission.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; `{id}` stands for one part.
    pub path: &'static str,
    /// Who may call it.
    pub permission: Permission,
    handler: MethodRouter<ServerState>,
}

/// Adds routes of one path, one line each: method, permission, handler.
macro_rules! path {
    ($routes:ident, $path:literal, $($method:ident $resource:ident $action:ident => $handler:expr),+ $(,)?) => {$(
        $routes.push(Route {
            method: method(stringify!($method)),
            path: $path,
            permission: Permission {
                resource: stringify!($resource),
                action: stringify!($action),
            },
            handler: $method($handler),
        });
    )+};
}

fn method(name: &str) -> Method {
    match name {
        "get" => Method::GET,
        "post" => Method::POST,
        _ => Method::DELETE,
    }
}

/// All routes.
#[rustfmt::skip]
pub fn routes() -> Vec<Route> {
    let mut all = Vec::new();
    path!(all, "/api/jobs/definitions",
        get    JobDefinition Query   => definitions::list,
        post   JobDefinition Create  => definitions::save);
    path!(all, "/api/jobs/definitions/{id}",
        get    JobDefinition View    => definitions::view,
        delete JobDefinition Delete  => definitions::delete);
    path!(all, "/api/jobs/definitions/{id}/yaml",
        get    JobDefinition View    => definitions::yaml);
    path!(all, "/api/jobs/definitions/{id}/disable",
        post   JobDefinition Disable => definitions::disable);
    path!(all, "/api/jobs/definitions/{id}/enable",
        post   JobDefinition Enable  => definitions::enable);

    path!(all, "/api/jobs/requests",
        get    JobRequest    Query   => requests::list,
        post   JobRequest    Submit  => requests::submit);
    path!(all, "/api/jobs/requests/{id}",
        get    JobRequest    View    => requests::view);
    path!(all, "/api/jobs/requests/{id}/logs",
        get    JobRequest    View    => logs::page);
    path!(all, "/api/jobs/requests/{id}/cancel",
        post   JobRequest    Cancel  => requests::cancel);
    path!(all, "/api/jobs/requests/{id}/restart",
        post   JobRequest    Restart => requests::restart);

    path!(all, "/api/artifacts",
        get    Artifact      Query   => artifacts::list);
    path!(all, "/api/artifacts/{id}/download",
        get    Artifact      View    => artifacts::download);

    path!(all, "/api/health",
        get    Health        Query   => health::health);
    all
}

/// The Jobs API. Paths that it does not know answer in its own words.
pub fn router(state: ServerState) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, route| {
        router.route(route.path, route.handler)
    });
    router
        .fallback(layers::no_route)
        .method_not_allowed_fallback(layers::no_method)
        .layer(from_fn_with_state(state.clone(), layers::authenticate))
        .layer(from_fn(layers::catch_panics))
        .layer(from_fn(layers::indent))
        .with_state(state)
}
