//! Workers: the one of the library that runs a command, and the example in Python.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use colony_api::runs_client::RunsClient;
use colony_api::worker::{ReaperCommand, Reapers, Stop, WorkerOptions, reaper, work};
use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{KEY, Server, id};

async fn ended(server: &Server, task: &Value) -> Value {
    let path = format!("/tasks/{}?waitMs=30000", id(task));
    server.get(&path).await.expect(200)
}

async fn new_task(server: &Server, run: &Value, input: Value, max_retries: u32) -> Value {
    let body =
        json!({ "runId": run["id"], "type": "w", "inputData": input, "maxRetries": max_retries });
    server.post("/tasks", body).await.expect(201)
}

fn client(server: &Server) -> RunsClient {
    RunsClient::new(&format!("http://{}", server.address))
        .unwrap()
        .with_key(KEY)
}

/// Asks this test program to be a reaper.
const REAPER: &str = "COLONY_SERVER_TEST_REAPER";

#[test]
fn helper_reaper() {
    if std::env::var_os(REAPER).is_some() {
        reaper::run().unwrap();
    }
}

fn reapers() -> Arc<Reapers> {
    let program = std::env::current_exe().unwrap();
    let helper = ["--exact", "worker::helper_reaper", "--nocapture"];
    let mut args = vec![format!("{REAPER}=1"), program.display().to_string()];
    args.extend(helper.map(str::to_owned));
    let command = ReaperCommand {
        program: "/usr/bin/env".into(),
        args,
        // Tests have children of their own.
        adopts: false,
        own_session: false,
    };
    Reapers::new(command, None).unwrap()
}

fn options(script: &str) -> WorkerOptions {
    let command = ["sh", "-c", script].map(str::to_owned);
    WorkerOptions {
        concurrency: 2,
        lease: Duration::from_secs(2),
        ..WorkerOptions::new("w", &command, reapers())
    }
}

/// Ends the process when a test ends.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

both_databases! {
    fn a_command_is_a_worker(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let echo = new_task(&server, &run, json!({ "a": [1] }), 0).await;
            let fails = new_task(&server, &run, json!("fail"), 1).await;
            let (stop, stopped) = watch::channel(Stop::No);
            let script = r#"input=$(cat); case "$input" in '"fail"') echo broken >&2; exit 3;; *) echo "$input";; esac"#;
            let (client, options) = (client(&server), options(script));
            let worker = tokio::spawn(async move { work(&client, &options, stopped).await });
            assert_eq!(ended(&server, &echo).await["outputData"], json!({ "a": [1] }));
            let failed = ended(&server, &fails).await;
            assert_eq!(failed["status"], "failed");
            assert_eq!(failed["retryCount"], 1);
            assert_eq!(failed["errorData"]["exitCode"], 3);
            assert_eq!(failed["errorData"]["stderr"], "broken");
            stop.send(Stop::Drain).unwrap();
            let done = worker.await.unwrap().unwrap();
            assert_eq!((done.completed, done.failed), (1, 2));
        });
    }

    fn a_cancelled_task_stops_the_command(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = new_task(&server, &run, json!(1), 0).await;
            let (stop, stopped) = watch::channel(Stop::No);
            let (client, mut options) = (client(&server), options("exec sleep 600"));
            options.lease = Duration::from_millis(600);
            let worker = tokio::spawn(async move { work(&client, &options, stopped).await });
            let path = format!("/tasks/{}", id(&task));
            colony_testkit::wait_for_async(crate::support::SOON, async || {
                let task = server.get(&path).await.expect(200);
                if task["status"] == "running" { Ok(()) } else { Err(task) }
            }).await;
            server.change_task(&task, json!({ "status": "cancelled" })).await;
            stop.send(Stop::Drain).unwrap();
            let done = tokio::time::timeout(crate::support::SOON, worker).await;
            done.expect("the command was stopped").unwrap().unwrap();
            assert_eq!(ended(&server, &task).await["status"], "cancelled");
        });
    }

    fn the_example_in_python_works(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/worker-python/worker.py");
            let python = Command::new("python3")
                .args([script, "--types", "add,fail", "--wait", "5"])
                .env("COLONY_URL", format!("http://{}", server.address))
                .env("COLONY_API_KEY", KEY)
                .stdout(Stdio::null())
                .spawn()
                .expect("python3 is installed");
            let _guard = Guard(python);
            let run = server.new_run().await;
            let task = async |kind: &str, input: Value| {
                let body = json!({ "runId": run["id"], "type": kind, "inputData": input, "maxRetries": 0 });
                server.post("/tasks", body).await.expect(201)
            };
            let add = task("add", json!({ "numbers": [1, 2, 3] })).await;
            let fail = task("fail", json!({ "message": "no luck" })).await;
            assert_eq!(ended(&server, &add).await["outputData"], json!({ "sum": 6 }));
            let failed = ended(&server, &fail).await;
            assert_eq!(failed["status"], "failed");
            assert_eq!(failed["errorData"]["message"], "no luck");
        });
    }
}
