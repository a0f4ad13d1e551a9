//! What is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connection::Connection;

/// What operations work on.
pub(crate) struct Place {
    runs: Vec<String>,
    tasks: Vec<String>,
    data_run: String,
}

/// One hundred runs, two thousand tasks, a run with two thousand entries over two hundred keys.
pub(crate) async fn prepare(address: SocketAddr) -> Arc<Place> {
    let mut connection = Connection::open(address).await;
    let mut runs = Vec::new();
    for n in 0..101 {
        runs.push(create_run(&mut connection, n).await);
    }
    let data_run = runs.pop().unwrap_or_default();
    let mut tasks = Vec::new();
    for run in &runs {
        let task = json!({
            "runId": run, "type": "bench", "inputData": { "payload": "x".repeat(100) },
            "metadata": { "k": "v" },
        });
        let batch = json!({ "tasks": vec![task; 20] });
        let created = post(&mut connection, "/tasks/batch", &batch).await;
        tasks.extend(list(&created["tasks"]).iter().map(|task| text(&task["id"])));
    }
    let new = json!({ "runId": data_run, "type": "d", "inputData": {} });
    let data_task = text(&post(&mut connection, "/tasks", &new).await["id"]);
    for n in 0..2000 {
        let group = if n % 2 == 1 { "sensor" } else { "config" };
        let entry = json!({
            "taskId": data_task, "key": format!("{group}.{:03}", n % 200),
            "value": { "n": n, "s": "x".repeat(50) },
            "tags": [if n % 3 == 0 { "even" } else { "odd" }, format!("t{}", n % 10)],
        });
        post(&mut connection, &format!("/runs/{data_run}/data"), &entry).await;
    }
    Arc::new(Place {
        runs,
        tasks,
        data_run,
    })
}

/// Creates a run; returns its id.
pub(crate) async fn create_run(connection: &mut Connection, n: usize) -> String {
    let new = json!({ "inputData": { "bench": n } });
    text(&post(connection, "/runs", &new).await["id"])
}

async fn post(connection: &mut Connection, path: &str, body: &Value) -> Value {
    let answer = connection.call("POST", path, &body.to_string()).await;
    serde_json::from_str(&answer).expect("answers are JSON")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A single call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    CreateRun,
    CreateTask,
    CreateTaskOneRun,
    GetTask,
    ChangeTask,
    WriteData,
    QueryAll,
    QueryLatest,
    ListRuns,
}

pub(crate) const ALL: [Operation; 9] = [
    Operation::CreateRun,
    Operation::CreateTask,
    Operation::CreateTaskOneRun,
    Operation::GetTask,
    Operation::ChangeTask,
    Operation::WriteData,
    Operation::QueryAll,
    Operation::QueryLatest,
    Operation::ListRuns,
];

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CreateRun => "POST /runs",
            Self::CreateTask => "POST /tasks over 100 runs",
            Self::CreateTaskOneRun => "POST /tasks, one run",
            Self::GetTask => "GET /tasks/{id}",
            Self::ChangeTask => "PATCH /tasks/{id}",
            Self::WriteData => "POST /runs/{id}/data",
            Self::QueryAll => "data query, includeAll",
            Self::QueryLatest => "data query, latest per key",
            Self::ListRuns => "GET /runs?limit=20",
        }
    }

    pub(crate) async fn run(
        self,
        mut connection: Connection,
        place: &Place,
        turn: usize,
    ) -> (Connection, Duration) {
        let (method, path, body) = self.request(place, turn);
        let start = Instant::now();
        connection.call(method, &path, &body).await;
        (connection, start.elapsed())
    }

    fn request(self, place: &Place, turn: usize) -> (&'static str, String, String) {
        let data = format!("/runs/{}/data", place.data_run);
        let query = "keyStartsWith=sensor.&tags=odd&limit=50";
        let run = &place.runs[turn % place.runs.len()];
        let task = &place.tasks[turn / 2 % place.tasks.len()];
        let create = |run: &str| {
            format!(
                r#"{{"runId":"{run}","type":"bench","inputData":{{"n":{turn},"payload":"{}"}}}}"#,
                "x".repeat(40)
            )
        };
        match self {
            Self::CreateRun => (
                "POST",
                "/runs".to_owned(),
                format!(
                    r#"{{"inputData":{{"type":"bench","n":{turn}}},"metadata":{{"source":"bench"}}}}"#
                ),
            ),
            Self::CreateTask => ("POST", "/tasks".to_owned(), create(run)),
            Self::CreateTaskOneRun => ("POST", "/tasks".to_owned(), create(&place.runs[0])),
            Self::GetTask => {
                let task = &place.tasks[turn * 7919 % place.tasks.len()];
                ("GET", format!("/tasks/{task}"), String::new())
            }
            Self::ChangeTask if turn.is_multiple_of(2) => (
                "PATCH",
                format!("/tasks/{task}"),
                r#"{"status":"running","queueJobId":"17"}"#.to_owned(),
            ),
            Self::ChangeTask => (
                "PATCH",
                format!("/tasks/{task}"),
                format!(r#"{{"status":"completed","outputData":{{"ok":true,"n":{turn}}}}}"#),
            ),
            Self::WriteData => (
                "POST",
                format!("/runs/{}/data", place.runs[turn % place.runs.len()]),
                format!(
                    r#"{{"taskId":"{}","key":"bench.{}","value":{{"n":{turn}}},"tags":["bench"]}}"#,
                    place.tasks[turn % place.runs.len() * 20],
                    turn % 50
                ),
            ),
            Self::QueryAll => (
                "GET",
                format!("{data}?{query}&includeAll=true"),
                String::new(),
            ),
            Self::QueryLatest => ("GET", format!("{data}?{query}"), String::new()),
            Self::ListRuns => ("GET", "/runs?limit=20".to_owned(), String::new()),
        }
    }
}

/// Creates tasks, claims as many, completes them.
pub(crate) async fn lifecycle(
    mut connection: Connection,
    place: &Place,
    turn: usize,
    batch: usize,
) -> (Connection, Duration) {
    let run = &place.runs[turn % place.runs.len()];
    let task = json!({ "runId": run, "type": "life", "inputData": { "n": turn } });
    let (path, new) = match batch {
        1 => ("/tasks", task),
        _ => ("/tasks/batch", json!({ "tasks": vec![task; batch] })),
    };
    let new = new.to_string();
    let claim = json!({ "types": ["life"], "limit": batch, "waitMs": 10_000 }).to_string();
    let start = Instant::now();
    connection.call("POST", path, &new).await;
    let claimed = connection.call("POST", "/tasks/claim", &claim).await;
    report(&mut connection, &claimed, batch == 1).await;
    (connection, start.elapsed())
}

/// Reports claimed tasks as completed; returns how many there were.
pub(crate) async fn report(connection: &mut Connection, claimed: &str, alone: bool) -> usize {
    let claimed: Value = serde_json::from_str(claimed).expect("answers are JSON");
    let tasks = list(&claimed["tasks"]);
    match tasks {
        [task] if alone => {
            let body = json!({
                "status": "completed", "outputData": { "ok": true }, "leaseToken": task["leaseToken"],
            });
            let path = format!("/tasks/{}", text(&task["id"]));
            connection.call("PATCH", &path, &body.to_string()).await;
        }
        [] => {}
        tasks => {
            let reports: Vec<Value> = (tasks.iter())
                .map(|task| {
                    json!({
                        "taskId": task["id"], "leaseToken": task["leaseToken"],
                        "status": "completed", "outputData": { "ok": true },
                    })
                })
                .collect();
            let body = json!({ "reports": reports }).to_string();
            connection.call("POST", "/tasks/report", &body).await;
        }
    }
    tasks.len()
}

/// Lets so many more tasks wait.
pub(crate) async fn fill(address: SocketAddr, place: &Place, count: u64) {
    let mut connection = Connection::open(address).await;
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    while left > 0 {
        let batch = left.min(1000);
        let run = &place.runs[left / 1000 % place.runs.len()];
        let task = json!({ "runId": run, "type": "wait", "inputData": {} });
        let body = json!({ "tasks": vec![task; batch] }).to_string();
        connection.call("POST", "/tasks/batch", &body).await;
        left -= batch;
    }
}

/// Claims a task and completes it, after another was created so that as many wait as before.
pub(crate) async fn claim_and_report(
    mut connection: Connection,
    place: &Place,
    turn: usize,
) -> (Connection, Duration) {
    let run = &place.runs[turn % place.runs.len()];
    let task = json!({ "runId": run, "type": "wait", "inputData": {} }).to_string();
    connection.call("POST", "/tasks", &task).await;
    let claim = json!({ "types": ["wait"] }).to_string();
    let start = Instant::now();
    let claimed = connection.call("POST", "/tasks/claim", &claim).await;
    report(&mut connection, &claimed, true).await;
    (connection, start.elapsed())
}
