//! Definitions (`formicary-api` 7.1).

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use colony_api::jobs::{JobDefinition, Page, Warning};
use colony_engine::{Caller, EngineError, SaveDefinition, Saved};
use colony_spec::{Diagnostic, Format};
use colony_store::{Compare, Filter, StoreError};

use crate::jobs::answer::{self, Answer};
use crate::jobs::body;
use crate::jobs::error::{ApiError, Class, with_help};
use crate::jobs::query::{Name, Query};
use crate::jobs::view;
use crate::state::ServerState;

/// Says how many warnings a saved definition has.
const WARNINGS_HEADER: &str = "x-colony-warnings";

pub(super) async fn list(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    query: Query,
) -> Answer {
    let mut list = query.list()?;
    if !list
        .filters
        .iter()
        .any(|filter| filter.field == "public_plugin")
    {
        list.filters.push(Filter {
            field: "public_plugin".to_owned(),
            compare: Compare::Equal,
            value: "false".to_owned(),
        });
    }
    if list.order.is_empty() {
        list.order.push(("job_type".to_owned(), false));
    }
    let (page, page_size) = (list.page, list.page_size);
    let found = state.engine.list_definitions(&caller, list).await?;
    let records: Vec<JobDefinition> = found.rows.iter().map(|row| view::definition(row)).collect();
    answer::ok(&Page::new(records, found.total, page, page_size))
}

pub(super) async fn save(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let format = format(request.headers());
    let limit = body::DEFINITION_BYTES_MAX;
    let whole = body::read(&state, request, limit, Class::InvalidRequest).await?;
    let text = body::text(&whole.bytes)?.to_owned();
    let saved = save_once_more(&state, &caller, SaveDefinition { text, format }).await?;
    saved_answer(&saved)
}

/// YAML when the caller says so, else whatever it is.
fn format(headers: &HeaderMap) -> Format {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match content_type {
        Some(text) if text.to_ascii_lowercase().contains("yaml") => Format::Yaml,
        Some(_) | None => Format::Detect,
    }
}

/// Two callers that save the first version of a type at the same time collide: the second one
/// then saves a second version.
async fn save_once_more(
    state: &ServerState,
    caller: &Caller,
    save: SaveDefinition,
) -> Result<Saved, ApiError> {
    match state.engine.save_definition(caller, save.clone()).await {
        Err(EngineError::Store(StoreError::Rule { .. })) => {
            Ok(state.engine.save_definition(caller, save).await?)
        }
        saved => Ok(saved?),
    }
}

fn saved_answer(saved: &Saved) -> Answer {
    let status = match saved.created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let mut definition = view::definition(&saved.compiled);
    definition.warnings = saved.warnings.iter().map(warning).collect();
    let mut response: Response = answer::json(status, &definition);
    if !saved.warnings.is_empty() {
        let count = HeaderValue::from(saved.warnings.len());
        response.headers_mut().insert(WARNINGS_HEADER, count);
    }
    Ok(response)
}

fn warning(diagnostic: &Diagnostic) -> Warning {
    Warning {
        message: with_help(diagnostic),
        line: diagnostic.line,
        column: diagnostic.column,
    }
}

pub(super) async fn view(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(name): Name,
    query: Query,
) -> Answer {
    let version = query.get("version").unwrap_or("");
    let found = state
        .engine
        .find_definition(&caller, &name, version)
        .await?;
    answer::ok(&view::definition(&found))
}

/// The text as it was saved.
pub(super) async fn yaml(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(name): Name,
    query: Query,
) -> Answer {
    let version = query.get("version").unwrap_or("");
    let found = state
        .engine
        .find_definition(&caller, &name, version)
        .await?;
    answer::text(found.row.raw_yaml.clone())
}

pub(super) async fn delete(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
) -> Answer {
    state.engine.delete_definition(&caller, &id).await?;
    answer::empty()
}

pub(super) async fn disable(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
) -> Answer {
    state
        .engine
        .set_definition_disabled(&caller, &id, true)
        .await?;
    answer::empty()
}

pub(super) async fn enable(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
) -> Answer {
    state
        .engine
        .set_definition_disabled(&caller, &id, false)
        .await?;
    answer::empty()
}
