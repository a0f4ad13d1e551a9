//! Artifacts (`formicary-api` 7.3).

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use colony_api::jobs::{Artifact, Page};
use colony_engine::{ArtifactContent, Caller};
use colony_store::artifact::ArtifactRow;

use crate::jobs::answer::{self, Answer};
use crate::jobs::query::{Name, Query};
use crate::jobs::view;
use crate::state::ServerState;

pub(super) async fn list(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    query: Query,
) -> Answer {
    let mut list = query.list()?;
    for filter in &mut list.filters {
        if filter.field == "group" {
            "artifact_group".clone_into(&mut filter.field);
        }
    }
    if list.order.is_empty() {
        list.order.push(("created_at".to_owned(), true));
    }
    let (page, page_size) = (list.page, list.page_size);
    let found = state.engine.list_artifacts(&caller, list).await?;
    let rows = found.rows.iter();
    let records: Vec<Artifact> = rows.map(|row| view::artifact(row, &state)).collect();
    answer::ok(&Page::new(records, found.total, page, page_size))
}

/// The bytes of the artifact with that id or SHA-256, streamed.
pub(super) async fn download(
    State(state): State<ServerState>,
    Extension(caller): Extension<Caller>,
    Name(id): Name,
) -> Answer {
    let (row, content) = state.engine.open_artifact(&caller, &id).await?;
    let body = match content {
        ArtifactContent::Text(text) => Body::from(text),
        ArtifactContent::Stream(stream) => Body::from_stream(stream),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(&row));
    headers.insert(CONTENT_DISPOSITION, disposition(&row.name));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(row.size_bytes));
    Ok(response)
}

fn content_type(row: &ArtifactRow) -> HeaderValue {
    let known = Some(&row.content_type).filter(|text| !text.is_empty());
    known
        .and_then(|text| HeaderValue::from_str(text).ok())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// `attachment` with the name; what a header cannot hold is left out.
fn disposition(name: &str) -> HeaderValue {
    let mut text = "attachment; filename=\"".to_owned();
    for letter in name.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn names_are_quoted() {
        for (name, expected) in [
            ("a.zip", "attachment; filename=\"a.zip\""),
            ("a\"b\\c", "attachment; filename=\"a\\\"b\\\\c\""),
            ("a\r\nb", "attachment; filename=\"ab\""),
            ("é", "attachment; filename=\"é\""),
        ] {
            assert_eq!(disposition(name).as_bytes(), expected.as_bytes());
        }
    }
}
