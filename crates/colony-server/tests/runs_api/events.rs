//! Following a run as server-sent events.

use std::time::Duration;

use colony_testkit::{block_on, both_databases, wait_for_async};
use serde_json::{Value, json};

use crate::support::{KEY, NIL, OTHER_KEY, Reply, SOON, Server, id};

/// A stream of events and what of it was read but not yet taken.
struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    async fn open(server: &Server, run: &Value, resume: Option<&str>) -> Self {
        let mut request = server.as_key(KEY, "GET", &format!("/runs/{}/events", id(run)));
        if let Some(resume) = resume {
            request = request.header("last-event-id", resume);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        Self {
            response,
            buffer: String::new(),
        }
    }

    /// Id, name and data of the next event.
    async fn next(&mut self) -> (String, String, Value) {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.buffer = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
                };
                if let (Some(id), Some(name), Some(data)) =
                    (field("id: "), field("event: "), field("data: "))
                {
                    return (id, name, serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let chunk = tokio::time::timeout(SOON, self.response.chunk()).await;
            let chunk = chunk
                .expect("an event in time")
                .unwrap()
                .expect("a stream that goes on");
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Reads until an event fits; returns its id.
    async fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> String {
        loop {
            let (id, found, data) = self.next().await;
            if found == name && fits(&data) {
                return id;
            }
        }
    }
}

both_databases! {
    fn changes_are_told_and_a_break_loses_none(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let mut events = Events::open(&server, &run, None).await;
            events.until("run", |run| run["status"] == "pending").await;
            let task = server.new_task(&run).await;
            events.until("task", |found| found["id"] == task["id"]).await;
            server.change_task(&task, json!({ "status": "running" })).await;
            let resume = events.until("task", |task| task["status"] == "running").await;
            drop(events);
            server.change_task(&task, json!({ "status": "completed" })).await;
            let mut events = Events::open(&server, &run, Some(&resume)).await;
            events.until("task", |task| task["status"] == "completed").await;
            events.until("run", |run| run["completedTasks"] == 1).await;
            let path = format!("/runs/{}", id(&run));
            server.patch(&path, json!({ "status": "completed" })).await.expect(200);
            events.until("run", |run| run["status"] == "completed").await;
        });
    }

    fn runs_of_others_cannot_be_followed(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let path = format!("/runs/{}/events", id(&run));
            let text = format!("Run not found: {}", id(&run));
            Reply::of(server.as_key(OTHER_KEY, "GET", &path)).await.refused(404, &text);
            server.get(&format!("/runs/{NIL}/events")).await.expect(404);
        });
    }

    /// Many tasks come page by page, each once, and the run last; a break on the way begins anew.
    fn many_tasks_are_told_of_once_and_the_run_last(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
            let tasks: Vec<&Value> = std::iter::repeat_n(&task, 150).collect();
            server.post("/tasks/batch", json!({ "tasks": tasks })).await.expect(201);
            let mut events = Events::open(&server, &run, None).await;
            let mut resume = String::new();
            for _ in 0..100 {
                let (id, name, _) = events.next().await;
                assert_eq!(name, "task");
                resume = id;
            }
            for resume in [None, Some(resume.as_str())] {
                let mut events = Events::open(&server, &run, resume).await;
                let mut ids = std::collections::BTreeSet::new();
                for _ in 0..150 {
                    let (_, name, task) = events.next().await;
                    assert_eq!(name, "task");
                    assert!(ids.insert(id(&task).to_owned()), "it came twice");
                }
                assert_eq!(events.next().await.1, "run");
            }
        });
    }

    /// Whoever follows a run that rests, or waits for a task, asks the database nothing.
    fn followers_at_rest_cost_no_queries(mut db) {
        // As a queen has it.
        db.config().exclusive = true;
        db.reopen();
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = server.new_task(&run).await;
            let mut events = Events::open(&server, &run, None).await;
            events.until("run", |_| true).await;
            let path = format!("/tasks/{}?waitMs=60000", id(&task));
            let wait = server.get(&path);
            tokio::pin!(wait);
            let rest = async {
                let mut before = db.stats().statements;
                wait_for_async(SOON, async || {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    let now = db.stats().statements;
                    let more = now - std::mem::replace(&mut before, now);
                    if more == 0 { Ok(()) } else { Err(more) }
                })
                .await;
                // Longer than any look again would take.
                tokio::time::sleep(Duration::from_millis(5_500)).await;
                assert_eq!(db.stats().statements, before);
            };
            tokio::select! {
                _ = &mut wait => panic!("the task has not ended"),
                () = rest => {}
            }
            server.change_task(&task, json!({ "status": "completed" })).await;
            events.until("task", |task| task["status"] == "completed").await;
            assert_eq!(wait.await.expect(200)["status"], "completed");
        });
    }
}
