//! A server on a port of its own and a caller of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::MonotonicIds;
use colony_core::time::{SystemClock, Timestamp};
use colony_engine::ledger::Ledger;
use colony_server::runs::{DialectSetting, RateLimitSettings, RunsApiSettings, RunsState};
use colony_testkit::TestStore;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "fmn_test_acme_secret";
pub(crate) const OTHER_KEY: &str = "fmn_test_other_secret";
pub(crate) const NIL: &str = "00000000-0000-0000-0000-000000000000";
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const DIALECTS: [DialectSetting; 3] = [
    DialectSetting::Classic,
    DialectSetting::Current,
    DialectSetting::Auto,
];

/// Settings for tests: every well-formed key, no rate limit.
pub(crate) fn settings(dialect: DialectSetting) -> RunsApiSettings {
    RunsApiSettings {
        trust_well_formed_keys: true,
        dialect,
        rate_limit: RateLimitSettings {
            requests: 0,
            window_ms: 60_000,
        },
        ..RunsApiSettings::default()
    }
}

/// A ledger on a store.
pub(crate) fn ledger(db: &TestStore) -> Ledger {
    let store = colony_store::Store::clone(db);
    let ids = Arc::new(MonotonicIds::new(SystemClock));
    Ledger::start(store, Arc::new(SystemClock), ids)
}

/// A running server; it ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) ledger: Ledger,
    dialect: DialectSetting,
    task: tokio::task::JoinHandle<()>,
    http: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server.
    pub(crate) async fn start(db: &TestStore, settings: RunsApiSettings) -> Self {
        let ledger = ledger(db);
        let dialect = settings.dialect;
        let state = RunsState::new(ledger.clone(), settings, Arc::new(SystemClock)).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = colony_server::runs::standalone(state)
            .into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        // Building a client of the library installs what HTTP clients need.
        colony_api::runs_client::RunsClient::new("http://127.0.0.1").unwrap();
        Self {
            address,
            ledger,
            dialect,
            task,
            http: reqwest::Client::new(),
        }
    }

    /// With the usual settings and the classic dialect.
    pub(crate) async fn classic(db: &TestStore) -> Self {
        Self::start(db, settings(DialectSetting::Classic)).await
    }

    /// A request of nobody.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("http://{}{path}", self.address);
        self.http.request(method, url)
    }

    /// A request below `/api/v1` with a key.
    pub(crate) fn as_key(&self, key: &str, method: &str, path: &str) -> RequestBuilder {
        self.request(method, &format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {key}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::of(self.as_key(KEY, "GET", path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        Reply::of(self.as_key(KEY, "DELETE", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        Reply::of(self.as_key(KEY, "POST", path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        Reply::of(self.as_key(KEY, "PATCH", path).json(&body)).await
    }

    /// A new run.
    pub(crate) async fn new_run(&self) -> Value {
        let reply = self.post("/runs", json!({ "inputData": {} })).await;
        reply.expect(201)
    }

    /// A new run of the other organization.
    pub(crate) async fn foreign_run(&self) -> Value {
        let body = json!({ "inputData": {} });
        let request = self.as_key(OTHER_KEY, "POST", "/runs").json(&body);
        Reply::of(request).await.expect(201)
    }

    /// A new task of type `t`.
    pub(crate) async fn new_task(&self, run: &Value) -> Value {
        self.new_task_of(run, "t").await
    }

    pub(crate) async fn new_task_of(&self, run: &Value, kind: &str) -> Value {
        let body = json!({ "runId": run["id"], "type": kind, "inputData": { "n": 1 } });
        self.post("/tasks", body).await.expect(201)
    }

    pub(crate) async fn change_task(&self, task: &Value, body: Value) -> Value {
        let path = format!("/tasks/{}", id(task));
        self.patch(&path, body).await.expect(200)
    }

    pub(crate) async fn run(&self, run: &Value) -> Value {
        self.get(&format!("/runs/{}", id(run))).await.expect(200)
    }

    /// Completed and failed tasks of a run.
    pub(crate) async fn counts(&self, run: &Value) -> (i64, i64) {
        let run = self.run(run).await;
        let count = |name: &str| run[name].as_i64().unwrap();
        (count("completedTasks"), count("failedTasks"))
    }

    /// The rows of a list, checking the envelope of the dialect.
    pub(crate) fn rows<'l>(&self, list: &'l Value) -> &'l Vec<Value> {
        let data = list["data"].as_array().unwrap();
        assert!(list["pagination"]["total"].is_u64(), "{list}");
        if self.dialect == DialectSetting::Current {
            assert!(list.get("items").is_none() && list.get("total").is_none());
        } else {
            assert_eq!(list["items"], list["data"]);
            for member in ["total", "limit", "offset"] {
                assert_eq!(list[member], list["pagination"][member]);
            }
        }
        data
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], "application/json; charset=utf-8");
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
        Self {
            status,
            headers,
            body,
        }
    }

    /// The body, if the status is that.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// A refusal with exactly that text.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, text: &str) {
        assert_eq!((self.status, &self.body["error"]), (status, &json!(text)));
    }

    /// A validation error with these paths.
    #[track_caller]
    pub(crate) fn invalid(self, paths: &[Value]) -> Value {
        let body = self.expect(400);
        let found: Vec<&Value> = body["details"].as_array().unwrap().iter().collect();
        let found: Vec<&Value> = found.iter().map(|item| &item["path"]).collect();
        assert_eq!(found, paths.iter().collect::<Vec<_>>(), "{body}");
        body
    }
}

#[track_caller]
pub(crate) fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

/// A timestamp of either dialect in milliseconds.
#[track_caller]
pub(crate) fn millis(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.parse::<Timestamp>().unwrap().as_millis(),
        value => value.as_i64().unwrap_or_else(|| panic!("no time: {value}")),
    }
}

/// Waits until the clock shows a later millisecond than that time.
pub(crate) async fn later_than(time: &Value) {
    let millis = millis(time);
    colony_testkit::wait_for_async(SOON, async || {
        let now = colony_core::time::Clock::now(&SystemClock).as_millis();
        if now > millis { Ok(()) } else { Err(now) }
    })
    .await;
}

/// Runs an async test on a runtime of its own, once for each dialect.
pub(crate) fn in_each_dialect(db: &TestStore, test: impl AsyncFn(Server)) {
    colony_testkit::block_on(async {
        for dialect in DIALECTS {
            test(Server::start(db, settings(dialect)).await).await;
        }
    });
}
