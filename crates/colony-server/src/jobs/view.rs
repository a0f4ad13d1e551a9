//! Rows to JSON shapes (`formicary-api` 6).

mod artifact;
mod definition;
mod execution;
mod parts;
mod request;
mod task;

pub(super) use artifact::artifact;
pub(super) use definition::definition;
pub(super) use execution::execution;
pub(super) use request::request;

use colony_engine::DEFAULT_ORGANIZATION;

/// The owner as shown: rows that were made without authentication show none (`formicary-api` 3.1).
fn organization(org_id: &str, user_id: &str) -> String {
    if user_id.is_empty() && org_id == DEFAULT_ORGANIZATION {
        return String::new();
    }
    org_id.to_owned()
}

/// An optional id as text; empty without.
fn id_text(id: Option<impl std::fmt::Display>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
