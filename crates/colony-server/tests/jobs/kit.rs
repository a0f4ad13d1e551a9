//! A server for tests: an engine on a fresh database behind a listener on a free port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use colony_core::id::MonotonicIds;
use colony_core::time::SystemClock;
use colony_engine::ledger::Ledger;
use colony_engine::{AdminToken, Engine, EngineParts, EngineSettings};
use colony_server::runs::{AuthMode, RunsApiSettings, RunsState};
use colony_server::{Auth, ServerState};
use colony_testkit::{TestStore, wait_for_async};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::http::{Answer, call};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Two tasks, the second after the first.
pub(crate) const TWO: &str = "\
job_type: two
tasks:
- task_type: a
  method: SHELL
  script: [one]
  on_completed: b
- task_type: b
  method: SHELL
  script: [two]
";

/// A definition with one task.
pub(crate) fn one_task(job_type: &str) -> String {
    format!("job_type: {job_type}\ntasks:\n- task_type: a\n  method: SHELL\n  script: [true]\n")
}

pub(crate) struct Kit {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) token: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<std::io::Result<()>>,
    _loops: JoinSet<()>,
}

impl Kit {
    /// A server without authentication.
    pub(crate) async fn new(store: &TestStore) -> Self {
        Self::with(store, Auth::Off, |_| {}).await
    }

    /// A server that wants a token. The kit sends the admin's.
    pub(crate) async fn with_auth(store: &TestStore) -> Self {
        Self::with(store, Auth::On, |_| {}).await
    }

    /// A server of both APIs, with changes to its settings.
    pub(crate) async fn with(
        store: &TestStore,
        auth: Auth,
        change: impl FnOnce(&mut ServerState),
    ) -> Self {
        let mut kit = Self::start(store, auth, change).await;
        if auth == Auth::Off {
            return kit;
        }
        let token = AdminToken::from_random([7; 32]);
        assert!(kit.engine.bootstrap(&token).await.unwrap());
        kit.token = Some(token.expose().to_owned());
        kit
    }

    async fn start(store: &TestStore, auth: Auth, change: impl FnOnce(&mut ServerState)) -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let engine = Engine::new(EngineParts {
            store: (**store).clone(),
            objects: Arc::clone(&objects),
            clock: Arc::new(SystemClock),
            ids: Arc::new(MonotonicIds::new(SystemClock)),
            seed: 1,
            settings: EngineSettings::default(),
        });
        let loops = engine.start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut state = ServerState::new(engine.clone(), auth);
        state.runs = Some(runs_api(&engine, auth));
        change(&mut state);
        let server = tokio::spawn(colony_server::serve(listener, state, async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            engine,
            objects,
            token: None,
            stop: Some(stop),
            server,
            _loops: loops,
        }
    }

    /// Asks the server to stop and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        let ended = tokio::time::timeout(DEADLINE, self.server).await;
        ended.expect("the server ends in time").unwrap().unwrap();
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut all = headers.to_vec();
        if let Some(bearer) = &bearer {
            all.push(("authorization", bearer));
        }
        call(self.address, method, path, &all, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.call("POST", path, &[], b"").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], b"").await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.call("POST", path, &headers, body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn post_yaml(&self, text: &str) -> Answer {
        let headers = [("content-type", "application/yaml")];
        self.call("POST", "/api/jobs/definitions", &headers, text.as_bytes())
            .await
    }

    /// Saves a definition that is valid.
    #[track_caller]
    pub(crate) fn save(&self, text: &str) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let answer = self.post_yaml(text).await;
            assert!(answer.status < 300, "{place}: {}", answer.text());
            answer.json()
        }
    }

    /// Submits a request that is valid.
    pub(crate) async fn submit(&self, body: &Value) -> Value {
        self.post_json("/api/jobs/requests", body).await.expect(201)
    }

    /// Submits a request of a type and gives its id.
    pub(crate) async fn submit_id(&self, job_type: &str) -> String {
        let request = self
            .submit(&serde_json::json!({"job_type": job_type}))
            .await;
        request["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn request(&self, id: &str) -> Value {
        self.get(&format!("/api/jobs/requests/{id}"))
            .await
            .expect(200)
    }

    /// Waits until the request is in that state.
    pub(crate) async fn wait(&self, id: &str, state: &str) -> Value {
        wait_for_async(DEADLINE, async || {
            let request = self.request(id).await;
            match request["job_state"] == state {
                true => Ok(request),
                false => Err(request.to_string()),
            }
        })
        .await
    }
}

/// The Runs API, which knows every well-formed key.
fn runs_api(engine: &Engine, auth: Auth) -> RunsState {
    let settings = RunsApiSettings {
        auth: match auth {
            Auth::On => AuthMode::On,
            Auth::Off => AuthMode::Off,
        },
        trust_well_formed_keys: true,
        cors_origins: vec!["https://app.example".to_owned()],
        ..RunsApiSettings::default()
    };
    RunsState::new(Ledger::of_engine(engine), settings, Arc::new(SystemClock)).unwrap()
}

/// The same JSON with ids, hashes and times replaced by what they are.
pub(crate) fn redacted(value: &Value) -> Value {
    match value {
        Value::String(text) if is_id(text) => "<id>".into(),
        Value::String(text) if is_time(text) => "<time>".into(),
        Value::String(text) if text.len() == 64 && is_hex(text) => "<sha256>".into(),
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), redacted(value)))
            .collect(),
        other => other.clone(),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.matches('-').count() == 4 && is_hex(&text.replace('-', ""))
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.parse::<colony_core::time::Timestamp>().is_ok()
}

/// A text as part of an URL.
pub(crate) fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
