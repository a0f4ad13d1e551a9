//! The OpenAPI 3.1 document, made from the table of routes and the types, and a page to read it.

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use colony_api::runs::ErrorBody;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::refusal::{Refusal, answer};
use super::routes::{Endpoint, Parameter, ROUTES, Route};

/// Statuses of refusal that every route may give.
const EVERYWHERE: &[u16] = &[401, 403, 404, 429, 500, 503];

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths
            .entry(format!("/api/v1{}", route.path))
            .or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route, &mut generator, &error);
    }
    paths.insert("/health".to_owned(), health());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Colony Runs API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Runs, tasks, run data and a work queue. Compatible with Foreman.",
        },
        "security": [{ "bearer": [] }, { "apiKey": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator, error: &Value) -> Value {
    let mut operation = json!({
        "operationId": format!("{:?}", route.endpoint),
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses(route, generator, error),
    });
    if let Some(schema) = route.request {
        let schema = schema(generator).to_value();
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schema } },
        });
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "format": "uuid" },
        }))
    });
    let in_query = route.query.iter().map(|parameter| {
        json!({ "name": parameter.name, "in": "query", "schema": query_schema(parameter) })
    });
    let once = (route.method == "POST").then(|| {
        json!({
            "name": "Idempotency-Key", "in": "header",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        })
    });
    in_path.chain(in_query).chain(once).collect()
}

fn query_schema(parameter: &Parameter) -> Value {
    match (parameter.kind, parameter.bounds) {
        ("integer", Some((minimum, maximum))) => {
            json!({ "type": "integer", "minimum": minimum, "maximum": maximum })
        }
        ("uuid", _) => json!({ "type": "string", "format": "uuid" }),
        ("string", _) => json!({ "type": "string" }),
        (words, _) => {
            let words: Vec<&str> = words.split('|').collect();
            json!({ "type": "string", "enum": words })
        }
    }
}

fn responses(route: &Route, generator: &mut SchemaGenerator, error: &Value) -> Value {
    let mut responses = Map::new();
    let schema = route
        .response
        .map_or_else(|| json!({}), |schema| schema(generator).to_value());
    let kind = match route.endpoint {
        Endpoint::RunEvents => "text/event-stream",
        _ => "application/json",
    };
    for status in route.success {
        responses.insert(
            status.to_string(),
            json!({ "description": "Done", "content": { kind: { "schema": schema } } }),
        );
    }
    for status in route.refusals.iter().chain(EVERYWHERE) {
        let reason = StatusCode::from_u16(*status).ok();
        let reason = reason.and_then(|status| status.canonical_reason());
        responses.insert(
            status.to_string(),
            json!({
                "description": reason.unwrap_or("Refused"),
                "content": { "application/json": { "schema": error } },
            }),
        );
    }
    Value::Object(responses)
}

fn health() -> Value {
    let content = json!({ "application/json": { "schema": { "type": "object" } } });
    json!({
        "get": {
            "operationId": "Health",
            "summary": "Whether the server can work",
            "security": [],
            "responses": {
                "200": { "description": "It can", "content": content },
                "503": { "description": "It cannot", "content": content },
            },
        },
    })
}

/// GET `/api/openapi.json`.
pub(super) async fn json(request: Request<Body>) -> Response<Body> {
    match *request.method() {
        Method::GET | Method::HEAD => answer(StatusCode::OK, document().to_string()),
        _ => Refusal::unknown_route().response(),
    }
}

/// GET `/api/docs`: one page without anything from elsewhere.
pub(super) async fn page(request: Request<Body>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Refusal::unknown_route().response();
    }
    let mut response = Response::new(Body::from(include_str!("docs.html")));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}
