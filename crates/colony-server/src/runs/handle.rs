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
use bytes::Bytes;
use colony_core::id::TokenId;
use colony_engine::ledger::LedgerError;
use serde::Serialize;

use super::body::{self, Parsed};
use super::check::Fields;
use super::json::{Document, Members};
use super::query::Query;
use super::refusal::{Refusal, answer};
use super::render::{View, spliced};
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
    /// The body, where there is one that was not looked into.
    pub(super) body: Option<Parsed>,
    /// The hash of path and body, for a request with a key, once the body was looked into.
    pub(super) request_sha256: Option<String>,
}

impl Call {
    /// Looks into the body, which is gone then. Refuses when it breaks rules.
    async fn look<T: Send + 'static>(
        &mut self,
        look: impl FnOnce(&mut Fields) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let hashed = self.headers.contains_key(once::HEADER);
        let path = hashed.then(|| self.path.clone());
        let body = self.body.take();
        let size = body.as_ref().map_or(0, |body| body.raw.len());
        let work = move || {
            let (raw, document) = match body {
                Some(body) => (body.raw, body.document),
                None => (Bytes::new(), Document::Object(Members::new())),
            };
            let hash = path.map(|path| once::request_hash(&path, &raw));
            // The members go on sharing it.
            drop(raw);
            let mut fields = Fields::new(document)?;
            let found = look(&mut fields);
            fields.finish()?;
            Ok::<_, Refusal>((found, hash))
        };
        let (found, hash) = body::aside(size, work).await??;
        self.request_sha256 = hash;
        Ok(found)
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
    answer(StatusCode::OK, spliced(value))
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
