//! Many callers, lost heartbeats, reports that come twice, and a server that is killed again and
//! again: each task has one accepted outcome, counters equal the rows, nothing acknowledged is lost.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use colony_testkit::TestPostgres;
use serde_json::{Value, json};
use tokio::sync::{Mutex, RwLock};

/// Fewer than asked for in a long run; set `COLONY_TEST_TASKS=20000` for that.
const TASKS: usize = 2_000;
const CALLERS: usize = 64;
const KILLS: usize = 5;

struct Process {
    child: Child,
    base: String,
}

impl Process {
    /// Starts the server of `examples/runs_server.rs`.
    fn start(database: &str) -> Self {
        let mut program = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        program.push("examples/runs_server");
        let mut child = Command::new(program)
            .args([database, "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example server was built with the tests");
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let base = format!("http://{}", line.trim());
        Self { child, base }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the callers share.
struct Load {
    http: reqwest::Client,
    base: RwLock<String>,
    /// Task and the outcome that the server acknowledged.
    acknowledged: Mutex<BTreeMap<String, Vec<String>>>,
    done: AtomicUsize,
    tasks: usize,
}

impl Load {
    /// A call, repeated only by the caller: none when the server went away.
    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        let url = format!("{}/api/v1{path}", self.base.read().await);
        let request = self.http.request(method, url).bearer_auth("fmn_t_o_k");
        let request = request.timeout(Duration::from_secs(10)).json(body);
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.ok()?))
    }

    /// Repeats until the server answers; what is sent must bear it.
    async fn insist(&self, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
        loop {
            if let Some(reply) = self.call(method.clone(), path, body).await {
                return reply;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A worker with many faults.
    async fn work(self: Arc<Self>, caller: usize) {
        let mut turn = caller;
        while self.done.load(Ordering::Relaxed) < self.tasks {
            let claim = json!({ "types": ["x"], "limit": 4, "waitMs": 200, "leaseMs": 1000 });
            let Some((200, claimed)) = self
                .call(reqwest::Method::POST, "/tasks/claim", &claim)
                .await
            else {
                continue;
            };
            for task in claimed["tasks"].as_array().unwrap() {
                turn += 1;
                // Every eleventh task is forgotten: its lease runs out.
                if turn.is_multiple_of(11) {
                    continue;
                }
                self.report(task, turn).await;
            }
        }
    }

    async fn report(&self, task: &Value, turn: usize) {
        let id = task["id"].as_str().unwrap();
        let status = if turn.is_multiple_of(7) {
            "failed"
        } else {
            "completed"
        };
        let body =
            json!({ "status": status, "outputData": turn, "leaseToken": task["leaseToken"] });
        let path = format!("/tasks/{id}");
        // Twice, every fifth time.
        for _ in 0..1 + usize::from(turn.is_multiple_of(5)) {
            if let Some((200, _)) = self.call(reqwest::Method::PATCH, &path, &body).await {
                let mut acknowledged = self.acknowledged.lock().await;
                acknowledged
                    .entry(id.to_owned())
                    .or_default()
                    .push(status.to_owned());
                self.done.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn check(database: &str) {
    colony_testkit::block_on(async {
        let tasks = std::env::var("COLONY_TEST_TASKS").ok();
        let tasks = tasks.and_then(|text| text.parse().ok()).unwrap_or(TASKS);
        let mut process = Process::start(database);
        colony_api::runs_client::RunsClient::new("http://x").unwrap();
        let load = Arc::new(Load {
            http: reqwest::Client::new(),
            base: RwLock::new(process.base.clone()),
            acknowledged: Mutex::default(),
            done: AtomicUsize::new(0),
            tasks: tasks * 9 / 10,
        });
        let (_, run) = load
            .insist(reqwest::Method::POST, "/runs", &json!({ "inputData": 1 }))
            .await;
        let task = json!({ "runId": run["id"], "type": "x", "inputData": 1, "maxRetries": 10 });
        for _ in 0..tasks / 100 {
            let batch = json!({ "tasks": vec![task.clone(); 100] });
            assert_eq!(
                load.insist(reqwest::Method::POST, "/tasks/batch", &batch)
                    .await
                    .0,
                201
            );
        }
        let workers: Vec<_> = (0..CALLERS)
            .map(|caller| tokio::spawn(Arc::clone(&load).work(caller)))
            .collect();
        for kill in 1..=KILLS {
            let progress = load.tasks * kill / (KILLS + 1);
            colony_testkit::wait_for_async(Duration::from_secs(120), async || {
                let done = load.done.load(Ordering::Relaxed);
                if done >= progress { Ok(()) } else { Err(done) }
            })
            .await;
            drop(process);
            process = Process::start(database);
            *load.base.write().await = process.base.clone();
        }
        for worker in workers {
            worker.await.unwrap();
        }
        verify(&load, &run, tasks).await;
    });
}

async fn verify(load: &Load, run: &Value, tasks: usize) {
    let get = async |path: String| load.insist(reqwest::Method::GET, &path, &json!({})).await.1;
    let id = run["id"].as_str().unwrap();
    let run = get(format!("/runs/{id}")).await;
    assert_eq!(run["totalTasks"], tasks);
    let (mut completed, mut failed) = (0, 0);
    let acknowledged = load.acknowledged.lock().await;
    for offset in (0..tasks).step_by(100) {
        let page = get(format!(
            "/tasks?runId={id}&limit=100&offset={offset}&sortOrder=asc"
        ))
        .await;
        for task in page["items"].as_array().unwrap() {
            let status = task["status"].as_str().unwrap();
            completed += usize::from(status == "completed");
            failed += usize::from(status == "failed");
            if let Some(outcomes) = acknowledged.get(task["id"].as_str().unwrap()) {
                assert_eq!(outcomes, &[status], "one accepted outcome, and it is there");
            }
        }
    }
    assert_eq!(run["completedTasks"], completed);
    assert_eq!(run["failedTasks"], failed);
}

#[test]
fn sqlite_survives_five_kills() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("colony.db");
    check(&format!("sqlite:{}", path.display()));
}

#[test]
fn postgres_survives_five_kills() {
    let database = TestPostgres::create("survives_five_kills");
    check(database.url());
}
