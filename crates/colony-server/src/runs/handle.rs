//! The endpoints: who, what, do, answer.

mod config;
mod data;
mod events;
mod once;
mod queue;
mod run;
mod task;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use colony_core::id::TokenId;
use colony_engine::ledger::LedgerError;
use serde::Serialize;

use super::body::Parsed;
use super::check::Fields;
use super::json::{Document, Members};
use super::query::Query;
use super::refusal::{Refusal, answer};
use super::render::{View, text};
use super::routes::Endpoint;
use super::state::RunsState;

/// A request of a known caller for a known route.
pub(super) struct Call {
    /// The organization that it acts for.
    pub(super) org_id: String,
    /// The stored key of the caller.
    pub(super) key: Option<TokenId>,
    /// How answers look.
    pub(super) view: View,
    /// The parts of the path that name objects, as given.
    pub(super) parts: Vec<String>,
    /// The query.
    pub(super) query: Query,
    /// The whole path.
    pub(super) path: String,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body, where there is one.
    pub(super) body: Option<Parsed>,
}

impl Call {
    /// The members of the body.
    fn fields(&mut self) -> Result<Fields, Refusal> {
        let nothing = || Document::Object(Members::new());
        let body = self.body.as_mut();
        let document = body.map(|body| std::mem::replace(&mut body.document, nothing()));
        Fields::new(document.unwrap_or_else(nothing))
    }

    /// A part of the path, as given.
    fn part(&self, index: usize) -> &str {
        self.parts.get(index).map_or("", String::as_str)
    }

    /// Returns when the caller's key is over; never for a caller without a stored one.
    fn key_ended(&self, state: &RunsState) -> impl Future<Output = ()> + Send + use<> {
        let watch = self.key.map(|key| state.ledger().watch_key(key));
        async move {
            match watch {
                Some(mut watch) => watch.ended().await,
                None => std::future::pending().await,
            }
        }
    }

    /// A failure, with "not found" of the object that the path names first.
    fn refuse(&self, error: LedgerError, what: &str) -> Refusal {
        Refusal::of(error, self.view, || {
            format!("{what} not found: {}", self.part(0))
        })
    }

    /// Text that names no object at all.
    fn unknown(&self, what: &str) -> Refusal {
        Refusal::NotFound(format!("{what} not found: {}", self.part(0)))
    }
}

/// What an endpoint gives back.
type Answer = Result<Response<Body>, Refusal>;

/// 200 with a value.
fn ok(value: &impl Serialize) -> Response<Body> {
    answer(StatusCode::OK, text(value))
}

/// Answers a call.
pub(super) async fn call(state: &RunsState, endpoint: Endpoint, call: Call) -> Answer {
    match endpoint {
        Endpoint::CreateRun => run::create(state, call).await,
        Endpoint::GetRun => run::get(state, call).await,
        Endpoint::ChangeRun => run::change(state, call).await,
        Endpoint::ListRuns => run::list(state, call).await,
        Endpoint::RunEvents => events::follow(state, call).await,
        Endpoint::CreateTask => task::create(state, call).await,
        Endpoint::CreateBatch => task::create_batch(state, call).await,
        Endpoint::GetTask => task::get(state, call).await,
        Endpoint::ChangeTask => task::change(state, call).await,
        Endpoint::ListTasks => task::list(state, call).await,
        Endpoint::Claim => queue::claim(state, call).await,
        Endpoint::Heartbeat => queue::heartbeat(state, call).await,
        Endpoint::Report => queue::report(state, call).await,
        Endpoint::WriteData => data::write(state, call).await,
        Endpoint::QueryData => data::query(state, call).await,
        Endpoint::ChangeTags => data::change_tags(state, call).await,
        Endpoint::DeleteData => data::delete(state, call).await,
        Endpoint::Config => Ok(config::whole(state)),
        Endpoint::ConfigRedis => Ok(config::redis(state)),
        Endpoint::ConfigQueues => Ok(config::queues(state)),
    }
}
